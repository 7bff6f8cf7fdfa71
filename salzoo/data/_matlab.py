"""MATLAB files, of whatever version."""

from __future__ import annotations

import warnings
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from salzoo._arrays import Stored, guarded
from salzoo.data import _mat5, _mat73_process
from salzoo.errors import DataError

_WHAT = "a MATLAB file"
_HDF5 = b"\x89HDF\r\n\x1a\n"


def load_mat(path: Path, variable: str, *, simplify: bool) -> Any:
    """Return one variable of a MATLAB file.

    Args:
        path: The file.
        variable: Its name.
        simplify: Return texts as such, structs as dicts and cells as one-dimensional arrays of objects, all squeezed
            and in MATLAB's order; otherwise cells as arrays of objects, and structs as structured ones, as SciPy does.

    Raises:
        DatasetNotFoundError: If there is no such file.
        DataError: If the file is damaged, of another kind, or without that variable.
    """
    found = open_mat(path)
    if variable not in found:
        raise DataError(f"{path} has no variable {variable!r}, only {', '.join(sorted(found)) or 'nothing'}")
    value = found[variable].read()
    return simple(value) if simplify else value


def open_mat(path: Path) -> dict[str, Stored]:
    """Return the variables of a MATLAB file by name; each is unpacked when it is read.

    Raises:
        DatasetNotFoundError: If there is no such file.
        DataError: If the file is damaged or of another kind; to read a variable raises it, too.
    """
    found = guarded(path, _WHAT, partial(_list, path))
    return {name: each._replace(read=partial(guarded, path, _WHAT, each.read)) for name, each in found.items()}


def load_objects(path: Path) -> list[Any]:
    """Return the properties of all objects of MATLAB's classes, such as `containers.Map`, in a file.

    Raises:
        DatasetNotFoundError: If there is no such file.
        DataError: If the file is damaged, of another kind, or has no objects.
    """
    return guarded(path, _WHAT, partial(_list_objects, path))


def simple(value: Any) -> Any:
    """Return what `load_mat` returns of an array with `simplify`."""
    if value.dtype.names:
        names = value.dtype.names
        parts = [{name: simple(record[name]) for name in names} for record in value.ravel("F")]
    elif value.dtype == object:
        parts = [simple(each) for each in value.ravel("F")]
    else:
        small = np.squeeze(value) if value.size else value.reshape(0)
        return small.item() if not small.shape else small
    if len(parts) == 1:
        return parts[0]
    found = np.empty(len(parts), object)
    for i, part in enumerate(parts):
        found[i] = part
    return found


def _list_objects(path: Path) -> list[Any]:
    return _mat73_process.load_objects(path) if _is_73(path) else _mat5.objects(path.read_bytes())


def _list(path: Path) -> dict[str, Stored]:
    if _is_73(path):
        return _mat73_process.list_variables(path)
    data = path.read_bytes()
    if not all(data[:4]):  # version 4 begins with a small number, later ones with text
        from scipy.io import loadmat  # slow to import, and only these need it; it reads them in Python

        try:
            with warnings.catch_warnings():  # SciPy 1.18 wants sparse arrays to be chosen, older ones know none
                warnings.simplefilter("ignore", DeprecationWarning)
                content = loadmat(BytesIO(data))
        except Exception as error:  # it raises whatever it stumbles over
            raise ValueError(f"{type(error).__name__}: {error}") from error
        old = {
            name: np.asarray(value.toarray() if hasattr(value, "toarray") else value)
            for name, value in content.items()
            if not name.startswith("__")
        }
        return {name: Stored(value.shape, value.dtype.kind in "biuf", value.copy) for name, value in old.items()}
    found: dict[str, Stored] = {}
    for header, read in _mat5.variables(data):
        if header.name in found:
            raise ValueError(f"it has two variables {header.name!r}")
        if header.name:
            found[header.name] = Stored(header.shape, header.numeric, read)
    return found


def _is_73(path: Path) -> bool:
    """Return whether a file is HDF5, whose signature follows a block of text of MATLAB's."""
    with path.open("rb") as file:
        head = file.read(2056)
    return head[124:128] == b"\x00\x02IM" or any(head[at : at + 8] == _HDF5 for at in (0, 512, 1024, 2048))
