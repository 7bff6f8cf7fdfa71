"""Tests for coordinates that were misread: swapped axes, 1-based pixels, fractions of the image.

Pure functions; the callers decide whether to warn or to refuse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from salzoo.data.fixations import Floats


def outside(x: Floats, y: Floats, width: Floats, height: Floats) -> NDArray[np.bool_]:
    """Return a mask of the points (0-based pixels) that lie outside their images; NaN is not outside."""
    return (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)


def swapped(x: Floats, y: Floats, width: Floats, height: Floats) -> bool:
    """Return whether many points lie outside their images, and less than half as many with x and y swapped.

    "Many" is 2 % and at least five: with x and y swapped, 7 % of Scene500's points lie outside, otherwise none.
    """
    wrong = int(outside(x, y, width, height).sum())
    return wrong >= max(5, 0.02 * len(x)) and int(outside(y, x, width, height).sum()) < wrong / 2


def one_based(x: Floats, y: Floats, width: Floats, height: Floats) -> bool:
    """Return whether all are whole numbers from 1 up to the width or the height, as in MATLAB."""
    known = ~(np.isnan(x) | np.isnan(y))
    x, y, width, height = x[known], y[known], width[known], height[known]
    if not len(x) or min(x.min(), y.min()) < 1 or (x % 1).any() or (y % 1).any():
        return False
    return bool((x == width).any() or (y == height).any())


def fractions(x: Floats, y: Floats, width: Floats, height: Floats) -> bool:
    """Return whether all coordinates lie in [0, 1], on images larger than a few pixels."""
    known = ~(np.isnan(x) | np.isnan(y))
    if known.sum() < 2 or np.minimum(width, height)[known].min() <= 4:
        return False
    values = np.concatenate([x[known], y[known]])
    return bool(values.min() >= 0 and values.max() <= 1)
