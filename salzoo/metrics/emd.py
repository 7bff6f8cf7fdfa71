"""The earth mover's distance, by an exact solver."""

from __future__ import annotations

import math
from importlib import import_module
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salzoo.errors import SalzooError, SpecError
from salzoo.images.imresize import imresize
from salzoo.metrics._checks import (
    check_log_density,
    checked_prediction,
    choose,
    handle_constant,
    truth_density,
    within_reach,
)
from salzoo.metrics._maps import Maps, to_tensors

Array = NDArray[np.float64]


class MissingSolverError(SalzooError, ImportError):
    """POT is not installed."""


@torch.no_grad()
def emd(
    preds: Maps,
    density: Maps,
    *,
    convention: str = "mit",
    downsize: int = 32,
    consistent_resize: bool = True,
    log_density: bool = False,
    on_constant: str = "chance",
    resize: bool = False,
) -> Tensor:
    """Earth mover's distance between two maps that sum to 1, in small pixels. Lower is better, 0 is perfect.

    Both maps are reduced as MATLAB's `imresize` does; the ground distance is Euclidean without a threshold
    (Pele and Werman 2009). The solver is the network simplex of POT on the difference of the maps, which is exact for
    any metric and takes the negative bins that bicubic overshoot leaves. It runs on the CPU.

    Args:
        preds: (N, H, W), not negative, any scale; or log-densities.
        density: (N, H, W), any positive scale.
        convention: pysaliency has no such metric: both give MIT's.
        downsize: Factor of the reduction; the distance is in pixels of the reduced map.
        consistent_resize: Reduce both maps by one rule, so that a map is at distance 0 from itself. False does as
            the MIT code: the prediction is scaled to the reduced truth's size, by another factor unless the sides are
            multiples of `downsize`.
        log_density: `preds` are natural logarithms of densities that sum to 1.
        on_constant: A map of zeros counts as uniform ("chance") or scores NaN; other constants are ordinary.
        resize: Take predictions of another size.

    Returns:
        (N,) float64 scores, NaN where the density is empty. Not differentiable.

    Raises:
        MissingSolverError: If POT is not installed.
        ImageError: If a prediction is negative.

    Example:
        >>> left, right = torch.zeros(2, 1, 4, 9)
        >>> left[:, 0, 0] = right[:, 3, 4] = 0.5
        >>> float(emd(left, right, downsize=1))
        5.0
    """
    choose(convention, None, mit=0, pysaliency=0)
    if downsize < 1:
        raise SpecError(f"downsize={downsize} must be at least 1")
    preds, density = to_tensors(preds=preds, density=density)
    if log_density:
        check_log_density(preds)
        preds = preds.exp()
    g, _, g_high = truth_density(density)
    p, _, high = within_reach(*checked_prediction(preds, density, "density", resize=resize, signed=False))
    p = torch.where((high == 0)[:, None, None], torch.ones_like(p), p)
    # From its own size in one step, also where the prediction's differs from the truth's, as the MIT code does.
    height, width = (math.ceil(side / downsize) for side in density.shape[1:])
    small = imresize(p.double(), size=(height, width))
    if consistent_resize:
        truth = imresize(g.double().view(density.shape), size=(height, width))
    else:
        truth = imresize(g.double().view(density.shape), scale=1 / downsize)
    scores = _transport(small, truth, g_high == 0)
    return handle_constant(scores, high == 0, None, on_constant).masked_fill(g_high == 0, torch.nan)


def _transport(maps: Tensor, others: Tensor, skip: Tensor) -> Tensor:
    """Distance of each pair of (N, h, w) maps after division by their sums."""
    if maps.is_meta:
        return maps.new_zeros(len(maps))
    ot = _solver()
    maps, others = (m / m.sum((1, 2), keepdim=True) for m in (maps, others))
    y, x = (c.ravel() for c in np.mgrid[: maps.shape[1], : maps.shape[2]])
    scores = np.full(len(maps), np.nan)
    for i, difference in enumerate((maps - others).flatten(1).cpu().numpy()):
        if skip[i]:
            continue
        source, sink = difference > 0, difference < 0  # common mass stays where it is
        surplus, deficit = difference[source], -difference[sink]
        moved = surplus.sum()
        if moved < 1e-12:
            scores[i] = 0.0
            continue
        cost = np.hypot(y[source][:, None] - y[sink], x[source][:, None] - x[sink])
        scores[i] = moved * _solve(ot, surplus / moved, deficit / deficit.sum(), cost)
    return torch.from_numpy(scores).to(maps.device)


def _solve(
    ot: ModuleType, surplus: NDArray[np.float64], deficit: NDArray[np.float64], cost: NDArray[np.float64]
) -> float:
    """Cost of the optimal plan; a plan that is not optimal is an error."""
    value, log = ot.emd2(surplus, deficit, cost, numItermax=100_000_000, log=True, center_dual=False)
    if log["warning"] is not None:
        raise RuntimeError(f"the transport solver gave up at {cost.shape[0]} x {cost.shape[1]} bins: {log['warning']}")
    return float(value)


def _solver() -> ModuleType:
    try:
        return import_module("ot")
    except ImportError as error:
        raise MissingSolverError(
            'EMD needs the exact solver of POT, which is not installed: pip install "salzoo[emd]", '
            "or leave it out: saliency_metrics(include=...)"
        ) from error
