"""Image Signature (Hou, Harel and Koch, TPAMI 2012): the signs of an image's cosine transform hold its foreground.

Differences from the authors' program: the longer side is 64 pixels, not the width; the last blur is normalised at the
borders, not padded with zeros, which darkens them.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components import filters
from salzoo.components.training_free import TrainingFreeModel
from salzoo.images.preprocess import Preprocess

ZERO = 1e-5  # a smaller coefficient comes from rounding, and has no sign


class SignatureNetwork(nn.Module):
    """Square of the image that is rebuilt from the signs of its cosine transform.

    Shape: (N, 3, H, W) RGB in [0, 1] to (N, 1, H, W).

    Args:
        colour: Channels that are transformed, each by itself: CIE Lab or RGB.
        blur: Standard deviation of the last Gaussian, as a share of the map's width.
    """

    def __init__(self, colour: Literal["lab", "rgb"] = "lab", blur: float = 0.045) -> None:
        super().__init__()
        check_range(0, 1, blur=blur)
        self.colour = colour
        self.blur = blur

    def forward(self, image: Tensor) -> Tensor:
        """Return the saliency of RGB in [0, 1] (Sec. 3.2, Eq. 8)."""
        channels = (filters.lab(image) / 100 if self.colour == "lab" else image).double()
        rows, columns = (cosines(side).to(channels) for side in image.shape[-2:])
        spectrum = rows @ channels @ columns.T
        signs = torch.where(spectrum.abs() > ZERO, spectrum.sign(), 0)
        foreground = (rows.T @ signs @ columns).square().mean(1, keepdim=True)
        return filters.blur(foreground, self.blur * image.shape[-1]).to(image)


class Signature(TrainingFreeModel):
    """Image Signature; arguments as `SignatureNetwork`. The paper's size is 64 pixels on the longer side."""

    network: SignatureNetwork
    network_class = SignatureNetwork
    default_preprocess = Preprocess((48, 64), "longest")
    differentiable = False  # signs: the gradient is 0 almost everywhere
    no_graph = "it takes signs of numbers close to 0, which every runtime rounds in its own way"


def cosines(size: int) -> Tensor:
    """Return the orthonormal matrix (size, size) of the cosine transform (DCT-II), a row a frequency."""
    index = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi / size * torch.outer(index, index + 0.5)) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix
