"""Measure every shipped checkpoint on OSIE, EyeCrowd and Scene500 (test), and write the numbers where they are shown.

    make table ROOT=folder/that/holds/osie/eyecrowd/scene500

Writes benchmarks/results/<set>.json, the `measured` rows of each hub/<name>.<tag>/config.json, each card, and the table
between the markers in README.md. Nothing of these is written by hand.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from salzoo import card
from salzoo.data import load_dataset
from salzoo.evaluate import Table, evaluate, predictor
from salzoo.fit import commit
from salzoo.spec import read_spec, spec_names
from salzoo.zoo import load

REPOSITORY = Path(__file__).parents[1]
SETS = ("osie", "eyecrowd", "scene500")
MARKERS = ("<!-- table: make table -->", "<!-- end of table -->")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--split", default="test", choices=("val", "test"))
    arguments = parser.parse_args()
    shipped = [
        f"{name}.{tag}"
        for name in spec_names()
        for tag, v in read_spec(name).variants.items()
        if v.checkpoint is not None
    ]
    predictors = {name: predictor(load(name)) for name in shipped}
    at = commit()
    tables = []
    for name in SETS:
        table = evaluate(predictors, load_dataset(name, arguments.root, arguments.split))
        print(table.to_markdown(), flush=True)
        tables.append(table)
    if arguments.split == "test":
        publish(tables, shipped, at)


def publish(tables: list[Table], shipped: list[str], at: str) -> None:
    """Write results, configs, cards and the README."""
    results = REPOSITORY / "benchmarks" / "results"
    results.mkdir(exist_ok=True)
    for table in tables:
        (results / f"{table.dataset}.json").write_text(json.dumps({**table.to_json(), "commit": at}, indent=2) + "\n")
    for name in shipped:
        card.record(REPOSITORY / "hub" / name, [table.measured(name, at) for table in tables])
    readme = REPOSITORY / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(MARKERS[0])
    after = rest.partition(MARKERS[1])[2]
    body = "\n\n".join(table.to_markdown() for table in tables)
    note = f"Measured by `make table` at commit `{at[:12]}`; the only draw is that of `permutation`, with seed 0."
    readme.write_text(f"{before}{MARKERS[0]}\n{body}\n\n{note}\n{MARKERS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
