"""Quest: the model of "Deep Saliency Models: The Quest For The Loss Function".

Bruckert, Tavakoli, Liu, Christie & Le Meur, Neurocomputing 2021; arXiv:1907.02336. One architecture, many losses:
`--model.loss` takes any of `salzoo.losses`, and `salzoo study losses` compares them.

Differences from the paper:
- We had its abstract and references only: a multi-level encoder, a few convolutions, a learned centre bias and a
  sigmoid are after its description; widths, optimiser and the weights of losses are ours.
- A point-wise convolution brings each tap to `hidden[0]` channels, then all are resized and added: what a concatenation
  and one such convolution compute, at the cost of the small maps.
- The centre bias is a kernel density estimate of the training fixations with a learned weight, added before the
  sigmoid.
- Training starts at the centre bias with a peak of `PRIOR`, as detection networks start at a low prior (Lin et al.,
  ICCV 2017, Sec. 4.1). From 0.5 absolute errors first push the whole map down, into the flat part of the sigmoid.
- The lite variant reads three strides of a frozen EfficientNet-Lite0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo.backbones.timm_backbone import TimmBackbone
from salzoo.components.layers import CentreBias, Standardise, fit_standardise
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.images.preprocess import Preprocess, as_float

if TYPE_CHECKING:
    from salzoo.data import SaliencyDataModule

PRIOR = 0.03
"""Height of the sigmoid map where people look most, before training."""


class QuestNetwork(nn.Module):
    """Taps of an encoder, added at the resolution of one of them, 3x3 convolutions, and a centre bias.

    Shape: (N, 3, H, W) normalised image to (N, 1, H / stride, W / stride) logits of the sigmoid map.

    Args:
        backbone: timm name.
        taps: See `TimmBackbone`.
        stride: Of the map, that of one of the taps.
        hidden: Channels that each tap is brought to, then those of the 3x3 convolutions.
        dropout: Share of the first channels left out in training.
        train_backbone: If not, the trunk is frozen and its channels are standardised.
        pretrained_backbone: Start from ImageNet weights.
        remember: See `TimmBackbone`.
    """

    def __init__(
        self,
        backbone: str,
        taps: Sequence[int | str],
        stride: int,
        hidden: Sequence[int],
        dropout: float,
        train_backbone: bool,
        pretrained_backbone: bool,
        remember: bool,
    ) -> None:
        super().__init__()
        self.backbone = TimmBackbone(backbone, taps, pretrained=pretrained_backbone, remember=remember)
        if not train_backbone:
            self.backbone.freeze()
        channels = self.backbone.channels
        self.reference = self.backbone.strides.index(stride)
        self.standardise = nn.ModuleList(nn.Identity() if train_backbone else Standardise(c) for c in channels)
        self.project = nn.ModuleList(nn.Conv2d(c, hidden[0], 1) for c in channels)
        layers: list[nn.Module] = [nn.ReLU(), nn.Dropout2d(dropout)]
        for before, after in itertools.pairwise(hidden):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        readout = nn.Conv2d(hidden[-1], 1, 1)
        nn.init.constant_(readout.bias, math.log(PRIOR / (1 - PRIOR)))  # type: ignore[arg-type]  # it has one
        self.decoder = nn.Sequential(*layers, readout)
        self.centre_bias = CentreBias()

    def forward(self, image: Tensor) -> Tensor:
        """Encode, decode, and favour the middle."""
        maps = self.backbone(image)
        size = (maps[self.reference].shape[-2], maps[self.reference].shape[-1])
        levels = [
            _resize(project(standardise(m)), size)
            for project, standardise, m in zip(self.project, self.standardise, maps, strict=True)
        ]
        bias = self.centre_bias(size)
        logits: Tensor = self.decoder(sum(levels[1:], levels[0])).float() + bias - bias.amax()
        return logits


class Quest(SaliencyModel):
    """A plain multi-level network with a sigmoid, on which losses are compared.

    Args:
        backbone: timm name.
        taps: Strides or module names.
        stride: Of the map, that of one of the taps.
        hidden: Channels that each tap is brought to, then those of the 3x3 convolutions.
        dropout: Share of the first channels left out in training.
        train_backbone: If not, the trunk is frozen.
        pretrained_backbone: Start from ImageNet weights; `salzoo.load` of a checkpoint never does.
        preprocess: What the network expects.
        lr: Peak learning rate.
        backbone_rate: Rate of the trunk as a share of `lr`.
        loss: What to train with, as `salzoo.losses.get` takes it.
        remember: In training, keep the maps of the frozen trunk in memory; needs `--data.augment.crop 0`.
        mirror: Predict the average of the maps of the picture and of its mirror image; twice the work.
    """

    network: QuestNetwork
    sigmoid = True

    def __init__(
        self,
        backbone: str = "vgg16.tv_in1k",
        taps: tuple[int | str, ...] = (4, 8, 16),
        stride: int = 8,
        hidden: tuple[int, ...] = (64, 32, 32),
        dropout: float = 0.0,
        train_backbone: bool = True,
        pretrained_backbone: bool = False,
        preprocess: Preprocess = Preprocess((240, 320)),
        lr: float = 1e-3,
        backbone_rate: float = 0.1,
        loss: losses.LossSpec = "unisal",
        remember: bool = False,
        mirror: bool = False,
    ) -> None:
        super().__init__(preprocess, backbone=backbone, loss=loss, mirror=mirror)
        self.lr, self.backbone_rate = lr, backbone_rate
        self.network = QuestNetwork(
            backbone, taps, stride, hidden, dropout, train_backbone, pretrained_backbone, remember
        )

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Divide the sigmoid map by its sum."""
        return normalise_log(F.logsigmoid(logits))

    def calibrate(self, data: SaliencyDataModule) -> None:
        """Fit the centre bias to the training fixations, and a frozen trunk's statistics to 256 training pictures."""
        self.network.centre_bias.fit(data.train_points(), bandwidth=0.03)
        layers = [layer for layer in self.network.standardise if isinstance(layer, Standardise)]
        if layers:
            images = (as_float(image).to(self.device) for image in data.calibration_images(256))
            fit_standardise(layers, (self.network.backbone(self.preprocess.normalize(image)) for image in images))


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Average to a smaller size, interpolate to a larger one."""
    if maps.shape[-2] > size[0]:
        return F.adaptive_avg_pool2d(maps, size)
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)
