"""DeepGaze IIE (Linardos, Kuemmerer, Press & Bethge, ICCV 2021; arXiv:2105.12441).

Differences from the paper:
- timm's ResNet-50 with ImageNet weights stands in for the one trained on stylised pictures ("ShapeNet-C"), whose
  weights neither timm nor torchvision has; DenseNet-201 is torchvision's: timm's has no tap before that ReLU.
- The picture is halved by an antialiased resize in front of the network, not by dropping every other pixel, and the map
  is brought back to the picture's size bilinearly.
- All components are trained at once, on all training pictures, instead of three times on each of ten folds, by AdamW
  with a one-cycle rate instead of Adam with steps.
- The lite variant reads several stages of three EfficientNet-Lite at two resolutions of the picture, with components
  whose first layer is wider, without layer norm (channels are standardised by statistics of the training pictures).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo.backbones.pretrained import pixel_statistics
from salzoo.backbones.timm_backbone import TimmBackbone
from salzoo.components.layers import CentreBias, GaussianBlur, Standardise, fit_standardise
from salzoo.components.saliency_model import SaliencyModel
from salzoo.errors import SpecError
from salzoo.images.geometry import MULTIPLE
from salzoo.images.preprocess import Preprocess, as_float

if TYPE_CHECKING:
    from salzoo.data import SaliencyDataModule
    from salzoo.data.base import Batch

BACKBONES = ("resnet50.tv_in1k", "tf_efficientnet_b5.in1k", "torchvision/densenet201", "resnext50_32x4d.tv_in1k")
"""In place of the paper's ShapeNet-C, EfficientNet-B5, DenseNet-201 and ResNeXt-50."""
TAPS: tuple[tuple[int | str, ...], ...] = (
    ("layer3.0.conv2", "layer3.3.conv2", "layer3.5.conv1", "layer3.5.conv2", "layer4.1.conv2", "layer4.2.conv2"),
    ("blocks.4.4.conv_dw", "blocks.4.6.conv_dw", "blocks.5.8.conv_pwl"),
    (
        "features.denseblock4.denselayer32.norm1",
        "features.denseblock4.denselayer32.conv1",
        "features.denseblock4.denselayer31.conv2",
    ),
    ("layer3.5.conv1", "layer3.5.conv2", "layer3.4.conv2", "layer4.2.conv2"),
)
"""Those of the authors' code, `deepgaze_pytorch/deepgaze2e.py`, before the ReLU: 2048, 2416, 2048, 2560 channels."""


class Component(nn.Module):
    """One read-out: point-wise layers, a blur and a centre bias of its own.

    Shape: maps (N, channels[i], any, any) to (N, 1, *size) unnormalised log density.

    Args:
        channels: Of the maps.
        hidden: Channels of the hidden layers, each behind a softplus; the paper's are those of its saliency network
            (8, 16, 1) and its fixation selection network (128, 16).
        layer_norm: Normalise before every hidden layer over channels and space; there is one map then.
        dropout: Share of hidden channels left out in training.
        resize: How maps are brought to another size.
        sigma_px: First width of the blur.
    """

    def __init__(
        self,
        channels: Sequence[int],
        hidden: Sequence[int],
        layer_norm: bool,
        dropout: float,
        resize: Literal["nearest", "bilinear"],
        sigma_px: float,
    ) -> None:
        super().__init__()
        widths = (sum(channels), *hidden)
        self.channels, self.resize = list(channels), resize
        self.norms = nn.ModuleList(nn.GroupNorm(1, c, eps=1e-12) if layer_norm else nn.Identity() for c in widths[:-1])
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in itertools.pairwise(widths))
        self.last = nn.Conv2d(widths[-1], 1, 1, bias=False)
        self.dropout = nn.Dropout2d(dropout)
        self.blur = GaussianBlur(sigma_px, max_sigma_px=None)
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
        taps: See `TimmBackbone`.
        scales: Shares of the picture's sides at which the backbone sees it.
        components: Number of read-outs.
        hidden: See `Component`.
        layer_norm: See `Component`; if not, channels are standardised by statistics of the training pictures.
        dropout: See `Component`.
        readout_stride: Of the map at which the point-wise layers work.
        stride: Of the map at which the blur and the centre bias work.
        resize: See `Component`.
        sigma_px: See `Component`.
        remember: See `TimmBackbone`.
        pretrained_backbone: Start from ImageNet weights.
    """

    def __init__(
        self,
        backbone: str,
        taps: Sequence[int | str],
        *,
        scales: Sequence[float],
        components: int,
        hidden: Sequence[int],
        layer_norm: bool,
        dropout: float,
        readout_stride: int,
        stride: int,
        resize: Literal["nearest", "bilinear"],
        sigma_px: float,
        remember: bool,
        pretrained_backbone: bool,
    ) -> None:
        super().__init__()
        self.scales, self.layer_norm, self.resize = tuple(scales), layer_norm, resize
        self.readout_stride, self.stride = readout_stride, stride
        self.backbone = TimmBackbone(backbone, taps, pretrained=pretrained_backbone, remember=remember)
        self.backbone.freeze()
        channels = self.backbone.channels * len(self.scales)
        self.standardise = nn.ModuleList(() if layer_norm else (Standardise(c) for c in channels))
        stacked = (sum(channels),) if layer_norm else channels
        self.components = nn.ModuleList(
            Component(stacked, hidden, layer_norm, dropout, resize, sigma_px) for _ in range(components)
        )

    def features(self, seen: Sequence[Tensor]) -> list[Tensor]:
        """Return the taps of the picture at every scale; under autocast only they are in half precision."""
        return [m.float() for one in seen for m in self.backbone(one)]

    def fit(self, images: Iterable[Tensor]) -> None:
        """Measure the channel statistics on (N, 3, H, W) normalised pictures."""
        if not self.layer_norm:
            maps = (self.features(pyramid(image, self.scales)) for image in images)
            fit_standardise(cast("list[Standardise]", list(self.standardise)), maps)

    def forward(self, seen: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Read the taps out by every component.

        Args:
            seen: The picture at each scale.
            size: (height, width) of the picture.
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
    """The mixture: the densities of all components of all members in all views, averaged with equal weights.

    Shape: (N, 3, H, W) normalised image to (N, 1, H / stride, W / stride) log density; in train mode to
    (N, members * components, H / stride, W / stride), the components side by side, of the picture as it is.

    Args:
        members: One a backbone, with equally many components and the same scales each.
        views: What the members see in eval mode: the picture at these shares of its sides, mirrored or not.
    """

    def __init__(self, members: Iterable[Member], views: Sequence[tuple[float, bool]]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.views = tuple(views)

    def forward(self, image: Tensor) -> Tensor:
        """Predict by every component; average them over all views in eval mode."""
        if self.training:
            return self._components(image)
        seen = [self._view(image, scale, mirrored) for scale, mirrored in self.views]
        size = (seen[0].shape[-2], seen[0].shape[-1])
        components = torch.cat([_normalised(F.interpolate(one, size, mode="bilinear")) for one in seen], dim=1)
        return components.logsumexp(1, keepdim=True) - math.log(components.shape[1])

    def _components(self, image: Tensor) -> Tensor:
        members = cast("list[Member]", list(self.members))
        seen = pyramid(image, members[0].scales)
        return torch.cat([member(seen, (image.shape[-2], image.shape[-1])) for member in members], dim=1)

    def _view(self, image: Tensor, scale: float, mirrored: bool) -> Tensor:
        """Return the components' log densities of a view, mirrored back; sides are multiples of 32 as the picture's."""
        height, width = (max(MULTIPLE, round(scale * side / MULTIPLE) * MULTIPLE) for side in image.shape[-2:])
        view = image if scale == 1 else _resized(image, (height, width))
        return self._components(view.flip(-1)).flip(-1) if mirrored else self._components(view)


class DeepGazeIIE(SaliencyModel):
    """DeepGaze IIE: a mixture of read-outs of several frozen backbones, each trained by log-likelihood.

    Args:
        backbones: timm names, or `torchvision/...`; frozen. They must expect pixels normalised alike.
        taps: Strides or module names for each backbone.
        scales: Shares of the input's sides at which each backbone sees the picture.
        components: Read-outs a backbone; the paper has three times ten, for ten folds of the training pictures.
        hidden: Channels of a read-out's hidden layers; see `Component`.
        layer_norm: Normalise before every hidden layer, as the paper does; if not, standardise the backbones' channels.
        dropout: Share of the read-outs' hidden channels left out in training.
        readout_stride: Of the map at which the read-outs' layers work.
        stride: Of the map at which blur and centre bias work; the paper's is 2, 1 after halving the picture.
        resize: How maps are brought to these strides.
        sigma_px: First width of the blur in pixels of that map.
        views: What predictions are averaged over: the input at these shares of its sides, mirrored or not.
        remember: In training, run the frozen backbones once a picture and keep the maps in memory; see `TimmBackbone`.
        pretrained_backbone: Start from ImageNet weights; `salzoo.load` of a checkpoint never does.
        preprocess: What the network expects; 384 x 512 is half of the 768 x 1024 of MIT1003's pictures.
        lr: Peak learning rate.
        loss: Of each component, see `salzoo.losses.get`; the paper's is the log-likelihood.
    """

    network: DeepGazeIIENetwork

    def __init__(
        self,
        backbones: tuple[str, ...] = BACKBONES,
        taps: tuple[tuple[int | str, ...], ...] = TAPS,
        scales: tuple[float, ...] = (1.0,),
        components: int = 30,
        hidden: tuple[int, ...] = (8, 16, 1, 128, 16),
        layer_norm: bool = True,
        dropout: float = 0.0,
        readout_stride: int = 16,
        stride: int = 1,
        resize: Literal["nearest", "bilinear"] = "nearest",
        sigma_px: float = 8.0,
        views: tuple[tuple[float, bool], ...] = ((1.0, False),),
        remember: bool = False,
        pretrained_backbone: bool = False,
        preprocess: Preprocess = Preprocess((384, 512)),
        lr: float = 1e-3,
        loss: losses.LossSpec = "nll",
    ) -> None:
        if len(backbones) != len(taps) or len({pixel_statistics(name) for name in backbones}) != 1:
            raise SpecError(
                f"backbones must expect pixels normalised alike, and each needs its taps; got {list(backbones)} and "
                f"{len(taps)} lists of taps."
            )
        super().__init__(preprocess, backbone=backbones[0], loss=loss)
        self.lr = lr
        members = (
            Member(
                backbone,
                own_taps,
                scales=scales,
                components=components,
                hidden=hidden,
                layer_norm=layer_norm,
                dropout=dropout,
                readout_stride=readout_stride,
                stride=stride,
                resize=resize,
                sigma_px=sigma_px,
                remember=remember,
                pretrained_backbone=pretrained_backbone,
            )
            for backbone, own_taps in zip(backbones, taps, strict=True)
        )
        self.network = DeepGazeIIENetwork(members, views)

    def training_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss: that of the paper is one by name, too."""
        return self.loss(logits, batch)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Average over components (N, components, h, w), each trained as if it were alone."""
        each = [super(DeepGazeIIE, self).loss(one, batch) for one in torch.split(logits, 1, dim=1)]
        return torch.stack(each).mean()

    def calibrate(self, data: SaliencyDataModule) -> None:
        """Fit the centre bias to the training fixations and the channel statistics to 96 training pictures."""
        biases = [module for module in self.network.modules() if isinstance(module, CentreBias)]
        biases[0].fit(data.train_points(), bandwidth=0.03)
        for bias in biases[1:]:
            bias.log_density.copy_(biases[0].log_density)
        for member in self.network.members:
            images = (as_float(image).to(self.device) for image in data.calibration_images(96))
            cast("Member", member).fit(map(self.preprocess.normalize, images))


def pyramid(image: Tensor, scales: Iterable[float]) -> list[Tensor]:
    """Return (N, 3, H, W) pictures at these shares of their sides."""
    size = image.shape[-2:]
    return [image if s == 1 else _resized(image, (round(s * size[0]), round(s * size[1]))) for s in scales]


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)


def _normalised(log_densities: Tensor) -> Tensor:
    """Make each of (N, K, H, W) log densities sum to 1."""
    return log_densities - log_densities.logsumexp((-2, -1), keepdim=True)
