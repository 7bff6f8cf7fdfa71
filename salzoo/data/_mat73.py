"""MATLAB files of version 7.3, which are HDF5: the same values as of older versions.

MATLAB writes arrays with their axes the other way round, names the class of each in the attribute `MATLAB_class`, keeps
the elements of cells and of struct arrays apart, as references, and instead of an empty array its size.

HDF5's library can crash or hang on a damaged file, so this runs in a process of its own, which `_mat73_process`
asks. It imports nothing of salzoo, and answers with values as MAT-file 5.
"""

from __future__ import annotations

import io
from math import prod
from typing import Any

import h5py
import numpy as np

LIMIT = 1 << 30
_DEEPEST = 64
_NUMERIC = ("double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


def describe(file: h5py.File) -> dict[str, tuple[tuple[int, ...], bool]]:
    """Return the shape of each variable, and whether it is an array of real numbers."""
    return {name: _describe(node) for name, node in file.items() if not name.startswith("#")}


def _describe(node: Any) -> tuple[tuple[int, ...], bool]:
    if isinstance(node, h5py.Dataset):
        numeric = _class(node) in _NUMERIC and node.dtype.kind in "biuf"
        return _shape(node, bool(node.attrs.get("MATLAB_empty"))), numeric
    if "MATLAB_sparse" in node.attrs:
        return (int(node.attrs["MATLAB_sparse"]), len(node["jc"]) - 1), "data" not in node or not node[
            "data"
        ].dtype.names
    return (1, 1), False


def value(node: Any, depth: int = 0) -> Any:
    """Return the value of a variable, or of an element of one.

    Raises:
        ValueError: If it is not laid out as MATLAB does, or too large.
    """
    if depth > _DEEPEST:
        raise ValueError(f"cells and structs are nested more than {_DEEPEST} deep")
    if isinstance(node, h5py.Group):
        return _sparse(node) if "MATLAB_sparse" in node.attrs else _struct(node, depth)
    if not isinstance(node, h5py.Dataset):
        raise ValueError(f"{node!r} is neither an array nor a group")
    empty = bool(node.attrs.get("MATLAB_empty"))
    kind, shape = _class(node), _shape(node, empty)
    if prod(shape) * max(node.dtype.itemsize, 1) > LIMIT:
        raise ValueError(f"an array of {node.dtype} {shape} is larger than {LIMIT} bytes")
    if empty:
        return np.empty(shape, object if kind == "cell" else np.float64) if kind != "char" else np.empty(0, np.str_)
    content = node[()].T
    if node.dtype == h5py.ref_dtype:
        return _targets(node.file, content, depth)
    if kind == "char":
        rows = np.asarray(content, np.uint16).reshape(-1, shape[-1])
        return np.array([row.tobytes().decode("utf-16-le", errors="replace") for row in rows.astype("<u2")], np.str_)
    if content.dtype.names == ("real", "imag"):
        return content["real"] + 1j * content["imag"]
    return np.asarray(content)


def objects(file: h5py.File) -> list[Any]:
    """Return the properties of all objects of MATLAB's classes in a file."""
    node = file.get("#subsystem#/MCOS")
    if node is None:
        raise ValueError("it has no objects of MATLAB's classes")
    return list(np.ravel(value(node)))


def _class(node: Any) -> str:
    name = node.attrs.get("MATLAB_class", b"")
    return name.decode("latin-1") if isinstance(name, bytes) else str(name)


def _shape(node: h5py.Dataset, empty: bool) -> tuple[int, ...]:
    """Return the size that the array has in MATLAB."""
    if empty:
        return tuple(int(length) for length in np.ravel(node[()])) if node.size <= 32 else (0, 0)
    return tuple(node.shape[::-1])


def _targets(file: h5py.File, references: Any, depth: int) -> Any:
    """Return what an array of references refers to."""
    found = np.empty(references.shape, object)
    for place, reference in np.ndenumerate(references):
        found[place] = value(file[reference], depth + 1)
    return found


def _struct(node: h5py.Group, depth: int) -> Any:
    """Return a struct, or an array of structs, whose fields are arrays of references that are no cells."""
    parts = dict(node.items())  # each is opened once, which takes most of the time
    if not parts:
        return np.empty((0, 0), object)
    apart = [
        isinstance(part, h5py.Dataset) and part.dtype == h5py.ref_dtype and not _class(part) for part in parts.values()
    ]
    if any(apart) and not all(apart):
        raise ValueError(f"{node.name} is half a struct, half an array of structs")
    columns = {field: value(part, depth + 1) for field, part in parts.items()}
    shapes = {column.shape for column in columns.values()} if all(apart) else {(1, 1)}
    if len(shapes) > 1:
        raise ValueError(f"the fields of {node.name} differ in size")
    found = np.empty(shapes.pop(), [(field, object) for field in columns])
    for field, column in columns.items():
        if all(apart):
            found[field] = column
        else:
            found[field][0, 0] = column
    return found


def _sparse(node: h5py.Group) -> Any:
    """Return a sparse matrix as a full one."""
    rows = int(node.attrs["MATLAB_sparse"])
    starts = node["jc"][()].astype(np.int64)
    columns, counts = len(starts) - 1, np.diff(starts)
    if rows < 0 or rows * columns * 8 > LIMIT or (counts < 0).any():
        raise ValueError(f"{node.name} is no sparse matrix")
    values: Any = node["data"][()] if "data" in node else np.empty(0)
    if values.dtype.names == ("real", "imag"):
        values = values["real"] + 1j * values["imag"]
    where = node["ir"][()].astype(np.int64) if "ir" in node else np.empty(0, np.int64)
    full = np.zeros((rows, columns), values.dtype)
    full[where, np.repeat(np.arange(columns), counts)] = values
    return full


def answer(path: str, variable: str | None, want_objects: bool) -> tuple[dict[str, Any], bytes]:
    """Return a description of the file, or one variable or all objects, called `value` in a MAT-file 5."""
    from scipy.io import savemat

    with h5py.File(path, "r") as file:
        if variable is None and not want_objects:
            return {"variables": describe(file)}, b""
        found = np.empty((1, 1), object)
        found[0, 0] = value(file[variable]) if variable is not None else None
        if want_objects:
            every = objects(file)
            found = np.empty((1, len(every)), object)
            found[0, :] = every
        buffer = io.BytesIO()
        savemat(buffer, {"value": found}, long_field_names=True)
        return {}, buffer.getvalue()
