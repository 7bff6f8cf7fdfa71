"""MATLAB's `imresize` (bicubic), which the MIT benchmark applies to every map."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from salzoo.errors import SpecError


def imresize(maps: Tensor, *, size: tuple[int, int] | None = None, scale: float | None = None) -> Tensor:
    """Resize maps as MATLAB's `imresize` does: bicubic with a = -0.5, antialiased when shrinking, mirrored border.

    Bicubic weights overshoot: maps without negative values may come out with some.

    Args:
        maps: (..., H, W); whole numbers are taken as float64.
        size: (height, width) of the result.
        scale: Or one factor for both sides; the result has ceil(scale * side) pixels.

    Returns:
        (..., height, width) in the dtype of `maps`, float64 for whole numbers; not rounded.

    Raises:
        SpecError: Unless exactly one of `size` and `scale` is given.

    Example:
        >>> imresize(torch.arange(4.0)[None], size=(1, 2))
        tensor([[0.4609, 2.5391]])
    """
    if (size is None) == (scale is None):
        raise SpecError(f"imresize takes either size or scale, got size={size} and scale={scale}")
    sides = maps.shape[-2:]
    if size is not None:
        plan = [(n, m, m / n) for n, m in zip(sides, size, strict=True)]
    else:
        assert scale is not None
        plan = [(n, math.ceil(scale * n), scale) for n in sides]
    if not maps.is_floating_point():
        maps = maps.to(torch.float64)  # in the type of whole numbers all weights are 0
    rows, columns = (torch.from_numpy(_weights(*p)).to(maps.device, maps.dtype) for p in plan)
    return rows @ maps @ columns.T


@lru_cache(maxsize=64)
def _weights(length: int, new_length: int, scale: float) -> np.ndarray:
    """Dense (new_length, length) float64 matrix of the bicubic kernel; each row sums to 1.

    Kept as an array: a tensor made in inference mode would be of no use to a later gradient.
    """
    stretch = min(scale, 1.0)
    centre = (np.arange(new_length) + 0.5) / scale - 0.5
    first = np.floor(centre - 2 / stretch)
    taps = first[:, None] + np.arange(math.ceil(4 / stretch) + 2)
    weights = _cubic((centre[:, None] - taps) * stretch)
    weights /= weights.sum(1, keepdims=True)
    mirrored = np.mod(taps.astype(int), 2 * length)
    mirrored = np.where(mirrored < length, mirrored, 2 * length - 1 - mirrored)
    matrix = np.zeros((new_length, length))
    np.add.at(matrix, (np.arange(new_length)[:, None], mirrored), weights)
    return matrix


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -0.5 (Keys 1981, equation 15)."""
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x**2 + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, inner, np.where(x <= 2, outer, 0.0))
