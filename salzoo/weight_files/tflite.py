"""TensorFlow Lite: the constants of a `.tflite` file, read from its FlatBuffers without TensorFlow.

A FlatBuffer is a tree of tables. A table begins with the distance back to its vtable, which lists at which distance
from the table each of its fields is; a field of 0 is absent. Vectors, strings and tables in fields are distances, too.
Numbers of fields are those of TensorFlow's `schema.fbs`, version 3.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.weight_files._tensors import mapped, tensor_at

MAGIC = b"TFL3"
"""Bytes 4 to 8 of every file."""

_SUBGRAPHS, _BUFFERS = 2, 4
_TENSORS = 0
_SHAPE, _TYPE, _BUFFER, _NAME, _QUANTIZATION, _SPARSITY = 0, 1, 2, 3, 4, 6
_SCALE = 2
_DTYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "|u1", 4: "<i8", 6: "|b1", 7: "<i2", 9: "|i1", 10: "<f8"}
_LONGEST_NAME, _LONGEST_COPY, _MOST, _MOST_GRAPHS = 1 << 11, 1 << 11, 1 << 16, 16
"""Bytes of a name and of a list that is copied, tables in one place, and graphs: more than any network in use has."""


@dataclass(frozen=True)
class _Table:
    """One table of the file: where it begins, and where its vtable does."""

    data: memoryview
    start: int
    vtable: int

    @classmethod
    def at(cls, data: memoryview, where: int) -> _Table:
        """Return the table to which the distance at `where` leads."""
        start = where + _number("<I", data, where)
        return cls(data, start, start - _number("<i", data, start))

    def place(self, field: int) -> int | None:
        """Return where a field is, None if it is absent."""
        if 4 + 2 * field >= _number("<H", self.data, self.vtable):
            return None
        distance = _number("<H", self.data, self.vtable + 4 + 2 * field)
        return self.start + distance if distance else None

    def number(self, field: int, layout: str) -> int:
        """Return a whole number, 0 if it is absent."""
        where = self.place(field)
        return 0 if where is None else _number(layout, self.data, where)

    def vector(self, field: int, size: int) -> tuple[int, int]:
        """Return where the elements of a vector begin, and how many there are of `size` bytes each; all are there."""
        where = self.place(field)
        if where is None:
            return 0, 0
        start = where + _number("<I", self.data, where)
        count = _number("<I", self.data, start)
        if start + 4 + count * size > len(self.data):
            raise ValueError("a vector goes beyond the end")
        return start + 4, count

    def tables(self, field: int) -> list[_Table]:
        """Return the tables of a vector of them."""
        start, count = self.vector(field, 4)
        if count > _MOST:
            raise ValueError(f"it lists {count:,} tables in one place, more than {_MOST:,}")
        return [_Table.at(self.data, start + 4 * i) for i in range(count)]


def read(path: Path) -> dict[str, Tensor]:
    """Return the constants of all graphs by name, in the order of the file, as the file has them.

    A weight in half precision has the name that it was converted under, whether or not a DEQUANTIZE follows it.

    Raises:
        WeightsError: If it holds weights in whole numbers or sparse ones.
        ValueError: If it is damaged.
        struct.error: Likewise.
    """
    data = mapped(path)
    model = _Table.at(data, 0)
    buffers, graphs = model.tables(_BUFFERS), model.tables(_SUBGRAPHS)
    if len(graphs) > _MOST_GRAPHS:
        raise ValueError(f"it has {len(graphs):,} graphs, more than {_MOST_GRAPHS}")
    tensors = dict[str, Tensor]()
    for graph in graphs:
        for table in graph.tables(_TENSORS):
            if (array := _constant(table, buffers, path)) is not None:
                name = _name(table)
                tensors[name if name not in tensors else f"{name}:{len(tensors)}"] = array
    return tensors


def _number(layout: str, data: memoryview, where: int) -> int:
    if where < 0:
        raise ValueError("a distance leads out of the file")
    value: int = struct.unpack_from(layout, data, where)[0]
    return value


def _name(tensor: _Table) -> str:
    start, length = tensor.vector(_NAME, 1)
    return bytes(tensor.data[start : start + min(length, _LONGEST_NAME)]).decode("utf-8", "replace")


def _constant(tensor: _Table, buffers: list[_Table], path: Path) -> Tensor | None:
    """Return the values of a tensor, None for one that the graph computes."""
    index = tensor.number(_BUFFER, "<I")
    if index >= len(buffers):
        raise ValueError(f"there is no buffer {index}")
    start, size = buffers[index].vector(0, 1)
    code = tensor.number(_TYPE, "<b")
    if not size or code not in _DTYPES:  # text and the like are no weights
        return None
    dtype = np.dtype(_DTYPES[code])
    if tensor.place(_SPARSITY) is not None or (dtype.kind in "iu" and _is_quantised(tensor)):
        raise WeightsError(f"{path}: {_name(tensor)} is sparse, or whole numbers with a scale; only floats are read")
    first, rank = tensor.vector(_SHAPE, 4)
    shape = struct.unpack_from(f"<{rank}i", tensor.data, first) if rank else ()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"{_name(tensor)} has the shape {list(shape)[:8]} but {size} bytes")
    if start % dtype.itemsize and size > _LONGEST_COPY:
        raise ValueError(f"{_name(tensor)} begins at byte {start}, which is no place for {dtype}")
    return tensor_at(tensor.data, start, dtype, shape)


def _is_quantised(tensor: _Table) -> bool:
    where = tensor.place(_QUANTIZATION)
    return where is not None and _Table.at(tensor.data, where).vector(_SCALE, 4)[1] > 0
