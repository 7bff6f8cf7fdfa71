"""TensorFlow's checkpoints (V2): an index, which is a table of LevelDB, and shards with the variables' numbers."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.weight_files._tensors import Mapped, mapped
from salzoo.weight_files.protobuf import BYTES, fields, varint
from salzoo.weight_files.tensorflow import FLOATS, shape_of

_MAGIC = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # the last eight bytes of a table
_MOST_BYTES = 1 << 26
_TYPES = {**FLOATS, 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?"}


def index_of(path: Path) -> Path | None:
    """Return the index of the checkpoint that a path belongs to: any of its files, or what their names begin with."""
    stem = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", path.name)
    index = path.with_name(f"{stem}.index")
    if not index.is_file():
        return None
    with index.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(file.tell() - 8, 0))
        return index if file.read() == _MAGIC else None


def file_of(path: Path) -> Path:
    """Return the file with the numbers of the checkpoint that a path belongs to; its index, if there are several."""
    index = index_of(path) or path
    shards = sorted(index.parent.glob(f"{glob.escape(index.stem)}.data-*"))
    return shards[0] if len(shards) == 1 else index


def read(path: Path) -> dict[str, Tensor]:
    """Return the variables by name, in the order of their names; they stay in their files until they are used.

    Raises:
        WeightsError: If a shard is not beside the index.
        ValueError: If it is damaged, or a variable is spread over several entries.
    """
    index = index_of(path)
    if index is None or index.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path.name} has no index of at most {_MOST_BYTES:,} bytes")
    shards: dict[int, Mapped] = {}
    found: dict[str, Tensor] = {}
    count = 1
    for key, value in _entries(mapped(index)):
        entry = {field.number: field for field in fields(value)}
        numbers = {number: field.value for number, field in entry.items()}
        if not key:  # the header
            count = numbers.get(1, 0)
            if numbers.get(2, 0):
                raise ValueError("its numbers are big-endian")
            continue
        name, kind, shard = key.decode(), numbers.get(1, 0), numbers.get(3, 0)
        if kind not in _TYPES:
            continue  # texts
        if 7 in entry:
            raise ValueError(f"{name} is spread over several entries (a partitioned variable)")
        shape = shape_of(entry[2].content) if 2 in entry and entry[2].kind == BYTES else []
        if prod(shape) * np.dtype(_TYPES[kind]).itemsize != numbers.get(5, 0):
            raise ValueError(f"{name} has {numbers.get(5, 0)} bytes, its shape is {shape[:8]}")
        if shard not in shards:
            shards[shard] = _shard(index, shard, count)
        found[name] = shards[shard].tensor(numbers.get(4, 0), _TYPES[kind], tuple(shape))
    return found


def _shard(index: Path, shard: int, count: int) -> Mapped:
    path = index.with_suffix(f".data-{shard:05d}-of-{count:05d}")
    if not path.is_file():
        raise WeightsError(f"{index} is the index of a checkpoint: put {path.name} beside it, where the numbers are")
    return Mapped(path)


def _entries(table: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield keys and values of a table."""
    footer = table[-48:]
    _, at = varint(footer, 0)
    _, at = varint(footer, at)  # of the block of filters
    start, at = varint(footer, at)
    size, _ = varint(footer, at)
    for _, handle in _block(table, start, size):
        where, at = varint(handle, 0)
        yield from _block(table, where, varint(handle, at)[0])


def _block(table: memoryview, start: int, size: int) -> Iterator[tuple[bytes, memoryview]]:
    """Yield keys and values of a block, whose keys leave out what they share with the one before."""
    if start + size + 5 > len(table) or size < 4:
        raise ValueError(f"a block of its index ends after byte {len(table)}")
    if table[start + size]:
        raise ValueError("a block of its index is packed (snappy), which TensorFlow does not do")
    block = table[start : start + size]
    end = size - 4 - 4 * int.from_bytes(block[-4:], "little")  # after it, where keys begin that share nothing
    if end < 0:
        raise ValueError("a block of its index has no end")
    at, key = 0, b""
    while at < end:
        shared, at = varint(block, at)
        fresh, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or at + fresh + length > end:
            raise ValueError("an entry of its index is longer than its block")
        key = key[:shared] + bytes(block[at : at + fresh])
        yield key, block[at + fresh : at + fresh + length]
        at += fresh + length
