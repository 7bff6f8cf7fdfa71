"""The beginning of VGG-CNN-M, and maps in about [-1, 1]: SalNet's, and what was built on it."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Literal

import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from salzoo import losses
from salzoo.components.saliency_model import normalise_log
from salzoo.errors import WeightsError
from salzoo.images.gaussian import gaussian_blur

KERNELS = (5, 5, 7, 11, 11, 13)
"""Kernel sizes of conv4 to conv9."""

FLOOR = 1e-6
"""Lowest value of the map in [0, 1], so that every density has a logarithm."""


class VGGMStem(nn.Module):
    """The first three layers of VGG-CNN-M (Chatfield et al., BMVC 2014), at stride 1 between the poolings.

    Shape: (N, 3, H, W), sides divisible by 4, to (N, widths[2], H / 4, W / 4).

    Args:
        widths: Channels of the three convolutions; by default the published ones.
    """

    def __init__(self, widths: tuple[int, int, int] = (96, 256, 512)) -> None:
        super().__init__()
        first, second, self.channels = widths
        self.conv1 = nn.Conv2d(3, first, 7, padding=3)
        self.norm1 = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)
        self.conv2 = nn.Conv2d(first, second, 5, padding=2)
        self.conv3 = nn.Conv2d(second, self.channels, 3, padding=1)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        for layer in (self.conv1, self.conv2, self.conv3):
            initialise(layer, "relu")

    def load(self, file: str) -> None:
        """Load weights.

        Args:
            file: safetensors file with `conv1.weight`, `conv1.bias` up to `conv3`.

        Raises:
            WeightsError: If it cannot be read or does not fit.
        """
        try:
            self.load_state_dict(load_file(Path(file).expanduser()))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise WeightsError(
                f"stem_weights={file}: {error}. Expected: a safetensors file with weight and bias of conv1 "
                "(96, 3, 7, 7), conv2 (256, 96, 5, 5) and conv3 (512, 256, 3, 3)."
            ) from error

    def forward(self, image: Tensor) -> Tensor:
        """Convolve and pool."""
        first = self.conv1(image).relu()
        x = self.pool(self.norm1(first.float() if first.element_size() < 4 else first).to(first.dtype))
        x = self.pool(self.conv2(x).relu())
        features: Tensor = self.conv3(x).relu()
        return features


def initialise(layer: nn.Conv2d, nonlinearity: Literal["relu", "linear"]) -> None:
    """Draw weights from He's normal distribution: the standard deviations of the authors' training file."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity=nonlinearity)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def large_column(inside: int, widths: tuple[int, ...], first: int = 4) -> nn.Sequential:
    """Return large convolutions, each with a ReLU but for one of a single channel, named conv4, relu4 and so on.

    Args:
        inside: Channels of the input.
        widths: Channels of each.
        first: Number of the first one, from 4 to 9, which decides the sizes of kernels.
    """
    layers = OrderedDict[str, nn.Module]()
    for i, (width, kernel) in enumerate(zip(widths, KERNELS[first - 4 :], strict=False), start=first):
        layers[f"conv{i}"] = convolution = nn.Conv2d(inside, width, kernel, padding=kernel // 2)
        initialise(convolution, "linear" if width == 1 else "relu")
        if width > 1:
            layers[f"relu{i}"] = nn.ReLU()
        inside = width
    return nn.Sequential(layers)


def scaled_log_density(maps: Tensor, power: float = 1.0) -> Tensor:
    """Undo the scaling of the target, clip softly, blur by the released 5x5 Gaussian and divide by the sum.

    Args:
        maps: (N, 1, H, W) in about [-1, 1].
        power: The map in [0, 1] to this power is the prediction.

    Returns:
        (N, H, W) log densities.
    """
    saliency = (maps * 128 + 127) / 255
    clipped = F.softplus(saliency, beta=64).clamp_min(FLOOR) ** power
    return normalise_log(gaussian_blur(clipped, (5, 5), 1.1, "replicate").log())


def scaled_error(maps: Tensor, density: Tensor, root: float = 1.0) -> Tensor:
    """Return the mean squared error; the true map's 0 to 255 become (x - 127) / 128 (Sec. 3; scale of released code).

    Args:
        maps: (N, 1, h, w) in about [-1, 1].
        density: (N, H, W), scaled to a maximum of 1.
        root: What is learned is this root of the true map.
    """
    saliency = (density / density.amax((-2, -1), keepdim=True).clamp_min(1e-20)) ** (1 / root)
    return losses.mse(maps[:, 0].float(), (saliency * 255 - 127) / 128)
