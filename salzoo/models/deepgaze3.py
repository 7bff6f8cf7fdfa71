"""DeepGaze III (Kuemmerer, Bethge & Wallis, Journal of Vision 22(5):7, 2022).

Differences from the paper:
- Images of any size are brought to 1024 pixels on the longer side, as those of MIT1003 mostly are; the authors' code
  takes them as they are. Past fixations move along.
- The static density is that after one fixation in the middle of the image, where MIT1003's observers began; the
  authors' code needs at least one past fixation.
- All parameters are trained at once on the scanpaths of all training images, by AdamW with a one-cycle rate, instead of
  saliency first, on ten folds.
- The lite variant has no backbone: a small network (`HistoryHead`) turns the density of another model of the zoo, and
  past fixations, into that of the next one.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.history_head import FIRST, HistoryHead
from salzoo.components.layers import CentreBiasTemplate, GaussianBlur, fit_centre_biases, sides
from salzoo.components.readout import Frame, frame_of, halve, mixture, normalised
from salzoo.components.scanpath_fit import SeenImage, look, maximise, with_scanpaths
from salzoo.components.scanpath_model import ScanpathModel
from salzoo.components.stimulus import Stimulus
from salzoo.components.training_config import TrainingConfig
from salzoo.data.statistics import TrainingStatistics
from salzoo.images.geometry import Size, frame_size

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
        hidden: Channels of the hidden layers.
    """

    def __init__(self, channels: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(1, width, eps=1e-12) for width in (1, channels))
        self.first = nn.Conv2d(1 + channels, hidden[0], 1)
        self.rest = Pointwise(*hidden)
        self.last = nn.Conv2d(hidden[-1], 1, 1, bias=False)

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
        selection: tuple[int, ...],
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
        assert frame.prior is not None
        grown = self.blur(F.interpolate(selected, frame.size))
        return normalised(grown + self.centre_bias_weight * frame.prior, frame.whole)


class DeepGazeIIINetwork(nn.Module):
    """A frozen backbone and read-outs of it that know the past fixations; without a backbone, `head` alone.

    Shape: (N, 3, H, W) normalised image to (N, 1, H, W) log density of the fixation after one in the middle.

    Args:
        backbone: timm name, or `torchvision/...`; frozen. None: only a `HistoryHead`, on the density of another model.
        feature_nodes: Strides or module names.
        components: Read-outs; the paper has one for each of ten folds of the training images.
        saliency: Channels of the saliency network's hidden layers.
        encoding: Channels in which past fixations are added up, and of the scanpath network's result.
        selection: Channels of the fixation selection network's hidden layers; the first is that of the head.
        readout_stride: Stride of the map at which these networks work, of the halved image.
        stride: Stride of the map at which blur and centre bias work, of the halved image.
        sigma_px: First width of the blur in pixels of that map.
        template: (height, width) of the one `CentreBiasTemplate`; the authors' is 1024 x 1024.
        wide: Of the head: cells along the longer side of the grid on which its network works.
    """

    def __init__(
        self,
        backbone: str | None = "torchvision/densenet201",
        feature_nodes: tuple[int | str, ...] = NODES,
        components: int = 10,
        saliency: tuple[int, ...] = (8, 16),
        encoding: tuple[int, int] = (128, 16),
        selection: tuple[int, ...] = (128, 16),
        readout_stride: int = 4,
        stride: int = 2,
        sigma_px: float = 8.0,
        template: tuple[int, int] = (1024, 1024),
        wide: int = 32,
    ) -> None:
        check_range(1, 64, components=components, readout_stride=readout_stride, stride=stride)
        check_range(1, 8192, saliency=saliency, encoding=encoding, selection=selection)
        check_range(0.01, 64, sigma_px=sigma_px)
        check_range(2, 2048, template=template)
        check_range(1, 512, wide=wide)
        super().__init__()
        self.head = HistoryHead(FIXATIONS, encoding, selection[0], wide) if backbone is None else None
        if backbone is None:
            return
        self.backbone = TimmBackbone(backbone, feature_nodes)
        self.backbone.freeze()
        channels = sum(self.backbone.channels)
        self.components = nn.ModuleList(
            Component(channels, saliency, encoding, selection, sigma_px) for _ in range(components)
        )
        self.readout_stride, self.stride = readout_stride, stride
        self.template = CentreBiasTemplate(template)

    def forward(self, image: Tensor) -> Tensor:
        """Predict where people look after the middle of the image, in which each trial of MIT1003 begins."""
        height, width = size = sides(image)
        history = image.new_full((1, FIXATIONS, 2), torch.nan)
        history[0, 0] = image.new_tensor([(width - 1) / 2, (height - 1) / 2])
        return torch.cat([self.condition(one[None], size, history) for one in self.read(image)])

    def read(self, image: Tensor) -> Tensor:
        """Return the saliency maps (N, components, h, w) of normalised images."""
        readout = self._frame(sides(image)).readout
        features = torch.cat([F.interpolate(m, readout) for m in self.backbone(halve(image))], dim=1)
        return torch.cat([cast("Component", component).saliency(features) for component in self.components], dim=1)

    def condition(self, saliency: Tensor, size: Size, history: Tensor) -> Tensor:
        """Return the log density of the next fixation, the average of all components'.

        Args:
            saliency: (1, components, h, w) of one image, from `read`.
            size: (height, width) of that image.
            history: (N, 4, 2) past fixations, x and y in its pixels, the latest first, absent ones NaN.

        Returns:
            (N, 1, *size).
        """
        frame = self._frame(size)
        places = _places(frame, history)
        maps = zip(self.components, torch.split(saliency, 1, dim=1), strict=True)
        each = torch.cat([component(one, history, places, frame) for component, one in maps], dim=1)
        return F.interpolate(mixture(each), size)

    def _frame(self, size: Size) -> Frame:
        return frame_of(size, self.readout_stride, self.stride, self.template, halved=True)


def _places(frame: Frame, like: Tensor) -> Tensor:
    """Return which pixel of the image each point of the read-out's map stands for, (h, w, 2): the nearest."""
    rows, columns = (
        torch.arange(coarse, device=like.device, dtype=like.dtype).mul(whole / coarse).floor()
        for coarse, whole in zip(frame.readout, frame.whole or frame.size, strict=True)
    )
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)


@dataclass(frozen=True)
class DeepGazeIIITraining(TrainingConfig):
    """How the next fixation is learned from scanpaths.

    Args:
        images: Training images that are looked at, spread evenly over the sets; None for all.
        epochs: How often each of them is taken.
        batch: Images a step.
        fixations: Fixations of an image that are drawn for a step.
        weight_decay: Of AdamW.
    """

    lr: float = 3e-3
    images: int | None = None
    epochs: int = 5
    batch: int = 8
    fixations: int = 32
    weight_decay: float = 1e-2


class DeepGazeIII(ScanpathModel):
    """DeepGaze III: the likelihood of the next fixation; arguments as `DeepGazeIIINetwork` and `ScanpathModel`.

    With a backbone, the static density is its own and `density` is not looked at.
    """

    network: DeepGazeIIINetwork
    network_class = DeepGazeIIINetwork
    training_config: DeepGazeIIITraining
    training_class = DeepGazeIIITraining
    lags = FIRST

    @property
    def own_density(self) -> bool:
        """Whether there is a backbone."""
        return self.network.head is None

    def prepare(self, image: Tensor) -> Stimulus:
        """Compute the static density, and with a backbone the saliency maps (1, components, h, w)."""
        stimulus = super().prepare(image)
        if self.network.head:
            return stimulus
        with torch.no_grad():
            seen = self._pixels(self.preprocess.resize(image[None].to(self.device)))
            return replace(stimulus, features=self.network.read(seen))

    def score_cells(self, stimulus: Stimulus, history: Tensor) -> Tensor:
        """Return how likely each cell is to be fixated next; before the first, as in the static density."""
        if history.shape[1] == 0:
            return stimulus.log_cells.to(history).expand(len(history), -1, -1)
        if self.network.head:
            found: Tensor = self.network.head(stimulus, history)
            return found
        return torch.stack([self._read_out(stimulus, one) for one in history])

    def _read_out(self, stimulus: Stimulus, history: Tensor) -> Tensor:
        """Return the log probability of each cell after one history (K, 3)."""
        assert stimulus.features is not None
        past = history[:, :2].flip(0)[:FIXATIONS]
        size = frame_size(stimulus.size, self.preprocess.size, self.preprocess.fit)
        scale = past.new_tensor([new / old for new, old in zip(size[::-1], stimulus.size[::-1], strict=True)])
        past = F.pad((past + 0.5) * scale - 0.5, (0, 0, 0, FIXATIONS - len(past)), value=torch.nan)
        logits = self.restore(self.network.condition(stimulus.features, size, past[None]), stimulus.size)
        return Stimulus(logits[0, 0], stimulus.cells).log_cells.to(history)

    def fit_statistics(self, data: TrainingStatistics) -> None:
        """Train on the scanpaths of training images."""
        data = with_scanpaths(data, "deepgaze3")
        fit_centre_biases(self.network, data)
        config = self.training_config
        alone = self.network.head is not None
        images = list(look(self, data.datasets("train"), images=config.images, reduce=alone))
        with torch.enable_grad():
            maximise(
                self.network,
                images,
                self._log_likelihood,
                epochs=config.epochs,
                lr=config.lr,
                batch=config.batch,
                weight_decay=config.weight_decay,
            )

    def _log_likelihood(self, image: SeenImage, generator: np.random.Generator) -> Tensor:
        """Return that of a few fixations from the second on, in cells over uniform."""
        histories, cells = image.steps(FIRST)
        few = generator.permutation(len(cells))[: self.training_config.fixations]
        scores = self.score_cells(image.stimulus, histories[few].to(self.device)).flatten(1)
        found = scores.log_softmax(1).gather(1, cells[few, None].to(self.device))
        return found[:, 0] + math.log(scores.shape[1])
