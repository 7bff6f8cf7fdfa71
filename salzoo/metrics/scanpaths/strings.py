"""Scanpaths as strings, one letter a bin of the image: ScanMatch and string edit."""

from __future__ import annotations

import numpy as np

from salzoo.errors import DataError
from salzoo.images.geometry import Size
from salzoo.metrics.scanpaths._paths import (
    Floats,
    Padded,
    Paths,
    both,
    cells,
    check_argument,
    distances,
    each_once,
    padded,
    pairs_on,
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
        bins: Rows and columns of bins, at least 1; the authors' toolbox has (8, 12), Chen et al. (CVPR 2021) (12, 16).
        threshold: Distance in bins up to which two letters are better than a gap, above 0.
        gap: Score of a gap, 0 or negative.
        bin_ms: Repeat each letter once for so many milliseconds of its duration, rounded (the toolbox has 50), at least
            1; None leaves durations out.

    Returns:
        (N,) scores; without negative `gap` from 0. NaN where a string has no letter.

    Raises:
        DataError: If a path is no such array, their numbers differ, or `bin_ms` is given and a duration is not known.
        SpecError: If size, threshold, gap, bins or bin_ms is out of range, or all fixations are far from such an image.

    Example:
        >>> path = np.array([[100, 100], [300, 150], [320, 400]])
        >>> scan_match(path, path[::-1], (600, 800)).round(3).tolist()
        [0.333]
    """
    _check_bins(bins)
    check_argument("threshold", threshold, 1e-3, 1e6, "the distance in bins that scores nothing")
    check_argument("gap", gap, -1e6, 0, "what a letter without a partner scores")
    if bin_ms is not None:
        check_argument("bin_ms", bin_ms, 1, 1e6, "milliseconds of a letter; None leaves durations out")
    first, second = (_strings(paths, size, bins, bin_ms) for paths in pairs_on(size, a, b))
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
        bins: Rows and columns of bins, at least 1.

    Returns:
        (N,) scores from 0 to 1, equal strings. NaN where a path is empty.

    Raises:
        DataError: If a path is no such array, or their numbers differ.
        SpecError: If size or bins are out of range, or all fixations are far from such an image.

    Example:
        >>> path = np.array([[100, 100], [300, 150], [320, 400]])
        >>> string_edit(path, path[:2], (600, 800)).round(3).tolist()
        [0.667]
    """
    _check_bins(bins)
    first, second = (_strings(paths, size, bins, None) for paths in pairs_on(size, a, b))
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


def _check_bins(bins: Size) -> None:
    check_argument("bins", bins, 1, 1e4, "rows and columns of bins of the image", whole=True, pair=True)
