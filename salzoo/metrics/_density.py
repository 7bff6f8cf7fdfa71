"""Metrics against a ground-truth density: CC, SIM, KL divergence."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from salzoo.errors import SpecError
from salzoo.metrics import _chunked
from salzoo.metrics._checks import (
    any_true,
    check_log_density,
    choose,
    handle_constant,
    one_of,
    prediction,
    truth_density,
)
from salzoo.metrics._maps import Maps, to_tensors

EPS = 2.220446049250313e-16


def cc(
    preds: Maps,
    density: Maps,
    *,
    convention: str = "mit",
    on_constant: str = "chance",
    resize: bool = False,
) -> Tensor:
    """Pearson correlation over all pixels. Higher is better, -1 to 1; chance is 0.

    Args:
        preds: (N, H, W), any scale and offset.
        density: (N, H, W), any positive scale.
        convention: "mit" and "pysaliency" agree here.
        on_constant: Score of a constant prediction: 0 ("chance") or NaN.
        resize: Scale predictions of another size to the density's, as MATLAB does.

    Returns:
        (N,) float64 scores, NaN where the density is empty. Differentiable.
    """
    choose(convention, None, mit=0, pysaliency=0)
    preds, density = to_tensors(preds=preds, density=density)
    g, g_low, g_high = truth_density(density)
    x, low, high = prediction(preds, density, "density", resize=resize)
    flat = (low == high) | (g_low == g_high)
    _, ((xx, xg), (_, gg)) = _chunked.deviations(x, g)
    scores = (xg / (xx * gg).masked_fill(flat, 1.0).sqrt()).masked_fill(flat, 0.0)
    return handle_constant(scores, low == high, 0.0, on_constant).masked_fill(g_high == 0, torch.nan)


def sim(
    preds: Maps,
    density: Maps,
    *,
    convention: str = "mit",
    subtract_min: bool | None = None,
    on_constant: str = "chance",
    resize: bool = False,
) -> Tensor:
    """Histogram intersection of two maps that sum to 1 (Judd et al. 2012). Higher is better, 0 to 1.

    Args:
        preds: (N, H, W).
        density: (N, H, W), any positive scale.
        convention: "mit" subtracts each map's minimum first, "pysaliency" only a negative one.
        subtract_min: Overrides that.
        on_constant: A constant prediction counts as uniform ("chance") or scores NaN.
        resize: Scale predictions of another size to the density's, as MATLAB does.

    Returns:
        (N,) float64 scores, NaN where the density is empty. Differentiable almost everywhere.
    """
    subtract_min = choose(convention, subtract_min, mit=True, pysaliency=False)
    preds, density = to_tensors(preds=preds, density=density)
    g, g_low, g_high = truth_density(density)
    x, low, high = prediction(preds, density, "density", resize=resize)
    x_shift, g_shift = sum_one_shift(low, high, subtract_min), sum_one_shift(g_low, g_high, subtract_min)
    x_sum, g_sum = _chunked.total(x, x_shift), _chunked.total(g, g_shift)
    scores = _chunked.intersection(x, x_shift, g, g_shift, x_sum / g_sum) / x_sum
    return handle_constant(scores, low == high, None, on_constant).masked_fill(g_high == 0, torch.nan)


def kl_div(
    preds: Maps,
    density: Maps,
    *,
    convention: str = "mit",
    eps: float | None = None,
    minimum_value: float | None = None,
    base: float = math.e,
    log_density: bool = False,
    on_constant: str = "chance",
    resize: bool = False,
) -> Tensor:
    """Kullback-Leibler divergence KL(density || prediction). Lower is better, 0 is perfect, no upper limit.

    `sum(g * log(eps + g / (p + eps)))` of maps that sum to 1. With both eps inside, a perfect score is about -6e-12.

    Args:
        preds: (N, H, W), not negative, any scale; or log-densities.
        density: (N, H, W), any positive scale.
        convention: "mit" has eps = 2.2e-16 and minimum_value = 0, "pysaliency" eps = 0 and minimum_value = 1e-20.
        eps: Overrides that. It alone decides the score of maps with zeros.
        minimum_value: Added to both maps before they are divided by their sums.
        base: Base of the logarithm: e for nats, 2 for bits.
        log_density: `preds` are natural logarithms.
        on_constant: A map of zeros counts as uniform ("chance") or scores NaN; other constants are ordinary.
        resize: Scale predictions of another size to the density's, as MATLAB does.

    Returns:
        (N,) float64 scores, NaN where the density is empty. Differentiable.

    Raises:
        ImageError: If a prediction is negative: KL of a log-density is a plausible, wrong number.
    """
    eps = choose(convention, eps, mit=EPS, pysaliency=0.0)
    minimum_value = choose(convention, minimum_value, mit=0.0, pysaliency=1e-20)
    if base <= 1:
        raise SpecError(f"base={base} must be above 1; use math.e for nats or 2 for bits")
    preds, density = to_tensors(preds=preds, density=density)
    if log_density:
        check_log_density(preds)
        preds = preds.exp()
    one_of("on_constant", on_constant, ("chance", "nan"))
    found = _chunked.fast_kl(preds, density, minimum_value, eps)
    if found is not None:
        found, odd = found / math.log(base), found.isnan()
        if not any_true(odd):
            return found
        preds, density = preds[odd], density[odd]
    g, g_low, g_high = truth_density(density)
    x, low, high = prediction(preds, density, "density", resize=resize, signed=False)
    if any_true(low < 0):  # bicubic overshoot: a logarithm needs what the others take as it is
        x, low = x.clamp_min(0), low.clamp_min(0)
    x_shift, g_shift = (
        sum_one_shift(low, high, False, minimum_value),
        sum_one_shift(g_low, g_high, False, minimum_value),
    )
    x_sum, g_sum = (m.sum(1).double() - m.shape[1] * shift.double() for m, shift in ((x, x_shift), (g, g_shift)))
    # log(eps + g / sum(g) / (eps + x / sum(x))) with the sums factored out: fewer passes over the maps.
    scale = x_sum / g_sum
    terms = _chunked.divergence(x, x_shift - eps * x_sum, g, g_shift, eps / scale)
    scores = terms / g_sum + scale.log()
    scores = scores / math.log(base)
    scores = handle_constant(scores, high == 0, None, on_constant).masked_fill(g_high == 0, torch.nan)
    return scores if found is None else found.masked_scatter(odd, scores)


def sum_one_shift(low: Tensor, high: Tensor, subtract_min: bool, minimum_value: float = 0.0) -> Tensor:
    """Return what to subtract from each map (N,) before it is divided by its sum.

    Args:
        low: (N,) minima.
        high: (N,) maxima. A map that the shift would make 0 everywhere gets another, by which it becomes uniform.
        subtract_min: Subtract the minimum; if false only a negative one.
        minimum_value: Added to every pixel.
    """
    shift = low if subtract_min else torch.where(low < 0, low, 0)  # clamp_max has a slope at 0 up to torch 2.6
    height = torch.where(shift == 0, 1, shift.abs())  # of its own size: 1 would be lost next to 1e9
    return torch.where(shift == high, shift - height, shift) - minimum_value
