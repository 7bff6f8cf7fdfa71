"""Measure scanpath models on OSIE, EyeCrowd and Scene500 (test), and write the numbers where they are shown.

    python benchmarks/scanpaths.py --root folder/that/holds/osie/eyecrowd/scene500          # all that can be loaded
    python benchmarks/scanpaths.py --root ... saccadic.lite wta.centred                     # the others keep their rows

Writes rows into benchmarks/results/scanpaths.json, each with the commit that measured it, with controls and the static
densities beside them, and from there into the tables of docs. With --write-only nothing is measured.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import pages
from record import RESULTS, commit

from salzoo._io import write_text
from salzoo.data import load_dataset
from salzoo.evaluation.scanpaths import evaluate_scanpaths, load_models
from salzoo.evaluation.scanpaths.scoring import STATIC
from salzoo.evaluation.scanpaths.similarity import CONTROLS
from salzoo.registry import read_spec, spec_names

FILE = RESULTS / "scanpaths.json"
PIXELS_PER_DEGREE = {"osie": 23.7}
"""Of sets whose viewing distance is told: OSIE's 800 columns are taken for 33.7 degrees."""
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="checkpoints; default all scanpath models")
    parser.add_argument("--root")
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--sets", nargs="*", default=pages.SETS, choices=pages.SETS)
    parser.add_argument("--write-only", action="store_true", help="measure nothing, write what was measured")
    arguments = parser.parse_args()
    for name in () if arguments.write_only else arguments.sets:
        measure(arguments.rows or loadable(), name, arguments.root, arguments.split)
    if arguments.split == "test":
        pages.write()


def loadable() -> list[str]:
    """Return every scanpath model that has a checkpoint or needs none."""
    specs = [spec for spec in map(read_spec, spec_names()) if spec.kind == "scanpath"]
    return [f"{spec.name}.{tag}" for spec in specs for tag in spec.loadable]


def measure(rows: list[str], name: str, root: str, split: str) -> None:
    """Measure rows on a set and, of the test split, keep them over those of the same name."""
    at = commit()
    dataset = load_dataset(name, root, split)
    models, notes = load_models({row: row for row in rows}, dataset)
    table = evaluate_scanpaths(models, dataset, seed=SEED, pixels_per_degree=PIXELS_PER_DEGREE.get(name), notes=notes)
    print(table.to_markdown(intervals=True), flush=True)
    if split == "test":
        keep(table.to_json(), at)


def keep(new: dict[str, Any], at: str) -> None:
    """Put a set's rows beside those that were measured before."""
    del new["commit"]  # each row has its own
    new["commits"] = dict.fromkeys(new["rows"], at)
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    old = content.get(new["dataset"], {})
    there = {*loadable(), *CONTROLS}
    for part in ("rows", "intervals", "saccades", "commits"):
        kept = {row: found for row, found in old.get(part, {}).items() if row in there or row.startswith(STATIC)}
        new[part] = kept | new[part]
    order = [name for name in pages.SETS if name in {*content, new["dataset"]}]
    content[new["dataset"]] = new
    write_text(FILE, json.dumps({name: content[name] for name in order}, indent=2) + "\n")


if __name__ == "__main__":
    main()
