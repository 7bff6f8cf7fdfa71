"""Writes a `containers.Map` as MATLAB does, which SciPy cannot."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

VERSION = b"\0\1IM"
"""1.0, little-endian."""
INT8, UINT8, INT32, UINT32, MATRIX = 1, 2, 5, 6, 14
STRUCT, CHARACTERS, UINT8_CLASS, OPAQUE = 2, 4, 9, 17


def save(path: Path, variable: str, content: Mapping[str, Any]) -> None:
    """Write one variable, a map from texts to arrays."""
    keys, values = np.empty((1, len(content)), object), np.empty((1, len(content)), object)
    keys[0], values[0, :] = list(content), list(content.values())
    properties = {"keys": keys, "values": values, "uniformity": 0, "keyType": "char", "valueType": "any"}
    wrapped = np.empty((3, 1), object)
    wrapped[:, 0] = [np.array([[4, 0, 0, 0]], np.uint8), np.empty((0, 0)), properties]
    buffer = io.BytesIO()
    savemat(buffer, {"MCOS": wrapped})
    cell = _nameless(buffer.getvalue()[128:], "MCOS")
    objects = VERSION + bytes(4) + _struct("MCOS", _opaque("", "FileWrapper__", cell))
    reference = _matrix(13, (6, 1), UINT32, np.array([0xDD000000, 2, 1, 1, 1, 1], "<u4").tobytes())
    body = _opaque(variable, "containers.Map", reference)
    offset = (128 + len(body)).to_bytes(8, "little")
    header = b"MATLAB 5.0 MAT-file".ljust(116) + offset + VERSION
    path.write_bytes(header + body + _matrix(UINT8_CLASS, (1, len(objects)), UINT8, objects))


def _element(kind: int, content: bytes) -> bytes:
    """Return type, length and content, padded to eight bytes."""
    return np.array([kind, len(content)], "<u4").tobytes() + content + bytes(-len(content) % 8)


def _flags(kind: int) -> bytes:
    return _element(UINT32, np.array([kind, 0], "<u4").tobytes())


def _matrix(kind: int, shape: tuple[int, int], content_type: int, content: bytes) -> bytes:
    """Return a nameless array."""
    size = _element(INT32, np.array(shape, "<i4").tobytes())
    return _element(MATRIX, _flags(kind) + size + _element(INT8, b"") + _element(content_type, content))


def _opaque(variable: str, kind: str, content: bytes) -> bytes:
    """Return an object of the class `kind`."""
    names = b"".join(_element(INT8, text.encode()) for text in (variable, "MCOS", kind))
    return _element(MATRIX, _flags(OPAQUE) + names + content)


def _struct(field: str, content: bytes) -> bytes:
    """Return a nameless struct of one field."""
    size = _element(INT32, np.array([1, 1], "<i4").tobytes()) + _element(INT8, b"")
    fields = _element(INT32, np.array([len(field) + 1], "<i4").tobytes()) + _element(INT8, field.encode() + bytes(1))
    return _element(MATRIX, _flags(STRUCT) + size + fields + content)


def _nameless(matrix: bytes, name: str) -> bytes:
    """Take the name away from an array that `savemat` wrote; up to four letters lie in the tag itself."""
    start = 8 + 16 + 16
    return _element(MATRIX, matrix[8:start] + _element(INT8, b"") + matrix[start + 8 :])
