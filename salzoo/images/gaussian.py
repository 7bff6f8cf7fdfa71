"""The one-dimensional Gaussians that every blur of salzoo is a product of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SHORT = 25
"""Taps up to which a sum of shifted maps is faster than a convolution; with 41, it is slower on large maps."""


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
    for reach, dim in ((along, -1), (down, -2)):
        places = torch.arange(-reach, reach + 1, device=maps.device, dtype=maps.dtype)
        kernel = torch.exp(places.square() / (-2 * sigma_px**2))
        blurred = _filtered(blurred, kernel / kernel.sum(), dim)
    return blurred.view_as(maps)


def _filtered(maps: Tensor, kernel: Tensor, dim: int) -> Tensor:
    """Correlate (N, 1, H, W) maps with a kernel along one dimension, without a border.

    On a CPU that only predicts, and for a short kernel, as a sum of shifted maps: the same but for rounding, and faster
    than a convolution of one channel, six times with 5 taps. Gradients, half precision, other devices and graphs have
    the convolution.
    """
    graph = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    elsewhere = graph or maps.device.type != "cpu" or maps.dtype not in (torch.float32, torch.float64)
    if elsewhere or torch.is_grad_enabled() or len(kernel) > SHORT:
        return F.conv2d(maps, kernel.view((1, 1, 1, -1) if dim == -1 else (1, 1, -1, 1)))
    length = maps.shape[dim] - len(kernel) + 1
    total = maps.narrow(dim, 0, length) * kernel[0]
    for start in range(1, len(kernel)):
        total.addcmul_(maps.narrow(dim, start, length), kernel[start])
    return total
