"""MATLAB 7.3 in a process of its own, to which `_mat73` is the program."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from salzoo import _hdf5
from salzoo._arrays import Stored
from salzoo.data import _mat5
from salzoo.errors import SpecError


def list_variables(path: Path) -> dict[str, Stored]:
    """Return the variables of a file of version 7.3 by name, each of which is read when it is asked for.

    Raises:
        ValueError: If the file is damaged.
        SpecError: If h5py is not there.
    """
    head, _ = _ask(path, None, False)
    return {
        name: Stored(tuple(shape), numeric, partial(_variable, path, name))
        for name, (shape, numeric) in head["variables"].items()
    }


def load_objects(path: Path) -> list[Any]:
    """Return the properties of all objects in a file of version 7.3, as `_mat5.objects` does."""
    return list(_values(path, None, True))


def _variable(path: Path, name: str) -> Any:
    return _values(path, name, False)[0]


def _values(path: Path, name: str | None, objects: bool) -> Any:
    (found,) = _mat5.variables(_ask(path, name, objects)[1])
    return found.read().ravel()


def _ask(path: Path, name: str | None, objects: bool) -> tuple[dict[str, Any], bytes]:
    if find_spec("h5py") is None:
        raise SpecError(
            f'{path} is a MATLAB v7.3 (HDF5) file, which h5py reads: pip install "salzoo[hdf5]", or save it again in '
            "MATLAB: save(..., '-v7')"
        )
    return _hdf5.ask(Path(__file__).with_name("_mat73.py"), [str(path.absolute()), name, objects])
