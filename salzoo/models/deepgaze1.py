"""DeepGaze I (Kuemmerer, Theis & Bethge, ICLR 2015 workshop; arXiv:1411.1045).

Differences from the paper:
- The paper variant is the authors' re-issue in PyTorch, which is what their released weights need: torchvision's
  AlexNet instead of Caffe's with its two groups, its last convolution before the ReLU as the only feature, no sparsity
  penalty (here it is an option), all resizing inside the network and to the nearest pixel.
- Images of any size are brought to 1024 pixels on the longer side, as those of the training set are; the re-issue takes
  them as they are.
- AdamW with a one-cycle rate instead of the paper's SFO and the re-issue's Adam, whose rate is not published.
- The lite variant reads many layers of EfficientNet-Lite0 linearly, as the paper reads many of AlexNet, up-samples them
  bilinearly, halves nothing, and is trained on the three sets at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._precision import full_precision
from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import CentreBias, CentreBiasTemplate, GaussianBlur, Standardise, sides
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.training_config import TrainingConfig
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch


class DeepGazeINetwork(nn.Module):
    """Features of a frozen backbone, one weight a channel, a learned blur and a weighted centre bias (Sec. 2).

    Shape: (N, 3, H, W) normalised image to (N, 1, H / stride, W / stride) unnormalised log density; with `halve` to one
    of the image's size.

    Args:
        backbone: timm name, or `torchvision/alexnet`; frozen.
        feature_nodes: Strides or module names; the default is the re-issue's, conv5 before its ReLU.
        readout_stride: Stride of the map at which the features are added up.
        stride: Stride of the map at which the blur and the centre bias work.
        resize: How maps are brought to these strides.
        sigma_px: First width of the blur in pixels of that map; the re-issue's is 8.
        max_sigma_px: Width at which the blur is cut off; None, as in the re-issue, never (`GaussianBlur`).
        halve: Let the network see every other pixel, to which the strides then refer, and bring its map back to the
            image's size by the nearest pixel, as the re-issue does.
        template: (height, width) of a `CentreBiasTemplate`; the re-issue's is 1024 x 1024. None: a `CentreBias`.
    """

    def __init__(
        self,
        backbone: str = "torchvision/alexnet",
        feature_nodes: tuple[int | str, ...] = ("features.10",),
        readout_stride: int = 4,
        stride: int = 2,
        resize: Literal["nearest", "bilinear"] = "nearest",
        sigma_px: float = 8.0,
        max_sigma_px: float | None = 4.0,
        halve: bool = False,
        template: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        check_range(1, 64, readout_stride=readout_stride, stride=stride)
        check_range(0.01, 64, sigma_px=sigma_px, max_sigma_px=max_sigma_px)
        check_range(2, 2048, template=template)
        self.readout_stride, self.stride, self.resize, self.halve = readout_stride, stride, resize, halve
        self.backbone = TimmBackbone(backbone, feature_nodes)
        self.backbone.freeze()
        self.standardise = nn.ModuleList(Standardise(c) for c in self.backbone.channels)
        self.readout = nn.Conv2d(sum(self.backbone.channels), 1, 1, bias=False)
        self.blur = GaussianBlur(sigma_px, max_sigma_px=max_sigma_px and max(sigma_px, max_sigma_px))
        self.centre_bias: CentreBias | CentreBiasTemplate = CentreBias()
        if template:
            self.centre_bias = CentreBiasTemplate(template)
            self.centre_bias_weight = nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor) -> Tensor:
        """Under autocast only the backbone runs in half precision, log densities need more."""
        height, width = sides(image)
        step = 2 if self.halve else 1
        seen = F.interpolate(image, scale_factor=0.5, recompute_scale_factor=False) if self.halve else image
        features = [m.to(self.readout.weight.dtype) for m in self.backbone(seen)]
        read_size = (math.ceil(height / (step * self.readout_stride)), math.ceil(width / (step * self.readout_stride)))
        with full_precision(image.device):
            read = self._read(features, read_size)
            size = (height // (step * self.stride), width // (step * self.stride))
            log_density = self.blur(F.interpolate(read, size, mode=self.resize))
            if isinstance(self.centre_bias, CentreBias):
                log_density = log_density + self.centre_bias(size)
            else:
                prior = self.centre_bias((height, width), step * self.stride)
                log_density = log_density + self.centre_bias_weight * prior
            return F.interpolate(log_density, (height, width)) if self.halve else log_density

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

    The paper's images have 768 x 1024 pixels; 384 x 512 is half of that.
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
