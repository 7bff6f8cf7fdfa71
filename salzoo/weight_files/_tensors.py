"""From bytes of a file to tensors, without a copy where that is possible."""

from __future__ import annotations

import mmap
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

LARGEST = 1 << 32
"""The most bytes that one tensor may have: a hostile header asks for no more."""


def mapped(path: Path) -> memoryview:
    """Return the bytes of a file, which the system reads when they are looked at; changes stay in memory.

    Raises:
        ValueError: If it is empty.
    """
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


class Mapped:
    """A mapped file and the tensors in it, which are not much more than it holds: none of them share their bytes.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._content = mapped(path) if path.stat().st_size else memoryview(b"")
        self._left = 2 * len(self._content)  # small ones may be the same

    def tensor(self, at: int, dtype: DTypeLike, shape: tuple[int, ...]) -> Tensor:
        """Return the tensor whose numbers begin at a byte, row by row.

        Raises:
            ValueError: If the file ends before it, if it is not of real numbers, or if the tensors overlap.
        """
        self._left -= prod(shape) * np.dtype(dtype).itemsize
        if self._left < 0:
            raise ValueError(f"its arrays have more than twice the file's {len(self._content)} bytes")
        return tensor_at(self._content, at, dtype, shape)


def tensor_at(content: memoryview, at: int, dtype: DTypeLike, shape: tuple[int, ...]) -> Tensor:
    """Return the tensor whose numbers begin at a byte of a mapped file, row by row.

    Raises:
        ValueError: If the file ends before it, or it is not of real numbers.
    """
    dtype, count = np.dtype(dtype), prod(shape)
    if min(shape, default=0) < 0 or at < 0 or at + count * dtype.itemsize > len(content):
        raise ValueError(f"an array of {dtype} {shape} ends after the file's {len(content)} bytes")
    return tensor_of(np.frombuffer(content, dtype, count, at).reshape(shape))


def tensor_of(array: NDArray[np.generic]) -> Tensor:
    """Return an array as a tensor; its memory is shared where torch can use it as it is.

    Raises:
        ValueError: If it is not of real numbers.
    """
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise ValueError(f"an array of {array.dtype} is not of real numbers")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.require(native, requirements=["C", "A", "W"]))
