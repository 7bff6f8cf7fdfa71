"""Quest: the model of "Deep Saliency Models: The Quest For The Loss Function".

Bruckert, Tavakoli, Liu, Christie & Le Meur, Neurocomputing 2021; arXiv:1907.02336. One architecture, many losses:
`--training.loss` takes any of `salzoo.losses`, and `salzoo study losses` compares them.

Differences from the paper:
- We had its abstract and references only: a multi-level encoder, a few convolutions, a learned centre bias and a
  sigmoid are after its description; widths, optimiser and the weights of losses are ours.
- A point-wise convolution brings each feature map to `hidden[0]` channels, then all are resized and added: what a
  concatenation and one such convolution compute, at the cost of the small maps.
- The centre bias is a kernel density estimate of the training fixations with a learned weight, added before the
  sigmoid.
- Training starts at the centre bias with a peak of `PRIOR`, as detection networks start at a low prior (Lin et al.,
  ICCV 2017, Sec. 4.1). From 0.5 absolute errors first push the whole map down, into the flat part of the sigmoid.
- The lite variant reads three strides of a frozen EfficientNet-Lite0.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import CentreBias, Standardise, position_of_stride, resize_map
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.images.preprocess import Preprocess
from salzoo.losses import LossSpec

PRIOR = 0.03
"""Height of the sigmoid map where people look most, before training."""


class QuestNetwork(nn.Module):
    """Feature maps of an encoder, added at the resolution of one of them, 3x3 convolutions, and a centre bias.

    Shape: (N, 3, H, W) normalised image to (N, 1, H / stride, W / stride) logits of the sigmoid map.

    Args:
        backbone: timm name.
        feature_nodes: Strides or module names.
        stride: Stride of the result, that of one of the nodes.
        hidden: Channels that each feature map is brought to, then those of the 3x3 convolutions.
        dropout: Share of the first channels left out in training.
        train_backbone: If not, the backbone is frozen and its channels are standardised.
    """

    def __init__(
        self,
        backbone: str = "vgg16.tv_in1k",
        feature_nodes: tuple[int | str, ...] = (4, 8, 16),
        stride: int = 8,
        hidden: tuple[int, ...] = (64, 32, 32),
        dropout: float = 0.0,
        train_backbone: bool = True,
    ) -> None:
        super().__init__()
        check_range(1, 4096, hidden=hidden)
        check_range(0, 1, dropout=dropout)
        self.backbone = TimmBackbone(backbone, feature_nodes)
        if not train_backbone:
            self.backbone.freeze()
        channels = self.backbone.channels
        self.reference = position_of_stride(self.backbone, stride)
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
        """Encode, decode, and add the centre bias."""
        maps = self.backbone(image)
        size = (maps[self.reference].shape[-2], maps[self.reference].shape[-1])
        levels = [
            resize_map(project(standardise(m)), size)
            for project, standardise, m in zip(self.project, self.standardise, maps, strict=True)
        ]
        bias = self.centre_bias(size)
        logits: Tensor = self.decoder(sum(levels[1:], levels[0])).float() + bias - bias.amax((-2, -1), keepdim=True)
        return logits


@dataclass(frozen=True)
class QuestTraining(TrainingConfig):
    """Training of Quest.

    Args:
        loss: Criterion to train with, as `salzoo.losses.get` takes it.
    """

    backbone_lr_scale: float = 0.1
    loss: LossSpec = "unisal"


class Quest(SaliencyModel):
    """A plain multi-level network with a sigmoid, on which losses are compared; arguments as `QuestNetwork`."""

    network: QuestNetwork
    network_class = QuestNetwork
    training_config: QuestTraining
    training_class = QuestTraining
    default_preprocess = Preprocess((240, 320))
    sigmoid = True

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Divide the sigmoid map by its sum."""
        return normalise_log(F.logsigmoid(logits))
