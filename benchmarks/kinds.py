"""How much of what people look at models explain, by kind of image, on the test splits.

    python benchmarks/kinds.py --root folder/that/holds/osie/eyecrowd/scene500 [MODEL ...]

Kinds are those of `salzoo.images.kinds`: by the pixels alone. Writes each set into benchmarks/results/kinds.json as it
is done, and what the models explain of all images into <set>.json, as `table.py --explained` does; from there
`python benchmarks/table.py --root ROOT --write-only` writes the cards and the table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import pages
from record import RESULTS, commit
from table import keep_explained

from salzoo._io import write_text
from salzoo.components.load import load
from salzoo.data import load_dataset
from salzoo.evaluation.by_kind import ByKind, kinds_of
from salzoo.evaluation.scoring import evaluate, predictor

MODELS = ("deepgaze2e.lite", "deepgaze2.lite", "unisal.lite")
FILE = RESULTS / "kinds.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"default {', '.join(MODELS)}")
    parser.add_argument("--root", required=True)
    parser.add_argument("--sets", nargs="*", default=pages.SETS, choices=pages.SETS)
    arguments, at = parser.parse_args(), commit()
    predictors = {name: predictor(load(name)) for name in arguments.models or MODELS}
    for name in arguments.sets:
        dataset = load_dataset(name, arguments.root, "test")
        table = evaluate(predictors, dataset, baselines=("gold",), metrics=("ig",))
        keep_explained(table, at)
        by = ByKind(table, kinds_of(dataset))
        print(by.to_markdown(), flush=True)
        kept: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
        kept[name] = {"commit": at, "kinds": by.to_json()}
        kept = {each: kept[each] for each in pages.SETS if each in kept}
        write_text(FILE, json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
