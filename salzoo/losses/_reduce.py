"""What the losses share: precision, and the mean over the images that somebody looked at."""

from __future__ import annotations

import torch
from torch import Tensor

from salzoo.errors import DataError

FLOOR = -1e4
"""Stands for the logarithm of 0, so that 0 * ln 0 is 0 and not NaN."""


def precise(values: Tensor) -> Tensor:
    """Return half-precision values as float32: sums over an image need the digits."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def as_log(log_density: Tensor) -> Tensor:
    """Return log densities in at least float32, and finite."""
    return precise(log_density).clamp_min(FLOOR)


def as_map(log_map: Tensor) -> Tensor:
    """Return each map, given its logarithm, scaled to a maximum of 1: for losses that no scale changes.

    Raises:
        DataError: If it cannot be a logarithm of a density, or of a map in [0, 1].
    """
    log_map = as_log(log_map)
    peak = log_map.detach().amax((-2, -1), keepdim=True)
    if (peak > 1e-3).any():
        raise DataError(
            f"the first argument is the logarithm of a map, so never above 0, got {float(peak.max()):.3g}: give "
            "log_softmax or logsigmoid of the logits, or the logarithm of the map."
        )
    return (log_map - peak).exp()


def standardised(maps: Tensor, least: float = 1e-2) -> Tensor:
    """Give each map, of maximum 1, mean 0 and variance 1.

    A standard deviation below `least` counts as that: a constant map becomes 0, and a network that starts from one gets
    no gradient so large that Adam's memory of it would hold up the next thousand steps.
    """
    centred = maps - maps.mean((-2, -1), keepdim=True)
    return centred * centred.square().mean((-2, -1), keepdim=True).clamp_min(least**2).rsqrt()


def at_fixations(values: Tensor, fixations: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of (N, H, W) `values` over the fixations of each image, and the number of these.

    Raises:
        DataError: If an image has a map only (counts of -1).
    """
    if (fixations < 0).any():
        raise DataError(
            "this loss needs fixation points, and the dataset has maps only: train with a loss on densities."
        )
    counts = fixations.to(values.dtype).flatten(1)
    total = counts.sum(1)
    return (values.flatten(1) * counts).sum(1) / total.clamp_min(1), total


def mean_of_seen(per_image: Tensor, total: Tensor) -> Tensor:
    """Average over the images whose ground truth is not empty; 0 if there is none."""
    seen = (total > 0).to(per_image.dtype)
    return (per_image * seen).sum() / seen.sum().clamp_min(1)
