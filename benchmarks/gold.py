"""How far people predict each other: the gold standard of few and of many others, and its extrapolation to all.

    python benchmarks/gold.py --root folder/that/holds/osie/eyecrowd/scene500

For each set (test), the information gain over the centre bias of the training split with 1, 2, 3, ... other observers,
drawn at random with seed 0, on the images that at least nine in ten have as many observers as. Writes
benchmarks/results/gold.json; `python benchmarks/pages.py` writes it into docs/benchmarks.md.
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
from salzoo.data import load_dataset
from salzoo.evaluation.baselines import Baselines
from salzoo.evaluation.gold import fit_gold

NUMBERS = (1, 2, 3, 4, 6, 8, 10, 12, 14)
FROM = 4
POWERS = (1.0, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    root, at = parser.parse_args().root, commit()
    found = {name: measure(name, root) for name in pages.SETS}
    write_text(RESULTS / "gold.json", json.dumps({"commit": at, "seed": 0, "sets": found}, indent=1) + "\n")


def measure(name: str, root: str) -> dict[str, Any]:
    """Return the information gain in bit by number of others, and what all people together would give."""
    baselines = Baselines(load_dataset(name, root, "test"), ["gold"])
    images = [baselines.seen(index) for index in baselines.with_fixations]
    people = np.array([len(set(points.observer.tolist())) for points, *_ in images])
    most = int(np.quantile(people, 0.1, method="lower")) - 1
    kept = [image for image, count in zip(images, people, strict=True) if count > most]
    numbers = sorted({*(number for number in NUMBERS if number < most), most})
    golds = {number: fit_gold(kept, number) for number in numbers}
    bits = {number: gold.bits for number, gold in golds.items()}
    print(name, {number: str(gold) for number, gold in golds.items()}, flush=True)
    return {"images": len(kept), "bits": bits, "gold": str(golds[most]), "limits": extrapolate(bits)}


def extrapolate(bits: dict[int, float]) -> list[float]:
    """Return where the curves a - b / n^c with each of `POWERS` through n others' information gain end, lowest first.

    By least squares from `FROM` others on. One number would pretend to know the curve: with `c` free, these points fit
    limits that lie far apart nearly as well.
    """
    numbers = np.array([number for number in bits if number >= FROM], dtype=float)
    values = np.array([bits[int(number)] for number in numbers])
    designs = [np.stack([np.ones(len(numbers)), numbers**-power], 1) for power in POWERS]
    return sorted(float(np.linalg.lstsq(design, values)[0][0]) for design in designs)


if __name__ == "__main__":
    main()
