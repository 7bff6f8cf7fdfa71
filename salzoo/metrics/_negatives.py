"""The negatives that the three AUCs compare fixated pixels with, and how many of them lie below a value.

On the CPU negatives are arrays of values, which go into a histogram. On other devices they are weights on all pixels,
and one batched torch sort does, with no shape that depends on the data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salzoo.errors import DataError, SpecError
from salzoo.metrics import _checks
from salzoo.metrics._checks import Array, any_true, weighted_mean
from salzoo.metrics._fixations import Counts, nonzero
from salzoo.metrics.pool import FixationPool

LACKS = "the pool lacks fixations of an image; make it from the dataset that is evaluated"
BINS = 1 << 14
"""Number of bins of the histogram that ranks many values; fewer values than bins are sorted."""
Ranks = tuple[Tensor, Tensor]
"""For each value (N, K) the number of negatives below it, and of those not above it, as float64."""


class NegativeValues:
    """Negatives as values, some of which may be taken away again: counts are additive, and own fixations are few.

    Args:
        pools: Values and their weights, for each image; None instead of weights if each is 1.
        gone: Distinct positions in the values, and what the weights there lose, for each image.
    """

    def __init__(
        self, pools: Sequence[tuple[Array, Array | None]], gone: Sequence[tuple[Array, Array]] | None = None
    ) -> None:
        self.pools = pools
        nothing = (np.empty(0, np.int64), np.empty(0, np.int64))
        self.gone = [nothing] * len(pools) if gone is None else gone
        totals = [len(values) if weights is None else weights.sum() for values, weights in pools]
        self.total = torch.tensor(
            [total - lost.sum() for total, (_, lost) in zip(totals, self.gone, strict=True)], dtype=torch.float64
        )

    def values(self, i: int) -> Array:
        """Return the values of image i, each as often as it weighs."""
        (values, weights), (at, lost) = self.pools[i], self.gone[i]
        left = np.ones(len(values)) if weights is None else weights.copy()
        left[at] -= lost
        return np.repeat(values, left.astype(np.int64))

    def rank(self, values: Tensor, low: Tensor, high: Tensor) -> Ranks:
        """Rank values (N, K) of maps with the given minima and maxima (N,)."""
        ranks = np.empty((2, *values.shape))
        for i, (row, pool, (at, lost)) in enumerate(zip(values.numpy(), self.pools, self.gone, strict=True)):
            ranks[:, i] = _rank(row, *pool, low.numpy()[i], high.numpy()[i])
            if len(at):
                ranks[:, i] -= _sides(_sorted(pool[0][at], lost), row)
        return torch.from_numpy(ranks[0]), torch.from_numpy(ranks[1])

    def shares(self, low: Tensor, high: Tensor, step: float) -> Tensor:
        """Share of the negatives (N, T) that reach each of `thresholds(step)` when maps are min-max scaled."""
        steps = thresholds(step)
        shares = np.empty((len(self.pools), len(steps)))
        for i, ((values, weights), (at, lost)) in enumerate(zip(self.pools, self.gone, strict=True)):
            scaled = values.astype(np.float64)
            scaled /= 2
            scaled -= low[i].item() / 2
            scaled /= (high[i].item() / 2 - low[i].item() / 2) or 1.0
            shares[i] = _reach(scaled, weights, steps) - _reach(scaled[at], lost, steps)
        return torch.from_numpy(shares) / self.total.clamp_min(1)[:, None]


class NegativeWeights:
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


def all_pixels(x: Tensor, without: Counts | None = None) -> NegativeValues | NegativeWeights:
    """Every pixel of the maps (N, M), or every one that is not fixated."""
    if not _checks.on_cpu(x):
        return NegativeWeights(x, torch.ones_like(x) if without is None else without.flat == 0)
    gone = None if without is None else [(index, np.ones(len(index), np.int64)) for index, _ in without.pixels]
    return NegativeValues([(row, None) for row in x.numpy()], gone)


def others(
    x: Tensor, counts: Counts, other: Tensor | FixationPool, exclude_own: bool, repeats: bool
) -> NegativeValues | NegativeWeights:
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
        if complete and any_true(rest < 0):
            raise DataError(LACKS)
        return NegativeWeights(x, rest.clamp_min(0) if repeats else rest > 0)
    if isinstance(other, FixationPool):
        found = [other.pixels(*counts.size)] * len(x)
    else:
        found = [(index, count.astype(np.float64)) for index, count in _other_counts(other, counts).pixels]
    pools, gone = [], []
    for row, (index, count), own in zip(x, found, counts.pixels, strict=True):
        if exclude_own or complete:
            gone.append(_own(index, count, *own, complete=complete, repeats=repeats))
        pools.append((row.index_select(0, torch.from_numpy(index)).numpy(), count if repeats else None))
    return NegativeValues(pools, gone or None)


def _other_counts(other: Tensor | FixationPool, counts: Counts) -> Counts:
    """Return the counts of `other` at all pixels of each image."""
    if isinstance(other, FixationPool):
        other = other.counts(*counts.size).to(counts.flat.device)
    shape = (len(counts.flat), *counts.size)
    return Counts(_checks.for_each(other, shape, "other"), "other", pooled=True)


def _own(
    index: Array, count: Array, own: Array, own_count: Array, *, complete: bool, repeats: bool
) -> tuple[Array, Array]:
    """Return where own fixations are among sorted pixel indices, and how many of those there they are.

    If `complete`, they must have all of the own.
    """
    if len(index):
        at = np.searchsorted(index, own.astype(index.dtype)).clip(max=len(index) - 1)
        there = np.where(index[at] == own, count[at], 0).astype(np.int64)
    else:
        at = there = np.zeros(len(own), np.int64)
    if complete and (there < own_count).any():
        raise DataError(LACKS)
    lost = np.minimum(own_count, there) if repeats else ((there > 0) & (own_count >= there)).astype(np.int64)
    return at[lost > 0], lost[lost > 0]


def _rank(values: Array, pool: Array, counts: Array | None, low: Array, high: Array) -> NDArray[np.float64]:
    """Rank values by a histogram, and sort only what shares a bin with one.

    Exact: rounding is monotonic, so the order of bins never contradicts the order of values.
    """
    if len(pool) < BINS:
        return _sides(_sorted(pool, counts), values)
    with np.errstate(all="ignore"):
        scale = (BINS - 1) / (high - low)
    if 0 < scale < np.inf:
        bins, value_bins = (_bins(v - low, scale) for v in (pool, values))
    else:  # a constant map, or a range that no factor spreads: one bin
        bins, value_bins = (np.zeros(len(v), np.int32) for v in (pool, values))
    every = torch.from_numpy(bins)
    shared = np.zeros(BINS, dtype=bool)
    shared[value_bins] = True
    near = nonzero(torch.from_numpy(shared).index_select(0, every).numpy())  # numpy's `take` takes twice the time
    weights = None if counts is None else torch.from_numpy(counts)
    sizes = torch.bincount(every, weights, minlength=BINS).numpy()  # numpy's, too
    sizes[shared] = 0
    below = sizes.cumsum()[value_bins]
    return below + _sides(_sorted(pool[near], None if counts is None else counts[near]), values)


def _sorted(values: Array, counts: Array | None) -> Array:
    return np.sort(values if counts is None else np.repeat(values, counts.astype(np.int64)))


def _bins(heights: Array, scale: Array) -> NDArray[np.int32]:
    heights *= scale
    return heights.astype(np.int32)


def _sides(ordered: Array, values: Array) -> NDArray[np.float64]:
    """Return how many of the ordered are below, and how many not above each value: (2, K)."""
    return np.array([np.searchsorted(ordered, values, side) for side in ("left", "right")], np.float64)


def thresholds(step: float) -> list[float]:
    """Return the multiples of `step` from 1 down to 0: the MIT code's thresholds, with its rounding (6 * 0.1 > 0.6)."""
    if not 0 < step <= 1:
        raise SpecError(f"step={step} must be above 0 and at most 1; step=None gives the exact shuffled AUC")
    return [k * step for k in range(int(1 / step + 1e-9), -1, -1)]


def _reach(values: Array, weights: Array | None, steps: Sequence[float]) -> NDArray[np.float64]:
    """Return the weight of the values that reach each step (T,)."""
    if weights is None:
        return np.array([np.count_nonzero(values >= step) for step in steps], np.float64)
    return np.array([weights @ (values >= step) for step in steps])


def min_max(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Scale (N, K) to [0, 1] in float64: in float32 8-bit levels fall on the wrong side of thresholds.

    By halves, as the range itself may overflow.
    """
    low, high = low.double()[:, None] / 2, high.double()[:, None] / 2
    return (values.double() / 2 - low) / (high - low).masked_fill(high == low, 1.0)


def shares(values: Tensor, weights: Tensor, step: float) -> Tensor:
    """Share of the weights (N, K) whose values in [0, 1] reach each threshold (N, T), from the highest down."""
    return torch.stack([weighted_mean((values >= t).double(), weights) for t in thresholds(step)], 1)
