"""How long one image of 600 x 800 takes, from array to map, with each checkpoint.

    python benchmarks/latency.py [NAME ...]

Medians of 9 in milliseconds, on as many threads as torch takes. A quiet machine is wanted.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import torch
from record import record
from table import loadable

import salzoo
from salzoo._malloc import keep_memory
from salzoo.images.samples import sample_images

RUNS, WARM = 9, 2


def main() -> None:
    keep_memory()  # as the command does
    picture = np.asarray(sample_images()["astronaut"].resize((800, 600)))
    found: dict[str, object] = {name: milliseconds(name, picture) for name in sys.argv[1:] or loadable()}
    record("latency", "600x800", {"threads": torch.get_num_threads(), "milliseconds": found})


def milliseconds(name: str, picture: np.ndarray) -> float:
    model, each = salzoo.load(name), []
    for _ in range(WARM + RUNS):
        start = time.perf_counter()
        model.predict(picture)
        each.append(1000 * (time.perf_counter() - start))
    return round(statistics.median(each[WARM:]), 1)


if __name__ == "__main__":
    main()
