"""`salzoo study`: comparisons of many training runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from salzoo.cli._parser import Commands, add_command, add_dataset, add_group, positive


def add(commands: Commands) -> None:
    """Add the commands."""
    studies = add_group(commands, "study", "Compare many training runs.", "STUDY")
    text = "Compare losses: train one network with each of them, from several seeds."
    parser = add_command(studies, "losses", text, run_losses)
    add_dataset(parser, several=True)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("study_losses"),
        metavar="DIR",
        help="folder of the report and of finished runs, which are not repeated; default study_losses",
    )
    parser.add_argument("--losses", metavar="A,B", help="losses to compare, default all")
    parser.add_argument("--seeds", type=positive, default=3, metavar="N", help="runs of each loss, default 3")
    parser.add_argument("--epochs", type=positive, default=4, metavar="N", help="epochs of each run, default 4")
    parser.add_argument(
        "--workers", type=positive, default=1, metavar="N", help="processes of one thread each, default 1"
    )
    parser.add_argument("--report", action="store_true", help="train nothing; report the finished runs")


def run_losses(arguments: argparse.Namespace) -> int:
    """Train what is missing, and write the report."""
    from salzoo.studies.loss_report import write_report
    from salzoo.studies.loss_study import LOSSES, Study

    losses = tuple(LOSSES) if arguments.losses is None else tuple(arguments.losses.split(","))
    datasets = tuple(arguments.data.split(","))
    study = Study(arguments.output, datasets, arguments.root, losses, arguments.seeds, arguments.epochs)
    results = study.kept() if arguments.report else study.run(arguments.workers)
    print(f"Wrote {write_report(results, arguments.output)}")
    return 0
