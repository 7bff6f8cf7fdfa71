"""MSI-Net (Kroner, Senden, Driessens & Goebel, Neural Networks 2020; arXiv:1902.06634).

Where paper and released code differ, this is the released code (TensorFlow 1): pools of stride 1 reach one pixel down
and right, up-sampling samples at `i / 2` and repeats the last row and column, and each image's map is stretched to
[0, 1]. Differences:
- timm's VGG-16 has ImageNet weights; the authors start from weights of ImageNet and Places together. The recipe gives
  it RGB with ImageNet statistics; imported weights of the authors get what they were trained with, RGB minus the mean
  that belongs to BGR.
- The network is trained on the map of its own size against the density of that size, as the authors do, but a map is
  made a density by adding `FLOOR` of its mean before the division by its sum; the authors add 1e-7 of the sum, which is
  the same at 240 x 320 and would flatten the maps of large images.
- Maps are brought back to the image's size bilinearly; the authors do it as they bring images to size, by areas or, to
  enlarge, by bicubic interpolation, with aligned corners (`resample: tensorflow1_area`, which imported weights get).
- The lite variant reads three strides of a frozen EfficientNet-Lite0, standardised, through a 1x1 convolution, has
  fewer channels and one up-sampling instead of three, AdamW and a one-cycle rate.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import StackedFeatures, dilate, upsample_tensorflow1
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch

VGG16_NODES = ("features.16", "features.23", "features.30")
"""pool3, pool4 and pool5, 1,280 channels in all (Sec. 3.1)."""

CONV5 = ("features.24", "features.26", "features.28")

FLOOR = 7.7e-3
"""Share of its mean that is added to each map: the authors' 1e-7 of the sum, at their 240 x 320 pixels."""


class SamePool(nn.Module):
    """2 x 2 maximum at stride 1 over each pixel and its neighbours below and to the right: TensorFlow's "same" padding.

    Shape: (N, C, H, W), not negative, to the same.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Pool."""
        return F.max_pool2d(F.pad(maps, (0, 1, 0, 1)), 2, 1)


class ASPP(nn.Module):
    """Convolutions of several reaches beside the mean of the whole map, brought together by a 1x1 (Sec. 3.2).

    Shape: (N, C, H, W) to (N, width, H, W), not negative.

    Args:
        channels: C.
        width: Channels of each branch, and of the result.
        rates: Dilation of each 3x3 convolution; beside them is one of 1x1.
    """

    def __init__(self, channels: int, width: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        dilated = [nn.Conv2d(channels, width, 3, padding=rate, dilation=rate) for rate in rates]
        self.branches = nn.ModuleList([nn.Conv2d(channels, width, 1), *dilated])
        self.scene = nn.Conv2d(channels, width, 1)
        self.fuse = nn.Conv2d(width * (len(rates) + 2), width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Run the branches."""
        scene = self.scene(maps.mean((2, 3), keepdim=True)).expand(-1, -1, *maps.shape[-2:])
        context = torch.cat([*(branch(maps) for branch in self.branches), scene], dim=1).relu()
        return cast("Tensor", self.fuse(context)).relu()


class MSINetNetwork(nn.Module):
    """Features of several levels, the ASPP, and a decoder that doubles the resolution before each convolution (Fig. 2).

    Shape: (N, 3, H, W) normalised image to a map in [0, 1], (N, 1, h, w), 2 ** `doublings` as fine as the features.

    Args:
        backbone: timm name.
        feature_nodes: Strides or module names; one has stride 8, to which maps of other strides are brought.
        dilated: Turn VGG-16 into the paper's backbone of stride 8: pool4 and pool5 at stride 1, conv5 dilated by 2.
        frozen: Do not train the backbone, and standardise its maps.
        reduced: Channels of a 1x1 convolution between features and ASPP; None as in the paper: there is none.
        width: Channels of the ASPP; the paper's are 256. The decoder's are a half, a quarter, ... of them.
        rates: Dilations of the ASPP.
        doublings: Up-sampling steps of the decoder; the paper's 3 end at the size of the image.
        dropout: Share of the channels of the ASPP's input that are left out in training; the paper has none.
    """

    def __init__(
        self,
        backbone: str = "vgg16.tv_in1k",
        feature_nodes: tuple[int | str, ...] = VGG16_NODES,
        dilated: bool = True,
        frozen: bool = False,
        reduced: int | None = None,
        width: int = 256,
        rates: tuple[int, ...] = (4, 8, 12),
        doublings: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_range(1, 8, doublings=doublings)
        check_range(2**doublings, 4096, width=width)
        check_range(1, 64, rates=rates)
        check_range(1, 4096, reduced=reduced)
        check_range(0, 1, dropout=dropout)
        features = TimmBackbone(backbone, feature_nodes)
        if dilated:
            for pool in ("features.23", "features.30"):
                features.trunk.set_submodule(pool, SamePool())
            dilate(features.trunk, CONV5, 2)
        if frozen:
            features.freeze()
        self.features = StackedFeatures(features, stride=8)
        channels = self.features.channels
        self.reduce = nn.Identity() if reduced is None else nn.Sequential(nn.Conv2d(channels, reduced, 1), nn.ReLU())
        self.dropout = nn.Dropout2d(dropout)
        self.aspp = ASPP(channels if reduced is None else reduced, width, rates)
        widths = [width >> step for step in range(doublings + 1)]
        self.decoder = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in itertools.pairwise(widths)
        )
        self.predict = nn.Conv2d(widths[-1], 1, 3, padding=1)
        for layer in (self.reduce, self.aspp, self.decoder, self.predict):
            for convolution in layer.modules():
                if isinstance(convolution, nn.Conv2d):
                    nn.init.xavier_uniform_(convolution.weight)
                    nn.init.zeros_(cast("Tensor", convolution.bias))

    def forward(self, image: Tensor) -> Tensor:
        """Extract, gather context, decode, and stretch each map to [0, 1]."""
        maps = self.aspp(self.dropout(self.reduce(self.features(image))))
        for convolution in self.decoder:
            maps = convolution(upsample_tensorflow1(maps)).relu()
        saliency = self.predict(maps).float()
        saliency = saliency - saliency.amin((-2, -1), keepdim=True)
        return cast("Tensor", saliency / (1e-7 + saliency.amax((-2, -1), keepdim=True)))


@dataclass(frozen=True)
class MSINetTraining(TrainingConfig):
    """Training of MSI-Net; `sgd` is the authors' own optimiser, which is Adam at a constant rate."""

    lr: float = 1e-5
    optimizer: Literal["adamw", "sgd"] = "sgd"


class MSINet(SaliencyModel):
    """MSI-Net: features of several levels, seen at several scales and beside the whole scene; trained by KL.

    Its arguments are those of `MSINetNetwork`. Its sides are multiples of 8.
    """

    network: MSINetNetwork
    network_class = MSINetNetwork
    training_config: MSINetTraining
    training_class = MSINetTraining
    default_preprocess = Preprocess((240, 320), "pad")
    statistics_images = 64

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Add `FLOOR` of its mean to each map and divide it by its sum."""
        maps = logits.clamp_min(0)
        floor: Tensor = FLOOR * maps.mean((-2, -1), keepdim=True)
        return normalise_log((maps + floor).clamp_min(1e-30).log())

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """KL divergence of the map, as a density, from the density of the fixations (Sec. 3.4)."""
        return cast("Tensor", losses.get("kl")(self.to_log_density(logits), batch))

    def configure_sgd(self) -> Any:
        """Return the authors' Adam, at a constant rate and without weight decay."""
        return torch.optim.Adam(self.parameter_groups(), lr=self.training_config.lr)
