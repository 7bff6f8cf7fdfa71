"""MATLAB files of the datasets, read by SciPy."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from salzoo.errors import DataError, DatasetNotFoundError


def load_mat(path: Path, variable: str, *, simplify: bool) -> Any:
    """Return one variable of a MATLAB file.

    Args:
        path: The file.
        variable: Its name.
        simplify: Return structs as dicts and cells as lists, squeezed; otherwise arrays of objects, in their own shape.

    Raises:
        DataError: If the file is damaged, of another kind, or without that variable.
    """
    content = load_mats(path, [variable], simplify=simplify)
    if variable not in content:
        found = ", ".join(sorted(load_mats(path, None, simplify=simplify))) or "nothing"
        raise DataError(f"{path} has no variable {variable!r}, only {found}")
    return content[variable]


def load_mats(path: Path, variables: list[str] | None, *, simplify: bool) -> dict[str, Any]:
    """Return those of the variables that a MATLAB file has, or all if None; see `load_mat`."""
    if not path.is_file():
        raise DatasetNotFoundError(f"there is no file {path}")
    content = read_mat(path, path, variables, simplify=simplify)
    return {name: value for name, value in content.items() if not name.startswith("__")}


def read_mat(source: Path | BytesIO, path: Path, variables: list[str] | None, *, simplify: bool) -> dict[str, Any]:
    """Return all that SciPy reads from a MATLAB file, its own additions included; `path` is for error messages."""
    from scipy.io import loadmat  # slow to import, and only the .mat layouts need it

    try:
        content: dict[str, Any] = loadmat(source, variable_names=variables, simplify_cells=simplify)
    except NotImplementedError as error:
        raise DataError(
            f"{path} is a MATLAB v7.3 (HDF5) file, as no dataset comes; save it again in MATLAB: save(..., '-v7')"
        ) from error
    except Exception as error:  # scipy raises whatever it stumbles over in a damaged file, from zlib.error to TypeError
        raise DataError(f"{path} cannot be read as a MATLAB file, is the download complete? {error!r}") from error
    return content
