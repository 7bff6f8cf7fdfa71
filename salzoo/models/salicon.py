"""SALICON, the model (Huang, Shen, Boix & Zhao, ICCV 2015), not the dataset of the same name.

Differences from the paper:
- The authors released no code. Layers and sizes are those on which two re-implementations agree (SALICONtf by
  Kotseruba, and its PyTorch port by nkuhzx): both streams end after conv5_3, the coarse one sees half the size, and its
  maps are up-sampled to the nearest neighbour. OpenSALICON (Thomas 2016) keeps pool5 and doubles the images instead.
- The loss is the paper's best of four, the Kullback-Leibler divergence; the re-implementations train with binary
  cross-entropy. The map becomes a distribution by a softmax.
- `optimizer: sgd` is SALICONtf's: the rate and the schedule of the authors are not known.
- timm's VGG-16 expects RGB with ImageNet statistics, so that is what it gets.
- The lite variant reads layers of EfficientNet-Lite0 in both streams, standardised and stacked at stride 8, with
  bilinear up-sampling. Its streams are frozen: only the last convolution is trained, not the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import StackedFeatures
from salzoo.components.optimizers import decaying_sgd
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.training_config import TrainingConfig
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch


class SALICONNetwork(nn.Module):
    """Two backbones that share no weights, one for the image and one for the image at half its size (Fig. 2).

    Shape: (N, 3, H, W) normalised image, sides even, to (N, 1, H / stride, W / stride) logits; for VGG-16's conv5_3 and
    600 x 800 pixels 37 x 50.

    Args:
        backbone: timm name, the same for both streams.
        feature_nodes: Strides or module names; the default is the paper's, the ReLU after conv5_3.
        stride: Stride of each stream's features, that of one of the nodes.
        frozen: Train neither stream, and standardise their maps; the paper trains all.
        upsampling: How the coarse stream's features come to the resolution of the fine one's: `nearest` as SALICONtf,
            or `bilinear`.
        dropout: Share of the concatenated channels left out in training; the paper has none.
    """

    def __init__(
        self,
        backbone: str = "vgg16.tv_in1k",
        feature_nodes: tuple[int | str, ...] = ("features.29",),
        stride: int = 16,
        frozen: bool = False,
        upsampling: Literal["nearest", "bilinear"] = "nearest",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.upsampling = upsampling
        backbones = [TimmBackbone(backbone, feature_nodes) for _ in range(2)]
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
        fine, coarse = self.fine(image).to(kind), self.coarse(F.avg_pool2d(image, 2)).to(kind)
        with torch.autocast(image.device.type, enabled=False):
            features = torch.cat([fine, F.interpolate(coarse, fine.shape[-2:], mode=self.upsampling)], dim=1)
            logits: Tensor = self.head(self.dropout(features))
        return logits


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

    Its arguments are those of `SALICONNetwork`; both sides of the input are even.
    """

    network: SALICONNetwork
    network_class = SALICONNetwork
    training_config: SALICONTraining
    training_class = SALICONTraining
    default_preprocess = Preprocess((600, 800))

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Kullback-Leibler divergence from the density at the resolution of the logits (Sec. 3.2)."""
        density = F.adaptive_avg_pool2d(batch["density"], (logits.shape[-2], logits.shape[-1]))
        density = density / density.sum((-2, -1), keepdim=True).clamp_min(1e-20)  # nothing seen: all 0, which kl skips
        return losses.kl(self.to_log_density(logits), density)

    def configure_sgd(self) -> Any:
        """Return SALICONtf's SGD with a decaying rate."""
        return decaying_sgd(self.parameter_groups(), self.training_config.lr)
