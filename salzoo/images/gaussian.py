"""The one-dimensional Gaussians that every blur of salzoo is a product of."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_rows(centres: Tensor, length: int, sigma_px: float) -> Tensor:
    """Return Gaussians around `centres` on a line of pixels, each summing to 1 within the line.

    A soft-max, so none can underflow, however far outside its centre is.

    Args:
        centres: (N,) positions in pixels; 0 is the centre of the first one.
        length: Number of pixels.
        sigma_px: Standard deviation, above 0.

    Returns:
        (N, length) in the dtype of `centres`, float32 for integers.
    """
    distance = torch.arange(length) - centres[:, None]
    return (distance**2 / (-2 * sigma_px**2)).softmax(1)
