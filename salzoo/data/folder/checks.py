"""Signs that coordinates are not what they are taken for. Pure functions: who calls them decides what follows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from salzoo.data.fixations import Floats


def outside(x: Floats, y: Floats, width: Floats, height: Floats) -> NDArray[np.bool_]:
    """Mark the points (0-based pixels) that lie outside their pictures' frames; NaN does not count as such."""
    return (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)


def swapped(x: Floats, y: Floats, width: Floats, height: Floats) -> bool:
    """Say whether many points lie outside as they are, and few if x and y change places.

    Many are 2 % and at least five: of Scene500's points, swapped, 7 % lie outside, of its true ones none.
    """
    wrong = int(outside(x, y, width, height).sum())
    return wrong >= max(5, 0.02 * len(x)) and int(outside(y, x, width, height).sum()) < wrong / 2


def one_based(x: Floats, y: Floats, width: Floats, height: Floats) -> bool:
    """Say whether all are whole numbers from 1 up to the width and the height, as in MATLAB."""
    known = ~(np.isnan(x) | np.isnan(y))
    x, y, width, height = x[known], y[known], width[known], height[known]
    if not len(x) or min(x.min(), y.min()) < 1 or (x % 1).any() or (y % 1).any():
        return False
    return bool((x == width).any() or (y == height).any())


def fractions(x: Floats, y: Floats, width: Floats, height: Floats) -> bool:
    """Say whether all points lie in the first pixel of pictures that have many."""
    known = ~(np.isnan(x) | np.isnan(y))
    if known.sum() < 2 or np.minimum(width, height)[known].min() <= 4:
        return False
    values = np.concatenate([x[known], y[known]])
    return bool(values.min() >= 0 and values.max() <= 1)
