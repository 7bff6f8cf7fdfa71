"""The one-dimensional Gaussians that every blur of salzoo is a product of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
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


def gaussian_blur(maps: Tensor, sides: tuple[int, int], sigma_px: float | Tensor, border: str = "reflect") -> Tensor:
    """Blur by a Gaussian that is cut off and normalised, first along the rows, as kornia's `gaussian_blur2d`.

    Args:
        maps: (N, C, H, W).
        sides: Odd height and width of the kernel in pixels.
        sigma_px: Standard deviation, above 0; a gradient goes through a tensor of one element.
        border: What lies outside, as `torch.nn.functional.pad` has it: `reflect`, `replicate` or `constant`, zeros.
    """
    down, along = (side // 2 for side in sides)
    blurred = F.pad(maps.flatten(0, 1)[:, None], (along, along, down, down), border)
    for reach, shape in ((along, (1, 1, 1, -1)), (down, (1, 1, -1, 1))):
        places = torch.arange(-reach, reach + 1, device=maps.device, dtype=maps.dtype)
        kernel = torch.exp(places.square() / (-2 * sigma_px**2))
        blurred = F.conv2d(blurred, (kernel / kernel.sum()).view(shape))
    return blurred.view_as(maps)
