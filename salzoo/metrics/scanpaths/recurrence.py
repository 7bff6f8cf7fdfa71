"""Recurrence: how often a scanpath comes back to where it, or another one, has been, and in which order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from salzoo.metrics.scanpaths._paths import (
    Floats,
    Padded,
    Paths,
    check_argument,
    distances,
    listed,
    padded,
    pairs,
    ratio,
)

Booleans = NDArray[np.bool_]


class Recurrence(NamedTuple):
    """Measures of scanpaths or of pairs, (N,) each, in percent; NaN where they are not defined."""

    recurrence: Floats
    determinism: Floats
    laminarity: Floats
    corm: Floats


def recurrence(paths: Paths, radius: float, *, line: int = 2) -> Recurrence:
    """Measure how a scanpath recurs (Anderson et al. 2013, "Recurrence quantification analysis of eye movements").

    Fixations i < j recur if they are at most `radius` apart; R is the number of recurrent pairs.

    - recurrence: R as a share of all pairs.
    - determinism: share of R on diagonal lines of at least `line` pairs: places that are visited again in their order.
    - laminarity: share of R on vertical and on horizontal lines, averaged: places that are looked at in detail.
    - corm, centre of recurrence mass: mean distance j - i of recurrent pairs, as a share of the path's n - 1.

    A line is an unbroken run. Much used code counts all recurrent pairs of a diagonal that has two anywhere.

    Args:
        paths: One scanpath or several: `Scanpath`s, or arrays (n, 2) of x and y.
        radius: In the unit of the coordinates; Anderson et al. have 64 pixels, about two degrees.
        line: Smallest number of pairs of a line.

    Returns:
        One value a path. NaN for paths of fewer than 2 fixations; without a recurrent pair recurrence is 0 and the
        others are NaN.

    Raises:
        DataError: If a path is no such array.
        SpecError: If radius or line is out of range.

    Example:
        >>> there_and_back = [[0, 0], [50, 0], [0, 0], [50, 0]]
        >>> np.ravel(recurrence(there_and_back, radius=5)).round(1).tolist()
        [33.3, 100.0, 0.0, 66.7]
    """
    _check(radius, line)
    path = padded(listed(paths, "paths"))
    n = path.xy.shape[1]
    upper = np.triu(np.ones((n, n), dtype=bool), 1)
    near = (distances(path, path) <= radius) & _cells(path, path) & upper
    return _measures(near, path.length, path.length * (path.length - 1) / 2, line)


def cross_recurrence(a: Paths, b: Paths, radius: float, *, line: int = 2) -> Recurrence:
    """Measure how one scanpath recurs in another (Anderson et al. 2015, "A comparison of scanpath comparison methods").

    As `recurrence`, for all pairs of a fixation i of `a` and j of `b`: recurrence is their share of n^2, and corm the
    mean of j - i as a share of n - 1: positive if `b` comes later. The longer path is cut to the length n of the other.

    Args:
        a: One scanpath or several: `Scanpath`s, or arrays (n, 2) of x and y.
        b: As many, pair by pair; a single one is compared with each of the others.
        radius: In the unit of the coordinates.
        line: Smallest number of pairs of a line.

    Returns:
        One value a pair. NaN where a path is empty; without a recurrent pair recurrence is 0 and the others are NaN.

    Raises:
        DataError: If a path is no such array, or their numbers differ.
        SpecError: If radius or line is out of range.

    Example:
        >>> path = [[0, 0], [50, 0], [90, 0]]
        >>> np.ravel(cross_recurrence(path, path, radius=5)).round(1).tolist()
        [33.3, 100.0, 0.0, 0.0]
    """
    _check(radius, line)
    first, second = pairs(a, b)
    shorter = [min(len(one), len(other)) for one, other in zip(first, second, strict=True)]
    pa, pb = (padded([path[:n] for path, n in zip(side, shorter, strict=True)]) for side in (first, second))
    return _measures((distances(pa, pb) <= radius) & _cells(pa, pb), pa.length, pa.length.astype(float) ** 2, line)


def _measures(near: Booleans, length: NDArray[np.int64], possible: Floats, line: int) -> Recurrence:
    """Measure matrices (N, n, n) of recurrent pairs."""
    found = near.sum((1, 2))
    n = near.shape[1]
    later = (near * (np.arange(n) - np.arange(n)[:, None])).sum((1, 2))
    flat = _on_lines(near, 0, 1, line) + _on_lines(near, 1, 0, line)
    return Recurrence(
        100 * ratio(found, possible),
        100 * ratio(_on_lines(near, 1, 1, line), found),
        100 * ratio(flat, 2 * found),
        100 * ratio(later, found * (length - 1)),
    )


def _on_lines(near: Booleans, down: int, right: int, line: int) -> NDArray[np.int64]:
    """Return how many points of each matrix are in an unbroken run of at least `line` in one direction."""
    n = near.shape[1]
    reach = max(n - line + 1, 0)
    begins = np.ones((len(near), n - down * (n - reach), n - right * (n - reach)), dtype=bool)
    spans = [
        np.s_[:, down * k : down * k + begins.shape[1], right * k : right * k + begins.shape[2]] for k in range(line)
    ]
    for span in spans if reach else []:
        begins &= near[span]
    on = np.zeros_like(near)
    for span in spans if reach else []:
        on[span] |= begins
    return np.asarray(on.sum((1, 2)))


def _cells(a: Padded, b: Padded) -> Booleans:
    return np.asarray(a.there[:, :, None] & b.there[:, None])


def _check(radius: float, line: int) -> None:
    check_argument("radius", radius, 0, 1e6, "how near two places are one, in the unit of the coordinates")
    check_argument("line", line, 2, 1e6, "pairs of a line, which a single one is not", whole=True)
