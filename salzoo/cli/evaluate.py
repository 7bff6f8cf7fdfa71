"""`salzoo evaluate`: models and baselines by metrics on a dataset."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from salzoo.cli._parser import MODEL_HELP, Commands, add_command, add_dataset, add_device, positive
from salzoo.errors import SpecError

if TYPE_CHECKING:
    from salzoo.evaluation.table import Table


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "evaluate", "Score models and baselines on a dataset, in one table.", run)
    parser.add_argument("name", nargs="*", metavar="NAME", help=MODEL_HELP)
    parser.add_argument(
        "--maps",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="folder of maps that any tool wrote (png, npy, mat); may be repeated",
    )
    add_dataset(parser)
    parser.add_argument(
        "--split", default="test", choices=("train", "val", "test", "all"), help="split to score, default test"
    )
    add_device(parser)
    parser.add_argument(
        "--convention", choices=("mit", "pysaliency"), default="mit", help="convention of all metrics, default mit"
    )
    parser.add_argument(
        "--metric-specific", action="store_true", help="derive from each density the map that is best for each metric"
    )
    parser.add_argument(
        "--baselines",
        metavar="A,B",
        help="baselines to show (gold_joint, gold, one_human, centre_bias, ...), default all; '' for none",
    )
    parser.add_argument(
        "--intervals", action="store_true", help="print half the width of each mean's 95 %% bootstrap interval"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table to FILE as JSON")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the scores of every image to FILE as CSV")
    parser.add_argument("--processes", type=positive, metavar="N", help="divide the images among N processes")
    parser.add_argument(
        "--record", action="store_true", help="write the row of each checkpoint folder into its config.json and card"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the table, and write it where the options say."""
    if not arguments.name and not arguments.maps:
        raise SpecError("nothing to evaluate: name a model, or a folder of maps with --maps DIR.")
    for file in (arguments.json, arguments.csv):  # before an hour of scoring
        if file is not None and not file.parent.is_dir():
            raise SpecError(f"there is no folder {file.parent} to write {file.name} into.")
    from salzoo._distributed import in_torchrun, is_rank_zero, torchrun

    if arguments.processes and not in_torchrun():
        return min(torchrun(["salzoo", *arguments.words], arguments.processes), 1)
    table = _score(arguments, shared=in_torchrun())
    if is_rank_zero():
        _show(table, arguments)
    return 0


def _score(arguments: argparse.Namespace, *, shared: bool) -> Table:
    from salzoo.data import load_dataset

    dataset = load_dataset(arguments.data, arguments.root, arguments.split)  # first: a typo is told at once
    from salzoo.evaluation.baselines import ROWS
    from salzoo.evaluation.scoring import evaluate, load_predictors

    predictors, notes = load_predictors(arguments.name, arguments.maps, dataset, arguments.device)
    return evaluate(
        predictors,
        dataset,
        baselines=ROWS if arguments.baselines is None else [row for row in arguments.baselines.split(",") if row],
        convention=arguments.convention,
        metric_specific=arguments.metric_specific,
        notes=notes,
        shared=shared,
    )


def _show(table: Table, arguments: argparse.Namespace) -> None:
    from salzoo._io import write_text

    print(table.to_markdown(intervals=arguments.intervals))
    if arguments.json is not None:
        write_text(arguments.json, json.dumps(table.to_json(), indent=2) + "\n")
    if arguments.csv is not None:
        write_text(arguments.csv, table.to_csv())
    if arguments.record:
        from salzoo._version import commit
        from salzoo.checkpoint import card

        for name in arguments.name:
            card.record(Path(name), [table.measured(name, commit())])
