"""A writer of TensorFlow Lite files, from the FlatBuffers format alone: constants without a graph that computes.

Everything is written in one direction, parents before what they refer to; a reference is filled in when its end is
known.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = {
    "float32": 0,
    "float16": 1,
    "int32": 2,
    "uint8": 3,
    "int64": 4,
    "bool": 6,
    "int16": 7,
    "int8": 9,
    "float64": 10,
}
MODEL_VERSION, MODEL_SUBGRAPHS, MODEL_DESCRIPTION, MODEL_BUFFERS = 0, 2, 3, 4
TENSOR_SHAPE, TENSOR_TYPE, TENSOR_BUFFER, TENSOR_NAME, TENSOR_QUANTIZATION = 0, 1, 2, 3, 4


class Writer:
    """The bytes so far."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0\0\0\0TFL3")

    def align(self, size: int, ahead: int = 0) -> None:
        """Fill up until what is `ahead` bytes further begins at a multiple of `size`."""
        self.data += bytes(-(len(self.data) + ahead) % size)

    def refer(self, place: int) -> None:
        """Make the reference at `place` lead to the end of what is written."""
        self.data[place : place + 4] = struct.pack("<I", len(self.data) - place)

    def table(self, fields: Mapping[int, int | None], place: int) -> dict[int, int]:
        """Write a table to which `place` refers; None is a reference to be filled in, and is returned as a place."""
        self.align(4)
        distances = {field: 4 + 4 * i for i, field in enumerate(fields)}
        last = max(fields, default=-1)
        vtable = len(self.data)
        self.data += struct.pack("<HH", 6 + 2 * last, 4 + 4 * len(fields))
        self.data += b"".join(struct.pack("<H", distances.get(field, 0)) for field in range(last + 1))
        self.align(4)
        start = len(self.data)
        self.refer(place)
        self.data += struct.pack("<i", start - vtable)
        for value in fields.values():
            self.data += struct.pack("<I", value or 0)
        return {field: start + distances[field] for field, value in fields.items() if value is None}

    def references(self, count: int, place: int) -> list[int]:
        """Write a vector of references to which `place` refers, and return the place of each."""
        self.align(4)
        self.refer(place)
        self.data += struct.pack("<I", count)
        first = len(self.data)
        self.data += bytes(4 * count)
        return [first + 4 * i for i in range(count)]

    def content(self, content: bytes, count: int, place: int, size: int = 4) -> None:
        """Write a vector whose elements begin at a multiple of `size`."""
        self.align(size, 4)
        self.refer(place)
        self.data += struct.pack("<I", count) + content


def write_tflite(
    path: Path, tensors: Mapping[str, NDArray[Any]], computed: Sequence[str] = ("out",), quantised: Sequence[str] = ()
) -> Path:
    """Write constants by name, and after them tensors that a graph would compute.

    Args:
        path: The file.
        tensors: Name to values.
        computed: Names of tensors without values; those with a `filename` as text come first in real files.
        quantised: Names of constants that get a scale.
    """
    writer = Writer()
    fields: dict[int, int | None] = {
        MODEL_VERSION: 3,
        MODEL_SUBGRAPHS: None,
        MODEL_DESCRIPTION: None,
        MODEL_BUFFERS: None,
    }
    model = writer.table(fields, 0)
    writer.content(b"by formula\0", 10, model[MODEL_DESCRIPTION])
    (graph_place,) = writer.references(1, model[MODEL_SUBGRAPHS])
    graph = writer.table({0: None}, graph_place)
    places = writer.references(len(tensors) + len(computed), graph[0])
    for i, (name, place) in enumerate(zip([*tensors, *computed], places, strict=True)):
        array = tensors.get(name, np.zeros((1, 2), np.float32))
        fields = {
            TENSOR_BUFFER: i + 1 if name in tensors else 0,
            TENSOR_NAME: None,
            TENSOR_TYPE: TYPES[array.dtype.name],
        }
        fields |= {TENSOR_SHAPE: None} if array.ndim else {}
        fields |= {TENSOR_QUANTIZATION: None} if name in quantised else {}
        table = writer.table(fields, place)
        writer.content(name.encode() + b"\0", len(name.encode()), table[TENSOR_NAME])
        if array.ndim:
            writer.content(struct.pack(f"<{array.ndim}i", *array.shape), array.ndim, table[TENSOR_SHAPE])
        if name in quantised:
            scale = writer.table({2: None}, table[TENSOR_QUANTIZATION])
            writer.content(struct.pack("<f", 0.5), 1, scale[2])
    first, *rest = writer.references(len(tensors) + 1, model[MODEL_BUFFERS])
    writer.table({}, first)
    for place, array in zip(rest, tensors.values(), strict=True):
        content = np.ascontiguousarray(array).tobytes()
        writer.content(content, len(content), writer.table({0: None}, place)[0], 16)
    path.write_bytes(writer.data)
    return path
