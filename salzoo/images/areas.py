"""Areas of interest in a saliency map: what share of the density they hold, and the crop that keeps most of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from salzoo.errors import ImageError
from salzoo.images.arrays import plain_array

Box: TypeAlias = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in pixels, half open: columns x0 to x1 - 1 of rows y0 to y1 - 1."""
Area: TypeAlias = "Sequence[float] | NDArray[Any]"
"""A box, whose edges may lie within pixels, or a boolean mask (H, W)."""

_STEPS = 2.0**60
"""Densities are summed as whole multiples of 1 / _STEPS: sums of int64 are exact, so equal boxes tie exactly. A float32
density of more than 2 ** -37 is such a multiple; a smaller one is rounded to it."""


@dataclass(frozen=True)
class Region:
    """What one area of interest gets.

    Args:
        share: Share of the density that it holds: of all fixations, so many are expected in it.
        area_share: Share of the image's pixels that it covers.
        lift: `share / area_share`: how often it is looked at for its size. 1 is chance; NaN if it covers nothing.
        rank: 1 for the area with the largest share; areas of equal shares have the same rank.
    """

    share: float
    area_share: float
    lift: float
    rank: int


def share(density: NDArray[np.float32], area: Area) -> float:
    """Return the share of the density that lies in an area; see `SaliencyMap.share`."""
    return _weigh(density, area)[0]


def regions(density: NDArray[np.float32], areas: Mapping[str, Area]) -> dict[str, Region]:
    """Return what each area gets; see `SaliencyMap.regions`."""
    if not isinstance(areas, Mapping):
        raise ImageError(f"regions are boxes or masks by name, as {{'face': (10, 20, 60, 90)}}, got {areas!r}")
    weighed = {}
    for name, area in areas.items():
        try:
            weighed[name] = _weigh(density, area)
        except ImageError as error:
            raise ImageError(f"area {name!r}: {error}") from error
    found = {}
    for name, (held, covered) in weighed.items():
        rank = 1 + sum(other > held for other, _ in weighed.values())
        found[name] = Region(held, covered, held / covered if covered else math.nan, rank)
    return found


def crop(density: NDArray[np.float32], aspect: float | None, size: tuple[int, int] | None) -> Box:
    """Return the box of a shape that holds most density; see `SaliencyMap.crop`."""
    height, width = density.shape
    if (aspect is None) == (size is None):
        raise ImageError("a crop has either an aspect (width / height) or a size (height, width): give one of them")
    rows, columns = _fit(density.shape, aspect) if aspect is not None else _checked(size, density.shape)
    table = np.zeros((height + 1, width + 1), np.int64)  # of each corner the sum above and to the left of it
    np.rint(density.astype(np.float64) * _STEPS, out=table[1:, 1:], casting="unsafe")
    np.cumsum(table, axis=0, out=table)
    np.cumsum(table, axis=1, out=table)
    bands = table[rows:] - table[:-rows]
    held = bands[:, columns:] - bands[:, :-columns]
    top, left = np.nonzero(held == held.max())
    off_centre = (2 * top - (height - rows)) ** 2 + (2 * left - (width - columns)) ** 2
    best = int(off_centre.argmin())
    x, y = int(left[best]), int(top[best])
    return x, y, x + columns, y + rows


def _weigh(density: NDArray[np.float32], area: Area) -> tuple[float, float]:
    """Return the share of the density in an area, and the share of the pixels."""
    given = plain_array(area, "the area")
    if given.ndim == 2:
        mask = _mask(given, density.shape)
        return float(density[mask].sum(dtype=np.float64)), float(mask.mean())
    x0, y0, x1, y1 = _box(given, density.shape)
    across, down = _overlap(x0, x1, density.shape[1]), _overlap(y0, y1, density.shape[0])
    return float(down @ (density @ across)), float(down.sum() * across.sum() / density.size)


def _mask(given: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if given.dtype != np.bool_ or given.shape != shape:
        raise ImageError(
            f"a mask is boolean of the map's shape {shape} (height, width), got {given.shape} of {given.dtype}; "
            "for a mask of numbers say which are inside: mask > 0"
        )
    return given


def _box(given: NDArray[Any], shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    if given.shape != (4,) or given.dtype.kind not in "iuf":
        raise ImageError(
            f"an area is a box of four numbers (x0, y0, x1, y1) in pixels, or a boolean mask {shape} (height, width), "
            f"got shape {given.shape} of {given.dtype}"
        )
    x0, y0, x1, y1 = (float(value) for value in given)
    told = f"({x0:g}, {y0:g}, {x1:g}, {y1:g})"
    if not (math.isfinite(x0 + y0 + x1 + y1) and x0 < x1 and y0 < y1):
        raise ImageError(f"a box is (x0, y0, x1, y1) with x0 < x1 and y0 < y1, got {told}")
    height, width = shape
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        raise ImageError(f"the box {told} holds nothing of the image, which has {width} x {height} pixels")
    return x0, y0, x1, y1


def _overlap(start: float, end: float, length: int) -> NDArray[np.float64]:
    """Return how much of each of so many pixels in a row lies between two places."""
    edges = np.clip(np.arange(length + 1, dtype=np.float64), start, end)
    return np.diff(edges)


def _fit(shape: tuple[int, ...], aspect: float) -> tuple[int, int]:
    """Return height and width of the largest box of a shape, to the nearest pixel."""
    height, width = shape
    if isinstance(aspect, bool) or not isinstance(aspect, int | float | np.number) or not 0 < aspect < math.inf:
        raise ImageError(f"an aspect is width / height, a number above 0 such as 1.0 or 16 / 9, got {aspect!r}")
    if width > height * aspect:
        return height, max(1, round(height * aspect))
    return max(1, round(width / aspect)), width


def _checked(size: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return a size, if it is one and fits."""
    sides = list(size) if isinstance(size, Sequence) else []
    if not (
        len(sides) == 2
        and all(isinstance(side, int | np.integer) and not isinstance(side, bool) for side in sides)
        and all(0 < side <= most for side, most in zip(sides, shape, strict=True))
    ):
        raise ImageError(f"a size is (height, width) in whole pixels, from 1 to those of the map, {shape}; got {size}")
    return int(sides[0]), int(sides[1])
