"""Whether the densities of models mean what they say, on the test splits.

    python benchmarks/calibration.py --root folder/that/holds/osie/eyecrowd/scene500 [MODEL ...]

Writes each model's row into benchmarks/results/calibration.json as it is done; `python benchmarks/pages.py` writes
them into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import pages
from record import RESULTS

from salzoo._io import write_text
from salzoo._version import commit
from salzoo.components.load import load
from salzoo.data import load_dataset
from salzoo.evaluation.calibration import LEVELS, reliability
from salzoo.evaluation.scoring import predictor

MODELS = ("deepgaze2e", "deepgaze2", "unisal", "transalnet", "deepgaze1", "salgan", "icf", "centre_bias")
FILE = RESULTS / "calibration.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", default=MODELS, help=f"default {', '.join(MODELS)}")
    parser.add_argument("--root", required=True)
    arguments, at = parser.parse_args(), commit()
    for name in arguments.models or MODELS:
        kept: dict[str, Any] = json.loads(FILE.read_text()) if FILE.is_file() else {}
        kept[name] = {"commit": at, "sets": {each: measure(name, each, arguments.root) for each in pages.SETS}}
        write_text(FILE, json.dumps(kept, indent=1) + "\n")
        print(name, json.dumps(kept[name]), flush=True)


def measure(name: str, dataset: str, root: str) -> dict[str, Any]:
    """Return what a model expects and what was measured on a set."""
    found = reliability(predictor(load(name)), load_dataset(dataset, root, "test"))
    return {
        "error": found.error,
        "looked_at": dict(zip(map(str, LEVELS), found.looked_at, strict=True)),
        "expected_bits": float(np.mean(found.expected_bits)),
        "measured_bits": float(np.mean(found.measured_bits)),
    }


if __name__ == "__main__":
    main()
