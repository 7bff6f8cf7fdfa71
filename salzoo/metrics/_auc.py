"""The three areas under the ROC curve: Judd, Borji, shuffled. Nothing is jittered or sampled unless asked for."""

from __future__ import annotations

import zlib
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from salzoo.errors import ImageError, SpecError
from salzoo.metrics import _checks
from salzoo.metrics._checks import Array, any_true, choose, handle_constant, one_of, prediction, weighted_mean
from salzoo.metrics._fixations import Counts
from salzoo.metrics._maps import Maps, to_tensor, to_tensors
from salzoo.metrics._negatives import NegativeValues, all_pixels, min_max, others, shares
from salzoo.metrics.pool import FixationPool


@torch.no_grad()
def auc_judd(
    preds: Maps,
    fixations: Maps,
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
        generator: Generator of the noise. By default each image has its own, seeded by its fixations, so that batch and
            process make no difference.
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
    preds, fixations = to_tensors(preds=preds, fixations=fixations)
    counts = Counts(fixations)
    x, low, high = prediction(preds, fixations, "fixations", resize=resize, scale=False)
    constant = low == high
    if jitter:
        x = x.double() + jitter * _noise(counts, generator)
        low, high = _checks.extrema(x)
    weights, (values,) = counts.at(x, repeats=repeats)
    fixated = (weights > 0).sum(1)
    pool = all_pixels(x, counts if negatives == "unfixated" else None)
    total = pool.total[:, None]
    if any_true(total == 0):
        raise ImageError("every pixel is fixated, so no negative is left; pass negatives='all'")
    less, leq = pool.rank(values, low, high)
    if thresholds == "all":
        scores = weighted_mean((less + leq) / 2 / total, weights)
    else:
        area = {"average": _area_average, "mit": _area_mit, "trapezoid": _area_trapezoid}[ties]
        scores = area(values, weights, less / total, leq / total, total)
    return handle_constant(scores, constant, 0.5, on_constant).masked_fill(fixated == 0, torch.nan)


@torch.no_grad()
def auc_borji(
    preds: Maps,
    fixations: Maps,
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
        step: Distance between thresholds.
        n_splits: Sample that many times as the MIT code does (100 there) instead.
        generator: Generator of the samples; by default each image has its own, seeded by its fixations.
        on_constant: Score of a constant prediction: 0.5 ("chance") or NaN.
        resize: Scale predictions of another size to the fixations', as MATLAB does.

    Returns:
        (N,) float64 scores, NaN without a fixation.

    Raises:
        FixationsTypeError: If `fixations` is floating point.
    """
    choose(convention, None, mit=0, pysaliency=0)
    preds, fixations = to_tensors(preds=preds, fixations=fixations)
    counts = Counts(fixations)
    x, low, high = prediction(preds, fixations, "fixations", resize=resize, scale=False)
    weights, (values,) = counts.at(x, repeats=False)
    if n_splits is not None:
        scores = _sampled(x, counts, None, repeats=False, step=step, n_splits=n_splits, generator=generator)
    else:
        hits = shares(min_max(values, low, high), weights, step)
        scores = _stepped_area(hits, all_pixels(x).shares(low, high, step))
    return handle_constant(scores, low == high, 0.5, on_constant).masked_fill(weights.sum(1) == 0, torch.nan)


@torch.no_grad()
def shuffled_auc(
    preds: Maps,
    fixations: Maps,
    other: Maps | FixationPool,
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
        other: (N, H, W) or (H, W) integer counts of fixations in other images, at this image's size; or the pool of
            the whole dataset, from which each image's own fixations are taken away.
        convention: "mit" has thresholds 0.1 apart on the min-max scaled map and counts each pixel once; the score is
            the expectation over its random splits. "pysaliency" is exact (Mann-Whitney, ties count half) and counts
            every fixation.
        step: Overrides that: distance of the thresholds, None for the exact area.
        repeats: Overrides that: whether a pixel fixated k times counts k times, in `fixations` and in `other`.
        exclude_own: Take the image's own fixations away from the counts `other`, too.
        n_splits: Sample that many times as the MIT code does (100 there) instead.
        generator: Generator of the samples; by default each image has its own, seeded by its fixations.
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
    preds, fixations = to_tensors(preds=preds, fixations=fixations)
    counts = Counts(fixations)
    x, low, high = prediction(preds, fixations, "fixations", resize=resize, scale=False)
    other = other if isinstance(other, FixationPool) else to_tensor("other", other)
    device = x.device
    if n_splits is not None:
        x, low, high, counts = x.cpu(), low.cpu(), high.cpu(), Counts(fixations.cpu())
    weights, (values,) = counts.at(x, repeats=repeats)
    empty = weights.sum(1) == 0
    negatives = others(x, counts, other, exclude_own, repeats)
    if any_true((negatives.total == 0) & ~empty):
        raise ImageError("`other` holds no fixation besides the image's own; give the fixations of other images")
    if isinstance(negatives, NegativeValues) and n_splits is not None:
        scores = _sampled(x, counts, negatives, repeats=repeats, step=distance, n_splits=n_splits, generator=generator)
    elif distance is None:
        less, leq = negatives.rank(values, low, high)
        scores = weighted_mean((less + leq) / 2 / negatives.total[:, None], weights)
    else:
        hits = shares(min_max(values, low, high), weights, distance)
        scores = _stepped_area(hits, negatives.shares(low, high, distance))
    scores = handle_constant(scores, low == high, 0.5, on_constant).masked_fill(empty, torch.nan)
    return scores.to(device)


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


def _stepped_area(hits: Tensor, alarms: Tensor) -> Tensor:
    """Trapezoids under the points (N, T), from (0, 0) on; the last threshold is 0, so they end at (1, 1)."""
    hits, alarms = (torch.nn.functional.pad(share, (1, 0)) for share in (hits, alarms))
    return torch.trapezoid(hits, alarms, dim=1)


# Sampling, for those who want the original's noise.


def _generator(fixated: Array, generator: torch.Generator | None) -> torch.Generator:
    """The caller's generator, or one seeded by the fixated pixels: the same wherever and whenever the image comes."""
    if generator is not None:
        return generator
    return torch.Generator().manual_seed(zlib.crc32(fixated.tobytes()))


def _noise(counts: Counts, generator: torch.Generator | None) -> Tensor:
    """Uniform noise in [0, 1) for each pixel (N, M)."""
    noise = torch.empty(counts.flat.shape, dtype=torch.float64)
    for row, (fixated, _) in zip(noise, counts.pixels, strict=True):
        row.uniform_(generator=_generator(fixated, generator))
    return noise.to(counts.flat.device)


def _sampled(
    x: Tensor,
    counts: Counts,
    negatives: NegativeValues | None,
    *,
    repeats: bool,
    step: float | None,
    n_splits: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Mean area over as many random negatives as fixations: any pixels with, given negatives without replacement."""
    scores = torch.full((len(x),), torch.nan, dtype=torch.float64)
    for i, (row, (fixated, count)) in enumerate(zip(x.cpu(), counts.pixels, strict=True)):
        if not len(fixated):
            continue
        draw = _generator(fixated, generator)
        positives = row[np.repeat(fixated, count) if repeats else fixated]
        size = (n_splits, len(positives))
        if negatives is None:
            drawn = row[torch.randint(len(row), size, generator=draw)]
        else:
            pool = torch.from_numpy(negatives.values(i))
            drawn = pool[torch.stack([torch.randperm(len(pool), generator=draw)[: size[1]] for _ in range(n_splits)])]
        sample = NegativeValues([(values, None) for values in drawn.numpy()])
        positives, low, high = positives.expand(n_splits, -1), row.min().expand(n_splits), row.max().expand(n_splits)
        if step is None:
            less, leq = sample.rank(positives, low, high)
            areas = (less + leq).mean(1) / 2 / sample.total
        else:
            hits = shares(min_max(positives, low, high), torch.ones_like(positives), step)
            areas = _stepped_area(hits, sample.shares(low, high, step))
        scores[i] = areas.mean()
    return scores.to(x.device)
