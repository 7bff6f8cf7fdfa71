"""DeepGaze I (Kuemmerer, Theis & Bethge, ICLR 2015 workshop; arXiv:1411.1045).

Differences from the paper:
- The paper variant is the authors' re-issue in PyTorch, which is what their released weights need: torchvision's
  AlexNet instead of Caffe's with its two groups, its last convolution before the ReLU as the only feature, no sparsity
  penalty (here it is an option), nearest resizing inside the network.
- The image is halved by an antialiased resize in front of the network, not by dropping every other pixel, and the map
  is brought back to the image's size bilinearly.
- AdamW with a one-cycle rate instead of the paper's SFO and the re-issue's Adam, whose rate is not published.
- The lite variant reads many layers of EfficientNet-Lite0 linearly, as the paper reads many of AlexNet, up-samples them
  bilinearly, and is trained on the three sets at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import CentreBias, GaussianBlur, Standardise
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.training_config import TrainingConfig
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch


class DeepGazeINetwork(nn.Module):
    """Features of a frozen backbone, one weight a channel, a learned blur and a weighted centre bias (Sec. 2).

    Shape: (N, 3, H, W) normalised image to (N, 1, H / stride, W / stride) unnormalised log density.

    Args:
        backbone: timm name, or `torchvision/alexnet`; frozen.
        feature_nodes: Strides or module names; the default is the re-issue's, conv5 before its ReLU.
        readout_stride: Stride of the map at which the features are added up; the re-issue's is 8, 4 after halving the
            image.
        stride: Stride of the map at which the blur and the centre bias work; the re-issue's is 4, 2 after halving.
        resize: How maps are brought to these strides.
        sigma_px: First width of the blur in pixels of that map; the re-issue's is 8.
    """

    def __init__(
        self,
        backbone: str = "torchvision/alexnet",
        feature_nodes: tuple[int | str, ...] = ("features.10",),
        readout_stride: int = 4,
        stride: int = 2,
        resize: Literal["nearest", "bilinear"] = "nearest",
        sigma_px: float = 8.0,
    ) -> None:
        super().__init__()
        self.readout_stride, self.stride, self.resize = readout_stride, stride, resize
        self.backbone = TimmBackbone(backbone, feature_nodes)
        self.backbone.freeze()
        self.standardise = nn.ModuleList(Standardise(c) for c in self.backbone.channels)
        self.readout = nn.Conv2d(sum(self.backbone.channels), 1, 1, bias=False)
        self.blur = GaussianBlur(sigma_px, max_sigma_px=max(sigma_px, 4.0))
        self.centre_bias = CentreBias()

    def forward(self, image: Tensor) -> Tensor:
        """Under autocast only the backbone runs in half precision, log densities need more."""
        features = [m.to(self.readout.weight.dtype) for m in self.backbone(image)]
        height, width = image.shape[-2:]
        with torch.autocast(image.device.type, enabled=False):
            read = self._read(features, (height // self.readout_stride, width // self.readout_stride))
            size = (height // self.stride, width // self.stride)
            log_density: Tensor = self.blur(F.interpolate(read, size, mode=self.resize)) + self.centre_bias(size)
        return log_density

    def _read(self, features: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Add up the weighted channels; weighting and up-sampling commute, so each map is read where it is small."""
        weights = torch.split(self.readout.weight, list(self.backbone.channels), dim=1)
        read = [
            F.interpolate(F.conv2d(standardise(m), w), size, mode=self.resize)
            for m, standardise, w in zip(features, self.standardise, weights, strict=True)
        ]
        total: Tensor = sum(read[1:], read[0])
        return total


@dataclass(frozen=True)
class DeepGazeITraining(TrainingConfig):
    """Training of DeepGaze I.

    Args:
        sparsity: Weight of the penalty |w|_1 / |w|_2 on the read-out; 0 in the re-issue.
    """

    sparsity: float = 0.0


class DeepGazeI(SaliencyModel):
    """DeepGaze I: log-likelihood training of a linear read-out on frozen features; arguments as `DeepGazeINetwork`.

    384 x 512 is half of the 768 x 1024 of the paper's images.
    """

    network: DeepGazeINetwork
    network_class = DeepGazeINetwork
    training_config: DeepGazeITraining
    training_class = DeepGazeITraining
    default_preprocess = Preprocess((384, 512))

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Negative log-likelihood of the fixations, and the penalty that leaves few weights (Sec. 2)."""
        size = (batch["fixations"].shape[-2], batch["fixations"].shape[-1])
        resized = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        weight = self.network.readout.weight
        penalty: Tensor = weight.abs().sum() / weight.square().sum().sqrt()
        likelihood = losses.nll(self.to_log_density(resized), batch["fixations"])
        return likelihood + self.training_config.sparsity * penalty
