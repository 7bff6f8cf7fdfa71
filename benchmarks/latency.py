"""How long one image of 600 x 800 takes, from array to map, and how much memory, with each checkpoint.

    python benchmarks/latency.py [NAME ...] [--only time memory]

`time`: medians of 9 in milliseconds, on as many threads as torch takes. A quiet machine is wanted. `memory`: the peak
of a fresh process that loads the checkpoint and predicts one image, above its peak after the imports (Linux); and
millions of parameters. With names, the others keep what was found of them.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, record
from table import loadable

import salzoo
from salzoo._malloc import keep_memory
from salzoo.images.samples import sample_images

RUNS, WARM = 9, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--only", nargs="+", choices=("time", "memory"), default=("time", "memory"))
    parser.add_argument("--fresh", metavar="NAME", help=argparse.SUPPRESS)  # the process whose memory is measured
    arguments = parser.parse_args()
    keep_memory()  # as the command does
    if arguments.fresh:
        print(json.dumps(measure(arguments.fresh)))
        return
    names = arguments.names or loadable()
    if "time" in arguments.only:
        times(names, whole=not arguments.names)
    if "memory" in arguments.only:
        memory(names, whole=not arguments.names)


def image() -> np.ndarray:
    return np.asarray(sample_images()["astronaut"].resize((800, 600)))


def times(names: list[str], whole: bool) -> None:
    import torch

    found = {name: milliseconds(name, image()) for name in names}
    kept = {} if whole else before("600x800").get("milliseconds", {})
    record("latency", "600x800", {"threads": torch.get_num_threads(), "milliseconds": kept | found})


def milliseconds(name: str, picture: np.ndarray) -> float:
    model, each = salzoo.load(name), []
    for _ in range(WARM + RUNS):
        start = time.perf_counter()
        model.predict(picture)
        each.append(1000 * (time.perf_counter() - start))
    return round(statistics.median(each[WARM:]), 1)


def memory(names: list[str], whole: bool) -> None:
    """Record each row as it is done, and the median over all of the peak after the imports."""
    words = [sys.executable, __file__, "--fresh"]
    kept: dict[str, Any] = {} if whole else before("memory").get("rows", {})
    imports = []
    for name in names:
        found = json.loads(subprocess.run([*words, name], check=True, stdout=subprocess.PIPE).stdout)
        imports.append(found.pop("imports"))
        kept[name] = found
        record("latency", "memory", {"imports_mb": round(statistics.median(imports)), "rows": kept})


def measure(name: str) -> dict[str, float]:
    """Return the peak of this process when all is imported, how far above it a prediction is, and parameters."""
    import lightning.pytorch  # noqa: F401
    import timm  # noqa: F401

    picture = image()
    salzoo.load("uniform").predict(picture[:8, :8])
    imports = peak()
    model = salzoo.load(name)
    model.predict(picture)
    millions = sum(parameter.numel() for parameter in model.network.parameters()) / 1e6
    return {"imports": imports, "megabytes": round(peak() - imports, 1), "million": round(millions, 3)}


def peak() -> float:
    """Return the largest resident set that this process had, in MB; `ru_maxrss` would begin with the parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024 / 1e6


def before(part: str) -> dict[str, Any]:
    """Return what was found the last time."""
    path = RESULTS / "latency.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")).get(part, {}) if path.exists() else {}
    return found


if __name__ == "__main__":
    main()
