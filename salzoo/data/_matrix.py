"""The one matrix in a file of MATLAB or NumPy: a map of saliency, or of fixations."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from salzoo._arrays import open_npy, open_npz
from salzoo.data._matlab import open_mat
from salzoo.errors import DataError

ARRAYS = (".mat", ".npz", ".npy")


def read_matrix(path: Path, names: Collection[str] = ()) -> NDArray[Any]:
    """Return the matrix with the first of the names that is there, else the only one.

    Args:
        path: Of one of `ARRAYS`, in either case.
        names: What it may be called.

    Raises:
        DatasetNotFoundError: If there is no such file.
        DataError: If it cannot be read, or holds no matrix of real numbers, or several and none of these names.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        array: NDArray[Any] = open_npy(path).read()
        return array
    arrays = open_mat(path) if suffix == ".mat" else open_npz(path)
    matrices = [name for name, each in arrays.items() if len(each.shape) == 2 and min(each.shape) > 1 and each.numeric]
    chosen = [name for name in names if name in arrays][:1] or matrices
    if len(chosen) != 1:
        named = f", or one called {' or '.join(names)}" if names else ""
        raise DataError(f"{path} holds {', '.join(arrays) or 'nothing'}; one two-dimensional array is needed{named}")
    matrix: NDArray[Any] = arrays[chosen[0]].read()
    return matrix
