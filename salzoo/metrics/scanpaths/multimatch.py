"""MultiMatch: two scanpaths as sequences of saccades, compared in five ways."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from salzoo.images.geometry import Size
from salzoo.metrics.scanpaths._paths import Floats, Padded, Paths, padded, pairs_on
from salzoo.metrics.scanpaths._tables import cheapest, corner, fill, trace


class MultiMatch(NamedTuple):
    """Similarities of pairs of scanpaths, (N,) each, 1 for equal ones; NaN where they are not defined."""

    shape: Floats
    direction: Floats
    length: Floats
    position: Floats
    duration: Floats


def multimatch(a: Paths, b: Paths, size: Size) -> MultiMatch:
    """Compare scanpaths by MultiMatch (Jarodzka et al. 2010; Dewhurst et al. 2012), without simplification.

    The saccades of one path are aligned with those of the other by the shortest path through the matrix of their vector
    differences (steps right, down, and both). Along it, the median of each difference is taken, divided by its largest
    possible value and subtracted from 1: of the vectors (twice the diagonal), their directions (pi), their lengths and
    the places where they start (the diagonal), and of the durations there, each as a share of the longer one.

    Equal to `docomparison` of the package multimatch-gaze with `grouping=False`, its default.

    Args:
        a: One scanpath or several: `Scanpath`s, or arrays (n, 2) of x and y in pixels or (n, 3) with the duration.
        b: As many, pair by pair; a single one is compared with each of the others.
        size: Height and width of the image in pixels.

    Returns:
        One score a pair. NaN for a path with fewer than 3 fixations; duration is NaN where durations are not known. A
        saccade of length 0 counts as one to the right.

    Raises:
        DataError: If a path is no such array, or their numbers differ.
        SpecError: If the size is not a height and a width, or all fixations are far from such an image.

    Example:
        >>> path = np.array([[100, 100], [300, 150], [320, 400]])
        >>> multimatch(path, path + 50, (600, 800)).position.round(3).tolist()
        [0.929]
    """
    first, second = pairs_on(size, a, b)
    scores = np.full((5, len(first)), np.nan)
    known = [k for k, pair in enumerate(zip(first, second, strict=True)) if min(map(len, pair)) >= 3]
    if known:
        pa, pb = padded([first[k] for k in known]), padded([second[k] for k in known])
        scores[:, known] = _similarities(pa, pb, float(np.hypot(*size)))
    return MultiMatch(*scores)


def _similarities(a: Padded, b: Padded, diagonal: float) -> Floats:
    """Return (5, N) for paths of at least 3 fixations."""
    va, vb = np.diff(a.xy, axis=1)[:, :, None], np.diff(b.xy, axis=1)[:, None]
    vectors = np.linalg.norm(va - vb, axis=-1)
    table = fill(corner(vectors.shape[1], vectors.shape[2], len(vectors)), vectors, cheapest)
    aligned = trace(table, a.length - 1, b.length - 1)
    turn = np.abs(_angle(va) - _angle(vb))
    lengths = np.abs(np.linalg.norm(va, axis=-1) - np.linalg.norm(vb, axis=-1))
    places = np.linalg.norm(a.xy[:, :-1, None] - b.xy[:, None, :-1], axis=-1)
    da, db = a.duration[:, :-1, None], b.duration[:, None, :-1]
    longer = np.maximum(da, db)
    durations = np.divide(np.abs(da - db), longer, out=np.zeros_like(longer), where=longer != 0)
    differences = {
        "shape": vectors / (2 * diagonal),
        "direction": np.minimum(turn, 2 * np.pi - turn) / np.pi,
        "length": lengths / diagonal,
        "position": places / diagonal,
        "duration": durations,
    }
    return np.stack([1 - _median(each, aligned) for each in differences.values()])


def _angle(vector: Floats) -> Floats:
    return np.asarray(np.arctan2(vector[..., 1], vector[..., 0]))


def _median(values: Floats, of: np.typing.NDArray[np.bool_]) -> Floats:
    """Return the median of the marked values (N, n, m) of each pair; NaN if one of them is."""
    flat = np.where(of, values, np.inf).reshape(len(values), -1)
    flat.sort(axis=1)  # NaN goes last
    count = of.reshape(len(of), -1).sum(1)
    each = np.arange(len(flat))
    middle = (flat[each, (count - 1) // 2] + flat[each, count // 2]) / 2
    return np.where((of & np.isnan(values)).any((1, 2)), np.nan, middle)
