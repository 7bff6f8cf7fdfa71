"""How well models do on a set that they never saw: each of the three left out of training in turn.

    python benchmarks/leave_one_out.py deepgaze1 deepgaze2 --root folder/that/holds/osie/eyecrowd/scene500
    python benchmarks/leave_one_out.py icf --root ... --sets osie --trainer.max_epochs=1     # options of `salzoo fit`
    python benchmarks/leave_one_out.py deepgaze2e.small --row tuned --root ... --training.teacher=null \
        --training.start=runs/leave_one_out/frozen_without_{set}/deepgaze2e.small

A model is fitted by its own recipe to two sets (train, validated on val), and scored on the third (test) beside its
checkpoint, which was fitted to all three. `{set}` in an option is the set that is left out; what training starts from
must not have seen it, and a teacher is refused. Runs whose result lies in the output folder are not run again. Each set
is written into benchmarks/results/leave_one_out.json as it is done; `python benchmarks/pages.py` writes the table of
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pages
from record import RESULTS, commit

from salzoo._io import write_text
from salzoo.checkpoint.config import CONFIG, Provenance
from salzoo.checkpoint.folder import read_config
from salzoo.components.load import load
from salzoo.data import load_dataset
from salzoo.evaluation.scoring import evaluate, predictor
from salzoo.registry import read_spec

FILE = RESULTS / "leave_one_out.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="shipped checkpoint, or model for its default")
    parser.add_argument("--root", required=True)
    parser.add_argument("--sets", nargs="*", default=pages.SETS, choices=pages.SETS, help="to leave out, default all")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/leave_one_out"), help="folder of the runs")
    parser.add_argument("--row", metavar="NAME", help="of the table and of the folders; default the model's")
    parser.add_argument("--fit-only", action="store_true", help="train, and score nothing")
    arguments, options = parser.parse_known_args()
    if arguments.row and len(arguments.models) > 1:
        parser.error("--row names one model.")
    at = commit()
    for name in arguments.models:
        model = name if "." in name else f"{name}.{read_spec(name).default}"
        for left_out in arguments.sets:
            run = arguments.output / f"{arguments.row or name}_without_{left_out}"
            made = fit(model, left_out, arguments.root, run, [option.replace("{set}", left_out) for option in options])
            if not arguments.fit_only:
                found = measure(model, left_out, arguments.root, made)
                keep(arguments.row or name, left_out, {"model": model, **found, "options": options, "commit": at})


def fit(model: str, left_out: str, root: str, run: Path, options: Sequence[str]) -> Path:
    """Fit a model to all sets but one, unless that was done; return its checkpoint folder."""
    folder = run / model
    if not (folder / CONFIG).is_file():
        others = ",".join(name for name in pages.SETS if name != left_out)
        words = ["fit", model, "--data", others, "--root", root, "-o", str(run), "--ckpt_path", "auto", *options]
        subprocess.run([sys.executable, "-m", "salzoo", *words], check=True)
    return folder


def measure(model: str, left_out: str, root: str, folder: Path) -> dict[str, Any]:
    """Score both on the left-out set: what they explain, and what never seeing the set costs in bit a fixation."""
    config = read_config(folder)
    made = config.provenance
    assert isinstance(made, Provenance)
    seen = [entry for entry in config.trained_on if entry.startswith(f"{left_out}:")]
    if seen or made.recipe["training"].get("teacher"):
        sys.exit(f"{folder} knows {left_out}: by {', '.join(seen) or 'its teacher'}.")
    rows = {"without": predictor(load(str(folder))), "with": predictor(load(model))}
    dataset = load_dataset(left_out, root, "test")
    table = evaluate(rows, dataset, baselines=("gold",), metrics=("nss", "ig"))
    print(model, table.to_markdown(intervals=True), flush=True)
    explained, costs = table.explained(), table.compare("without", "with").differences["ig"]
    return {
        "images": len(table.images),
        "fitted": {"commit": made.commit, "seed": made.seed, "data": made.data},
        "rows": {
            row: {
                **{m: round(v, 4) for m, v in table.rows[row].items()},
                "explained": [round(v, 4) for v in explained[row]],
            }
            for row in rows
        },
        "difference": [round(value, 4) for value in (costs.mean, costs.low, costs.high)],
    }


def keep(model: str, left_out: str, found: dict[str, Any]) -> None:
    """Write what was found into the results, in the place of its last run."""
    kept: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    kept.setdefault(model, {})[left_out] = found
    write_text(FILE, json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
