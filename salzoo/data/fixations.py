"""Fixation points on one image, and the maps made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salzoo.errors import DataError, SpecError
from salzoo.images.gaussian import gaussian_rows
from salzoo.images.geometry import Size
from salzoo.images.scanpath import Scanpath

Floats = NDArray[np.float64]

MIN_SIGMA = 0.01
"""Pixels; all of a Gaussian of this standard deviation lies in one pixel, and much narrower ones are no numbers."""


@dataclass(frozen=True, eq=False, repr=False)
class Fixations:
    """Fixations on one image: points, not pixels, so that any geometry keeps them on the same image content.

    Coordinates are 0-based with a pixel's centre at its integer coordinate, so an image of width W spans
    [-0.5, W - 0.5], both borders inside. All are 1-D arrays of one length, in the order of the data file.

    Args:
        x: Pixels from the left.
        y: Pixels from the top.
        observer: Number of the person who made each fixation.
        duration: Milliseconds, if the dataset has them.
        weight: What each fixation weighs in `density`, at least 0; None weighs all alike. `counts` ignore it.
        onset: Milliseconds at which each fixation begins, if the dataset has them, from where its own clock counts.

    Raises:
        DataError: If the arrays are not 1-D or differ in length, or a weight is negative or not finite.

    Example:
        >>> points = Fixations([2.0, 2.2, 9.0], [1.0, 0.8, 1.0], [0, 1, 1])
        >>> len(points.inside((4, 6)))
        2
        >>> points.counts((4, 6))[1].tolist()
        [0, 0, 2, 0, 0, 0]
    """

    x: Floats
    y: Floats
    observer: NDArray[np.int64]
    duration: Floats | None = None
    weight: Floats | None = None
    onset: Floats | None = None

    def __post_init__(self) -> None:
        """Convert the arrays to their types and check that their lengths agree."""
        columns = []
        for name in ("x", "y", "observer", "duration", "weight", "onset"):
            if getattr(self, name) is not None:
                columns.append(np.asarray(getattr(self, name), dtype=np.int64 if name == "observer" else np.float64))
                object.__setattr__(self, name, columns[-1])
        if any(column.ndim != 1 or len(column) != len(self.x) for column in columns):
            shapes = [column.shape for column in columns]
            raise DataError(
                f"x, y, observer, duration, weight and onset must be 1-D and of one length, got shapes {shapes}"
            )

        weight = self.weight
        if weight is not None and not ((weight >= 0) & (weight <= 1e300 / max(1, len(weight)))).all():
            raise DataError(f"weights must be finite and at least 0, got from {weight.min():g} to {weight.max():g}")

    def __len__(self) -> int:
        """Return the number of fixations."""
        return len(self.x)

    def __repr__(self) -> str:
        """Return how many there are and what is known of them."""
        known = [name for name in ("duration", "weight", "onset") if getattr(self, name) is not None]
        numbers = [f"points={len(self)}", f"observers={len(set(self.observer.tolist()))}"]
        return f"<Fixations: {', '.join(numbers + known)}>"

    def inside(self, size: Size) -> Fixations:
        """Keep the points within an image of `size` (height, width); NaN is outside."""
        height, width = size
        x, y = self.x, self.y
        return self._select((x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5))

    def of(self, observer: int) -> Fixations:
        """Keep one observer's points."""
        return self._select(self.observer == observer)

    def without(self, observer: int) -> Fixations:
        """Keep all points but one observer's."""
        return self._select(self.observer != observer)

    def leading(self, count: int | None = None, *, skip: int = 0) -> Fixations:
        """Keep the first fixations of each observer.

        Args:
            count: How many at most; None keeps all.
            skip: How many to leave out before them. Where a cross in the middle precedes each image, the first
                fixation is still on it; MIT1003, for one, leaves it out.

        Raises:
            SpecError: If `count` is not above 0, or `skip` negative.
        """
        if skip < 0 or (count is not None and count < 1):
            raise SpecError(f"skip must be at least 0 and count at least 1, got skip={skip}, count={count}")
        by_observer = np.argsort(self.observer, kind="stable")
        _, first, seen = np.unique(self.observer[by_observer], return_index=True, return_counts=True)
        rank = np.empty(len(self), dtype=np.int64)
        rank[by_observer] = np.arange(len(self)) - np.repeat(first, seen)
        return self._select((rank >= skip) & (rank < (np.inf if count is None else skip + count)))

    def scanpaths(self) -> list[Scanpath]:
        """Return the fixations of each observer in the order of the data, by number; whoever has none is left out."""
        people = (self.of(observer) for observer in np.unique(self.observer).tolist())
        return [Scanpath(each.x, each.y, each.duration, each.onset) for each in people]

    def weighted_by_duration(self) -> Fixations:
        """Weigh each fixation in `density` by its duration.

        Raises:
            DataError: If the durations are not known.
        """
        if self.duration is None:
            raise DataError("these fixations have no durations to weigh them by")
        return replace(self, weight=self.duration)

    def resized(self, old_size: Size, new_size: Size) -> Fixations:
        """Move the points along with an image that is scaled from `old_size` to `new_size`, borders to borders."""
        (old_height, old_width), (new_height, new_width) = old_size, new_size
        # Multiply before dividing: exact for a point on the border, which a rounding must not push out of the frame.
        x = (self.x + 0.5) * new_width / old_width - 0.5
        y = (self.y + 0.5) * new_height / old_height - 0.5
        return replace(self, x=x, y=y)

    def flipped(self, width: int) -> Fixations:
        """Move the points along with an image of `width` that is mirrored left to right."""
        return replace(self, x=width - 1 - self.x)

    def cropped(self, top: int, left: int, size: Size) -> Fixations:
        """Move the points along with an image that is cropped to `size` at (top, left); drop those cut off."""
        return replace(self, x=self.x - left, y=self.y - top).inside(size)

    def counts(self, size: Size) -> Tensor:
        """Return the number of fixations in each pixel, (H, W) int32, without those outside the frame."""
        height, width = size
        points = self.inside(size)
        # A point on the right or bottom border belongs to the last pixel, as one on the left belongs to the first.
        column = np.minimum(np.floor(points.x + 0.5).astype(np.int64), width - 1)
        row = np.minimum(np.floor(points.y + 0.5).astype(np.int64), height - 1)
        counts = np.zeros(size, dtype=np.int32)
        np.add.at(counts, (row, column), 1)
        return torch.from_numpy(counts)

    def density(self, size: Size, sigma_px: float | tuple[float, float]) -> Tensor:
        """Return the (H, W) float32 mean of a Gaussian around each point; it sums to 1, or is all 0 without points.

        Exact and without truncation: a Gaussian is the product of a row and a column profile, and the sum over points
        of such products is one matrix product. Each profile is scaled to sum to 1 inside the frame, so that a fixation
        near the border weighs as much as one in the middle. Points outside the frame are left out. With `weight`, the
        mean is a weighted one.

        Args:
            size: (height, width) of the map.
            sigma_px: Standard deviation in pixels; a pair is (vertical, horizontal), for a map scaled unevenly.

        Raises:
            SpecError: If a standard deviation is not a number from `MIN_SIGMA` up.
        """
        sigmas = sigma_px if isinstance(sigma_px, tuple) else (sigma_px, sigma_px)
        for sigma in sigmas:
            check_sigma(sigma)
        points = self.inside(size)
        if not len(points):
            return torch.zeros(size)
        rows, columns = (
            gaussian_rows(torch.from_numpy(centres).float(), length, sigma)
            for centres, length, sigma in zip((points.y, points.x), size, sigmas, strict=True)
        )
        if points.weight is None:
            return rows.T @ (columns / len(points))
        share = torch.from_numpy(points.weight / (points.weight.sum() or 1.0)).float()
        return rows.T @ (columns * share[:, None])

    def _select(self, keep: NDArray[np.bool_]) -> Fixations:
        columns = (self.x, self.y, self.observer, self.duration, self.weight, self.onset)
        return Fixations(*(None if column is None else column[keep] for column in columns))  # type: ignore[arg-type]


def check_sigma(sigma_px: float) -> None:
    """Check the standard deviation of a blur.

    Raises:
        SpecError: If it is not a finite number of pixels from `MIN_SIGMA` up.
    """
    if not (np.isfinite(sigma_px) and sigma_px >= MIN_SIGMA):
        raise SpecError(f"the blur of the density must be above 0 pixels, at least {MIN_SIGMA}, got {sigma_px}")


def checked_blur(sigma_px: float | None, pixels_per_degree: float | None) -> float | None:
    """Return the blur of densities in pixels, as either of two options of a reader has it; a degree is the usual one.

    Raises:
        SpecError: If both are given, or as `check_sigma`.
    """
    if sigma_px is not None and pixels_per_degree is not None:
        raise SpecError("sigma_px and pixels_per_degree both set the blur of the density: give one of them")
    blur = sigma_px if pixels_per_degree is None else pixels_per_degree
    if blur is not None:
        check_sigma(blur)
    return blur


_CODES = (-32768.0, 32767.0, -9999.0, 9999.0, -99999.0, 99999.0, -1e8, 1e8)
"""What trackers write where they lost the eye: EyeLink -32768 and 1e8, others the rest."""


def missing_codes(x: Floats, y: Floats, *, zero: bool = True) -> NDArray[np.bool_]:
    """Return a mask of the points that are codes for missing data instead of places.

    That is either coordinate at one of the numbers that trackers write then (-32768, 1e8, ...), or both at (-1, -1) or
    at (0, 0), the corner of the screen, more than once.

    Args:
        x: As recorded, in pixels or fractions.
        y: Likewise.
        zero: Whether (0, 0) is a corner, and not the middle of the screen near which people look.
    """
    code = np.isin(x, _CODES) | np.isin(y, _CODES)
    for value in (-1.0, 0.0) if zero else ():
        here = (x == value) & (y == value)
        if here.sum() > 1:
            code |= here
    return np.asarray(code)


def join(observers: Sequence[tuple[Floats, ...]]) -> Fixations:
    """Concatenate (x, y, duration), or (x, y, duration, onset), of observers, who are numbered by their position."""
    numbers = [np.full(len(person[0]), number) for number, person in enumerate(observers)]
    none = np.empty(0)  # np.concatenate refuses an empty list
    known = min(map(len, observers), default=3)
    x, y, duration, *onset = (np.concatenate([none, *(person[k] for person in observers)]) for k in range(known))
    observer = np.concatenate([none.astype(np.int64), *numbers])
    return Fixations(x, y, observer, duration, onset=onset[0] if onset else None)
