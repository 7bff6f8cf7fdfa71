"""SALICON, the model (Huang, Shen, Boix & Zhao, ICCV 2015), not the dataset of the same name.

Differences from the paper:
- The authors released no code. Layers and sizes are those on which two re-implementations agree (SALICONtf by
  Kotseruba, and its PyTorch port by nkuhzx): both streams end after conv5_3, the coarse one sees half the size, and its
  maps are up-sampled to the nearest neighbour. OpenSALICON (Thomas 2016) keeps pool5 and doubles the images instead.
- The loss is the paper's best of four, the Kullback-Leibler divergence; the re-implementations train with binary
  cross-entropy. The map becomes a distribution by a softmax.
- `optimizer: sgd` is SALICONtf's: the rate and the schedule of the authors are not known.
- timm's VGG-16 expects RGB with ImageNet statistics, so that is what it gets.
- The authors of the re-implementations resize the original image twice, here the coarse image is made from the fine
  one. OpenCV's nearest neighbour gives the same either way. Pillow's, which nkuhzx and SALICONtf take, does so for
  images of 600 x 800 pixels (OSIE); for others a coarse pixel may be taken a quarter of its own size farther off.
- They enlarge the sigmoid map by a cubic or a spline, here the logits are enlarged bilinearly, from pixels' borders,
  not from the corners' centres.
- The lite variant reads layers of EfficientNet-Lite0 in both streams, standardised and stacked at stride 8, with
  bilinear up-sampling. Its streams are frozen: only the last convolution is trained, not the whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._precision import full_precision
from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import StackedFeatures
from salzoo.components.optimizers import decaying_sgd
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.images.gaussian import gaussian_blur
from salzoo.images.preprocess import Preprocess
from salzoo.images.resample import resize_image

if TYPE_CHECKING:
    from salzoo.data.base import Batch

FLOOR = 0.02
"""Added to a sigmoid map stretched to [0, 1], so that every density has a logarithm."""


class SALICONNetwork(nn.Module):
    """Two backbones that share no weights, one for the image and one for the image at half its size (Fig. 2).

    Shape: (N, 3, H, W) normalised image, sides even, to (N, 1, H / stride, W / stride) logits; for VGG-16's conv5_3 and
    600 x 800 pixels 37 x 50.

    Args:
        backbone: timm name, the same for both streams.
        feature_nodes: Strides or module names; the default is the paper's, the ReLU after conv5_3.
        stride: Stride of each stream's features, that of one of the nodes.
        frozen: Train neither stream, and standardise their maps; the paper trains all.
        upsampling: How the coarse stream's features come to the resolution of the fine one's: `nearest` as nkuhzx,
            `nearest_corners` as SALICONtf (the corners' centres stay where they are), `bilinear_corners` as
            OpenSALICON, or `bilinear`.
        coarse: How the image is halved for the coarse stream: by averages, or as `resize_image` has it.
        ceil: Let poolings keep an odd last row and column, as Caffe does.
        dropout: Share of the concatenated channels left out in training; the paper has none.
    """

    def __init__(
        self,
        backbone: str = "vgg16.tv_in1k",
        feature_nodes: tuple[int | str, ...] = ("features.29",),
        stride: int = 16,
        frozen: bool = False,
        upsampling: Literal["nearest", "nearest_corners", "bilinear", "bilinear_corners"] = "nearest",
        coarse: Literal["average", "nearest", "pillow_nearest", "spline"] = "average",
        ceil: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_range(0, 1, dropout=dropout)
        self.upsampling, self.halving = upsampling, coarse
        backbones = [TimmBackbone(backbone, feature_nodes) for _ in range(2)]
        for pool in (m for one in backbones for m in one.modules() if isinstance(m, nn.MaxPool2d)):
            pool.ceil_mode = ceil or pool.ceil_mode
        if frozen:
            for one in backbones:
                one.freeze()
        self.fine, self.coarse = (StackedFeatures(one, stride) for one in backbones)
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(2 * self.fine.channels, 1, 1)
        nn.init.zeros_(self.head.weight)  # as the re-implementations do: the first map is flat

    def forward(self, image: Tensor) -> Tensor:
        """Run both streams and weigh their channels; under autocast only the backbones run in half precision."""
        kind = self.head.weight.dtype
        fine, coarse = self.fine(image).to(kind), self.coarse(self._half(image)).to(kind)
        with full_precision(image.device):
            features = torch.cat([fine, self._enlarge(coarse, (fine.shape[-2], fine.shape[-1]))], dim=1)
            logits: Tensor = self.head(self.dropout(features))
        return logits

    def _half(self, image: Tensor) -> Tensor:
        if self.halving == "average":
            return F.avg_pool2d(image, 2)
        return resize_image(image, (image.shape[-2] // 2, image.shape[-1] // 2), self.halving)

    def _enlarge(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        if self.upsampling == "nearest_corners":
            rows, columns = (_nearest_corners(n, m, maps) for n, m in zip(maps.shape[-2:], size, strict=True))
            return maps[..., rows, :][..., columns]
        corners = self.upsampling == "bilinear_corners"
        mode = "bilinear" if corners else self.upsampling
        return F.interpolate(maps, size, mode=mode, align_corners=True if corners else None)


def _nearest_corners(length: int, new_length: int, maps: Tensor) -> Tensor:
    """Return which row or column is nearest to each new one if the first and the last are kept; halves go up."""
    step = (length - 1) / max(new_length - 1, 1)
    return (torch.arange(new_length, device=maps.device) * step + 0.5).long().clamp_max(length - 1)


@dataclass(frozen=True)
class SALICONTraining(TrainingConfig):
    """Training of SALICON; `sgd` has Nesterov momentum 0.9 and a decaying rate, as SALICONtf.

    Args:
        lr: Learning rate at the start; of AdamW the peak of a one-cycle schedule.
    """

    lr: float = 1e-2
    optimizer: Literal["adamw", "sgd"] = "sgd"


class SALICON(SaliencyModel):
    """SALICON: a fine and a coarse stream, trained end to end on the Kullback-Leibler divergence.

    Its arguments are those of `SALICONNetwork`, `density` and `blur_px`; both sides of the input are even.

    Args:
        density: How logits become a density: by `softmax`, or by `sigmoid` as the re-implementations have it, stretched
            to [0, 1], blurred and divided by its sum.
        blur_px: Standard deviation in pixels of the image of the blur of sigmoid maps, 25 for nkuhzx and SALICONtf; the
            kernel is three of them wide. Not in training, where logits are at the network's stride.
    """

    network: SALICONNetwork
    network_class = SALICONNetwork
    training_config: SALICONTraining
    training_class = SALICONTraining
    default_preprocess = Preprocess((600, 800))

    def __init__(
        self, *, density: Literal["softmax", "sigmoid"] = "softmax", blur_px: float = 0.0, **options: Any
    ) -> None:
        check_range(0, 256, blur_px=blur_px)
        super().__init__(**options)
        self.density, self.blur_px = density, blur_px

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Softmax over pixels, or the sigmoid map stretched, blurred and divided by its sum."""
        if self.density == "softmax":
            return normalise_log(logits)
        saliency = logits.sigmoid()
        low, high = saliency.amin((-2, -1), keepdim=True), saliency.amax((-2, -1), keepdim=True)
        saliency = (saliency - low) / (high - low).clamp_min(1e-8)
        if self.blur_px and not self.training:
            reach = (min(math.floor(1.5 * self.blur_px), side - 1) for side in saliency.shape[-2:])
            height, width = (2 * pixels + 1 for pixels in reach)
            saliency = gaussian_blur(saliency, (height, width), self.blur_px, "reflect")
        return normalise_log((saliency + FLOOR).log())

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Kullback-Leibler divergence from the density at the resolution of the logits (Sec. 3.2)."""
        density = F.adaptive_avg_pool2d(batch["density"], (logits.shape[-2], logits.shape[-1]))
        density = density / density.sum((-2, -1), keepdim=True).clamp_min(1e-20)  # nothing seen: all 0, which kl skips
        return losses.kl(self.to_log_density(logits), density)

    def configure_sgd(self) -> Any:
        """Return SALICONtf's SGD with a decaying rate."""
        return decaying_sgd(self.parameter_groups(), self.training_config.lr)
