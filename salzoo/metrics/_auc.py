"""The three areas under the ROC curve: Judd, Borji, shuffled.

Nothing is jittered or sampled unless asked for. Counts are additive, so what must not be a negative is subtracted, not
masked. On the CPU numpy sorts (vectorised, 20 times faster than torch); elsewhere one batched torch sort does.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salzoo.errors import ImageError, SpecError
from salzoo.metrics import _checks
from salzoo.metrics._checks import at_fixations, choose, happens, one_of, settle_constant, weighted_mean


def auc_judd(
    preds: Tensor,
    fixations: Tensor,
    *,
    convention: str = "mit",
    ties: str | None = None,
    thresholds: str | None = None,
    negatives: str | None = None,
    repeats: bool | None = None,
    jitter: float = 0.0,
    generator: torch.Generator | None = None,
    on_constant: str = "chance",
    resize: bool = False,
) -> Tensor:
    """Area under the ROC curve, fixated against other pixels (Judd et al. 2012). Higher is better; 0 to 1, chance 0.5.

    With thresholds at the fixations the curve ends at the lowest fixated value, so the area is up to 1/(2N) above the
    true one for N fixated pixels: 0.003 for 140, but a single fixation never scores below 0.5.

    Args:
        preds: (N, H, W); only their order matters.
        fixations: (N, H, W) integer counts.
        convention: "mit": thresholds at fixations, unfixated negatives, each pixel once, ties averaged. "pysaliency":
            its `AUC` with all thresholds, all pixels as negatives and every fixation; its `AUC_Judd` without jitter is
            "mit" with ties="trapezoid" and repeats=True.
        ties: "average", the expectation of breaking ties at random; "mit", what the MIT code does without jitter, which
            is wrong on quantised maps; "trapezoid", one threshold for equal values.
        thresholds: "fixations", or "all" for the true area (Mann-Whitney, ties count half).
        negatives: "unfixated" or "all" pixels.
        repeats: Whether a pixel fixated k times counts k times.
        jitter: Amplitude of uniform noise added to the values, 1e-7 in the MIT code; reorders maps of a small range.
        generator: For the noise. By default each image seeds its own from its fixations, whatever the batch or process.
        on_constant: Score of a constant prediction: 0.5 ("chance") or NaN.
        resize: Scale predictions of another size to the fixations', as MATLAB does.

    Returns:
        (N,) float64 scores, NaN without a fixation.

    Raises:
        FixationsTypeError: If `fixations` is floating point.
        ImageError: If all pixels are fixated and negatives are the unfixated ones.
    """
    ties = choose(convention, ties, mit="average", pysaliency="trapezoid")
    thresholds = choose(convention, thresholds, mit="fixations", pysaliency="all")
    negatives = choose(convention, negatives, mit="unfixated", pysaliency="all")
    repeats = choose(convention, repeats, mit=False, pysaliency=True)
    one_of("ties", ties, ("average", "mit", "trapezoid"))
    one_of("thresholds", thresholds, ("fixations", "all"))
    one_of("negatives", negatives, ("unfixated", "all"))
    if ties == "mit" and thresholds == "fixations" and (repeats or negatives == "all"):
        raise SpecError("ties='mit' is the MIT code, which has negatives='unfixated' and repeats=False")
    counts = _checks.fixation_counts(fixations)
    x, low, high = _checks.prediction(preds.detach(), fixations, "fixations", resize=resize)
    if jitter:
        x = x.double() + jitter * _noise(counts, generator).to(x.device)
    weights, (values,) = at_fixations(counts, x, repeats=repeats)
    fixated = (weights > 0).sum(1)
    total = x.shape[1] - fixated if negatives == "unfixated" else torch.full_like(fixated, x.shape[1])
    if happens(total == 0):
        raise ImageError("every pixel is fixated, so no negative is left; pass negatives='all'")
    less, leq = _rank_among_pixels(x, values, counts, weights, negatives)
    total = total.double()[:, None]
    if thresholds == "all":
        scores = weighted_mean((less + leq) / 2 / total, weights)
    else:
        area = {"average": _area_average, "mit": _area_mit, "trapezoid": _area_trapezoid}[ties]
        scores = area(values, weights, less / total, leq / total, total)
    return settle_constant(scores, low == high, 0.5, on_constant).masked_fill(fixated == 0, torch.nan)


def auc_borji(
    preds: Tensor,
    fixations: Tensor,
    *,
    convention: str = "mit",
    step: float = 0.1,
    n_splits: int | None = None,
    generator: torch.Generator | None = None,
    on_constant: str = "chance",
    resize: bool = False,
) -> Tensor:
    """Area under the ROC curve, random pixels as negatives (Borji et al. 2013). Higher is better; 0 to 1, chance 0.5.

    The area is linear in the sampled false-positive rate, so the default is its exact expectation. Thresholds lie
    `step` apart on the min-max scaled map: the score depends on the map's histogram, not only on its order.

    Args:
        preds: (N, H, W).
        fixations: (N, H, W) integer counts; each fixated pixel counts once.
        convention: pysaliency has no such metric: both give MIT's.
        step: Between thresholds.
        n_splits: Sample that many times as the MIT code does (100 there) instead.
        generator: For the samples; by default each image seeds its own from its fixations.
        on_constant: Score of a constant prediction: 0.5 ("chance") or NaN.
        resize: Scale predictions of another size to the fixations', as MATLAB does.

    Returns:
        (N,) float64 scores, NaN without a fixation.

    Raises:
        FixationsTypeError: If `fixations` is floating point.
    """
    choose(convention, None, mit=0, pysaliency=0)
    counts = _checks.fixation_counts(fixations)
    x, low, high = _checks.prediction(preds.detach(), fixations, "fixations", resize=resize)
    x = _min_max(x, low, high)
    if n_splits is not None:
        scores = _sampled(x, counts, None, repeats=False, step=step, n_splits=n_splits, generator=generator)
    else:
        weights, (values,) = at_fixations(counts, x, repeats=False)
        scores = _stepped_area(values, weights, x, None, step)
    empty = ~(counts != 0).any(1)
    return settle_constant(scores, low == high, 0.5, on_constant).masked_fill(empty, torch.nan)


def shuffled_auc(
    preds: Tensor,
    fixations: Tensor,
    other: Tensor,
    *,
    convention: str = "mit",
    step: float | Literal["auto"] | None = "auto",
    repeats: bool | None = None,
    exclude_own: bool = False,
    n_splits: int | None = None,
    generator: torch.Generator | None = None,
    on_constant: str = "chance",
    resize: bool = False,
) -> Tensor:
    """Area under the ROC curve, other images' fixations as negatives (Zhang et al. 2008). Higher is better; chance 0.5.

    A centre bias gains nothing here.

    Args:
        preds: (N, H, W).
        fixations: (N, H, W) integer counts.
        other: (N, H, W) or (H, W) integer counts of fixations in other images, at this image's size.
        convention: "mit" has thresholds 0.1 apart on the min-max scaled map and counts each pixel once; the score is
            the expectation over its random splits. "pysaliency" is exact (Mann-Whitney, ties count half) and counts every
            fixation.
        step: Overrides that: distance of the thresholds, None for the exact area.
        repeats: Overrides that: whether a pixel fixated k times counts k times, in `fixations` and in `other`.
        exclude_own: `other` is the pool of the whole data set: take this image's own fixations away from it.
        n_splits: Sample that many times as the MIT code does (100 there) instead.
        generator: For the samples; by default each image seeds its own from its fixations.
        on_constant: Score of a constant prediction: 0.5 ("chance") or NaN.
        resize: Scale predictions of another size to the fixations', as MATLAB does.

    Returns:
        (N,) float64 scores, NaN without a fixation.

    Raises:
        FixationsTypeError: If `fixations` or `other` is floating point.
        ImageError: If `other` has another size, or holds no fixation besides this image's own.
    """
    choose(convention, None, mit=0, pysaliency=0)
    distance = (0.1 if convention == "mit" else None) if step == "auto" else step
    repeats = choose(convention, repeats, mit=False, pysaliency=True)
    counts = _checks.fixation_counts(fixations)
    pool = _checks.fixation_counts(_checks.for_each(other, fixations, "other"), "other")
    if exclude_own:
        pool = (pool.to(torch.int64) - counts).clamp_min(0)
    if happens((pool == 0).all(1) & (counts != 0).any(1)):
        raise ImageError("`other` holds no fixation besides the image's own; give the fixations of other images")
    x, low, high = _checks.prediction(preds.detach(), fixations, "fixations", resize=resize)
    if n_splits is not None:
        x = _min_max(x, low, high)
        scores = _sampled(x, counts, pool, repeats=repeats, step=distance, n_splits=n_splits, generator=generator)
    elif distance is None:
        weights, (values,) = at_fixations(counts, x, repeats=repeats)
        less, leq = _rank_among(x, values, pool, repeats)
        total = (pool if repeats else pool != 0).sum(1).double()[:, None]
        scores = weighted_mean((less + leq) / 2 / total, weights)
    else:
        weights, (values,) = at_fixations(counts, x, repeats=repeats)
        pool_weights, (pool_values,) = at_fixations(pool, x, repeats=repeats)
        scores = _stepped_area(
            _min_max(values, low, high), weights, _min_max(pool_values, low, high), pool_weights, distance
        )
    empty = ~(counts != 0).any(1)
    return settle_constant(scores, low == high, 0.5, on_constant).masked_fill(empty, torch.nan)


# Ranks: for each value (N, K) the number of negatives below it, and of those not above it, as float64.


def _rank_among_pixels(
    x: Tensor, values: Tensor, counts: Tensor, weights: Tensor, negatives: str
) -> tuple[Tensor, Tensor]:
    """Rank values among all pixels or the unfixated ones."""
    if not _checks.on_cpu(x):
        return _rank_weighted(x, values, ((counts == 0) | (negatives == "all")).double())
    less, leq = _rank_sorted(values, x.numpy())
    if negatives == "unfixated":
        own = values.masked_fill(weights == 0, torch.inf).sort(1).values
        less -= torch.searchsorted(own, values)
        leq -= torch.searchsorted(own, values, right=True)
    return less, leq


def _rank_among(x: Tensor, values: Tensor, pool: Tensor, repeats: bool) -> tuple[Tensor, Tensor]:
    """Rank values among the pixels that the pool (N, M) counts."""
    if not _checks.on_cpu(x):
        return _rank_weighted(x, values, (pool if repeats else pool != 0).double())

    def negatives(row: NDArray[Any], count: NDArray[Any]) -> NDArray[Any]:
        index = (count != 0).nonzero()[0]
        return np.repeat(row[index], count[index]) if repeats else row[index]

    return _rank_sorted(values, map(negatives, x.numpy(), pool.numpy()))


def _rank_sorted(values: Tensor, pools: Iterable[NDArray[Any]]) -> tuple[Tensor, Tensor]:
    less, leq = np.empty(values.shape), np.empty(values.shape)
    for i, (row, pool) in enumerate(zip(values.numpy(), pools, strict=True)):
        ordered = np.sort(pool)
        less[i] = np.searchsorted(ordered, row)
        leq[i] = np.searchsorted(ordered, row, side="right")
    return torch.from_numpy(less), torch.from_numpy(leq)


def _rank_weighted(x: Tensor, values: Tensor, mass: Tensor) -> tuple[Tensor, Tensor]:
    ordered, order = x.sort(1)
    below = torch.nn.functional.pad(mass.gather(1, order).cumsum(1), (1, 0))
    values = values.contiguous()
    less = below.gather(1, torch.searchsorted(ordered, values))
    return less, below.gather(1, torch.searchsorted(ordered, values, right=True))


# Areas with thresholds at the fixations. `less` and `leq` are shares of the negatives here.


def _area_average(values: Tensor, weights: Tensor, less: Tensor, leq: Tensor, total: Tensor) -> Tensor:
    """Expectation over random orders of equal values: the true area + E[false positives at the last threshold] / 2N."""
    lowest = values.masked_fill(weights == 0, torch.inf).amin(1, keepdim=True)
    last = (values == lowest) & (weights > 0)
    tied = (weights * last).sum(1)
    less_last, leq_last = (weighted_mean(c, last.double()) for c in (less, leq))
    false_positives = 1 - leq_last + (leq_last - less_last) * tied / (tied + 1)
    return weighted_mean((less + leq) / 2, weights) + false_positives / (2 * weights.sum(1))


def _area_mit(values: Tensor, weights: Tensor, less: Tensor, leq: Tensor, total: Tensor) -> Tensor:
    """The i-th highest fixated value has i true positives; all else that is not below it is false, equals too."""
    n = weights.sum(1)
    ordered = values.masked_fill(weights == 0, torch.inf).sort(1).values
    not_below = n[:, None] - torch.searchsorted(ordered, values.contiguous())
    surplus = (weights * not_below).sum(1) - n * (n + 1) / 2
    false_positives = 1 - less
    last = (false_positives * (weights > 0)).amax(1)
    return 1 - ((weights * false_positives).sum(1) + surplus / total[:, 0] - last / 2) / n


def _area_trapezoid(values: Tensor, weights: Tensor, less: Tensor, leq: Tensor, total: Tensor) -> Tensor:
    """Trapezoids between the points of the curve at distinct fixated values."""
    ordered, order = values.masked_fill(weights == 0, torch.inf).sort(1)
    false_positives = ((1 - less) * (weights > 0)).gather(1, order)
    above = torch.searchsorted(ordered, ordered, right=True)
    previous = torch.nn.functional.pad(false_positives, (0, 1)).gather(1, above)
    return 1 - weighted_mean((false_positives + previous) / 2, weights.gather(1, order))


# The MIT code's thresholds 0, step, 2 * step, ... on the min-max scaled map.


def _min_max(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Scale (N, K) to [0, 1] in float64: in float32 8-bit levels fall on the wrong side of thresholds."""
    low, high = low.double()[:, None], high.double()[:, None]
    return (values.double() - low) / (high - low).masked_fill(high == low, 1.0)


def _stepped_area(
    positives: Tensor, weights: Tensor, negatives: Tensor, negative_weights: Tensor | None, step: float
) -> Tensor:
    """Trapezoids over the thresholds k * step, from values (N, K) and (N, L) in [0, 1] with their weights."""
    if not 0 < step <= 1:
        raise SpecError(f"step={step} must be above 0 and at most 1; None in shuffled_auc gives the exact area")
    start = positives.new_zeros(len(positives))
    curve = [(start, start)]
    for k in range(int(1 / step + 1e-9), -1, -1):
        hit = weighted_mean((positives >= k * step).double(), weights)
        if negative_weights is None:
            alarm = (negatives >= k * step).sum(1).double() / negatives.shape[1]
        else:
            alarm = weighted_mean((negatives >= k * step).double(), negative_weights)
        curve.append((alarm, hit))
    return torch.stack([(b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(curve)]).sum(0)


# Sampling, for those who want the original's noise.


def _generator(fixated: Tensor, generator: torch.Generator | None) -> torch.Generator:
    """The caller's generator, or one seeded by the fixated pixels: the same wherever and whenever the image comes."""
    if generator is not None:
        return generator
    return torch.Generator().manual_seed(zlib.crc32(fixated.numpy().tobytes()))


def _noise(counts: Tensor, generator: torch.Generator | None) -> Tensor:
    rows = [torch.rand(len(r), generator=_generator(r.nonzero(), generator), dtype=torch.float64) for r in counts.cpu()]
    return torch.stack(rows) if rows else counts.double()


def _sampled(
    x: Tensor,
    counts: Tensor,
    pool: Tensor | None,
    *,
    repeats: bool,
    step: float | None,
    n_splits: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Mean area over as many random negatives as fixations: from all pixels with, from a pool without replacement."""
    scores = torch.full((len(x),), torch.nan, dtype=torch.float64)
    for i, (row, count) in enumerate(zip(x.cpu(), counts.cpu(), strict=True)):
        fixated = count.nonzero()[:, 0]
        if not len(fixated):
            continue
        draw = _generator(fixated, generator)
        positives = row[fixated.repeat_interleave(count[fixated].long()) if repeats else fixated]
        if pool is None:
            index = torch.randint(len(row), (n_splits, len(positives)), generator=draw)
        else:
            others = pool[i].cpu().nonzero()[:, 0]
            others = others.repeat_interleave(pool[i].cpu()[others].long()) if repeats else others
            picks = [torch.randperm(len(others), generator=draw)[: len(positives)] for _ in range(n_splits)]
            index = others[torch.stack(picks)]
        positives, negatives = positives.expand(n_splits, -1).contiguous(), row[index]
        if step is None:
            less, leq = _rank_sorted(positives, negatives.numpy())
            areas = ((less + leq) / 2 / negatives.shape[1]).mean(1)
        else:
            areas = _stepped_area(positives, torch.ones_like(positives), negatives, None, step)
        scores[i] = areas.mean()
    return scores.to(x.device)
