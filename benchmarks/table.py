"""Measure checkpoints on OSIE, EyeCrowd and Scene500 (test), and write the numbers where they are shown.

    make table ROOT=folder/that/holds/osie/eyecrowd/scene500                 # everything that needs no training
    make table ROOT=... ROWS="salgan.lite bms.centred baselines"              # some rows; the others keep their numbers
    python benchmarks/table.py --root ... --explained salgan.lite             # what they explain alone, which is quick

Writes the rows into benchmarks/results/<set>.json, each with the commit that measured it, and what they explain with
its interval, and from there into the `measured` rows of hub/<name>.<tag>/config.json, each card, and the tables of
README.md and docs. Nothing of these is written by hand. With --write-only nothing is measured.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pages
from record import RESULTS, commit

from salzoo.checkpoint import card
from salzoo.checkpoint.config import Explained, Measured
from salzoo.components.load import load
from salzoo.data import load_dataset
from salzoo.evaluation.baselines import ROWS as BASELINES
from salzoo.evaluation.saved import AnyTable, merge
from salzoo.evaluation.scoring import evaluate, predictor
from salzoo.evaluation.table import Table
from salzoo.registry import read_spec, spec_names

REPOSITORY = Path(__file__).parents[1]
SAME = 1e-3
"""Information gain in bit that two machines may differ by."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="checkpoints, and `baselines`; default all")
    parser.add_argument("--root", required=True)
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--explained", action="store_true", help="measure only what rows explain; their scores stay")
    parser.add_argument("--write-only", action="store_true", help="measure nothing, write what was measured")
    arguments = parser.parse_args()
    rows = arguments.rows or [*loadable(), "baselines"]
    if not arguments.write_only:
        measure(rows, arguments.root, arguments.split, explained=arguments.explained)
    if arguments.split == "test":
        write()


def loadable() -> list[str]:
    """Return every checkpoint of a model of images, and the variants of what needs none."""
    specs = [spec for name in spec_names() if (spec := read_spec(name)).kind == "image" and name != "uniform"]
    return [f"{spec.name}.{tag}" for spec in specs for tag in spec.loadable]


def measure(rows: list[str], root: str, split: str, *, explained: bool = False) -> None:
    """Measure rows and, on the test split, keep them in the results of each set."""
    predictors = {name: predictor(load(name)) for name in rows if name != "baselines"}
    at = commit()  # before the results of the first set are changes themselves
    for name in pages.SETS:
        dataset = load_dataset(name, root, split)
        if explained:
            table = evaluate(predictors, dataset, baselines=("gold",), metrics=("ig",))
        else:
            table = evaluate(predictors, dataset, baselines=BASELINES if "baselines" in rows else ())
        print(table.to_markdown(intervals=explained), flush=True)
        if split == "test":
            if not explained:
                keep(table, at)
            if "gold" not in table.scores:
                table = merge([table, evaluate({}, dataset, baselines=("gold",), metrics=("ig",))], ["rows", "people"])
            keep_explained(table, at)


def keep(table: Table, at: str) -> None:
    """Write a table's rows into the results of its set, over those of the same name.

    Best and worst images are not kept here: benchmarks/leaderboard.py finds them of all rows, with their maps.
    """
    path, new = RESULTS / f"{table.dataset}.json", table.to_json()
    del new["extremes"], new["commit"]  # each row has its own commit
    old: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    names = {*loadable(), *BASELINES}
    new["explained"] = old.get("explained", {})  # of the rows measured now: `keep_explained`
    for part in ("rows", "intervals"):
        kept = {row: scores for row, scores in old.get(part, {}).items() if row in names}
        new[part] = {**kept, **new[part]}
    commits = old.get("commits", {})
    new["commits"] = {row: at if row in table.scores else commits[row] for row in new["rows"]}
    path.write_text(json.dumps(new, indent=2) + "\n")


def keep_explained(table: AnyTable, at: str) -> None:
    """Write what a table's rows explain into the results of its set; their information gain must be the one there."""
    assert isinstance(table, Table)
    path = RESULTS / f"{table.dataset}.json"
    result: dict[str, Any] = json.loads(path.read_text())
    result.setdefault("explained", {})
    for row, (share, low, high) in table.explained().items():
        before, now = result["rows"][row]["ig"], table.rows[row]["ig"]
        if abs(before - now) > SAME:
            raise SystemExit(f"{row}: ig on {table.dataset} was {before:.4f} and is {now:.4f}: measure the whole row.")
        numbers = {"share": share, "low": low, "high": high}
        result["explained"][row] = {name: round(value, 5) for name, value in numbers.items()} | {"commit": at}
    path.write_text(json.dumps(result, indent=2) + "\n")


def write() -> None:
    """Write configs, cards and pages from the results."""
    results = [pages.results(name) for name in pages.SETS]
    for name in loadable():
        if (folder := REPOSITORY / "hub" / name).is_dir():
            card.record(folder, [measured(result, name) for result in results if name in result["rows"]])
    pages.write()


def measured(result: dict[str, Any], row: str) -> Measured:
    scores = {name: round(value, 5) for name, value in result["rows"][row].items()}
    head = (result["dataset"], result["split"], result["images"], result["convention"], result["commits"][row])
    kept = result.get("explained", {}).get(row)
    return Measured(*head, scores, kept and Explained(*(kept[name] for name in ("share", "low", "high"))))


if __name__ == "__main__":
    main()
