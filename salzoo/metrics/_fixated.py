"""Metrics of the prediction's values at fixated pixels: NSS, information gain."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from salzoo.errors import ImageError
from salzoo.metrics._checks import (
    any_true,
    check_log_density,
    choose,
    for_each,
    handle_constant,
    positive_map,
    prediction,
    weighted_mean,
)
from salzoo.metrics._chunked import deviations, total
from salzoo.metrics._density import EPS, sum_one_shift
from salzoo.metrics._fixations import Counts
from salzoo.metrics._maps import Maps, to_tensors


def nss(
    preds: Maps,
    fixations: Maps,
    *,
    convention: str = "mit",
    ddof: int | None = None,
    repeats: bool | None = None,
    on_constant: str = "chance",
    resize: bool = False,
) -> Tensor:
    """Normalised scanpath saliency: mean z-score at the fixations (Peters et al. 2005). Higher is better; chance is 0.

    Args:
        preds: (N, H, W), any scale and offset.
        fixations: (N, H, W) integer counts.
        convention: "mit" has ddof = 1 and counts a fixated pixel once, "pysaliency" ddof = 0 and every fixation.
        ddof: Overrides that: the standard deviation divides by pixels - ddof.
        repeats: Overrides that: whether a pixel fixated k times weighs k.
        on_constant: Score of a constant prediction: 0 ("chance") or NaN.
        resize: Scale predictions of another size to the fixations', as MATLAB does.

    Returns:
        (N,) float64 scores, NaN without a fixation. Differentiable.

    Raises:
        FixationsTypeError: If `fixations` is floating point.
    """
    ddof = choose(convention, ddof, mit=1, pysaliency=0)
    repeats = choose(convention, repeats, mit=False, pysaliency=True)
    preds, fixations = to_tensors(preds=preds, fixations=fixations)
    counts = Counts(fixations)
    x, low, high = prediction(preds, fixations, "fixations", resize=resize)
    constant = low == high  # not std == 0: that of 0.1 everywhere is one rounding error
    (mean,), ((squares,),) = deviations(x)
    std = (squares / (x.shape[1] - ddof)).masked_fill(constant, 1.0).sqrt()
    weights, (values,) = counts.at(x, repeats=repeats)
    scores = weighted_mean(values.double() - mean[:, None], weights) / std
    return handle_constant(scores, constant, 0.0, on_constant).masked_fill(weights.sum(1) == 0, torch.nan)


def info_gain(
    preds: Maps,
    fixations: Maps,
    baseline: Maps,
    *,
    convention: str = "mit",
    subtract_min: bool | None = None,
    eps: float | None = None,
    minimum_value: float | None = None,
    repeats: bool | None = None,
    log_density: bool = False,
    on_constant: str = "chance",
    resize: bool = False,
) -> Tensor:
    """Information gain over a baseline, in bits a fixation (Kuemmerer et al. 2015). Higher is better, 0: the baseline.

    `mean over fixations of log2(eps + p) - log2(eps + b)`.

    Args:
        preds: (N, H, W), not negative, any scale; or log-densities.
        fixations: (N, H, W) integer counts.
        baseline: (N, H, W) or (H, W), for instance the centre bias; any positive scale.
        convention: "mit" subtracts each map's minimum, has eps = 2.2e-16 and counts a fixated pixel once; "pysaliency"
            subtracts nothing, adds 1e-20 instead of eps and counts every fixation.
        subtract_min: Overrides that. It gives the lowest pixel probability 0.
        eps: Overrides that: added to the probabilities.
        minimum_value: Overrides that: added to both maps before they are divided by their sums.
        repeats: Overrides that: whether a pixel fixated k times weighs k.
        log_density: `preds` are natural logarithms of densities that sum to 1: used as they are, with no eps and no
            subtraction on either side, whatever the convention.
        on_constant: A constant prediction counts as uniform ("chance") or scores NaN.
        resize: Scale predictions of another size to the fixations', as MATLAB does.

    Returns:
        (N,) float64 scores, NaN without a fixation. Differentiable.

    Raises:
        FixationsTypeError: If `fixations` is floating point.
        ImageError: If a prediction is negative, or a log-density does not sum to 1 (logits), or the baseline has
            another size or is 0 at a fixation while eps is 0.
    """
    repeats = choose(convention, repeats, mit=False, pysaliency=True)
    eps = 0.0 if log_density else choose(convention, eps, mit=EPS, pysaliency=0.0)
    subtract_min = not log_density and choose(convention, subtract_min, mit=True, pysaliency=False)
    minimum_value = 0.0 if log_density else choose(convention, minimum_value, mit=0.0, pysaliency=1e-20)
    preds, fixations, baseline = to_tensors(preds=preds, fixations=fixations, baseline=baseline)
    counts = Counts(fixations)

    b = for_each(baseline, fixations.shape, "baseline")
    b, b_low, b_high = positive_map(b[:1] if baseline.ndim == 2 else b, "baseline")
    if log_density:
        x = _log_density(preds, fixations, resize)
        constant = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    else:
        x, low, high = prediction(preds, fixations, "fixations", resize=resize, signed=False)
        constant = low == high
    weights, (x_at, b_at) = counts.at(x, b.expand_as(x), repeats=repeats)
    b_at = eps + _probability(b_at, b, sum_one_shift(b_low, b_high, subtract_min, minimum_value))
    b_at = b_at.masked_fill(weights == 0, 1)
    if any_true(b_at == 0):
        raise ImageError("baseline is 0 at a fixation, so the gain is infinite; smooth the baseline or pass eps > 0")
    if log_density:
        log_p = x_at
    else:
        p_at = eps + _probability(x_at, x, sum_one_shift(low, high, subtract_min, minimum_value))
        log_p = p_at.masked_fill(weights == 0, 1).log()
    gain = (log_p - b_at.log()).masked_fill(weights == 0, 0)
    scores = weighted_mean(gain, weights) / math.log(2)
    empty = weights.sum(1) == 0
    return handle_constant(scores, constant, None, on_constant).masked_fill(empty, torch.nan)


def _probability(values: Tensor, flat: Tensor, shift: Tensor) -> Tensor:
    """Scale values (N, K) of maps (N, M) as if the shifted maps were divided by their sums, in float64."""
    return (values.double() - shift.double()[:, None]) / total(flat, shift)[:, None]


def _log_density(preds: Tensor, fixations: Tensor, resize: bool) -> Tensor:
    """Return log-densities as float64 (N, M) that sum to 1 exactly, also after a resize."""
    check_log_density(preds)
    if preds.shape != fixations.shape:
        preds, _, _ = prediction(preds, fixations, "fixations", resize=resize)
    return preds.flatten(1).double().log_softmax(1)
