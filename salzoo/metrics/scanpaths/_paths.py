"""Scanpaths as padded arrays: what all functions here begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from salzoo._schema import shown
from salzoo.errors import DataError, SpecError
from salzoo.images.arrays import plain_array
from salzoo.images.geometry import Size

T = TypeVar("T")
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Paths = Any
"""One scanpath or a sequence of them: arrays (n, 2) of x and y or (n, 3) with the duration, or `Scanpath`s."""


@dataclass(frozen=True)
class Padded:
    """N scanpaths of up to T fixations; what a shorter one does not have is 0.

    Args:
        xy: (N, T, 2).
        duration: (N, T); NaN throughout a path whose durations are not known.
        length: (N,) number of fixations.
    """

    xy: Floats
    duration: Floats
    length: Integers

    @property
    def there(self) -> NDArray[np.bool_]:
        """(N, T): whether there is such a fixation."""
        return np.asarray(np.arange(self.xy.shape[1]) < self.length[:, None])


def listed(paths: Paths, name: str, *, gaps: bool = False) -> list[Floats]:
    """Return each path as float64 (n, 2) or (n, 3).

    Args:
        paths: One or several.
        name: What an error calls them.
        gaps: Whether places may be NaN, where the eye was lost.

    Raises:
        DataError: If one has another shape, or a place that is not finite.
    """
    if not hasattr(paths, "points") and not hasattr(paths, "__len__"):
        raise DataError(f"{name} is no scanpath, nor a list of them, but {paths!r}; pass (n, 2) with x and y in pixels")
    single = hasattr(paths, "points") or getattr(paths, "ndim", 0) == 2 or (len(paths) and np.ndim(paths[0]) == 1)
    return each_once(lambda path: _array(path, name, gaps=gaps), [paths] if single else list(paths))


def each_once(change: Callable[[Any], T], paths: list[Any]) -> list[T]:
    """Return what becomes of each path, worked out once for those that are there many times, as in all pairs of few."""
    changed = {key: change(path) for key, path in {id(path): path for path in paths}.items()}
    return [changed[id(path)] for path in paths]


def padded(paths: Sequence[Floats]) -> Padded:
    """Return paths of `listed` as one array."""
    longest = max(map(len, paths), default=0)
    whole = np.zeros((len(paths), longest, 3))
    for row, path in zip(whole, paths, strict=True):
        row[: len(path), : path.shape[1]] = path
        row[: len(path), path.shape[1] :] = np.nan
    return Padded(whole[..., :2], whole[..., 2], np.array([len(path) for path in paths], dtype=np.int64))


def pairs(a: Paths, b: Paths) -> tuple[list[Floats], list[Floats]]:
    """Return as many paths on either side; a single one is compared with each of the others.

    Raises:
        DataError: If neither is single and their numbers differ, or a path has another shape or is not finite.
    """
    first, second = listed(a, "a"), listed(b, "b")
    if len(first) != len(second) and 1 not in (len(first), len(second)):
        raise DataError(
            f"a has {len(first)} scanpaths and b has {len(second)}; pass as many of both, pair by pair, or one of one"
        )
    count = 0 if not first or not second else max(len(first), len(second))
    return first * (count if len(first) == 1 else 1), second * (count if len(second) == 1 else 1)


def pairs_on(size: Size, a: Paths, b: Paths) -> tuple[list[Floats], list[Floats]]:
    """Return what `pairs` does, of paths on an image of a size.

    Raises:
        DataError: As `pairs`.
        SpecError: If the size is not a height and a width, or every fixation is farther from such an image than that is
            large: then it is another image's, or the coordinates are not in pixels.
    """
    check_size(size)
    first, second = pairs(a, b)
    places = np.concatenate([np.zeros((0, 2)), *(path[:, :2] for path in (*first, *second))])
    height, width = size
    if len(places) and (np.abs(places / [width, height] - 0.5) > 1.5).any(1).all():
        x, y = places[0]
        raise SpecError(
            f"size={shown(size)} is not accepted: all fixations are far from such an image, the first at x={x:g}, "
            f"y={y:g}; pass its (height, width) in the unit of the coordinates, pixels"
        )
    return first, second


def distances(a: Padded, b: Padded) -> Floats:
    """Return the Euclidean distance of each fixation of `a` to each of `b`, (N, n, m)."""
    return np.asarray(np.linalg.norm(a.xy[:, :, None] - b.xy[:, None], axis=-1))


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Return quotients; NaN where the divisor is 0."""
    quotient = np.full(len(part), np.nan)
    np.divide(part, whole, out=quotient, where=whole != 0)
    return quotient


def both(a: Padded, b: Padded) -> NDArray[np.bool_]:
    """Return (N,): whether neither path of a pair is empty."""
    return np.asarray(np.minimum(a.length, b.length) > 0)


def check_argument(
    name: str, value: Any, low: float, high: float, meaning: str, *, whole: bool = False, pair: bool = False
) -> None:
    """Check the range of an argument of a metric.

    Args:
        name: Name of the argument.
        value: What the caller gave.
        low: Lowest that is accepted.
        high: Highest.
        meaning: What it is, for the message.
        whole: Accept whole numbers alone.
        pair: Accept two of them, in a sequence.

    Raises:
        SpecError: Naming the value and what is accepted, if it is no such number.
    """
    several = pair and isinstance(value, Sequence | np.ndarray) and len(value) == 2
    numbers = list(value) if several else [None if pair else value]
    kind: Any = Integral if whole else Real
    if not all(isinstance(each, kind) and not isinstance(each, bool) and low <= each <= high for each in numbers):
        accepted = f"{'two' if pair else 'a'} {'whole ' * whole}number{'s' * pair} from {low:g} to {high:g}"
        raise SpecError(f"{name}={shown(value)} is not accepted: {accepted}, {meaning}")


def check_size(size: Size) -> None:
    """Check the size of an image.

    Raises:
        SpecError: If it is not a height and a width.
    """
    check_argument("size", size, 1, 1e6, "(height, width) of the image in pixels", pair=True)


def cells(path: Floats, size: Size, bins: Size) -> Integers:
    """Return the bin (row, column) of each fixation, (n, 2); beyond the border it is in the nearest bin.

    A pixel's centre has an integer coordinate, so the left border of an image is at -0.5.
    """
    height, width = size
    rows, columns = bins
    where = np.stack([(path[:, 1] + 0.5) * rows / height, (path[:, 0] + 0.5) * columns / width], axis=1)
    return np.clip(np.floor(where), 0, [rows - 1, columns - 1]).astype(np.int64)


def _array(path: Any, name: str, *, gaps: bool) -> Floats:
    array = plain_array(getattr(path, "points", path), f"a scanpath of {name}")
    if array.ndim != 2 or array.shape[1] not in (2, 3):
        raise DataError(
            f"a scanpath of {name} has shape {array.shape}; pass (n, 2) with x and y in pixels, or (n, 3) with the "
            "duration in milliseconds too"
        )
    try:
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"a scanpath of {name} is not of numbers: {error}") from error
    if not gaps and not np.isfinite(array[:, :2]).all():
        raise DataError(
            f"a scanpath of {name} has a place that is not finite; leave such fixations out: path[isfinite(path[:, 0])]"
        )
    wrong = [ms for ms in array[:, 2:].flat if ms < 0 or np.isinf(ms)]
    if wrong:
        raise DataError(f"a scanpath of {name} has a duration of {wrong[0]:g} ms; pass at least 0, nan if not known")
    return array
