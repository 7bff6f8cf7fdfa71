"""What was measured and what is shipped, as text for the cells of tables."""

from __future__ import annotations

import functools
import json
import math
import struct
from pathlib import Path
from typing import Any

from tree import REPOSITORY

from salzoo.registry import read_spec, shipped_checkpoint

NOTHING = "–"
SETS = {"osie": "OSIE", "eyecrowd": "EyeCrowd", "scene500": "Scene500"}


@functools.cache
def results(name: str) -> dict[str, Any]:
    """Return a file of benchmarks/results."""
    read: dict[str, Any] = json.loads((REPOSITORY / "benchmarks" / "results" / f"{name}.json").read_text())
    return read


def score(row: str, metric: str, dataset: str = "osie") -> float | None:
    """Return what a row (`salgan.lite`) has on the test split of a dataset; None if it was not measured."""
    value: float | None = results(dataset)["rows"].get(row, {}).get(metric)
    return value


def best_row(name: str) -> str:
    """Return the row that stands for a model: its default checkpoint."""
    return f"{name}.{read_spec(name).default}"


def milliseconds(row: str) -> str:
    """Return the median time of an image of 600 x 800."""
    value = results("latency")["600x800"]["milliseconds"].get(row)
    return NOTHING if value is None else f"{value:.0f}"


def weights(name: str, tag: str) -> Path | None:
    """Return the shipped weights of a variant; None if there are none."""
    folder = shipped_checkpoint(name, tag)
    file = None if folder is None else folder / "model.safetensors"
    return file if file is not None and file.is_file() else None


def megabytes(name: str, tag: str) -> str:
    """Return the size of a variant's weights; `–` if it has none."""
    file = weights(name, tag)
    return NOTHING if file is None else f"{file.stat().st_size / 1e6:.1f}"


def parameters(name: str, tag: str) -> str:
    """Return the number of values in a variant's weights, from the header of their file."""
    file = weights(name, tag)
    if file is None:
        return NOTHING
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        header = json.loads(opened.read(length))
    return f"{sum(math.prod(each['shape']) for key, each in header.items() if key != '__metadata__'):,}"


def shown(value: float | None, digits: int = 3) -> str:
    """Return a number for a cell; `–` for None."""
    return NOTHING if value is None else f"{value:.{digits}f}"
