"""What the losses share: precision, and the mean over the images with fixations."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from salzoo.errors import DataError

LossFunction = TypeVar("LossFunction", bound=Callable[..., Tensor])

FLOOR = -1e4
"""Stands for the logarithm of 0, so that 0 * ln 0 is 0 and not NaN."""


def same_size(loss: LossFunction) -> LossFunction:
    """Decorate a loss of two maps to refuse those of different shapes, which torch would broadcast, or not name.

    Raises:
        DataError: Naming both shapes.
    """
    names = list(inspect.signature(loss).parameters)

    @functools.wraps(loss)
    def checked(*args: Any, **options: Any) -> Tensor:
        given = {**dict(zip(names, args, strict=False)), **options}
        one, other = given.get(names[0]), given.get(names[1])
        if isinstance(one, Tensor) and isinstance(other, Tensor) and one.shape != other.shape:
            raise DataError(
                f"losses.{loss.__name__}: {names[0]} is {tuple(one.shape)} and {names[1]} is {tuple(other.shape)}; "
                f"both must be one (N, H, W). losses.get({loss.__name__!r}) resizes the truth to the prediction."
            )
        return loss(*args, **options)

    return cast("LossFunction", checked)


def precise(values: Tensor) -> Tensor:
    """Return half-precision values as float32, whose digits sums over an image need."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def as_log(log_density: Tensor) -> Tensor:
    """Return log densities in at least float32, with -inf raised to a finite value."""
    return precise(log_density).clamp_min(FLOOR)


def as_map(log_map: Tensor) -> Tensor:
    """Return maps, given their logarithms, scaled to a maximum of 1: for losses that do not depend on the scale.

    Raises:
        DataError: If a value is above 0, so that it is no logarithm of a density or of a map in [0, 1].
    """
    log_map = as_log(log_map)
    peak = log_map.detach().amax((-2, -1), keepdim=True)
    if (peak > 1e-3).any():
        raise DataError(
            f"the first argument must be the logarithm of a map, never above 0, got {float(peak.max()):.3g}: give "
            "log_softmax or logsigmoid of the logits, or the logarithm of the map."
        )
    return (log_map - peak).exp()


def standardised(maps: Tensor, least: float = 1e-2) -> Tensor:
    """Give each map, of maximum 1, mean 0 and variance 1.

    A standard deviation below `least` counts as `least`: a constant map becomes 0, and the gradient of a network that
    starts from one is not so large that Adam's second moment would hold up the next thousand steps.
    """
    centred = maps - maps.mean((-2, -1), keepdim=True)
    return centred * centred.square().mean((-2, -1), keepdim=True).clamp_min(least**2).rsqrt()


def at_fixations(values: Tensor, fixations: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of (N, H, W) `values` over the fixations on each image, and their number; (N,) each.

    Raises:
        DataError: If the fixations of an image are unknown (counts of -1).
    """
    if (fixations < 0).any():
        raise DataError(
            "this loss needs fixation points, and the dataset has only maps: train with a loss on densities."
        )
    counts = fixations.to(values.dtype).flatten(1)
    total = counts.sum(1)
    return (values.flatten(1) * counts).sum(1) / total.clamp_min(1), total


def mean_of_seen(per_image: Tensor, total: Tensor) -> Tensor:
    """Average over the images whose ground truth is not empty; 0 if all are empty."""
    seen = (total > 0).to(per_image.dtype)
    return (per_image * seen).sum() / seen.sum().clamp_min(1)
