"""DVA, Deep Visual Attention Prediction (Wang & Shen, IEEE TIP 2018; arXiv:1705.02544).

We had the authors' code (github.com/wenguanwang/deepattention) and no full text. Differences:
- The layers that crop the maps state no offset. Here it is what the geometry of the layers before them gives, as in the
  Caffe that the authors built on (that of HED, Xie & Tu 2015): 48, 40 and 36 pixels.
- How the network was trained is not in the code: neither rates nor steps nor data. The recipe of the paper variant is
  ours, AdamW with a one-cycle rate on SALICON. The cross-entropies are means over pixels instead of sums, and plain;
  HED's Caffe weighs pixels whose truth is exactly 0 or 1 by how many there are of the other kind.
- timm's VGG-16 expects RGB with ImageNet statistics, so that is what it gets in training instead of BGR minus 128,
  which imported weights get.
- Maps are brought back to the image's size bilinearly instead of bicubically, and are not rounded to 8 bits.
- The lite variant reads strides 8, 16 and 32 of a frozen EfficientNet-Lite0, standardised, instead of the last layers
  of three blocks of VGG-16 (strides 4, 8 and 16), which are trained along. Its branches have a quarter of the channels
  and end at stride 4, the image has no border around it, and each map is trained by the loss of EML-NET.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import Standardise, sides
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch

VGG16_NODES = ("features.29", "features.22", "features.15")
"""conv5_3, conv4_3 and conv3_3 after their ReLU: the coarsest first, as the authors concatenate their maps."""


class Branch(nn.Sequential):
    """Transposed convolutions, each of which doubles the size, and a convolution that makes a map of the last one's.

    Nothing is padded: for a factor f, the map's place i + f - 2 belongs to the features' place (i + 0.5) / f - 0.5.

    Shape: (N, channels, h, w) to (N, 1, f * h + 2 * f - 4, f * w + 2 * f - 4).

    Args:
        channels: Channels of the features.
        doublings: Number of transposed convolutions: f is 2 to this power.
        width: Channels of the last of them; those before have twice as many each.
    """

    def __init__(self, channels: int, doublings: int, width: int) -> None:
        layers: list[nn.Module] = []
        for after in (width << step for step in reversed(range(doublings))):
            layers += [nn.ConvTranspose2d(channels, after, 4, stride=2), nn.ReLU()]
            channels = after
        super().__init__(*layers, nn.Conv2d(channels, 1, 3))


class DVANetwork(nn.Module):
    """A branch for each of several levels of a backbone, and a convolution that combines their maps.

    Shape: (N, 3, H, W) normalised image to logits of the sigmoid map, (N, 1, H / stride, W / stride), sides rounded up.
    In train mode (N, 1 + levels, ...): the combined map first, then that of each branch.

    Args:
        backbone: timm name.
        feature_nodes: Strides or module names, a branch each.
        frozen: Do not train the backbone, and standardise its maps.
        width: Channels of the last transposed convolution of each branch; the paper's are 64.
        stride: Of the maps; each node has at least twice as much. The paper's is 1.
        border: Pixels of 0 around the image; the paper's are 34, by the padding of its first convolution.
        std: Standard deviation of the weights of new layers, whose biases are 0.1 then; None draws them as He et al.,
            and the combination begins as the mean.
        dropout: Share of each level's channels left out in training; the paper has none.
    """

    def __init__(
        self,
        backbone: str = "vgg16.tv_in1k",
        feature_nodes: tuple[int | str, ...] = VGG16_NODES,
        frozen: bool = False,
        width: int = 64,
        stride: int = 1,
        border: int = 34,
        std: float | None = 0.01,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_range(1, 1024, width=width)
        check_range(1, 32, stride=stride)
        check_range(0, 512, border=border)
        check_range(0, 10, std=std)
        check_range(0, 1, dropout=dropout)
        self.backbone = TimmBackbone(backbone, feature_nodes)
        for pool in (module for module in self.backbone.modules() if isinstance(module, nn.MaxPool2d)):
            pool.ceil_mode = True  # as Caffe's
        if frozen:
            self.backbone.freeze()
        self.stride, self.border = stride, border
        self.factors = [_factor(node_stride, stride, border) for node_stride in self.backbone.strides]
        channels = self.backbone.channels
        self.standardise = nn.ModuleList(Standardise(c) if frozen else nn.Identity() for c in channels)
        self.dropout = nn.Dropout2d(dropout)
        self.branches = nn.ModuleList(
            Branch(c, int(math.log2(factor)), width) for c, factor in zip(channels, self.factors, strict=True)
        )
        self.fuse = nn.Conv2d(len(channels), 1, 3, padding=1)
        for layer in (*self.branches.modules(), self.fuse):
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                _initialise(layer, std)
        if std is None:
            nn.init.zeros_(self.fuse.weight)
            nn.init.constant_(self.fuse.weight[:, :, 1, 1], 1 / len(channels))

    def forward(self, image: Tensor) -> Tensor:
        """Extract features, run the branches, combine their maps."""
        height, width = (-(-side // self.stride) for side in sides(image))
        levels = zip(self.standardise, self.branches, self.factors, self.backbone(self._framed(image)), strict=True)
        maps = [
            self._crop(branch(self.dropout(standardise(features))), factor, (height, width))
            for standardise, branch, factor, features in levels
        ]
        side_maps = torch.cat(maps, dim=1)
        fused: Tensor = self.fuse(side_maps)
        return torch.cat([fused, side_maps], dim=1) if self.training else fused

    def _framed(self, image: Tensor) -> Tensor:
        return F.pad(image, (self.border,) * 4) if self.border else image

    def _crop(self, maps: Tensor, factor: int, size: tuple[int, int]) -> Tensor:
        """Cut out what belongs to the image, by the geometry of the layers before."""
        start = self.border // self.stride + factor - 2
        return maps[..., start : start + size[0], start : start + size[1]]


def _factor(node_stride: int, stride: int, border: int) -> int:
    """Return how many times as large a branch makes its features.

    Raises:
        SpecError: If it cannot by doubling, or the border is no multiple of the stride.
    """
    factor = node_stride // stride
    if factor < 2 or factor * stride != node_stride or factor & (factor - 1) or border % stride:
        raise SpecError(
            f"stride={stride} and border={border} are not accepted with a feature node of stride {node_stride}: a "
            "branch doubles at least once and to the stride exactly, and the border is a multiple of it."
        )
    return factor


def _initialise(layer: nn.Conv2d | nn.ConvTranspose2d, std: float | None) -> None:
    """Draw weights from a normal distribution, those of the authors' training file if `std` is given."""
    inputs = layer.in_channels * (4 if isinstance(layer, nn.ConvTranspose2d) else 9)  # of an output
    nn.init.normal_(layer.weight, std=math.sqrt(2 / inputs) if std is None else std)
    nn.init.constant_(cast("Tensor", layer.bias), 0.0 if std is None else 0.1)


class DVA(SaliencyModel):
    """DVA: maps of several levels, each of which is trained as if it were the result, and their combination.

    Its arguments are those of `DVANetwork`.
    """

    network: DVANetwork
    network_class = DVANetwork
    default_preprocess = Preprocess((224, 224))
    sigmoid = True

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Divide the sigmoid map by its sum."""
        return normalise_log(F.logsigmoid(logits))

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Sum of the cross-entropies of all maps against the truth of maximum 1: the training file's four losses."""
        truth = F.adaptive_avg_pool2d(batch["density"], (logits.shape[-2], logits.shape[-1]))
        truth = truth / truth.amax((-2, -1), keepdim=True).clamp_min(1e-20)
        return torch.stack([losses.bce(one, truth) for one in logits.float().unbind(1)]).sum()
