"""Motion between two frames: local, by least squares in windows, and of the whole frame, by a robust affine fit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from salzoo.components import filters

LEVELS, ROUNDS = 4, 4
WINDOW = 2.5
"""Standard deviation of the window in pixels of each level."""
WEAK = 1e-4
"""Smaller eigenvalue of the gradients' matrix (of intensities in [0, 1]) at which motion is known by a half."""


def local_motion(now: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each pixel came from, by the pyramid of Lucas and Kanade (1981), coarse to fine.

    Args:
        now: (1, 1, H, W) intensity in [0, 1].
        before: That of the frame before.

    Returns:
        Pixels a frame (1, 2, H, W), x and y; and how far the window determines them, (1, 1, H, W) from 0 to 1.
    """
    levels = [filters.pyramid(frame, LEVELS - 1) for frame in (now, before)]
    flow = torch.zeros_like(levels[0][-1]).expand(-1, 2, -1, -1)
    confidence = now.new_zeros(())
    for here, there in zip(levels[0][::-1], levels[1][::-1], strict=True):
        scale = here.shape[-1] / flow.shape[-1]
        flow = F.interpolate(flow, here.shape[-2:], mode="bilinear") * scale
        for _ in range(ROUNDS):
            step, confidence = _step(here, _moved(there, flow))
            flow = flow + step
    return flow, confidence


def _moved(maps: Tensor, flow: Tensor) -> Tensor:
    """Return maps whose every pixel is fetched from where `flow` says that it was."""
    height, width = maps.shape[-2:]
    x = torch.arange(width).to(maps) - flow[:, 0]
    y = torch.arange(height).to(maps)[:, None] - flow[:, 1]
    at = torch.stack([(x + 0.5) / width * 2 - 1, (y + 0.5) / height * 2 - 1], dim=-1)
    return F.grid_sample(maps, at, padding_mode="border", align_corners=False)


def _step(here: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Solve for the rest of the motion, at most one pixel, and say how well it is determined."""
    padded = F.pad((here + there) / 2, (1, 1, 1, 1), mode="replicate")
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    dt = there - here
    sums = filters.blur(torch.cat([dx * dx, dx * dy, dy * dy, dx * dt, dy * dt], dim=1), WINDOW)
    xx, xy, yy, xt, yt = torch.split(sums, 1, dim=1)
    smaller = (xx + yy) / 2 - (((xx - yy) / 2) ** 2 + xy**2).sqrt()
    xx, yy = xx + WEAK / 10, yy + WEAK / 10
    determinant = xx * yy - xy**2
    step = torch.cat([yy * xt - xy * yt, xx * yt - xy * xt], dim=1) / determinant
    return step.clamp(-1, 1), (smaller / (smaller + WEAK)).clamp_min(0)


def dominant_motion(flow: Tensor, confidence: Tensor, rounds: int = 10) -> Tensor:
    """Fit the motion of the whole frame, affine in position, robust against what moves by itself.

    Iteratively reweighted least squares with Geman and McClure's weights, of a scale of 1.48 times the median residual,
    from the median of the motion on.

    Args:
        flow: (1, 2, H, W) in pixels.
        confidence: (1, 1, H, W), weights.
        rounds: Of the reweighting.

    Returns:
        (1, 2, H, W) in pixels.
    """
    height, width = flow.shape[-2:]
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    places = torch.stack([torch.ones(height, width), x, y], dim=-1).view(-1, 3).to(flow).double()
    motion, trust = flow[0].flatten(1).T.double(), confidence.flatten().double()
    fitted = torch.stack([weighted_median(one, trust) for one in motion.T]).expand_as(motion)
    ridge = 1e-6 * torch.eye(3).to(places)
    for _ in range(rounds):
        residual = (motion - fitted).square().sum(1)
        scale = (1.48**2 * weighted_median(residual, trust)).clamp_min(0.05**2)
        weights = trust / (1 + residual / scale).square()
        weighted = places * weights[:, None]
        coefficients = torch.linalg.solve(weighted.T @ places + ridge, weighted.T @ motion)
        fitted = places @ coefficients
    return fitted.T.view(1, 2, height, width).to(flow)


def weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Return the smallest of `values` (n,) with half of the weights (n,) at it or below; 0 without any weight."""
    order = values.argsort()
    below = weights[order].cumsum(0)
    if not below[-1] > 0:
        return values.new_zeros(())
    return values[order[torch.searchsorted(below, below[-1] / 2)]]
