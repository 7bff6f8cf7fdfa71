"""Numbers in text: a linear machine of liblinear, or a table."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from salzoo._text import read_text
from salzoo.errors import WeightsError

_MOST_BYTES = 1 << 22
_NUMBER = rb"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|(?i:nan|inf))"
_ROW = re.compile(rb"\s*" + _NUMBER + rb"([ \t,;]+" + _NUMBER + rb")*[ \t]*\r?\n")


def recognises(head: bytes) -> bool:
    """Say whether a file begins as one of liblinear or as a table of numbers."""
    return head.startswith(b"solver_type ") or bool(_ROW.match(head))


def read(path: Path) -> dict[str, Tensor]:
    """Return `svm`, and `bias` if there is one, of a linear machine of two classes, or the columns of a table.

    The weights of a machine speak for the class with the larger label, whichever the file names first.

    Raises:
        WeightsError: If the file is longer than any table of weights, or a machine of other than two classes.
        ValueError: If a number is none, or one is missing.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise WeightsError(f"{path} has {path.stat().st_size:,} bytes; of text at most {_MOST_BYTES:,} are read.")
    lines = read_text(path).split("\n")
    if lines[0].startswith("solver_type "):
        return _machine(path, lines)
    rows = [[float(word) for word in re.split(r"[\s,;]+", line.strip())] for line in lines if line.strip()]
    for place, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(f"row {place + 1} has {len(row)} numbers, the first one {len(rows[0])}")
    return {
        f"column.{k}": torch.tensor(column, dtype=torch.float64) for k, column in enumerate(zip(*rows, strict=True))
    }


def _machine(path: Path, lines: list[str]) -> dict[str, Tensor]:
    if "w" not in lines:
        raise ValueError("it has no line `w`, after which the weights come")
    start = lines.index("w")
    head = dict(line.split(maxsplit=1) for line in lines[:start] if len(line.split()) > 1)
    labels = [float(label) for label in head.get("label", "").split()]
    if len(labels) != 2:
        raise WeightsError(f"{path} is a linear machine of {len(labels)} classes, expected 2: salient or not")
    values = torch.tensor([float(line) for line in lines[start + 1 :] if line.strip()], dtype=torch.float64)
    values = values if labels[0] > labels[1] else -values
    count, has_bias = int(head.get("nr_feature", -1)), float(head.get("bias", -1)) >= 0
    if len(values) != count + has_bias:
        raise ValueError(f"it has {len(values)} weights, and says {count} features{' and a bias' * has_bias}")
    return {"svm": values[:count], "bias": values[count:]} if has_bias else {"svm": values}
