"""DeepGaze III (Kuemmerer, Bethge & Wallis, Journal of Vision 22(5):7, 2022).

Differences from the paper:
- Images of any size are brought to 1024 pixels on the longer side, as those of MIT1003 mostly are; the authors' code
  takes them as they are. Past fixations move along.
- Without a past fixation, one in the middle of the image is taken, where MIT1003's observers began; the authors' code
  needs at least one.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import CentreBiasTemplate, GaussianBlur, sides
from salzoo.components.readout import Frame, frame_of, halve, mixture, normalised

NODES = (
    "features.denseblock4.denselayer32.norm1",
    "features.denseblock4.denselayer32.conv1",
    "features.denseblock4.denselayer31.conv2",
)
"""Nodes of the authors' code, `deepgaze_pytorch/deepgaze3.py`: 2048 channels of DenseNet-201."""
FIXATIONS = 4
"""Past fixations that count (`included_fixations`)."""


class Pointwise(nn.Module):
    """Layer norm over channels and space, a 1x1 convolution and a softplus, from each width to the next.

    Shape: (N, widths[0], h, w) to (N, widths[-1], h, w).

    Args:
        widths: Channels before the first, and behind each convolution.
    """

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(1, width, eps=1e-12) for width in widths[:-1])
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in itertools.pairwise(widths))

    def forward(self, maps: Tensor) -> Tensor:
        """Apply all in turn."""
        for norm, layer in zip(self.norms, self.layers, strict=True):
            maps = F.softplus(layer(norm(maps)))
        return maps


class ScanpathNetwork(nn.Module):
    """What past fixations say of every place: its offsets from each and its distance, in pixels of the image.

    Each of the past fixations, by its age, has a 1x1 convolution with a bias; those of absent ones are left out.

    Shape: history (N, fixations, 2) and places (h, w, 2), x and y in pixels of the image, to (N, channels, h, w). The
    latest fixation comes first; absent ones are NaN.

    Args:
        hidden: Channels in which the fixations are added up.
        channels: Channels of the result.
    """

    def __init__(self, hidden: int, channels: int) -> None:
        super().__init__()
        self.encodings = nn.ModuleList(nn.Linear(3, hidden) for _ in range(FIXATIONS))
        self.rest = Pointwise(hidden, channels)

    def forward(self, history: Tensor, places: Tensor) -> Tensor:
        """Encode, add up, read out."""
        total = torch.zeros((), dtype=places.dtype, device=places.device)
        for encoding, fixation in zip(self.encodings, history.unbind(1), strict=True):
            present = ~fixation.isnan().any(-1)
            offsets = places - fixation.nan_to_num()[:, None, None]
            encoded = encoding(torch.cat([offsets, offsets.norm(dim=-1, keepdim=True)], dim=-1))
            total = total + encoded * present[:, None, None, None]
        maps: Tensor = self.rest(F.softplus(total).movedim(-1, 1))
        return maps


class SelectionNetwork(nn.Module):
    """Where the next fixation goes, from saliency and past fixations.

    Shape: saliency (N, 1, h, w) and scanpath maps (N, channels, h, w) to (N, 1, h, w).

    Args:
        channels: Of the scanpath maps.
        hidden: Channels of the two hidden layers.
    """

    def __init__(self, channels: int, hidden: tuple[int, int]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(1, width, eps=1e-12) for width in (1, channels))
        self.first = nn.Conv2d(1 + channels, hidden[0], 1)
        self.rest = Pointwise(*hidden)
        self.last = nn.Conv2d(hidden[1], 1, 1, bias=False)

    def forward(self, saliency: Tensor, scanpath: Tensor) -> Tensor:
        """Normalise each by itself, then read both out."""
        parts = [norm(part) for norm, part in zip(self.norms, (saliency, scanpath), strict=True)]
        maps: Tensor = self.last(self.rest(F.softplus(self.first(torch.cat(parts, dim=1)))))
        return maps


class Component(nn.Module):
    """One of the read-outs that are averaged: saliency, scanpath and fixation selection network, blur, centre bias.

    Args:
        channels: Channels of the features.
        options: `saliency`, `encoding`, `selection` and `sigma_px` of `DeepGazeIIINetwork`.
    """

    def __init__(
        self,
        channels: int,
        saliency: tuple[int, ...],
        encoding: tuple[int, int],
        selection: tuple[int, int],
        sigma_px: float,
    ) -> None:
        super().__init__()
        self.saliency = Pointwise(channels, *saliency, 1)
        self.scanpath = ScanpathNetwork(*encoding)
        self.selection = SelectionNetwork(encoding[1], selection)
        self.blur = GaussianBlur(sigma_px, max_sigma_px=None)
        self.centre_bias_weight = nn.Parameter(torch.ones(()))

    def forward(self, saliency: Tensor, history: Tensor, places: Tensor, frame: Frame) -> Tensor:
        """Turn the saliency map (1, 1, h, w) and N histories into (N, 1, *frame.size) log densities."""
        scanpath = self.scanpath(history, places)
        selected = self.selection(saliency.expand(len(scanpath), -1, -1, -1), scanpath)
        grown = self.blur(F.interpolate(selected, frame.size))
        return normalised(grown + self.centre_bias_weight * frame.prior, frame.whole)


class DeepGazeIIINetwork(nn.Module):
    """A frozen backbone and read-outs of it that know the past fixations.

    Shape: (N, 3, H, W) normalised image to (N, components, ...) log densities of the next fixation as `condition` has
    them, after one fixation in the middle of the image; in eval mode averaged to (N, 1, H, W).

    Args:
        backbone: timm name, or `torchvision/...`; frozen.
        feature_nodes: Strides or module names.
        components: Read-outs; the paper has one for each of ten folds of the training images.
        saliency: Channels of the saliency network's hidden layers.
        encoding: Channels in which past fixations are added up, and of the scanpath network's result.
        selection: Channels of the fixation selection network's hidden layers.
        readout_stride: Stride of the map at which these networks work, of the halved image.
        stride: Stride of the map at which blur and centre bias work, of the halved image.
        sigma_px: First width of the blur in pixels of that map.
        template: (height, width) of the one `CentreBiasTemplate`; the authors' is 1024 x 1024.
    """

    def __init__(
        self,
        backbone: str = "torchvision/densenet201",
        feature_nodes: tuple[int | str, ...] = NODES,
        components: int = 10,
        saliency: tuple[int, ...] = (8, 16),
        encoding: tuple[int, int] = (128, 16),
        selection: tuple[int, int] = (128, 16),
        readout_stride: int = 4,
        stride: int = 2,
        sigma_px: float = 8.0,
        template: tuple[int, int] = (1024, 1024),
    ) -> None:
        check_range(1, 64, components=components, readout_stride=readout_stride, stride=stride)
        check_range(1, 8192, saliency=saliency, encoding=encoding, selection=selection)
        check_range(0.01, 64, sigma_px=sigma_px)
        check_range(2, 2048, template=template)
        super().__init__()
        self.backbone = TimmBackbone(backbone, feature_nodes)
        self.backbone.freeze()
        channels = sum(self.backbone.channels)
        self.components = nn.ModuleList(
            Component(channels, saliency, encoding, selection, sigma_px) for _ in range(components)
        )
        self.readout_stride, self.stride = readout_stride, stride
        self.template = CentreBiasTemplate(template)

    def forward(self, image: Tensor) -> Tensor:
        """Predict where people look after the middle of the image."""
        height, width = sides(image)
        middle = image.new_tensor([[(width - 1) / 2, (height - 1) / 2]])
        history = F.pad(middle, (0, 0, 0, FIXATIONS - 1), value=torch.nan)[None]
        saliency, frame = self.read(image)
        each = [self.condition(one[None], frame, history) for one in saliency]
        if self.training:
            return torch.cat(each)
        return torch.cat([F.interpolate(mixture(one), frame.whole) for one in each])

    def read(self, image: Tensor) -> tuple[Tensor, Frame]:
        """Return the saliency maps (N, components, h, w) of normalised images, and their frame."""
        frame = frame_of(image, self.readout_stride, self.stride, self.template, halved=True)
        features = torch.cat([F.interpolate(m, frame.readout) for m in self.backbone(halve(image))], dim=1)
        return torch.cat([component.saliency(features) for component in self.components], dim=1), frame

    def condition(self, saliency: Tensor, frame: Frame, history: Tensor) -> Tensor:
        """Return the log densities of the next fixation by every component.

        Args:
            saliency: (1, components, h, w) of one image, from `read`.
            frame: Also from there.
            history: (N, 4, 2) past fixations, x and y in pixels of the image, the latest first, absent ones NaN.

        Returns:
            (N, components, *frame.size), each normalised over the whole image.
        """
        places = _places(frame, history)
        maps = zip(self.components, saliency.split(1, dim=1), strict=True)
        return torch.cat([component(one, history, places, frame) for component, one in maps], dim=1)


def _places(frame: Frame, like: Tensor) -> Tensor:
    """Return which pixel of the image each point of the read-out's map stands for, (h, w, 2): the nearest."""
    rows, columns = (
        torch.arange(coarse, device=like.device, dtype=like.dtype).mul(whole / coarse).floor()
        for coarse, whole in zip(frame.readout, frame.whole or frame.size, strict=True)
    )
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
