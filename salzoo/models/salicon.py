"""SALICON, the model (Huang, Shen, Boix & Zhao, ICCV 2015), not the data set of the same name.

Differences from the paper:
- The authors released no code. Layers and sizes are those on which two re-implementations agree (SALICONtf by
  Kotseruba, and its PyTorch port by nkuhzx): both streams end after conv5_3, the coarse one sees half the size, and its
  maps are up-sampled to the nearest neighbour. OpenSALICON (Thomas 2016) keeps pool5 and doubles the pictures instead.
- The loss is the paper's best of four, the Kullback-Leibler divergence; the re-implementations train with binary
  cross-entropy. The map becomes a distribution by a softmax.
- `optimizer: paper` is SALICONtf's: the rate and the schedule of the authors are not known.
- timm's VGG-16 expects RGB with ImageNet statistics, so that is what it gets.
- The lite variant reads layers of EfficientNet-Lite0 in both streams, standardised and stacked at stride 8, with
  bilinear up-sampling. Its streams are frozen: only the last convolution is trained, not the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo.backbones.timm_backbone import TimmBackbone
from salzoo.components.layers import StackedTaps
from salzoo.components.optimizers import decaying_sgd
from salzoo.components.saliency_model import SaliencyModel
from salzoo.images.preprocess import Preprocess, as_float

if TYPE_CHECKING:
    from salzoo.data import SaliencyDataModule
    from salzoo.data.base import Batch


class SALICONNetwork(nn.Module):
    """Two trunks that share no weights, one for the picture and one for the picture at half its size (Fig. 2).

    Shape: (N, 3, H, W) normalised image, sides even, to (N, 1, H / stride, W / stride) logits; for VGG-16's conv5_3 and
    600 x 800 pixels 37 x 50.

    Args:
        backbone: timm name, of both streams.
        taps: See `TimmBackbone`.
        stride: Of each stream's features, that of one of the taps.
        frozen: Train neither stream, standardise their maps and keep those of the training pictures in memory.
        upsampling: How the coarse stream's features come to the resolution of the fine one's.
        dropout: Share of the concatenated channels left out in training.
        pretrained_backbone: Start from ImageNet weights.
    """

    def __init__(
        self,
        backbone: str,
        taps: Sequence[int | str],
        stride: int,
        frozen: bool,
        upsampling: Literal["nearest", "bilinear"],
        dropout: float,
        pretrained_backbone: bool,
    ) -> None:
        super().__init__()
        self.upsampling = upsampling
        trunks = [TimmBackbone(backbone, taps, pretrained=pretrained_backbone, remember=frozen) for _ in range(2)]
        if frozen:
            for trunk in trunks:
                trunk.freeze()
        self.fine, self.coarse = (StackedTaps(trunk, stride) for trunk in trunks)
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(2 * self.fine.channels, 1, 1)
        nn.init.zeros_(self.head.weight)  # as the re-implementations do: the first map is flat

    def forward(self, image: Tensor) -> Tensor:
        """Run both streams and weigh their channels; under autocast only the trunks run in half precision."""
        fine, coarse = self.fine(image).float(), self.coarse(F.avg_pool2d(image, 2)).float()
        with torch.autocast(image.device.type, enabled=False):
            features = torch.cat([fine, F.interpolate(coarse, fine.shape[-2:], mode=self.upsampling)], dim=1)
            logits: Tensor = self.head(self.dropout(features))
        return logits


class SALICON(SaliencyModel):
    """SALICON: a fine and a coarse stream, trained end to end on the Kullback-Leibler divergence.

    Args:
        backbone: timm name, of both streams.
        taps: Strides or module names; the default is the paper's, the ReLU after conv5_3.
        stride: Of each stream's features, that of one of the taps.
        frozen: Train neither stream, standardise their maps and keep those of the training pictures in memory; the
            paper trains all.
        upsampling: `nearest` as SALICONtf, or `bilinear`.
        dropout: Share of the concatenated channels left out in training; the paper has none.
        optimizer: `paper` (SGD with Nesterov momentum 0.9 and a decaying rate) or `adamw` with a one-cycle rate.
        lr: Learning rate of the head.
        backbone_rate: The streams' share of it.
        pretrained_backbone: Start from ImageNet weights; `salzoo.load` of a checkpoint never does.
        preprocess: What the fine stream expects; both sides even.
        mirror: Predict the average of the maps of the picture and of its mirror image; twice the work.
        loss: Instead of the paper's, see `salzoo.losses.get`.
    """

    network: SALICONNetwork

    def __init__(
        self,
        backbone: str = "vgg16.tv_in1k",
        taps: tuple[int | str, ...] = ("features.29",),
        stride: int = 16,
        frozen: bool = False,
        upsampling: Literal["nearest", "bilinear"] = "nearest",
        dropout: float = 0.0,
        optimizer: Literal["paper", "adamw"] = "paper",
        lr: float = 1e-2,
        backbone_rate: float = 1.0,
        pretrained_backbone: bool = False,
        preprocess: Preprocess = Preprocess((600, 800)),
        mirror: bool = False,
        loss: losses.LossSpec | None = None,
    ) -> None:
        super().__init__(preprocess, backbone=backbone, loss=loss, mirror=mirror)
        self.optimizer, self.lr, self.backbone_rate = optimizer, lr, backbone_rate
        self.network = SALICONNetwork(backbone, taps, stride, frozen, upsampling, dropout, pretrained_backbone)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Kullback-Leibler divergence from the density at the resolution of the logits (Sec. 3.2)."""
        density = F.adaptive_avg_pool2d(batch["density"], (logits.shape[-2], logits.shape[-1]))
        density = density / density.sum((-2, -1), keepdim=True).clamp_min(1e-20)  # no looks: all 0, which kl leaves out
        return losses.kl(self.to_log_density(logits), density)

    def calibrate(self, data: SaliencyDataModule) -> None:
        """Fit the channel statistics of frozen streams to 256 training pictures."""
        for stream, scale in ((self.network.fine, 1), (self.network.coarse, 2)):
            images = (as_float(image).to(self.device) for image in data.calibration_images(256))
            stream.fit(F.avg_pool2d(self.preprocess.normalize(image), scale) for image in images)

    def configure_optimizers(self) -> Any:
        """AdamW, or SALICONtf's SGD with a decaying rate."""
        if self.optimizer == "adamw":
            return super().configure_optimizers()
        return decaying_sgd(self.parameter_groups(), self.lr)
