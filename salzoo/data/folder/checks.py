"""Tests for coordinates and times that were misread: other units, another origin, swapped axes, samples of gaze.

Pure functions of the points of a whole study; the callers decide whether to warn or to refuse. Each goes by quantiles
or shares, so that a few odd points neither raise nor calm a suspicion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from salzoo.data.fixations import Floats
from salzoo.data.folder.options import TimeUnit

SECOND: dict[TimeUnit, float] = {"s": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
"""Milliseconds in each unit of time."""


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
    """Return whether x and y are whole numbers from 1 up to the width or the height, as in MATLAB.

    A fiftieth of the points, and always one, may lie outside that. More than one point at 0 speaks against it, unless
    points at the width or the height are ten times as many.
    """
    known = ~(np.isnan(x) | np.isnan(y))
    x, y, width, height = x[known], y[known], width[known], height[known]
    odd = (x < 1) | (y < 1) | (x > width) | (y > height) | (x % 1 != 0) | (y % 1 != 0)
    if not len(x) or odd.sum() > max(1, 0.02 * len(x)) or odd.all():
        return False
    first = int(((x == 0) | (y == 0)).sum())
    last = int(((x == width) | (y == height)).sum())
    return last > 0 and first <= max(1, 0.1 * last)


def recurring_corner(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Return a mask of the points at a place that is no place where people look, but what a tracker writes instead.

    It recurs exactly, in at least 2 % of the rows and five times as often as every other place, and hardly any point
    lies beyond it, in x and in y. None is NaN.
    """
    none = np.zeros(len(x), dtype=np.bool_)
    places, counts = np.unique(x + 1j * y, return_counts=True)
    if len(places) < 5:
        return none
    often = int(np.argmax(counts))
    if counts[often] < max(5, 0.02 * len(x), 5 * np.delete(counts, often).max()):
        return none
    here = np.asarray((x == places[often].real) & (y == places[often].imag))
    for values in (x, y):
        at, rest = values[here][0], values[~here]
        if min((rest < at).mean(), (rest > at).mean()) >= 0.02:
            return none
    return here


def other_units(x: Floats, y: Floats, width: Floats, height: Floats) -> str | None:
    """Return what the numbers seem to be instead of pixels counted from a corner; None if they may be pixels.

    Args:
        x: As given, one a point.
        y: Likewise.
        width: Of the image, or of the screen if x and y are said to be on it.
        height: Likewise.

    Returns:
        One of the units that `units` accepts, "norm" also for "height"; "degrees" for any other small numbers.
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y, w, h = x[known], y[known], width[known], height[known]
    if len(x) < 2 or min(np.median(w), np.median(h)) <= 4:
        return None
    low, high = (np.array([_quantile(values, q) for values in (x, y)]) for q in (0.1, 0.9))
    size, reach = np.array([np.median(w), np.median(h)]), np.maximum(np.abs(low), np.abs(high))
    if (reach <= 1.1).all():
        return "fractions" if (low >= -0.1).all() else "norm"
    if len(x) >= 8 and (reach < 0.12 * size).all():
        return "degrees"
    if len(x) < 20:
        return None
    middle = np.array([np.median(x / w), np.median(y / h)])
    off = np.abs(middle - 0.5).max()
    if off > 0.08 and (low < -0.1 * size).all() and (high > 0.1 * size).all() and (np.abs(middle) < 0.15).all():
        return "centred"
    percent = np.array([np.median(x), np.median(y)]) / 100
    spread = (high - low).max() >= 20
    fits = spread and (low >= 0).all() and (high <= 100).all() and np.abs(percent - 0.5).max() < 0.08
    return "percent" if fits and off > 0.17 and len(x) >= 40 else None


def middle(x: Floats, y: Floats, width: Floats, height: Floats, image: NDArray[np.int64]) -> tuple[float, float] | None:
    """Return where the points inside are on average, as fractions of the image, if that is far from the middle.

    People look at the middle on average; no set that salzoo reads is further from it than 7 % of the width or height.
    "Far" is 8 %, beyond what the differences between the images explain, of at least 50 points on four images.

    Args:
        x: 0-based pixels of the images, one a point.
        y: Likewise.
        width: Of each point's image.
        height: Likewise.
        image: Number of each point's image.
    """
    known = np.isfinite(x) & np.isfinite(y) & ~outside(x, y, width, height)
    _, number = np.unique(image[known], return_inverse=True)
    count = np.bincount(number)
    if known.sum() < 50 or len(count) < 4:
        return None
    place, error = [], []
    for values in ((x[known] + 0.5) / width[known], (y[known] + 0.5) / height[known]):
        mean = np.bincount(number, values) / count
        place.append(float(values.mean()))
        error.append(max(float(each.std(ddof=1)) / np.sqrt(len(each)) for each in (mean, values)))
    off = [abs(at - 0.5) > max(0.08, 5 * wide) for at, wide in zip(place, error, strict=True)]
    return (place[0], place[1]) if any(off) else None


def off_the_middle(place: tuple[float, float]) -> str:
    """Return the doubt that `middle` raises, as a sentence."""
    return (
        f"the mean fixation is {place[0]:.0%} from the left and {place[1]:.0%} from the top; people look at the middle "
        "on average (50 %): was the image smaller than the screen (screen, offset, scale in study.json), or does y "
        "count from the bottom (y_from_bottom)?"
    )


def wrong_time(duration: Floats) -> str | None:
    """Return what durations that should be milliseconds seem to be instead: a unit of time, or "samples".

    The median fixation lasts 100 to 500 ms; anything from 10 ms to 10 s is let pass.
    """
    known = duration[np.isfinite(duration) & (duration > 0)]
    if not len(known) or 10 <= (median := float(np.median(known))) <= 10_000:
        return None
    return next((unit for unit, factor in SECOND.items() if 50 <= median * factor <= 5000), "samples")


def onset_unit(timestamp: Floats, duration: Floats, group: NDArray[np.int64]) -> TimeUnit | None:
    """Return the unit in which timestamps are when fixations began; None if they may be anything else.

    From one onset to the next is the duration, in ms, and a saccade: the median is from 0.9 to 5 times the duration.
    Units differ by a thousand, so at most one fits. Whole numbers are no seconds, but the numbers of fixations.

    Args:
        timestamp: In the order of time within each group.
        duration: Milliseconds.
        group: Number of the observer and the image.
    """
    same = group[1:] == group[:-1]
    share = np.diff(timestamp)[same] / duration[:-1][same]
    if not (share := share[np.isfinite(share)]).size:
        return None
    whole = bool((timestamp == np.floor(timestamp)).all())
    units = (unit for unit, factor in SECOND.items() if 0.9 <= float(np.median(share)) * factor <= 5)
    return next((unit for unit in units if not (unit == "s" and whole)), None)


def raw_samples(x: Floats, y: Floats, group: NDArray[np.int64], size: float) -> bool:
    """Return whether rows seem to be samples of gaze and no fixations: many, each close to the one before.

    Args:
        x: Pixels, in the order of time.
        y: Likewise.
        group: Number of each row's observer on an image; 100 rows each are many.
        size: Usual width of an image; 2 % of it are close.
    """
    if not len(group) or np.median(np.unique(group, return_counts=True)[1]) < 100:
        return False
    same = group[1:] == group[:-1]
    step = np.hypot(np.diff(x), np.diff(y))[same]
    return bool(len(step)) and float(np.nanmedian(step)) < 0.02 * size


def _quantile(values: Floats, q: float) -> float:
    """Return a value of the sample at least a tenth of the way from its ends, so that one odd value does not count."""
    count = len(values) - 1
    place = int(np.ceil(q * count)) if q < 0.5 else int(np.floor(q * count))
    return float(np.partition(values, place)[place])
