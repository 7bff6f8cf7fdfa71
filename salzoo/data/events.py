"""Fixations from raw gaze, by velocity or by dispersion in degrees of visual angle (Salvucci & Goldberg, ETRA 2000).

Both take the samples of one observer on one image, in pixels of the screen. If an image of size `own` was shown at
(top, left) with size `shown`, the fixations on it are `events.cropped(top, left, shown).resized(shown, own)`.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from salzoo.data.fixations import Fixations, Floats, missing_codes
from salzoo.errors import DataError, SalzooWarning, SpecError


@dataclass(frozen=True)
class Screen:
    """The geometry of a screen, which says how many pixels a degree of visual angle is.

    Args:
        width_cm: Width of the area that shows pixels.
        width_px: Number of pixels in a row of it; pixels are taken as square.
        distance_cm: Distance from the eye to the middle of the screen.

    Raises:
        SpecError: If one is not above 0.

    Example:
        >>> round(Screen(width_cm=52, width_px=1920, distance_cm=60).pixels_per_degree, 2)
        38.67
    """

    width_cm: float
    width_px: float
    distance_cm: float

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not all(math.isfinite(side) and side > 0 for side in (self.width_cm, self.width_px, self.distance_cm)):
            raise SpecError(f"width_cm, width_px and distance_cm must be above 0, got {self}")

    @property
    def pixels_per_degree(self) -> float:
        """Pixels a degree in the middle of the screen; 15 degrees off the middle there are 7 % more."""
        return 2 * self.distance_cm * math.tan(math.radians(0.5)) * self.width_px / self.width_cm


def velocity_events(
    time: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    screen: Screen,
    *,
    max_velocity: float = 30.0,
    window_ms: float = 20.0,
    min_duration_ms: float = 60.0,
    max_gap_ms: float = 75.0,
    observer: int = 0,
) -> Fixations:
    """Detect fixations as runs of samples slower than a threshold (I-VT; Salvucci & Goldberg 2000, Sec. 3.1).

    The velocity at a sample is the distance between its neighbours half a window before and after, over the time
    between these: between adjacent samples of a fast tracker there is more noise than movement. A fixation thereby
    loses up to half a window at each end.

    Args:
        time: (N,) milliseconds, increasing.
        x: (N,) pixels of the screen from the left, NaN where the tracker lost the eye; its codes for that, such as
            repeated (0, 0) or -32768, are taken for it with a `SalzooWarning`.
        y: (N,) pixels of the screen from the top, NaN likewise.
        screen: Geometry of the screen.
        max_velocity: Largest velocity within a fixation, in degrees a second.
        window_ms: Window in which velocity is measured; it has at least the two neighbours of a sample.
        min_duration_ms: Shorter runs are dropped.
        max_gap_ms: Missing samples up to this long are bridged by a straight line, for the detection only; a longer
            gap, such as a blink, ends a fixation.
        observer: Number of the observer.

    Returns:
        Fixations in order: `x` and `y` the mean of the valid samples, `onset` the time of the first sample, `duration`
        from there to the last.

    Raises:
        DataError: If the arrays differ in length, time does not increase or cannot be milliseconds, or x and y cannot
            be pixels.
        SpecError: If a threshold is not above 0.
    """
    gaze = _Gaze.of(time, x, y, screen, max_gap_ms)
    _above_zero(max_velocity=max_velocity, window_ms=window_ms, min_duration_ms=min_duration_ms)
    slow = np.zeros(len(gaze.time), dtype=np.bool_)
    for start, end in gaze.segments():
        speed = _speed(gaze.time[start:end], gaze.x[start:end], gaze.y[start:end], window_ms / 2)
        slow[start:end] = speed / screen.pixels_per_degree <= max_velocity
    runs = [(start + first, start + last) for start, end in gaze.segments() for first, last in _runs(slow[start:end])]
    return gaze.fixations(runs, min_duration_ms, observer)


def dispersion_events(
    time: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    screen: Screen,
    *,
    max_dispersion: float = 1.0,
    min_duration_ms: float = 100.0,
    max_gap_ms: float = 75.0,
    observer: int = 0,
) -> Fixations:
    """Detect fixations as the longest runs of samples close together (I-DT; Salvucci & Goldberg 2000, Sec. 3.3).

    A window of `min_duration_ms` moves on until the dispersion of its samples, (max x - min x) + (max y - min y), is
    small enough; it then grows until it is not, and the search goes on behind it. Better than velocity for slow
    trackers.

    Args:
        time: (N,) milliseconds, increasing.
        x: (N,) pixels of the screen from the left, NaN where the tracker lost the eye; its codes for that, such as
            repeated (0, 0) or -32768, are taken for it with a `SalzooWarning`.
        y: (N,) pixels of the screen from the top, NaN likewise.
        screen: Geometry of the screen.
        max_dispersion: Largest dispersion of a fixation, in degrees.
        min_duration_ms: Shortest duration of a fixation.
        max_gap_ms: Longest gap that is bridged; see `velocity_events`.
        observer: Number of the observer.

    Returns:
        As `velocity_events`.

    Raises:
        DataError: If the arrays differ in length, time does not increase or cannot be milliseconds, or x and y cannot
            be pixels.
        SpecError: If a threshold is not above 0.
    """
    gaze = _Gaze.of(time, x, y, screen, max_gap_ms)
    _above_zero(max_dispersion=max_dispersion, min_duration_ms=min_duration_ms)
    limit, runs = max_dispersion * screen.pixels_per_degree, []
    for start, end in gaze.segments():
        part = gaze.time[start:end], gaze.x[start:end], gaze.y[start:end]
        runs += [(start + first, start + last) for first, last in _compact(*part, limit, min_duration_ms)]
    return gaze.fixations(runs, min_duration_ms, observer)


@dataclass(frozen=True)
class _Gaze:
    """Samples with short gaps bridged; `valid` marks those that were recorded, `known` also the bridged ones."""

    time: Floats
    x: Floats
    y: Floats
    valid: NDArray[np.bool_]
    known: NDArray[np.bool_]
    broken: NDArray[np.bool_]
    """Whether more than the longest gap lies between a sample and the one before."""

    @staticmethod
    def of(time: ArrayLike, x: ArrayLike, y: ArrayLike, screen: Screen, max_gap_ms: float) -> _Gaze:
        t, px, py = (np.asarray(values, dtype=np.float64) for values in (time, x, y))
        if t.ndim != 1 or not t.shape == px.shape == py.shape:
            raise DataError(f"time, x and y must be 1-D and of one length, got {t.shape}, {px.shape} and {py.shape}")
        if not np.isfinite(t).all() or (np.diff(t) <= 0).any():
            raise DataError(
                "time must increase from sample to sample: sort them, and split recordings of several images"
            )
        valid = _recorded(px, py)
        _refuse_other_units(t, px[valid], py[valid], screen)
        places = np.flatnonzero(valid)
        known, broken = valid.copy(), np.zeros_like(valid)
        if len(places) > 1:
            long = np.diff(t[places]) > max_gap_ms
            broken[places[1:][long]] = True
            behind = np.searchsorted(places, np.arange(len(t)))  # the next valid sample
            known |= (behind > 0) & (behind < len(places)) & ~long[np.clip(behind - 1, 0, len(long) - 1)]
            px, py = (np.interp(t, t[places], values[places]) for values in (px, py))
        return _Gaze(t, px, py, valid, known, broken)

    def segments(self) -> Iterator[tuple[int, int]]:
        """Yield first and end of each run of known samples without a long gap."""
        for first, last in _runs(self.known):
            cuts = [first, *(first + np.flatnonzero(self.broken[first : last + 1])), last + 1]
            yield from ((int(a), int(b)) for a, b in itertools.pairwise(cuts) if b > a)

    def fixations(self, runs: list[tuple[int, int]], min_duration_ms: float, observer: int) -> Fixations:
        """Average the valid samples of each run (first, last) that lasts long enough."""
        pairs = np.array(runs, dtype=np.int64).reshape(-1, 2)
        counts = np.concatenate([[0], np.cumsum(self.valid)])
        recorded = counts[pairs[:, 1] + 1] - counts[pairs[:, 0]]
        pairs = pairs[(np.diff(self.time[pairs])[:, 0] >= min_duration_ms) & (recorded > 0)]
        first, last = pairs.T

        def mean(values: Floats) -> Floats:
            sums = np.concatenate([[0.0], np.cumsum(np.where(self.valid, values, 0.0))])
            return np.asarray((sums[last + 1] - sums[first]) / (counts[last + 1] - counts[first]))

        duration = self.time[last] - self.time[first]
        return Fixations(mean(self.x), mean(self.y), np.full(len(first), observer), duration, onset=self.time[first])


def _recorded(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Return a mask of the samples that are places, and tell how many are codes for missing data."""
    code = missing_codes(x, y)
    if code.any():
        warnings.warn(
            f"{code.sum()} of {len(x)} samples are codes for missing data, such as (0, 0), and are left out; write NaN "
            "where the tracker lost the eye",
            SalzooWarning,
            stacklevel=4,
        )
    return np.asarray(np.isfinite(x) & np.isfinite(y) & ~code)


def _refuse_other_units(time: Floats, x: Floats, y: Floats, screen: Screen) -> None:
    """Raise if time is not in milliseconds (trackers take 5 to 10,000 samples a second) or places not in pixels."""
    step = float(np.median(np.diff(time))) if len(time) > 1 else 1.0
    if not 0.1 <= step <= 200:
        unit = "seconds: multiply them by 1000" if step < 0.1 else "micro- or nanoseconds: divide them"
        raise DataError(
            f"time must be in milliseconds, but from one sample to the next it grows by {step:g}, which would be "
            f"{1000 / step:g} samples a second; these seem to be {unit}"
        )
    if len(x) >= 20 and screen.width_px > 20 and np.quantile(np.maximum(abs(x), abs(y)), 0.9) <= 1.1:
        raise DataError(
            f"x and y must be in pixels of the screen, but most lie between {min(x.min(), y.min()):.3g} and "
            f"{max(x.max(), y.max()):.3g}, as fractions do: multiply them by its width ({screen.width_px:g}) and height"
        )


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first and last index of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]


def _speed(time: Floats, x: Floats, y: Floats, half_window: float) -> Floats:
    """Return pixels a second over a centred window, cut at both ends."""
    here = np.arange(len(time))
    # A hundredth of the step more, so that rounding does not cost a sample.
    reach = half_window + 0.01 * (float(np.median(np.diff(time))) if len(time) > 1 else 1.0)
    before = np.minimum(np.searchsorted(time, time - reach), np.maximum(here - 1, 0))
    after = np.maximum(np.searchsorted(time, time + reach, side="right") - 1, np.minimum(here + 1, len(time) - 1))
    seconds = (time[after] - time[before]) / 1000
    distance = np.hypot(x[after] - x[before], y[after] - y[before])
    return np.divide(distance, seconds, out=np.zeros_like(distance), where=seconds > 0)


def _compact(time: Floats, x: Floats, y: Floats, limit: float, min_duration: float) -> Iterator[tuple[int, int]]:
    """Yield first and last sample of each maximal window whose dispersion is within `limit` pixels."""
    if len(time) < 2:
        return
    # The window that must fit: as many samples as the least duration takes at this tracker's rate.
    count = min(len(time), int(np.ceil(min_duration / np.median(np.diff(time)) - 1e-6)) + 1)
    windows = [np.lib.stride_tricks.sliding_window_view(values, count) for values in (x, y)]
    fits = np.flatnonzero(sum(np.ptp(window, axis=1) for window in windows) <= limit)
    start = 0
    while (place := int(np.searchsorted(fits, start))) < len(fits):
        first = int(fits[place])
        last = _grown(x, y, first, count, limit)
        yield first, last
        start = last + 1


def _grown(x: Floats, y: Floats, first: int, count: int, limit: float) -> int:
    """Return the last sample up to which all from `first` on stay within `limit`; looks twice as far each time."""
    while True:
        ends = slice(first, first + 2 * count)
        spread = sum(np.maximum.accumulate(v[ends]) - np.minimum.accumulate(v[ends]) for v in (x, y))
        inside = int(np.searchsorted(np.asarray(spread), limit, side="right"))  # spread only rises
        if inside < 2 * count or first + 2 * count >= len(x):
            return first + inside - 1
        count *= 2


def _above_zero(**thresholds: float) -> None:
    for name, value in thresholds.items():
        if not value > 0:
            raise SpecError(f"{name} must be above 0, got {value}")
