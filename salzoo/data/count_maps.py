"""Fixations that are published as a matrix or an image in which the looked-at pixels are not 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzoo.data.fixations import Fixations
from salzoo.errors import DataError
from salzoo.images.geometry import Size

_MOST = 0.1
"""Share of pixels that fixations can fill; blurred maps fill more."""


def points_of(matrix: NDArray[Any], size: Size, what: str, *, repeat: bool = False) -> Fixations:
    """Return the fixations in a matrix, row by row, all of observer 0: who looked and when is not in it.

    Args:
        matrix: Not 0 where somebody looked.
        size: (height, width) of the image, which the matrix must have.
        what: Whose matrix it is, for the error texts.
        repeat: Its numbers say how often; otherwise, and if they are only 0 and 255, each pixel counts once.

    Raises:
        DataError: If it has another size, or its numbers are not counts: NaN, infinite, negative, fractions, or those
            of a blurred map.
    """
    if matrix.shape != size:
        raise DataError(f"{what} is {matrix.shape} (height, width), its image {size}")
    y, x = np.nonzero(matrix)
    values = matrix[y, x].astype(np.float64)
    wrong = ~np.isfinite(values) | (values < 0) | (repeat & (values != np.rint(values)))
    if wrong.any():
        raise DataError(f"{what} has {values[wrong][0]:g} at a pixel: fixations are counts, whole numbers from 0 on")
    if len(x) > max(_MOST * matrix.size, 100) or is_smooth(matrix):
        raise DataError(
            f"{what} is not 0 in {len(x)} of {matrix.size} pixels: that is a blurred map, not fixations. Give the "
            "matrix of points; a folder of blurred maps is read as maps/ of a study (--data folder)"
        )
    times = values if repeat and (values != 255).any() else np.ones(len(x))
    if times.sum() > _MOST * matrix.size + 100_000:
        raise DataError(f"{what} has {times.sum():.0f} fixations on one image of {size} (height, width): no counts")
    columns, rows = (np.repeat(place, times.astype(np.int64)).astype(np.float64) for place in (x, y))
    return Fixations(columns, rows, np.zeros(len(columns), np.int64))


def is_smooth(matrix: NDArray[Any]) -> bool:
    """Whether pixels resemble their neighbours, as they do in blurred maps however few pixels these fill.

    Where points stand alone, neighbours differ in total by twice the sum of all values along each axis; under a
    Gaussian of s pixels by 0.8 / s of it. Below 16 at the peak, several people may have looked at one place.
    """
    if not matrix.size or matrix.max() < 16:  # most matrices of points, and a tenth of the time
        return False
    values = matrix.astype(np.float64)
    change = sum(np.abs(np.diff(values, axis=axis)).sum() for axis in (0, 1)) / 2
    return bool(change < 0.5 * values.sum())
