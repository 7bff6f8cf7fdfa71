"""MATLAB files of version 5 to 7.2, read by a walk that believes no size before it has seen the bytes.

The layout is that of MathWorks' 'MAT-File Format' (level 5): elements of a tag (type, number of bytes) and content, of
which those of type miMATRIX nest. Nothing here leaves Python and NumPy, so that a damaged file is an exception; SciPy's
compiled parser dies of some.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from salzoo._arrays import LIMIT

_DEEPEST, _CELLS = 64, 4_000_000  # nested cells and structs; their number in a variable
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _FUNCTION, _OPAQUE = 1, 2, 3, 4, 5, 16, 17
_NUMERIC = range(6, 16)  # double, single, int8 to uint64
_COMPLEX, _LOGICAL = 0x0800, 0x0200


class Header(NamedTuple):
    """What a matrix says of itself, and where its content begins."""

    kind: int
    complex: bool
    logical: bool
    shape: tuple[int, ...]
    name: str
    at: int

    @property
    def numeric(self) -> bool:
        """Whether it is an array of real numbers."""
        return self.kind in (_SPARSE, *_NUMERIC) and not self.complex


class Variable(NamedTuple):
    """One variable of a file; its content is unpacked when it is asked for."""

    header: Header
    read: Callable[[], Any]


def variables(data: bytes) -> Iterator[Variable]:
    """Yield the variables of a file, in order; that of MATLAB's objects has no name.

    Values are as SciPy's: numbers in the type they are stored in, texts an array of strings, cells an array of objects,
    structs a structured array of objects.

    Raises:
        ValueError: If a size, a type or a checksum is wrong; `read` raises it, too.
    """
    if len(data) < 128:
        raise ValueError("it ends within its header")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise ValueError("its header is none of MATLAB's; save it again there: save(..., '-v7')")
    yield from elements(data, 128, order)


def elements(data: bytes, at: int, order: str) -> Iterator[Variable]:
    """Yield the variables in a row of elements that begins at `at`."""
    outer = _Walk(data, order)
    while at < len(data):
        kind, start, stop, _ = outer.element(at, len(data))
        if kind == _COMPRESSED:
            yield _compressed(data[start:stop], order)
        elif kind == _MATRIX:
            header = outer.header(start, stop)
            yield Variable(header, partial(outer.content, header, stop))
        else:
            raise ValueError(f"at byte {at} is an element of type {kind}, not a variable")
        at = stop


def objects(data: bytes) -> list[Any]:
    """Return the properties of all objects of MATLAB's classes in a file, in no particular order.

    A variable that is an object holds a number only. The properties are in the variable without a name: bytes that are,
    after eight of their own, an element again; in it the field `MCOS` has a cell array of all properties.

    Raises:
        ValueError: If there are none, or the file is damaged.
    """
    hidden = next((each for each in variables(data) if not each.header.name), None)
    if hidden is None:
        raise ValueError("it has no objects of MATLAB's classes")
    inside = np.asarray(hidden.read()).tobytes()
    order = {b"IM": "<", b"MI": ">"}.get(inside[2:4])
    content: Any = next(elements(inside, 8, order)).read() if order and len(inside) > 8 else np.empty(0)
    if content.size != 1 or "MCOS" not in (content.dtype.names or ()):
        raise ValueError("the properties of its objects are damaged")
    return list(np.ravel(content["MCOS"].item()))


def _compressed(packed: bytes, order: str) -> Variable:
    """Return a variable of which only the beginning is unpacked until it is read."""
    inner = _Walk(_unpack(packed, 1 << 16)[0], order)
    if len(inner.data) < 8 or (kind_and_size := inner.pair(inner.data, 0))[0] != _MATRIX:
        raise ValueError("a compressed element is no variable")
    start, stop = 8, 8 + kind_and_size[1]
    if stop > LIMIT:
        raise ValueError(f"a compressed variable claims {stop} bytes; at most {LIMIT} are unpacked")

    def read() -> Any:
        content, complete = _unpack(packed, stop + 1)
        if len(content) != stop or not complete:
            raise ValueError(f"a compressed variable does not unpack to the {stop} bytes that it claims")
        whole = _Walk(content, order)
        return whole.content(whole.header(start, stop), stop)

    return Variable(inner.header(start, len(inner.data)), read)


def _unpack(packed: bytes, most: int) -> tuple[bytes, bool]:
    """Return at most so many unpacked bytes, and whether they are all and their checksum is right."""
    stream = zlib.decompressobj()
    try:
        return stream.decompress(packed, most), stream.eof
    except zlib.error as error:
        raise ValueError(f"a compressed variable is damaged: {error}") from None


class _Walk:
    """Reads elements at byte positions of `data`; `end` is where the element around them stops."""

    def __init__(self, data: bytes, order: str) -> None:
        self.data, self.order, self.cells = data, order, 0
        self.pair = struct.Struct(f"{order}II").unpack_from

    def element(self, at: int, end: int) -> tuple[int, int, int, int]:
        """Return an element's type, where its content starts and stops, and where the next element is."""
        if at + 8 > end:
            raise ValueError(f"it is cut off at byte {at}")
        kind, size = self.pair(self.data, at)
        if kind >> 16:  # up to four bytes, within the tag
            start, stop = at + 4, at + 4 + (kind >> 16)
            kind, after = kind & 0xFFFF, at + 8
        else:
            start, stop = at + 8, at + 8 + size
            after = min(stop + (-size % 8), end)
        if stop > min(after, end):
            raise ValueError(f"the element at byte {at} claims {stop - start} bytes, more than there are")
        return kind, start, stop, after

    def header(self, start: int, end: int) -> Header:
        """Return the header of a matrix whose content is there."""
        flags, at = self._integers(start, end)
        shape: tuple[int, ...] = ()
        if flags[0] & 0xFF != _OPAQUE:  # which has the names of its class where others have their size
            shape, at = self._integers(at, end)
            if not 2 <= len(shape) <= 32 or min(shape) < 0:
                raise ValueError(f"the matrix at byte {start} has the size {shape}")
        name, at = self.text(at, end)
        return Header(flags[0] & 0xFF, bool(flags[0] & _COMPLEX), bool(flags[0] & _LOGICAL), shape, name, at)

    def _integers(self, at: int, end: int) -> tuple[tuple[int, ...], int]:
        """Return 32-bit integers as Python's, as all sizes are: for a few of them faster than `numbers`."""
        kind, start, stop, after = self.element(at, end)
        if kind not in (5, 6) or (stop - start) % 4 or start == stop:
            raise ValueError(f"the element at byte {at}, of type {kind} and {stop - start} bytes, is no size")
        return struct.unpack_from(f"{self.order}{(stop - start) // 4}i", self.data, start), after

    def matrix(self, at: int, end: int, depth: int) -> tuple[Any, int]:
        """Return a nested matrix, and where the next element is."""
        kind, start, stop, after = self.element(at, end)
        if kind != _MATRIX:
            raise ValueError(f"at byte {at} is an element of type {kind}, not a matrix")
        if start == stop:
            return np.empty((0, 0)), after
        return self.content(self.header(start, stop), stop, depth), after

    def content(self, header: Header, end: int, depth: int = 0) -> Any:
        """Return the value of a matrix; all of its bytes must belong to it."""
        if depth > _DEEPEST:
            raise ValueError(f"cells and structs are nested more than {_DEEPEST} deep")
        if header.kind in _NUMERIC:
            value, at = self._numeric(header, end)
        elif header.kind == _CHAR:
            value, at = self._char(header, end)
        elif header.kind == _CELL:
            value, at = self._matrices(prod(header.shape), header.at, end, depth)
            value = value.reshape(header.shape, order="F")
        elif header.kind in (_STRUCT, _OBJECT):
            value, at = self._struct(header, end, depth)
        elif header.kind == _SPARSE:
            value, at = self._sparse(header, end)
        elif header.kind in (_FUNCTION, _OPAQUE):
            value, at = self._wrapped(header, end, depth)
        else:
            raise ValueError(f"a matrix is of class {header.kind}, which MATLAB does not have")
        if end - at >= 8:
            raise ValueError(f"{end - at} bytes from byte {at} on belong to nothing")
        return value

    def numbers(self, at: int, end: int, code: str = "") -> tuple[NDArray[Any], int]:
        """Return the numbers of an element, a copy in this machine's byte order."""
        kind, start, stop, after = self.element(at, end)
        if kind not in _NUMBERS:
            raise ValueError(f"at byte {at} is an element of type {kind}, not numbers")
        stored = _stored(self.order + (code or _NUMBERS[kind]))
        if (stop - start) % stored.itemsize:
            raise ValueError(f"{stop - start} bytes at byte {at} are no whole number of {stored.name}")
        found = np.frombuffer(self.data, stored, (stop - start) // stored.itemsize, start)
        return found.astype(stored.newbyteorder("=")), after

    def text(self, at: int, end: int) -> tuple[str, int]:
        """Return the text of an element."""
        kind, start, stop, after = self.element(at, end)
        if kind not in _TEXTS:
            raise ValueError(f"at byte {at} is an element of type {kind}, not text")
        wide = {"<": "-le", ">": "-be"}[self.order] if kind in (4, 17, 18) else ""
        return self.data[start:stop].decode(_TEXTS[kind] + wide, errors="replace"), after

    def _numeric(self, header: Header, end: int) -> tuple[NDArray[Any], int]:
        value, at = self.numbers(header.at, end)
        if header.complex:
            imaginary, at = self.numbers(at, end)
            value = value + 1j * imaginary
        if value.size != prod(header.shape):
            raise ValueError(f"an array of the size {header.shape} has {value.size} numbers")
        return value.reshape(header.shape, order="F"), at

    def _char(self, header: Header, end: int) -> tuple[NDArray[np.str_], int]:
        """Return one string for each row, which MATLAB writes letter by letter down the columns."""
        text, at = self.text(header.at, end) if header.at < end else ("", end)
        *rows, width = header.shape
        if prod(rows) == 1 or not text:
            return np.array([text.rstrip("\0")] if text else [], np.str_), at
        if len(text) != prod(header.shape):
            raise ValueError(f"a text of the size {header.shape} has {len(text)} letters")
        letters = np.array(list(text), "<U1").reshape(header.shape, order="F").reshape(-1, width)
        return np.array(["".join(row).rstrip() for row in letters], np.str_), at

    def _matrices(self, count: int, at: int, end: int, depth: int) -> tuple[NDArray[np.object_], int]:
        """Return nested matrices in a row."""
        self.cells += count
        if count * 8 > end - at or self.cells > _CELLS:
            raise ValueError(f"{count} cells are more than fit into {end - at} bytes, or over {_CELLS} in all")
        found = np.empty(count, object)
        for i in range(count):
            found[i], at = self.matrix(at, end, depth + 1)
        return found, at

    def _struct(self, header: Header, end: int, depth: int) -> tuple[NDArray[Any], int]:
        at = self.text(header.at, end)[1] if header.kind == _OBJECT else header.at
        (width, *_), at = self._integers(at, end)
        names, at = self.text(at, end)
        if width < 1 or len(names) % width:
            raise ValueError(f"names of fields have {len(names)} letters, no multiple of {width}")
        fields = tuple(names[i : i + width].split("\0")[0] for i in range(0, len(names), width))
        count = prod(header.shape) if fields else 0
        values, at = self._matrices(count * len(fields), at, end, depth)
        found = np.empty(count, _record(fields))
        for i, field in enumerate(fields):
            found[field] = values[i :: len(fields)]
        return found.reshape(header.shape if fields else (0, 0), order="F"), at

    def _sparse(self, header: Header, end: int) -> tuple[NDArray[Any], int]:
        """Return a sparse matrix as a full one."""
        rows, at = self.numbers(header.at, end)
        starts, at = self.numbers(at, end)
        values, at = self.numbers(at, end, "u1" if header.logical else "")  # whatever type their tag names
        if header.complex:
            imaginary, at = self.numbers(at, end)
            values = values + 1j * imaginary
        return full_matrix(header.shape, rows, starts, values), at

    def _wrapped(self, header: Header, end: int, depth: int) -> tuple[Any, int]:
        """Return what an object of a class, or a function, holds."""
        at = header.at
        for _ in range(2 if header.kind == _OPAQUE else 0):  # the kind of class and its name
            at = self.text(at, end)[1]
        return self.matrix(at, end, depth + 1)


def full_matrix(shape: tuple[int, ...], rows: NDArray[Any], starts: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """Return the full matrix of a sparse one.

    Args:
        shape: Of the matrix.
        rows: The row of each value; there may be room for more.
        starts: Which value is the first of each column, and after the last column their number.
        values: The values.

    Raises:
        ValueError: If the parts do not fit together, or the full matrix is larger than `LIMIT`.
    """
    if len(shape) != 2 or prod(shape) * 8 > LIMIT:
        raise ValueError(f"a sparse matrix has the size {shape}")
    begins = starts.astype(np.int64)
    counts: NDArray[np.int64] = begins[1:] - begins[:-1]
    total = int(counts.sum())
    sound = len(counts) == shape[1] and starts[:1] == 0 and (counts >= 0).all()
    if not sound or total > min(len(rows), len(values)) or not ((rows >= 0) & (rows < shape[0]))[:total].all():
        raise ValueError(f"a sparse matrix of the size {shape} points outside itself")
    full = np.zeros(shape, values.dtype)
    full[rows[:total], np.repeat(np.arange(shape[1]), counts)] = values[:total]
    return full


@lru_cache(maxsize=64)
def _stored(code: str) -> np.dtype[Any]:
    return np.dtype(code)


@lru_cache(maxsize=256)
def _record(fields: tuple[str, ...]) -> np.dtype[Any]:
    return np.dtype([(field, object) for field in fields])
