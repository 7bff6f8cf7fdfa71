"""DeepGaze IIE (Linardos, Kuemmerer, Press & Bethge, ICCV 2021; arXiv:2105.12441).

Differences from the paper:
- timm's ResNet-50 with ImageNet weights stands in for the one trained on stylised images ("ShapeNet-C"), whose
  weights neither timm nor torchvision has; DenseNet-201 is torchvision's: timm's cannot be cut before that ReLU.
- The image is halved by an antialiased resize in front of the network, not by dropping every other pixel, and the map
  is brought back to the image's size bilinearly.
- All components are trained at once, on all training images, instead of three times on each of ten folds, by AdamW
  with a one-cycle rate instead of Adam with steps.
- The lite variant reads several stages of three EfficientNet-Lite at two resolutions of the image, with components
  whose first layer is wider, without layer norm (channels are standardised by statistics of the training images).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo.backbones import TimmBackbone, pixel_statistics
from salzoo.components.layers import CentreBias, GaussianBlur, Standardise
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.training_config import TrainingConfig
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess, resize_image

BACKBONES = ("resnet50.tv_in1k", "tf_efficientnet_b5.in1k", "torchvision/densenet201", "resnext50_32x4d.tv_in1k")
"""In place of the paper's ShapeNet-C, EfficientNet-B5, DenseNet-201 and ResNeXt-50."""
NODES: tuple[tuple[int | str, ...], ...] = (
    ("layer3.0.conv2", "layer3.3.conv2", "layer3.5.conv1", "layer3.5.conv2", "layer4.1.conv2", "layer4.2.conv2"),
    ("blocks.4.4.conv_dw", "blocks.4.6.conv_dw", "blocks.5.8.conv_pwl"),
    (
        "features.denseblock4.denselayer32.norm1",
        "features.denseblock4.denselayer32.conv1",
        "features.denseblock4.denselayer31.conv2",
    ),
    ("layer3.5.conv1", "layer3.5.conv2", "layer3.4.conv2", "layer4.2.conv2"),
)
"""Nodes of the authors' code, `deepgaze_pytorch/deepgaze2e.py`, before the ReLU: 2048, 2416, 2048, 2560 channels."""


@dataclass(frozen=True)
class Readout:
    """The arguments of `DeepGazeIIENetwork` that all members and their components share."""

    scales: tuple[float, ...]
    components: int
    hidden: tuple[int, ...]
    layer_norm: bool
    dropout: float
    readout_stride: int
    stride: int
    resize: Literal["nearest", "bilinear"]
    sigma_px: float


class Component(nn.Module):
    """One read-out: point-wise layers, a blur and a centre bias of its own.

    Shape: maps (N, channels[i], any, any) to (N, 1, *size) unnormalised log density.

    Args:
        channels: Channels of each map; with `layer_norm` there is one map.
        options: Arguments of `DeepGazeIIENetwork` that all read-outs share.
    """

    def __init__(self, channels: Sequence[int], options: Readout) -> None:
        super().__init__()
        widths = (sum(channels), *options.hidden)
        self.channels, self.resize = list(channels), options.resize
        self.norms = nn.ModuleList(
            nn.GroupNorm(1, c, eps=1e-12) if options.layer_norm else nn.Identity() for c in widths[:-1]
        )
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in itertools.pairwise(widths))
        self.last = nn.Conv2d(widths[-1], 1, 1, bias=False)
        self.dropout = nn.Dropout2d(options.dropout)
        self.blur = GaussianBlur(options.sigma_px, max_sigma_px=None)
        self.centre_bias = CentreBias()

    def forward(self, maps: Sequence[Tensor], readout_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """Read the maps out at one size, blur and add the centre bias at another."""
        x = self._first(maps, readout_size)
        for norm, layer in zip(self.norms[1:], self.layers[1:], strict=True):
            x = layer(norm(self.dropout(F.softplus(x))))
        x = self.last(self.dropout(F.softplus(x)))
        log_density: Tensor = self.blur(F.interpolate(x, size, mode=self.resize)) + self.centre_bias(size)
        return log_density

    def _first(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Apply the first layer to the concatenated maps, without building the concatenation.

        A 1x1 convolution and up-sampling commute, so maps are read where they are small, and those of one size added
        up before they grow.
        """
        first = cast("nn.Conv2d", self.layers[0])
        read: dict[tuple[int, ...], Tensor] = {}
        for m, weight in zip(maps, torch.split(first.weight, self.channels, dim=1), strict=True):
            one = F.conv2d(self.norms[0](m), weight)
            read[m.shape[-2:]] = read[m.shape[-2:]] + one if m.shape[-2:] in read else one
        grown = [F.interpolate(one, size, mode=self.resize) for one in read.values()]
        return sum(grown[1:], grown[0]) + cast("Tensor", first.bias)[:, None, None]


class Member(nn.Module):
    """A frozen backbone and several read-outs of it.

    Shape: (N, 3, H, W) normalised image, as `pyramid` has it, to (N, components, H / stride, W / stride) log densities,
    each normalised.

    Args:
        backbone: timm name, or `torchvision/...`.
        feature_nodes: Strides or module names.
        options: The other arguments of `DeepGazeIIENetwork`.
    """

    def __init__(self, backbone: str, feature_nodes: tuple[int | str, ...], options: Readout) -> None:
        super().__init__()
        self.scales, self.layer_norm, self.resize = options.scales, options.layer_norm, options.resize
        self.readout_stride, self.stride = options.readout_stride, options.stride
        self.backbone = TimmBackbone(backbone, feature_nodes)
        self.backbone.freeze()
        channels = self.backbone.channels * len(self.scales)
        self.standardise = nn.ModuleList(() if self.layer_norm else (Standardise(c) for c in channels))
        stacked = (sum(channels),) if self.layer_norm else channels
        self.components = nn.ModuleList(Component(stacked, options) for _ in range(options.components))

    def features(self, seen: Sequence[Tensor]) -> list[Tensor]:
        """Return the maps of the image at every scale; under autocast only they are in half precision."""
        kind = next(self.components.parameters()).dtype
        return [m.to(kind) for one in seen for m in self.backbone(one)]

    def forward(self, seen: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Read the maps out by every component.

        Args:
            seen: The image at each scale.
            size: (height, width) of the image.
        """
        maps = self.features(seen)
        readout_size = (math.ceil(size[0] / self.readout_stride), math.ceil(size[1] / self.readout_stride))
        size = (size[0] // self.stride, size[1] // self.stride)
        with torch.autocast(maps[0].device.type, enabled=False):
            if self.layer_norm:
                maps = [torch.cat([F.interpolate(m, readout_size, mode=self.resize) for m in maps], dim=1)]
            else:
                maps = [standardise(m) for standardise, m in zip(self.standardise, maps, strict=True)]
            read = [component(maps, readout_size, size) for component in self.components]
            return _normalised(torch.cat(read, dim=1))


class DeepGazeIIENetwork(nn.Module):
    """The components of all members side by side; `DeepGazeIIE` averages their densities.

    Shape: (N, 3, H, W) normalised image to (N, members * components, H / stride, W / stride) log densities, each
    normalised.

    Args:
        backbones: timm names, or `torchvision/...`; frozen. They must expect pixels normalised alike.
        feature_nodes: Strides or module names for each backbone.
        scales: Shares of the input's sides at which each backbone sees the image.
        components: Read-outs a backbone; the paper has three times ten, for ten folds of the training images.
        hidden: Channels of a read-out's hidden layers, each behind a softplus; the paper's are those of its saliency
            network (8, 16, 1) and its fixation selection network (128, 16).
        layer_norm: Normalise before every hidden layer over channels and space, as the paper does; if not, channels
            are standardised by statistics of the training images.
        dropout: Share of the read-outs' hidden channels left out in training.
        readout_stride: Stride of the map at which the read-outs' layers work.
        stride: Stride of the map at which blur and centre bias work; the paper's is 2, 1 after halving the image.
        resize: How maps are brought to these strides.
        sigma_px: First width of the blur in pixels of that map.

    Raises:
        SpecError: If backbones do not expect pixels normalised alike, or a list of nodes is missing.
    """

    def __init__(
        self,
        backbones: tuple[str, ...] = BACKBONES,
        feature_nodes: tuple[tuple[int | str, ...], ...] = NODES,
        scales: tuple[float, ...] = (1.0,),
        components: int = 30,
        hidden: tuple[int, ...] = (8, 16, 1, 128, 16),
        layer_norm: bool = True,
        dropout: float = 0.0,
        readout_stride: int = 16,
        stride: int = 1,
        resize: Literal["nearest", "bilinear"] = "nearest",
        sigma_px: float = 8.0,
    ) -> None:
        if len(backbones) != len(feature_nodes) or len({pixel_statistics(name) for name in backbones}) != 1:
            raise SpecError(
                f"backbones must expect pixels normalised alike, and each needs its feature nodes; got "
                f"{list(backbones)} and {len(feature_nodes)} lists of nodes."
            )
        super().__init__()
        options = Readout(scales, components, hidden, layer_norm, dropout, readout_stride, stride, resize, sigma_px)
        members = zip(backbones, feature_nodes, strict=True)
        self.members = nn.ModuleList(Member(name, nodes, options) for name, nodes in members)
        self.scales = scales

    def forward(self, image: Tensor) -> Tensor:
        """Predict by every component."""
        seen = pyramid(image, self.scales)
        return torch.cat([member(seen, (image.shape[-2], image.shape[-1])) for member in self.members], dim=1)


@dataclass(frozen=True)
class DeepGazeIIETraining(TrainingConfig):
    """Training of DeepGaze IIE: `loss` is that of each component, the paper's the log-likelihood."""

    loss: losses.LossSpec | None = "nll"


class DeepGazeIIE(SaliencyModel):
    """DeepGaze IIE: a mixture of read-outs of several frozen backbones, each trained by log-likelihood.

    Its arguments are those of `DeepGazeIIENetwork`. 384 x 512 is half of the 768 x 1024 of MIT1003's images.
    """

    network: DeepGazeIIENetwork
    network_class = DeepGazeIIENetwork
    training_class = DeepGazeIIETraining
    default_preprocess = Preprocess((384, 512))
    statistics_images = 96

    def average_views(self, maps: Sequence[Tensor]) -> Tensor:
        """Average the densities of all components in all views, with equal weights, to (N, 1, h, w) log density."""
        size = (maps[0].shape[-2], maps[0].shape[-1])
        components = torch.cat([_normalised(F.interpolate(one, size, mode="bilinear")) for one in maps], dim=1)
        return components.logsumexp(1, keepdim=True) - math.log(components.shape[1])


def pyramid(image: Tensor, scales: Iterable[float]) -> list[Tensor]:
    """Return (N, 3, H, W) images at these shares of their sides."""
    size = image.shape[-2:]
    return [image if s == 1 else resize_image(image, (round(s * size[0]), round(s * size[1]))) for s in scales]


def _normalised(log_densities: Tensor) -> Tensor:
    """Make each of (N, K, H, W) log densities sum to 1."""
    return log_densities - log_densities.logsumexp((-2, -1), keepdim=True)
