"""Checks of the input of metrics, and the few reductions that they share."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from salzoo.errors import ImageError, SpecError
from salzoo.images.imresize import imresize

T = TypeVar("T")
Array = NDArray[Any]
REACH = 30
"""Exponent of 2 up to which the range of a map is left as it is."""
PIECE = 1 << 20
"""Bytes of a map that are processed at once: intermediate results of these stay in the cache, those of a map do not."""


def choose(convention: str, value: T | None, *, mit: T, pysaliency: T) -> T:
    """Return `value` if the caller set it, else what the convention says."""
    if convention not in ("mit", "pysaliency"):
        raise SpecError(f"convention={convention!r} is not known; use 'mit' or 'pysaliency'")
    if value is not None:
        return value
    return mit if convention == "mit" else pysaliency


def one_of(name: str, value: object, accepted: tuple[str, ...]) -> None:
    """Raise unless `value` is one of the accepted words."""
    if value not in accepted:
        raise SpecError(f"{name}={value!r} is not known; use one of {', '.join(map(repr, accepted))}")


def check_batch(name: str, maps: Tensor) -> None:
    """Raise unless `maps` is of shape (N, H, W), with pixels."""
    if maps.ndim != 3:
        raise ImageError(
            f"{name} must have shape (N, H, W), got {tuple(maps.shape)}; "
            "index one map with [None], drop a channel with [:, 0]; mixed sizes go into a metric class as a list"
        )
    if not maps.shape[1] * maps.shape[2]:
        raise ImageError(f"{name} of shape {tuple(maps.shape)} has no pixels; height and width must be at least 1")


def on_cpu(maps: Tensor) -> bool:
    """Return whether to loop over images and gather; other devices get whole batches and no data-dependent shapes."""
    return maps.device.type == "cpu"


def at_least_float32(maps: Tensor) -> Tensor:
    """Cast half precision to float32 (its sums overflow) and integers to float64; move off devices without float64."""
    if maps.device.type == "mps":
        maps = maps.cpu()
    if maps.dtype in (torch.float32, torch.float64):
        return maps
    return maps.to(torch.float32 if maps.is_floating_point() else torch.float64)


def extrema(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Return the minimum and the maximum of each row of (N, M) as two (N,) tensors."""
    if not on_cpu(flat) or not len(flat) or is_tracked(flat):  # up to torch 2.6, aminmax has no derivative
        return flat.amin(dim=1), flat.amax(dim=1)
    # On the CPU this takes 0.06 ms for 480,000 values, over one dimension 1.2.
    pairs = [torch.aminmax(row) for row in flat]
    return torch.stack([low for low, _ in pairs]), torch.stack([high for _, high in pairs])


def is_tracked(maps: Tensor) -> bool:
    """Return whether a gradient with respect to the maps is wanted."""
    return torch.is_grad_enabled() and maps.requires_grad


def any_true(mask: Tensor) -> bool:
    """Return whether any element is true; False on `meta`, which has no values."""
    return not mask.is_meta and bool(mask.any())


def for_each(maps: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    """Return maps of the fixations' shape (N, H, W), from such maps or from one (H, W) for all images."""
    if maps.ndim == 2:
        maps = maps.expand(shape[0], -1, -1)
    check_batch(name, maps)
    if maps.shape != shape:
        raise ImageError(f"{name} {tuple(maps.shape)} and fixations {tuple(shape)} must have the same shape")
    return maps


def checked_prediction(
    preds: Tensor, truth: Tensor, truth_name: str, *, resize: bool, signed: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Check predictions and return them as float32 or float64 (N, H, W), with their minima and maxima (N,).

    Args:
        preds: (N, H, W).
        truth: (N, H, W).
        truth_name: Name of the truth in error texts.
        resize: Whether another height and width than the truth's is accepted.
        signed: Whether negative values mean anything to the metric.

    Raises:
        ImageError: If shapes differ without `resize`, or a value is not finite, or negative against `signed`.
    """
    check_batch("preds", preds)
    check_batch(truth_name, truth)
    if preds.shape != truth.shape and not (resize and len(preds) == len(truth)):
        raise ImageError(
            f"preds {tuple(preds.shape)} and {truth_name} {tuple(truth.shape)} differ in shape; "
            "resize=True scales predictions to the truth's size as the MIT benchmark does"
        )
    if preds.device != truth.device:
        raise ImageError(f"preds are on {preds.device}, {truth_name} on {truth.device}; move one of them with .to(...)")
    preds = at_least_float32(preds)
    low, high = extrema(preds.flatten(1))
    if any_true(~(torch.isfinite(low) & torch.isfinite(high))):
        raise ImageError("preds hold NaN or infinite values, for which no metric is defined")
    if not signed and any_true(low < 0):
        raise ImageError(
            f"preds hold negative values (minimum {float(low.min()):.4g}), so they are not a density; "
            "are they logits or a log-density? apply log_softmax over all pixels and pass log_density=True"
        )
    return preds, low, high


def prediction(
    preds: Tensor, truth: Tensor, truth_name: str, *, resize: bool, signed: bool = True, scale: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Check predictions as `checked_prediction` does, bring them to the truth's size and flatten them to (N, M).

    They are on a scale that sums and products bear (`within_reach`), unless `scale` is false, for what only looks at
    their order. Resizing may leave bicubic overshoot: values below the minimum of the original.
    """
    x, low, high = checked_prediction(preds, truth, truth_name, resize=resize, signed=signed)
    if scale or x.shape != truth.shape:
        x, low, high = within_reach(x, low, high)
    if x.shape == truth.shape:
        return x.flatten(1), low, high
    x = imresize(x, size=(truth.shape[1], truth.shape[2])).flatten(1)
    return x, *extrema(x)


def check_log_density(preds: Tensor) -> None:
    """Raise unless exp(preds) sums to 1 in each image."""
    check_batch("preds", preds)
    total = preds.detach().flatten(1).double().logsumexp(1)
    if any_true(~(total.abs() < 1e-2)):
        raise ImageError(
            f"exp(preds) sums to {float(total.exp()[0]):.4g}, not to 1: are these logits, or a density? "
            "apply log_softmax over all pixels, or leave log_density=False"
        )


def positive_map(maps: Tensor, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Check a density and flatten it: values (N, M) in float32 or float64, their minima and their maxima (N,)."""
    check_batch(name, maps)
    flat = at_least_float32(maps).flatten(1)
    low, high = extrema(flat)
    if any_true(~torch.isfinite(high) | ~(low >= 0)):
        raise ImageError(f"{name} must be finite and not negative, got values from {low.min()} to {high.max()}")
    return within_reach(flat, low, high)


def within_reach(maps: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale maps (N, ...) with a range beyond 2^-30 .. 2^30 to one of about 1, with their minima and maxima (N,).

    Squares and sums of such maps would overflow or vanish. The factors are powers of two, so nothing is rounded; of a
    constant the value counts, as it has no range. Gradients are those of the maps as they were, and finite.
    """
    size = torch.where(high > low, high / 2 - low / 2, high.abs())  # halves: the range itself may overflow
    exponent = torch.frexp(size).exponent
    if not any_true(exponent.abs() > REACH):
        return maps, low, high
    maps, low, high = (_bounded(each) for each in (maps, low, high))
    exponent = torch.where(exponent.abs() > REACH, exponent, 0)
    for step in (exponent // 2, exponent - exponent // 2):  # 2^149 is no float32
        factor = torch.ldexp(torch.ones_like(high), -step)
        maps, low, high = maps * factor.view(-1, *[1] * (maps.ndim - 1)), low * factor, high * factor
    return maps, low, high


def _bounded(values: Tensor) -> Tensor:
    """Keep the gradient finite: next to values of 1e-38 slopes are steeper than float32 can tell."""
    if is_tracked(values):
        most = torch.finfo(values.dtype).max / 8  # those of a map, its minimum and its maximum add up
        values = values.view_as(values)
        values.register_hook(lambda slope: slope.clamp(-most, most))  # type: ignore[no-untyped-call]
    return values


def truth_density(density: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Check a ground-truth density and flatten it as `positive_map` does; warn if it holds only 0 and 1."""
    flat, low, high = positive_map(density, "density")
    maybe = (low == 0) & (high == 1)
    if any_true(maybe):
        few = flat[:, :: max(1, flat.shape[1] // 997)]  # nearly always enough to see other values
        if any_true(maybe & (few == few.round()).all(1)) and any_true(maybe & (flat == flat.round()).all(1)):
            warnings.warn("density holds only 0 and 1; CC, SIM, KLDiv and EMD want blurred fixations", stacklevel=3)
    return flat, low, high


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of (N, K) values under weights (N, K); 0 where all are 0: a NaN would reach the gradients of others."""
    return (weights * values).sum(1) / weights.sum(1).clamp_min(1)


def handle_constant(scores: Tensor, constant: Tensor, chance: float | None, on_constant: str) -> Tensor:
    """Give constant predictions their chance value (`None`: keep the score) or NaN, and warn."""
    one_of("on_constant", on_constant, ("chance", "nan"))
    if constant.is_meta or not any_true(constant):
        return scores
    score = "at chance" if on_constant == "chance" else "NaN"
    warnings.warn(f"constant predictions are scored {score} (on_constant={on_constant!r})", stacklevel=3)
    if on_constant == "nan":
        return torch.where(constant, torch.nan, scores)
    return scores if chance is None else torch.where(constant, chance, scores)
