"""`salzoo evaluate`: models and baselines by metrics on a dataset."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from salzoo.cli import _evaluate_videos
from salzoo.cli._parser import (
    MODEL_HELP,
    ROOT_HELP,
    Commands,
    Parser,
    add_command,
    add_device,
    check_writable,
    given,
    positive,
    write_each,
)
from salzoo.errors import RunError, SpecError

if TYPE_CHECKING:
    from salzoo.data.base import Split
    from salzoo.evaluation.by_kind import ByKind, Kinds
    from salzoo.evaluation.comparison import Comparison
    from salzoo.evaluation.saved import AnyTable
    from salzoo.evaluation.scanpaths.table import ScanpathTable
    from salzoo.evaluation.sources import Sources
    from salzoo.evaluation.table import Table

EXAMPLES = """
Examples:
  salzoo evaluate salgan mine=runs/salgan.lite --data osie --root data
  salzoo evaluate --compare mine=runs/salgan.lite salgan --data osie --root data     which is better, how sure is it
  salzoo evaluate one.csv two.csv --compare mine salgan                              the same from saved scores (--csv)
  salzoo evaluate salgan --data osie --root data --images 20                         a quick look, before all of them
  salzoo evaluate salgan --data folder --root my_study --folds 5                     every image of a small study
  salzoo evaluate salgan --data osie --root data --by kind                           which images it explains
  salzoo evaluate saccadic wta --scanpaths --data osie --root data                   where they look next
  salzoo evaluate deepgaze2 --data videos --root my_clips --every 5 --smooth density:2    videos, frame by frame
"""

RULES = ("metrics", "metric_specific", "convention", "baselines")
SCORING = ("split", "images", "folds", "per_observer", *RULES, "processes")
"""Options that mean nothing without images to score."""
OF_MAPS = ("maps", "compare", "by", *(name for name in SCORING if name not in ("split", "images")))
"""Options that mean nothing for scanpaths."""
OF_SCANPATHS = "--split, --images, --seed, --device, --pixels-per-degree, --intervals, --json, --csv and --record"
"""Options that are for them."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "evaluate", "Score models and baselines on a dataset, in one table.", run)
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EXAMPLES
    _add_rows(parser)
    parser.add_argument("--data", metavar="DATASET", help="name of the dataset: osie, folder (your own), ...")
    parser.add_argument("--root", metavar="DIR", help=ROOT_HELP)
    parser.add_argument("--split", choices=("train", "val", "test", "all"), help="split to score, default test")
    parser.add_argument(
        "--images", type=positive, metavar="N", help="only N of the split, spread evenly, for a quick look"
    )
    parser.add_argument(
        "--folds",
        type=positive,
        metavar="K",
        help="score every image of a small study, and record in which of K folds of a cross-validation it is: the same "
        "as in `salzoo finetune --folds K`",
    )
    parser.add_argument(
        "--per-observer", action="store_true", help="also score each model on each observer's own fixations"
    )
    add_device(parser)
    parser.add_argument(
        "--scanpaths",
        action="store_true",
        help="score models of the next fixation: the likelihood, which ranks them, and drawn paths beside people's",
    )
    parser.add_argument(
        "--pixels-per-degree",
        type=float,
        metavar="N",
        help="with --scanpaths: also the likelihood without steps below one degree, and amplitudes in degrees",
    )
    parser.add_argument("--metrics", metavar="A,B", help="metrics to score (nss, ig, cc, auc_judd, ...), default all")
    parser.add_argument("--convention", choices=("mit", "pysaliency"), help="convention of all metrics, default mit")
    parser.add_argument(
        "--metric-specific", action="store_true", help="derive from each density the map that is best for each metric"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of whatever is drawn, default 0")
    parser.add_argument("--processes", type=positive, metavar="N", help="divide the images among N processes")
    _add_outputs(parser)
    _evaluate_videos.add_options(parser)


def _add_rows(parser: Parser) -> None:
    parser.add_argument(
        "name",
        nargs="*",
        metavar="NAME",
        help=f"{MODEL_HELP}, or a CSV of saved scores, which joins the table; ROW=NAME names its row",
    )
    parser.add_argument(
        "--maps",
        action="append",
        default=[],
        metavar="DIR",
        help="folder of maps that any tool wrote (png, npy, mat), or ROW=DIR; may be repeated",
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        default=[],
        metavar=("A", "B"),
        help="print A - B, paired by image, with intervals, p-values of a permutation test, and Holm's over metrics; "
        "rows of the table, or models, folders of maps and saved CSVs, which join it",
    )
    parser.add_argument(
        "--baselines",
        metavar="A,B",
        help="baselines to show (gold_joint, gold, one_human, centre_bias, ...), default all; '' for none",
    )


def _add_outputs(parser: Parser) -> None:
    parser.add_argument(
        "--intervals", action="store_true", help="print half the width of each mean's 95 %% interval over images"
    )
    parser.add_argument(
        "--by",
        metavar="kind|FILE",
        help="print a second table, by kind of image: grey, portrait, square, wide and small by its pixels, or what a "
        "CSV with the columns image and kind says",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table to FILE as JSON")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the scores of every image to FILE as CSV")
    parser.add_argument(
        "--record", action="store_true", help="write the row of each checkpoint folder into its config.json and card"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the table, and write it where the options say."""
    from salzoo._distributed import in_torchrun, is_rank_zero, torchrun
    from salzoo.evaluation.sources import Sources

    sources = Sources()
    sources.add(arguments.name)
    sources.add(arguments.maps, maps=True)
    of_videos = _evaluate_videos.are_meant(arguments)
    if of_videos:
        _evaluate_videos.add_compared(arguments, sources)
    elif arguments.compare:  # reads the saved tables
        sources.add(arguments.compare, compared=True)
    _check(arguments, sources)  # before an hour of scoring
    if arguments.scanpaths:
        return _run_scanpaths(arguments, sources)
    if arguments.processes and not in_torchrun():
        return min(torchrun(["salzoo", *arguments.words], arguments.processes), 1)
    table = _table(arguments, sources, of_videos=of_videos, shared=in_torchrun())
    if is_rank_zero():
        _show(table, arguments, sources)
    return 0


def _check(arguments: argparse.Namespace, sources: Sources) -> None:
    if not sources.rows:
        raise SpecError("nothing to evaluate: name a model, or a folder of maps with --maps DIR.")
    place = (arguments.data, arguments.root)
    if not all(place) and (sources.models or sources.maps or any(place)):
        sources.check_known()
        raise SpecError("the following arguments are required: --data, --root; they say which images are scored.")
    if not arguments.data and (idle := given(arguments, SCORING)):
        raise SpecError(f"{idle[0]} says how images are scored, and saved scores are not scored again: leave it out.")
    if arguments.folds and arguments.split not in (None, "all"):
        raise SpecError(f"--folds scores all images, so it does not go with --split {arguments.split}.")
    if arguments.images and (whole := next((name for name in ("folds", "record") if getattr(arguments, name)), None)):
        raise SpecError(f"--{whole} is for all images of a split, so it does not go with --images {arguments.images}.")
    check_writable(file for file in (arguments.json, arguments.csv) if file is not None)
    written = [os.path.realpath(file) for file in (arguments.json, arguments.csv) if file is not None]
    if len(set(written)) < len(written):
        raise SpecError(f"--json and --csv both name {arguments.csv}: give each its own file.")
    if arguments.metrics is not None:
        _check_metrics(arguments)
    if arguments.by is not None:
        _kinds(arguments)
    if arguments.record:
        _check_record(sources)
    if arguments.scanpaths:
        _check_scanpaths(arguments, sources)
    elif arguments.pixels_per_degree is not None:
        raise SpecError("--pixels-per-degree is for --scanpaths, and there is none: add it, or leave the number out.")


def _check_scanpaths(arguments: argparse.Namespace, sources: Sources) -> None:
    from salzoo.evaluation.scanpaths import check_settings

    if idle := given(arguments, OF_MAPS):
        raise SpecError(
            f"{idle[0]} is for maps, and --scanpaths scores what models say of the next fixation: leave it out; "
            f"{OF_SCANPATHS} go with --scanpaths."
        )
    if sources.saved:
        raise SpecError(f"{next(iter(sources.saved.values()))}: saved scores do not go with --scanpaths: name models.")
    check_settings(sources.models, arguments.seed, arguments.pixels_per_degree)


def _check_metrics(arguments: argparse.Namespace) -> None:
    from salzoo.evaluation.scoring import check_metrics

    check_metrics(arguments.metrics.split(","))
    if arguments.record:
        raise SpecError("--record is for all metrics, so it does not go with --metrics.")
    if arguments.by and "ig" not in arguments.metrics.split(","):
        raise SpecError("--by compares kinds of images by information gain: add ig to --metrics.")


def _kinds(arguments: argparse.Namespace, images: Sequence[str] = ()) -> Kinds:
    """Return which of these images are of which kind, or what a file says of any."""
    from salzoo.data import load_dataset
    from salzoo.evaluation.by_kind import BY_PIXELS, kinds_of, read_kinds

    if arguments.by != BY_PIXELS:
        return read_kinds(Path(arguments.by))
    if not arguments.data:
        raise SpecError(f"--by {BY_PIXELS} looks at the images: add --data and --root.")
    return kinds_of(load_dataset(arguments.data, arguments.root, "all").only(images))


def _check_record(sources: Sources) -> None:
    from salzoo.checkpoint.config import CONFIG

    if not sources.models:
        raise SpecError("--record writes rows into checkpoint folders, and none is named: name one, or leave it out.")
    for name in sources.models.values():
        if not (Path(name) / CONFIG).is_file():
            raise SpecError(f"--record writes rows into checkpoint folders, and {name!r} is none: name its folder.")
        if not (os.access(name, os.W_OK) and os.access(Path(name) / CONFIG, os.W_OK)):
            raise SpecError(f"--record cannot write into {name}: change who may write there, or leave it out.")


def _run_scanpaths(arguments: argparse.Namespace, sources: Sources) -> int:
    from salzoo.data import load_dataset
    from salzoo.evaluation.part import spread
    from salzoo.evaluation.scanpaths import evaluate_scanpaths, load_models
    from salzoo.evaluation.scoring import left_out

    dataset = load_dataset(arguments.data, arguments.root, arguments.split or "test")
    dataset.require_order()
    about = left_out(dataset)
    dataset, part_of = spread(dataset, arguments.images)
    models, notes = load_models(sources.models, dataset, arguments.device)
    table = evaluate_scanpaths(
        models,
        dataset,
        seed=arguments.seed,
        pixels_per_degree=arguments.pixels_per_degree,
        part_of=part_of,
        notes=(*about, *notes),
    )
    content = json.dumps(table.to_json(), indent=2) + "\n"
    failed = write_each({arguments.json: content, arguments.csv: table.to_csv()})
    print(table.to_markdown(intervals=arguments.intervals))
    if arguments.record:
        failed += _record(table, sources)
    if failed:
        raise RunError("; ".join(failed))
    return 0


def _record(table: AnyTable | ScanpathTable, sources: Sources) -> list[str]:
    """Write rows into cards, and return why some were not."""
    from salzoo._version import commit
    from salzoo.checkpoint import card
    from salzoo.evaluation.scoring import no_test
    from salzoo.evaluation.videos.table import VideoTable

    refused = []
    for row, name in sources.models.items():
        if (warning := no_test(row, table.notes)) is not None:
            refused.append(f"--record wrote nothing into {name}. {warning} Name a split that it has not seen.")
            continue
        assert not isinstance(table, VideoTable)  # `--record` is refused with videos
        card.record(Path(name), [table.measured(row, commit())])
    return refused


def _table(arguments: argparse.Namespace, sources: Sources, *, of_videos: bool, shared: bool) -> AnyTable:
    from salzoo.evaluation.saved import WHAT, merge

    tables = sources.tables()
    names = list(sources.saved)
    if arguments.data and arguments.root:
        for table, name in zip(tables, names, strict=True):
            if WHAT[type(table)] != (what := "videos" if of_videos else "images"):
                own = WHAT[type(table)]
                raise SpecError(f"{name} has scores of {own}, and --data {arguments.data} are {what}: leave one out.")
        score = _evaluate_videos.score(arguments, sources) if of_videos else _score(arguments, sources, shared=shared)
        tables, names = [score, *tables], ["what was scored now", *names]
    return merge(tables, names)


def _score(arguments: argparse.Namespace, sources: Sources, *, shared: bool) -> Table:
    from salzoo.data import load_dataset
    from salzoo.data.folds import fold_of
    from salzoo.evaluation.baselines import ROWS
    from salzoo.evaluation.part import spread
    from salzoo.evaluation.scoring import evaluate, left_out, load_predictors

    wanted = ROWS if arguments.baselines is None else [row for row in arguments.baselines.split(",") if row]
    wanted = [*wanted, *(row for row in ROWS if row in arguments.compare and row not in wanted)]
    split: Split = "all" if arguments.folds else arguments.split or "test"
    dataset = load_dataset(arguments.data, arguments.root, split)  # first: a typo is told at once
    if arguments.folds:
        dataset.in_folds(arguments.folds, 1)  # whether there are so many
    about = left_out(dataset)
    dataset, part_of = spread(dataset, arguments.images)
    predictors, notes = load_predictors(sources.models, sources.maps, dataset, arguments.device)
    return evaluate(
        predictors,
        dataset,
        baselines=wanted,
        metrics=None if arguments.metrics is None else arguments.metrics.split(","),
        convention=arguments.convention or "mit",
        metric_specific=arguments.metric_specific,
        seed=arguments.seed,
        per_observer=arguments.per_observer,
        part_of=part_of,
        notes=(*about, *notes),
        folds=fold_of(dataset.names, arguments.folds, arguments.seed) if arguments.folds else None,
        shared=shared,
    )


def _show(table: AnyTable, arguments: argparse.Namespace, sources: Sources) -> None:
    content, shown, failed = table.to_json(), [table.to_markdown(intervals=arguments.intervals)], list[str]()
    for name, make in {"comparison": _comparison, "kinds": _by_kind}.items():
        try:
            if (more := make(table, arguments, sources)) is not None:
                content[name] = more.to_json()
                shown.append(more.to_markdown())
        except SpecError as error:  # the scores are there, and are written all the same
            failed.append(str(error))
    failed += write_each({arguments.json: json.dumps(content, indent=2) + "\n", arguments.csv: table.to_csv()})
    print("\n\n".join(shown))
    if arguments.record:
        failed += _record(table, sources)
    if failed:
        raise RunError("; ".join(failed))


def _comparison(table: AnyTable, arguments: argparse.Namespace, sources: Sources) -> Comparison | None:
    if not arguments.compare:
        return None
    a, b = (sources.row_of(word, table) for word in arguments.compare)
    return table.compare(a, b, arguments.seed)


def _by_kind(table: AnyTable, arguments: argparse.Namespace, sources: Sources) -> ByKind | None:
    from salzoo.evaluation.by_kind import ByKind
    from salzoo.evaluation.table import Table

    if not arguments.by:
        return None
    if not isinstance(table, Table):
        raise SpecError("--by is for images, and these are scores of videos.")
    return ByKind(table, _kinds(arguments, table.images), sources.rows)
