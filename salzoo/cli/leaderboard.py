"""`salzoo leaderboard`: a page of tables, times and maps, from a run or from saved evaluations."""

from __future__ import annotations

import argparse
from pathlib import Path

from salzoo.cli._parser import MODEL_HELP, Commands, add_command, add_dataset, add_device
from salzoo.errors import SpecError

JSON = ".json"


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "leaderboard", "Write a page that ranks models on datasets.", run)
    parser.add_argument(
        "name",
        nargs="*",
        metavar="NAME",
        help=f"{MODEL_HELP}; or a file of `salzoo evaluate --json`, one a dataset, which needs no --data; default all "
        "models that need no training",
    )
    add_dataset(parser, required=False, several=True)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the page")
    parser.add_argument("--split", choices=("train", "val", "test", "all"), default="test", help="default test")
    parser.add_argument("--convention", choices=("mit", "pysaliency"), default="mit", help="default mit")
    parser.add_argument("--baselines", metavar="A,B", help="baselines to show, default all; '' for none")
    parser.add_argument(
        "--times", type=Path, metavar="FILE", help="milliseconds of benchmarks/latency.py to show instead"
    )
    add_device(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the page."""
    saved = [name for name in arguments.name if name.lower().endswith(JSON)]
    names = [name for name in arguments.name if name not in saved]
    if saved and (names or arguments.data):
        raise SpecError(f"{saved[0]} holds scores, and models are to be scored: make the page of one kind.")
    if not saved and not (arguments.data and arguments.root):
        raise SpecError("name files of `salzoo evaluate --json`, or --data and --root, which say what is scored.")
    from salzoo.reports import leaderboard

    contents = [leaderboard.read(Path(name)) for name in saved] or _score(names, arguments)
    if arguments.times:
        leaderboard.with_times(contents, arguments.times)
    print(f"Wrote {leaderboard.write(contents, arguments.output)}")
    return 0


def _score(names: list[str], arguments: argparse.Namespace) -> list[dict[str, object]]:
    from salzoo.components.load import load
    from salzoo.data import load_dataset
    from salzoo.evaluation.baselines import ROWS
    from salzoo.registry import list_models, read_spec
    from salzoo.reports.leaderboard import run

    datasets = [load_dataset(name, arguments.root, arguments.split) for name in arguments.data.split(",")]
    for dataset in datasets:
        dataset.require_fixations()
    if not names:
        specs = [read_spec(name) for name in list_models(trained=True) if name not in ROWS]
        names = [spec.name if spec.default in spec.loadable else f"{spec.name}.{spec.loadable[0]}" for spec in specs]
    models = {name: load(name, device=arguments.device) for name in names}
    baselines = ROWS if arguments.baselines is None else [row for row in arguments.baselines.split(",") if row]
    return [run(models, each, baselines=baselines, convention=arguments.convention) for each in datasets]
