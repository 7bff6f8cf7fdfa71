"""DeepGaze II (Kuemmerer, Wallis, Gatys & Bethge, ICCV 2017; arXiv:1610.01563).

Differences from the paper:
- The backbone's weights are timm's ImageNet weights, not the rescaled "normalised VGG-19" of Gatys et al.: channel
  statistics measured on the training images (`Standardise`) take the place of the rescaling.
- AdamW with a one-cycle rate instead of the SFO optimiser.
- The lite variant reads five stages of EfficientNet-Lite instead of five layers of VGG-19, with softplus
  (as DeepGaze IIE) instead of ReLU, and is trained on the three sets at once. It averages the log densities of the
  image and its mirror image.
- One read-out instead of a mixture of ten cross-validated ones.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal, cast

import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._precision import full_precision
from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import CentreBias, GaussianBlur, Standardise
from salzoo.components.readout import read_standardised
from salzoo.components.saliency_model import SaliencyModel
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch

VGG19_NODES = ("features.28", "features.29", "features.31", "features.32", "features.35")
"""conv5_1, relu5_1, relu5_2, conv5_3, relu5_4 in timm's VGG-19 (Sec. 2.1)."""


class DeepGazeIINetwork(nn.Module):
    """Frozen features, a point-wise read-out, a learned blur and a weighted centre bias (Sec. 2.1, Fig. 1).

    Shape: (N, 3, H, W) normalised image to (N, 1, H / stride, W / stride) unnormalised log density.

    Args:
        backbone: timm name; frozen.
        feature_nodes: Strides or module names; the default is the paper's.
        hidden: Channels of the read-out's hidden layers.
        activation: Activation between the layers; the paper's is `relu`, also after the last layer.
        stride: Stride of the map on which the read-out's later layers, the blur and the centre bias work; the paper's
            is 4 (2 after halving the image).
        dropout: Share of the read-out's hidden channels left out in training.
    """

    def __init__(
        self,
        backbone: str = "vgg19.tv_in1k",
        feature_nodes: tuple[int | str, ...] = VGG19_NODES,
        hidden: tuple[int, ...] = (16, 32, 2),
        activation: Literal["relu", "softplus"] = "relu",
        stride: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_range(1, 64, stride=stride)
        check_range(1, 8192, hidden=hidden)
        check_range(0, 1, dropout=dropout)
        self.stride = stride
        self.backbone = TimmBackbone(backbone, feature_nodes)
        self.backbone.freeze()
        self.standardise = nn.ModuleList(Standardise(c) for c in self.backbone.channels)
        widths = (sum(self.backbone.channels), *hidden, 1)
        self.readout = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in itertools.pairwise(widths))
        self.activation = {"relu": nn.ReLU(), "softplus": nn.Softplus()}[activation]
        self.dropout = nn.Dropout2d(dropout)
        self.blur = GaussianBlur()
        self.centre_bias = CentreBias()

    def forward(self, image: Tensor) -> Tensor:
        """Read the features out; under autocast only the backbone runs in half precision, log densities need more."""
        kind = self.readout[0].weight.dtype
        features = [m.to(kind) for m in self.backbone(image)]
        with full_precision(image.device):
            return self._read(features, (image.shape[-2] // self.stride, image.shape[-1] // self.stride))

    def _read(self, features: list[Tensor], size: tuple[int, int]) -> Tensor:
        first = cast("nn.Conv2d", self.readout[0])
        x = read_standardised(features, self.standardise, first.weight, cast("Tensor", first.bias), size)
        for layer in list(self.readout)[1:]:
            x = layer(self.dropout(self.activation(x)))
        log_density: Tensor = self.blur(self.activation(x)) + self.centre_bias(size)
        return log_density


class DeepGazeII(SaliencyModel):
    """DeepGaze II: log-likelihood training of a read-out on frozen features; arguments as `DeepGazeIINetwork`.

    The paper halves the image, to 384 x 512 for MIT1003's 768 x 1024.
    """

    network: DeepGazeIINetwork
    network_class = DeepGazeIINetwork
    default_preprocess = Preprocess((384, 512))

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Negative log-likelihood of the fixations (Sec. 2.2)."""
        size = (batch["fixations"].shape[-2], batch["fixations"].shape[-1])
        resized = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        return losses.nll(self.to_log_density(resized), batch["fixations"])
