"""Scanpaths as strings, one letter a bin of the image: ScanMatch and string edit."""

from __future__ import annotations

import numpy as np

from salzoo.errors import DataError, SpecError
from salzoo.images.geometry import Size
from salzoo.metrics.scanpaths._paths import (
    Floats,
    Padded,
    Paths,
    both,
    cells,
    check_size,
    distances,
    each_once,
    padded,
    pairs,
    ratio,
)
from salzoo.metrics.scanpaths._tables import fill


def scan_match(
    a: Paths,
    b: Paths,
    size: Size,
    *,
    bins: Size = (12, 16),
    threshold: float = 3.5,
    gap: float = 0.0,
    bin_ms: float | None = None,
) -> Floats:
    """Compare scanpaths by ScanMatch (Cristino et al. 2010): the alignment of their strings by Needleman and Wunsch.

    Two letters score `threshold` minus the distance of their bins, a letter without a partner `gap`; the best sum is
    divided by `threshold` times the length of the longer string, so that equal paths have 1.

    Args:
        a: One scanpath or several: `Scanpath`s, or arrays (n, 2) of x and y in pixels or (n, 3) with the duration.
        b: As many, pair by pair; a single one is compared with each of the others.
        size: Height and width of the image in pixels.
        bins: Rows and columns of bins; the authors' toolbox has (8, 12), Chen et al. (CVPR 2021) (12, 16).
        threshold: Distance in bins up to which two letters are better than a gap.
        gap: Score of a gap, 0 or negative.
        bin_ms: Repeat each letter once for so many milliseconds of its duration, rounded (the toolbox has 50); None
            leaves durations out.

    Returns:
        (N,) scores; without negative `gap` from 0. NaN where a string has no letter.

    Raises:
        DataError: If a path is no such array, their numbers differ, or `bin_ms` is given and a duration is not known.
        SpecError: If size, threshold, gap, bins or bin_ms is out of range.

    Example:
        >>> path = np.array([[100, 100], [300, 150], [320, 400]])
        >>> scan_match(path, path[::-1], (600, 800)).round(3).tolist()
        [0.333]
    """
    check_size(size)
    _check(bins, threshold=threshold, bin_ms=bin_ms)
    if not gap <= 0:
        raise SpecError(f"gap={gap} must be 0 or negative: what a letter without a partner scores")
    first, second = (_strings(paths, size, bins, bin_ms) for paths in pairs(a, b))
    score = threshold - distances(first, second)
    table = _borders(first, second, gap)
    fill(table, score, lambda s, corner, up, left: np.maximum(corner + s, np.maximum(up, left) + gap))
    best = table[np.arange(len(table)), first.length, second.length]
    return _share(best / threshold, first, second)


def string_edit(a: Paths, b: Paths, size: Size, *, bins: Size = (5, 5)) -> Floats:
    """Compare scanpaths by string edit: 1 minus the Levenshtein distance of their strings as a share of the longer one.

    Foulsham and Underwood 2008 have 5 x 5 bins. FixaTons counts transpositions too and returns the distance itself.

    Args:
        a: One scanpath or several: `Scanpath`s, or arrays (n, 2) of x and y in pixels or (n, 3) with the duration.
        b: As many, pair by pair; a single one is compared with each of the others.
        size: Height and width of the image in pixels.
        bins: Rows and columns of bins.

    Returns:
        (N,) scores from 0 to 1, equal strings. NaN where a path is empty.

    Raises:
        DataError: If a path is no such array, or their numbers differ.
        SpecError: If the size is not above 0, or bins are not at least 1.

    Example:
        >>> path = np.array([[100, 100], [300, 150], [320, 400]])
        >>> string_edit(path, path[:2], (600, 800)).round(3).tolist()
        [0.667]
    """
    check_size(size)
    _check(bins)
    first, second = (_strings(paths, size, bins, None) for paths in pairs(a, b))
    differ = (distances(first, second) > 0).astype(np.float64)
    table = _borders(first, second, 1.0)
    fill(table, differ, lambda d, corner, up, left: np.minimum(corner + d, np.minimum(up, left) + 1))
    edits = table[np.arange(len(table)), first.length, second.length]
    return 1 - _share(edits, first, second)


def _strings(paths: list[Floats], size: Size, bins: Size, bin_ms: float | None) -> Padded:
    """Return the bin of each letter, as if it were a fixation there."""
    letters = each_once(lambda path: cells(path, size, bins).astype(np.float64), paths)
    if bin_ms is not None:
        letters = [np.repeat(word, _times(path, bin_ms), axis=0) for word, path in zip(letters, paths, strict=True)]
    return padded(letters)


def _times(path: Floats, bin_ms: float) -> np.typing.NDArray[np.int64]:
    if path.shape[1] < 3 or not (path[:, 2] >= 0).all():
        raise DataError(f"bin_ms={bin_ms} needs the duration of each fixation, (n, 3) in ms; bin_ms=None needs none")
    return np.floor(path[:, 2] / bin_ms + 0.5).astype(np.int64)


def _borders(a: Padded, b: Padded, gap: float) -> Floats:
    n, m = a.xy.shape[1], b.xy.shape[1]
    table = np.zeros((len(a.xy), n + 1, m + 1))
    table[:, :, 0], table[:, 0, :] = gap * np.arange(n + 1), gap * np.arange(m + 1)
    return table


def _share(values: Floats, a: Padded, b: Padded) -> Floats:
    """Return values as shares of the longer length; NaN where a string is empty."""
    return ratio(values, np.where(both(a, b), np.maximum(a.length, b.length), 0))


def _check(bins: Size, threshold: float = 1.0, bin_ms: float | None = None) -> None:
    if min(bins) < 1:
        raise SpecError(f"bins={bins} must be at least 1 in rows and columns")
    if not threshold > 0:
        raise SpecError(f"threshold={threshold} must be above 0: the distance in bins that scores nothing")
    if bin_ms is not None and not bin_ms > 0:
        raise SpecError(f"bin_ms={bin_ms} must be above 0 milliseconds; None leaves durations out")
