"""Distances of scanpaths as curves: dynamic time warping, discrete Frechet, and time-delay embedding."""

from __future__ import annotations

import numpy as np

from salzoo.images.geometry import Size
from salzoo.metrics.scanpaths._paths import Floats, Padded, Paths, both, distances, padded, pairs, pairs_on, ratio
from salzoo.metrics.scanpaths._tables import corner, fill


def dtw(a: Paths, b: Paths) -> Floats:
    """Return the mean distance along the warping path that has the smallest sum of distances (Sakoe and Chiba 1978).

    Both paths are run through from first to last, each fixation paired with at least one. Dividing by the number of
    pairs (of equally good ways, the one with fewest) makes paths of different lengths comparable.

    Args:
        a: One scanpath or several: `Scanpath`s, or arrays (n, 2) of x and y.
        b: As many, pair by pair; a single one is compared with each of the others.

    Returns:
        (N,) distances in the unit of the coordinates, 0 for equal paths. NaN where one is empty.

    Raises:
        DataError: If a path is no such array, or their numbers differ.

    Example:
        >>> dtw([[0, 0], [10, 0]], [[0, 0], [0, 3], [10, 0]]).tolist()
        [1.0]
    """
    first, second = (padded(paths) for paths in pairs(a, b))
    cost = distances(first, second)
    table = corner(cost.shape[1], cost.shape[2], 2, len(cost))  # sums of distances, and numbers of pairs
    fill(table, cost, _shortest_of_cheapest)
    total, steps = table[:, np.arange(len(cost)), first.length, second.length]
    return ratio(total, np.where(both(first, second), steps, 0))


def frechet(a: Paths, b: Paths) -> Floats:
    """Return the discrete Frechet distance (Eiter and Mannila 1994): the largest distance along the best pairing.

    Args:
        a: One scanpath or several: `Scanpath`s, or arrays (n, 2) of x and y.
        b: As many, pair by pair; a single one is compared with each of the others.

    Returns:
        (N,) distances in the unit of the coordinates, 0 for equal paths. NaN where one is empty.

    Raises:
        DataError: If a path is no such array, or their numbers differ.

    Example:
        >>> frechet([[0, 0], [10, 0]], [[0, 0], [0, 3], [10, 0]]).tolist()
        [3.0]
    """
    first, second = (padded(paths) for paths in pairs(a, b))
    cost = distances(first, second)
    table = fill(corner(cost.shape[1], cost.shape[2], len(cost)), cost, _smallest_largest)
    reached = table[np.arange(len(cost)), first.length, second.length]
    return np.where(both(first, second), reached, np.nan)


def stde(a: Paths, b: Paths, size: Size) -> Floats:
    """Compare scanpaths by scaled time-delay embedding (Wang et al., CVPR 2011), as FixaTons defines it.

    For each k up to the length of the shorter path: the distance (Euclidean, of 2k coordinates) of each k successive
    fixations of `a` to the nearest k successive ones of `b`, divided by k and averaged; exp of minus that. Then the
    mean over k.

    Args:
        a: The model's scanpath or several: `Scanpath`s, or arrays (n, 2) of x and y in pixels. The measure is not
            symmetric.
        b: A person's, as many, pair by pair; a single one is compared with each of the others.
        size: Height and width of the image in pixels; coordinates are divided by the larger.

    Returns:
        (N,) scores from 0 to 1, where `a` is part of `b`. NaN where a path is empty.

    Raises:
        DataError: If a path is no such array, or their numbers differ.
        SpecError: If the size is not a height and a width, or all fixations are far from such an image.

    Example:
        >>> path = np.array([[100, 100], [300, 150], [320, 400]])
        >>> stde(path, path + [80, 0], (600, 800)).round(3).tolist()
        [0.927]
    """
    first, second = (padded(paths) for paths in pairs_on(size, a, b))
    square = (distances(first, second) / max(size)) ** 2
    total, count = np.zeros(len(square)), np.minimum(first.length, second.length)
    windows = np.zeros((len(square), square.shape[1] + 1, square.shape[2] + 1))
    for k in range(1, count.max(initial=0) + 1):
        windows = windows[:, :-1, :-1] + square[:, k - 1 :, k - 1 :]
        of_a, of_b = (np.arange(n) + k <= side.length[:, None] for n, side in _sides(windows, first, second))
        nearest = np.sqrt(np.where(of_b[:, None], windows, np.inf).min(2)) / k
        mean = np.where(of_a, nearest, 0).sum(1) / np.maximum(of_a.sum(1), 1)
        total += np.where(k <= count, np.exp(-mean), 0)
    return ratio(total, count)


def _sides(windows: Floats, a: Padded, b: Padded) -> list[tuple[int, Padded]]:
    return [(windows.shape[1], a), (windows.shape[2], b)]


def _shortest_of_cheapest(cost: Floats, diagonal: Floats, above: Floats, left: Floats) -> Floats:
    totals, steps = np.stack([diagonal, above, left], axis=1)
    least = totals.min(0)
    return np.stack([cost + least, np.where(totals == least, steps, np.inf).min(0) + 1])


def _smallest_largest(cost: Floats, diagonal: Floats, above: Floats, left: Floats) -> Floats:
    return np.maximum(cost, np.minimum(diagonal, np.minimum(above, left)))
