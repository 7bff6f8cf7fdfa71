"""Scores of conditional densities: how well a model says where the next fixation will be, given those before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from salzoo.errors import DataError, ImageError
from salzoo.images.arrays import plain_array
from salzoo.images.geometry import Size
from salzoo.metrics.scanpaths._paths import Floats, check_size

Score = Callable[[Floats, Floats], Floats]
"""Log-densities (n, h, w) and their values at the targets (n,) to scores (n,)."""

_CHUNK = 1 << 19
"""Values of maps that are compared at once: they stay in the cache."""


def conditional_log_likelihood(log_density: Any, targets: Any, size: Size | None = None) -> Floats:
    """Return how many bits a conditional density is better than a uniform one at each next fixation.

    `log2 p(target | past) + log2(number of pixels)`. The mean over fixations, from the second on, is the one score of
    scanpath models that ranks them (Kuemmerer and Bethge 2021, "State-of-the-art in human scanpath prediction"): a
    model that is wrong about where, how far or how surely cannot win it. Average over fixations, not over images. Less
    the scores of the static density, it is the information gain of order.

    Args:
        log_density: (N, h, w) natural logarithms of densities that sum to 1, one a fixation: a tensor or an array;
            (h, w) for one density of all, as a static model has it.
        targets: (N, 2) or (N, 3): x and y of those fixations in pixels of the image.
        size: Height and width of the image, if h and w are those of a coarser grid: each cell then stands for as many
            pixels, with the same density.

    Returns:
        (N,) bits, 0 for a uniform density; -inf where the density is 0. NaN where the target is not known or outside of
        the image.

    Raises:
        ImageError: If these are no log-densities.
        DataError: If targets have another shape, or their number is another.
        SpecError: If the size is not a height and a width.

    Example:
        >>> density = np.array([[0.5, 0.25], [0.125, 0.125]])
        >>> conditional_log_likelihood(np.log(density), [[0, 0], [1, 1]]).round(6).tolist()
        [1.0, -1.0]
    """
    return _scores(log_density, targets, size, _bits)


def conditional_nss(log_density: Any, targets: Any, size: Size | None = None) -> Floats:
    """Return the z-score of each next fixation in its conditional density (normalised scanpath saliency).

    It grows as densities get sharper, also where the likelihood falls: it does not rank models.

    Args:
        log_density: As for `conditional_log_likelihood`.
        targets: Likewise.
        size: Likewise.

    Returns:
        (N,) scores, 0 for a uniform density; NaN where the target is not known or outside of the image.

    Raises:
        ImageError: If these are no log-densities.
        DataError: If targets have another shape, or their number is another.
        SpecError: If the size is not a height and a width.
    """
    return _scores(log_density, targets, size, _z_score)


def conditional_auc(log_density: Any, targets: Any, size: Size | None = None) -> Floats:
    """Return the share of pixels that each next fixation's conditional density puts below it, equal ones counting half.

    This is the area under the ROC curve with all pixels as negatives, as Kuemmerer et al. 2022 (DeepGaze III) have it.
    As NSS, it does not rank models.

    Args:
        log_density: As for `conditional_log_likelihood`.
        targets: Likewise.
        size: Likewise.

    Returns:
        (N,) scores from 0 to 1, 0.5 for a uniform density; NaN where the target is not known or outside of the image.

    Raises:
        ImageError: If these are no log-densities.
        DataError: If targets have another shape, or their number is another.
        SpecError: If the size is not a height and a width.
    """
    return _scores(log_density, targets, size, _rank)


def _bits(maps: Floats, at: Floats) -> Floats:
    return np.asarray((at + np.log(maps[0].size)) / np.log(2))


def _z_score(maps: Floats, at: Floats) -> Floats:
    flat = np.exp(maps).reshape(len(maps), -1)
    mean = 1 / flat.shape[1]  # it sums to 1
    squares = np.einsum("nm,nm->n", flat, flat) / flat.shape[1]
    constant = maps.min((1, 2)) == maps.max((1, 2))
    return (np.exp(at) - mean) / np.where(constant, np.inf, np.sqrt(np.maximum(squares - mean**2, 1e-300)))


def _rank(maps: Floats, at: Floats) -> Floats:
    at = at[:, None, None]
    return np.asarray((np.count_nonzero(maps < at, (1, 2)) + np.count_nonzero(maps <= at, (1, 2))) / (2 * maps[0].size))


def _scores(log_density: Any, targets: Any, size: Size | None, score: Score) -> Floats:
    """Score all targets in the image; the others are NaN."""
    if size is not None:
        check_size(size)
    maps, points = _maps(log_density), _targets(targets)
    if len(maps) not in (1, len(points)):
        raise DataError(
            f"there are {len(maps)} log-densities and {len(points)} targets; pass one for each, or one for all"
        )
    h, w = maps.shape[1:]
    height, width = size or (h, w)
    x, y = (points[:, 0] + 0.5) / width, (points[:, 1] + 0.5) / height  # a pixel's centre has an integer coordinate
    known = np.flatnonzero((x >= 0) & (x < 1) & (y >= 0) & (y < 1))
    rows, columns = (y[known] * h).astype(np.int64), (x[known] * w).astype(np.int64)
    scores, step = np.full(len(points), np.nan), max(1, _CHUNK // (h * w))
    for start in range(0, len(known), step):
        part = np.s_[start : start + step]
        seen = maps if len(maps) == 1 else maps[known[part]]
        at = maps[0 if len(maps) == 1 else known[part], rows[part], columns[part]].astype(np.float64)
        scores[known[part]] = score(seen, at)
    return scores


def _maps(log_density: Any) -> Floats:
    maps = plain_array(log_density, "log_density")
    maps = maps if maps.dtype == np.float32 else maps.astype(np.float64, copy=False)
    maps = maps[None] if maps.ndim == 2 else maps
    if maps.ndim != 3 or 0 in maps.shape[1:]:
        raise ImageError(f"log_density must have shape (N, h, w) or (h, w), got {maps.shape}")
    with np.errstate(over="ignore"):
        sums = [float(np.exp(each).sum()) for each in maps]
    if wrong := [total for total in sums if not abs(total - 1) < 1e-3]:
        raise ImageError(
            f"exp(log_density) sums to {wrong[0]:.4g}, not to 1: are these logits, or a density? Apply log_softmax "
            "over all pixels, or take the logarithm"
        )
    return maps


def _targets(targets: Any) -> Floats:
    points = plain_array(targets, "targets").astype(np.float64)
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise DataError(f"targets must have shape (N, 2): x and y in pixels of the image, got {points.shape}")
    return points
