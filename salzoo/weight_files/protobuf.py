"""Protocol Buffers' wire format, which files of Caffe and of TensorFlow are in.

A message is a sequence of fields: a number with a type, then a varint, four or eight bytes, or a length and as many
bytes. What a field means only the format's definition says, so each reader names the numbers that it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Types of fields; 3 and 4 are groups, which nobody uses."""


class Field(NamedTuple):
    """One field of a message.

    Args:
        number: Which, by the message's definition.
        kind: `VARINT`, `FIXED64`, `BYTES` or `FIXED32`.
        value: Of a varint.
        content: Bytes of any other.
    """

    number: int
    kind: int
    value: int
    content: memoryview


def fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields of a message in their order.

    Raises:
        ValueError: If it is damaged, or no message.
    """
    at, end, nothing = 0, len(message), message[:0]
    while at < end:
        key, at = varint(message, at)
        number, kind = key >> 3, key & 7
        if not number:
            raise ValueError("a field has the number 0")
        if kind == VARINT:
            value, at = varint(message, at)
            yield Field(number, kind, value, nothing)
            continue
        if kind == BYTES:
            size, at = varint(message, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"a field is of type {kind}")
        if size > end - at:
            raise ValueError(f"a field of {size} bytes begins {end - at} bytes before the end")
        yield Field(number, kind, 0, message[at : at + size])
        at += size


def varint(content: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at a byte, seven bits a byte, and where the next thing begins.

    Raises:
        ValueError: If it has no end.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            break
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & ((1 << 64) - 1), at
    raise ValueError("a number has no end")


def signed(value: int) -> int:
    """Return a varint as the signed number that it stands for."""
    return value - (1 << 64) if value >> 63 else value


def varints(found: list[Field]) -> list[int]:
    """Return a repeated number, whether it was packed or not."""
    values: list[int] = []
    for field in found:
        if field.kind == VARINT:
            values.append(signed(field.value))
            continue
        at = 0
        while at < len(field.content):
            value, at = varint(field.content, at)
            values.append(signed(value))
    return values


def numbers(found: list[Field], dtype: str) -> NDArray[np.generic]:
    """Return a repeated floating number, whether it was packed or not.

    Args:
        found: The fields.
        dtype: `<f4` or `<f8`.

    Raises:
        ValueError: If there is a part of a number too many.
    """
    if any(field.kind == VARINT for field in found):
        raise ValueError("an array of floating numbers has whole ones")
    if len(found) == 1:
        return np.frombuffer(found[0].content, dtype)
    return np.frombuffer(b"".join(field.content for field in found), dtype)


def text(field: Field) -> str:
    """Return a field's text.

    Raises:
        ValueError: If it is not UTF-8.
    """
    return str(field.content, "utf-8")
