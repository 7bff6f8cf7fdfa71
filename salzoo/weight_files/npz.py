"""NumPy's .npz, as the authors of Theano networks wrote them: `arr_0`, `arr_1`, … in the order of the layers."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from salzoo._arrays import check_archive, open_npz
from salzoo.weight_files._tensors import tensor_of


def read(path: Path) -> dict[str, Tensor]:
    """Return the arrays; those that have only a number are in the order of their numbers, whatever the archive's is.

    Raises:
        WeightsError: If the archive unpacks to much more than it holds.
        DataError: If it is damaged, or holds Python objects.
        ValueError: If an array is not of real numbers.
    """
    check_archive(path, ratio=20)
    arrays = open_npz(path)
    order = sorted(arrays, key=_number) if all(re.fullmatch(r"arr_\d{1,9}", name) for name in arrays) else list(arrays)
    return {name: tensor_of(arrays[name].read()) for name in order}


def _number(name: str) -> int:
    return int(name.removeprefix("arr_"))
