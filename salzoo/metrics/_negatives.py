"""What fixated pixels are compared with in the three AUCs, and how many negatives lie below a value.

On the CPU negatives are arrays of values, which numpy sorts (vectorised, 20 times faster than torch). On other devices
they are weights on all pixels, and one batched torch sort does, with no shape that depends on the data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salzoo.errors import DataError, SpecError
from salzoo.metrics import _checks
from salzoo.metrics._checks import Array, happens, weighted_mean
from salzoo.metrics._fixations import Counts, nonzero
from salzoo.metrics.pool import FixationPool

LACKS = "the pool lacks fixations of an image; make it from the data set that is evaluated"
Ranks = tuple[Tensor, Tensor]
"""For each value (N, K) the number of negatives below it, and of those not above it, as float64."""


class Gathered:
    """Negatives as values and, unless each counts once, counts: two arrays an image."""

    def __init__(self, pools: Sequence[tuple[Array, Array | None]]) -> None:
        self.pools = pools
        totals = [len(values) if counts is None else counts.sum() for values, counts in pools]
        self.total = torch.tensor(totals, dtype=torch.float64)

    def values(self, i: int) -> Array:
        """Return the values of image i, each as often as it counts."""
        values, counts = self.pools[i]
        return values if counts is None else np.repeat(values, counts.astype(np.int64))

    def rank(self, values: Tensor, low: Tensor, high: Tensor) -> Ranks:
        """Rank values (N, K) of maps with the given minima and maxima (N,)."""
        ranks = np.empty((2, *values.shape))
        for i, (row, pool) in enumerate(zip(values.numpy(), self.pools, strict=True)):
            ranks[:, i] = _rank(row, *pool, low.numpy()[i], high.numpy()[i])
        return torch.from_numpy(ranks[0]), torch.from_numpy(ranks[1])

    def shares(self, low: Tensor, high: Tensor, step: float) -> Tensor:
        """Share of the negatives (N, T) that reach each of `thresholds(step)` when maps are min-max scaled."""
        steps = thresholds(step)
        shares = torch.empty(len(self.pools), len(steps), dtype=torch.float64)
        for i, (row, bottom, top) in enumerate(zip(shares, low.tolist(), high.tolist(), strict=True)):
            values = self.values(i)
            scaled = (values.astype(np.float64) - bottom) / ((top - bottom) or 1.0)
            row[:] = torch.tensor([np.count_nonzero(scaled >= t) / max(len(values), 1) for t in steps])
        return shares


class Weighted:
    """Negatives as the weight of each pixel (N, M)."""

    def __init__(self, x: Tensor, weights: Tensor) -> None:
        self.x = x
        self.weights = weights.double()
        self.total = self.weights.sum(1)

    def rank(self, values: Tensor, low: Tensor, high: Tensor) -> Ranks:
        """Rank values (N, K)."""
        ordered, order = self.x.sort(1)
        below = torch.nn.functional.pad(self.weights.gather(1, order).cumsum(1), (1, 0))
        values = values.contiguous()
        less = below.gather(1, torch.searchsorted(ordered, values))
        return less, below.gather(1, torch.searchsorted(ordered, values, right=True))

    def shares(self, low: Tensor, high: Tensor, step: float) -> Tensor:
        """Share of the negatives (N, T) that reach each of `thresholds(step)` when maps are min-max scaled."""
        return shares(min_max(self.x, low, high), self.weights, step)


def all_pixels(x: Tensor) -> Gathered | Weighted:
    """Every pixel of the maps (N, M)."""
    return Gathered([(row, None) for row in x.numpy()]) if _checks.on_cpu(x) else Weighted(x, torch.ones_like(x))


def others(
    x: Tensor, counts: Counts, other: Tensor | FixationPool, exclude_own: bool, repeats: bool
) -> Gathered | Weighted:
    """The fixations in other images.

    Args:
        x: (N, M) maps.
        counts: Fixations of the images themselves.
        other: (N, H, W) or (H, W) counts; or a pool, from which the images' own fixations are taken away.
        exclude_own: Take own fixations away from counts, too.
        repeats: Whether a pixel fixated k times counts k times.
    """
    complete = isinstance(other, FixationPool)
    if not _checks.on_cpu(x):
        rest = _other_counts(other, counts).flat
        if exclude_own or complete:
            rest = rest.long() - counts.flat
        if complete and happens(rest < 0):
            raise DataError(LACKS)
        return Weighted(x, rest.clamp_min(0) if repeats else rest > 0)
    if isinstance(other, FixationPool):
        found = [other.pixels(*counts.size)] * len(x)
    else:
        found = _other_counts(other, counts).pixels
    if exclude_own or complete:
        found = [
            (index, _without(index, count, *own, complete=complete))
            for (index, count), own in zip(found, counts.pixels, strict=True)
        ]
    if repeats:
        return Gathered(
            [(row.take(index, mode="wrap"), count) for row, (index, count) in zip(x.numpy(), found, strict=True)]
        )
    return Gathered([(row[index[count > 0]], None) for row, (index, count) in zip(x.numpy(), found, strict=True)])


def _other_counts(other: Tensor | FixationPool, counts: Counts) -> Counts:
    """Return the counts of `other` at all pixels of each image."""
    if isinstance(other, FixationPool):
        other = other.counts(*counts.size).to(counts.flat.device)
    shape = (len(counts.flat), *counts.size)
    return Counts(_checks.for_each(other, shape, "other"), "other")


def _without(index: Array, count: Array, own: Array, own_count: Array, *, complete: bool) -> Array:
    """Subtract own fixations from the counts at sorted pixel indices, which must have them all if `complete`."""
    at = np.searchsorted(index, own).clip(max=max(len(index) - 1, 0))
    known = index[at] == own if len(index) else np.zeros(len(own), dtype=bool)
    left = count[at[known]].astype(np.int64) - own_count[known]
    if complete and not (known.all() and (left >= 0).all()):
        raise DataError(LACKS)
    rest = count.astype(np.float64)  # as `bincount` wants weights
    rest[at[known]] = left.clip(min=0)
    return rest


def rank_among_pixels(
    x: Tensor, low: Tensor, high: Tensor, values: Tensor, weights: Tensor, counts: Counts, negatives: str
) -> Ranks:
    """Rank values (N, K), of which those with weights > 0 are fixated, among "all" or the "unfixated" pixels (N, M)."""
    if not _checks.on_cpu(x):
        return Weighted(x, (counts.flat == 0) | (negatives == "all")).rank(values, low, high)
    less, leq = all_pixels(x).rank(values, low, high)
    if negatives == "unfixated":  # counts are additive: subtracting is cheaper than masking
        own = values.masked_fill(weights == 0, torch.inf).sort(1).values
        less -= torch.searchsorted(own, values)
        leq -= torch.searchsorted(own, values, right=True)
    return less, leq


def _rank(values: Array, pool: Array, counts: Array | None, low: Array, high: Array) -> tuple[Array, Array]:
    """Rank values by a histogram, and sort only what shares a bin with one: about half the time of sorting all.

    Exact: rounding is monotonic, so the order of bins never contradicts the order of values.
    """
    size = 1 << (14 if len(pool) > 1 << 17 else 12)
    with np.errstate(all="ignore"):
        scale = (size - 1) / (high - low)
    if 0 < scale < np.inf:
        bins, value_bins = (_bins(v - low, scale) for v in (pool, values))
    else:  # a constant map, or a range that no factor spreads: one bin
        bins, value_bins = (np.zeros(len(v), np.int16) for v in (pool, values))
    shared = np.zeros(size, dtype=bool)
    shared[value_bins] = True
    near = nonzero(shared.take(bins, mode="wrap"))
    ordered = np.sort(pool[near] if counts is None else np.repeat(pool[near], counts[near].astype(np.int64)))
    weights = None if counts is None else torch.from_numpy(counts)
    sizes = torch.bincount(torch.from_numpy(bins), weights, minlength=size).numpy()  # numpy's takes twice the time
    sizes[shared] = 0
    below = sizes.cumsum()[value_bins]
    return below + np.searchsorted(ordered, values), below + np.searchsorted(ordered, values, side="right")


def _bins(heights: Array, scale: Array) -> NDArray[np.int16]:
    heights *= scale
    return heights.astype(np.int16)


def thresholds(step: float) -> list[float]:
    """Return the multiples of `step` from 1 down to 0: the MIT code's thresholds, with its rounding (6 * 0.1 > 0.6)."""
    if not 0 < step <= 1:
        raise SpecError(f"step={step} must be above 0 and at most 1; step=None gives the exact shuffled AUC")
    return [k * step for k in range(int(1 / step + 1e-9), -1, -1)]


def min_max(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Scale (N, K) to [0, 1] in float64: in float32 8-bit levels fall on the wrong side of thresholds."""
    low, high = low.double()[:, None], high.double()[:, None]
    return (values.double() - low) / (high - low).masked_fill(high == low, 1.0)


def shares(values: Tensor, weights: Tensor, step: float) -> Tensor:
    """Share of the weights (N, K) whose values in [0, 1] reach each threshold (N, T), from the highest down."""
    return torch.stack([weighted_mean((values >= t).double(), weights) for t in thresholds(step)], 1)
