"""PDP, "probability distribution prediction" (Jetley, Murray & Vig, CVPR 2016; arXiv:1804.01793).

Differences from the paper:
- Where paper and released code differ, this is the released code: the frozen 4x4 deconvolution at the end, and a true
  map that goes through a softmax as well, which makes it nearly flat: no pixel is over e times as likely as another.
- The gradient of each distance is autograd's; that of the released KL layer differs from its loss.
- timm's VGG-16 expects RGB with ImageNet statistics, so that is what it gets instead of BGR minus the Caffe mean.
- An image is resized to the area of the training images at its own aspect; the authors predict at the native size.
- The lite variant reads five stages of a frozen EfficientNet-Lite0, standardised and brought to stride 16, instead
  of conv5_3 of VGG-16, with AdamW and a one-cycle rate; see its card for target and widths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import StackedFeatures
from salzoo.components.optimizers import caffe_sgd
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.training_config import TrainingConfig
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch

Distance = Literal["bhattacharyya", "kl", "chi_square", "total_variation", "cosine"]

DISTANCES: dict[Distance, Callable[[Tensor, Tensor], Tensor]] = {
    "bhattacharyya": losses.bhattacharyya,
    "kl": losses.kl,
    "chi_square": losses.chi_square,
    "total_variation": losses.total_variation,
    "cosine": losses.cosine,
}
"""Table 1 of the paper."""

VGG16_FROZEN = ("features_0", "features_2", "features_5", "features_7")
"""conv1_1 to conv2_2, whose rate is 0 in the authors' training file."""


class PDPNetwork(nn.Module):
    """Features, three convolutions to one map, and a fixed bilinear deconvolution (Fig. 2; Sec. 3.2).

    Shape: (N, 3, H, W) normalised image to logits (N, 1, 2 h + 2, 2 w + 2) over the whole image, for features (h, w).

    Args:
        backbone: timm name.
        feature_nodes: Strides or module names.
        stride: Stride of the features, that of one of the nodes.
        frozen: Names of the backbone's modules that are not trained; none: the whole backbone.
        widths: Channels of the first two convolutions of the head; the paper's are 32 and 8.
        dropout: Share of the features' channels left out in training.
    """

    def __init__(
        self,
        backbone: str = "vgg16.tv_in1k",
        feature_nodes: tuple[int | str, ...] = (16,),
        stride: int = 16,
        frozen: tuple[str, ...] = VGG16_FROZEN,
        widths: tuple[int, int] = (32, 8),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_range(1, 4096, widths=widths)
        check_range(0, 1, dropout=dropout)
        features = TimmBackbone(backbone, feature_nodes)
        features.freeze(*frozen)
        self.features = StackedFeatures(features, stride)
        self.dropout = nn.Dropout2d(dropout)
        self.conv6 = nn.Conv2d(self.features.channels, widths[0], 3, padding=1)
        self.conv7 = nn.Conv2d(widths[0], widths[1], 3, padding=1)
        self.conv8 = nn.Conv2d(widths[1], 1, 3, padding=1)
        for layer in (self.conv6, self.conv7, self.conv8):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.upsample = nn.ConvTranspose2d(1, 1, 4, stride=2, bias=False)
        profile = torch.tensor([0.25, 0.75, 0.75, 0.25])
        self.upsample.weight = nn.Parameter(torch.outer(profile, profile)[None, None], requires_grad=False)

    def forward(self, image: Tensor) -> Tensor:
        """Convolve and up-sample."""
        features = self.dropout(self.features(image))
        logits: Tensor = self.upsample(self.conv8(self.conv7(self.conv6(features).relu()).relu()))
        return logits


@dataclass(frozen=True)
class PDPTraining(TrainingConfig):
    """Training of PDP; `sgd` is that of the authors' file: momentum 0.99, a tenth of the rate every 20,000 steps.

    Args:
        lr: Learning rate of the head at the start; of AdamW the peak of a one-cycle schedule.
        distance: Distance that is minimised (Table 1).
        target: `softmax` of the true map scaled to [0, 1] (the released code), or its plain `density`.
    """

    lr: float = 1.0
    backbone_lr_scale: float = 0.1
    optimizer: Literal["adamw", "sgd"] = "sgd"
    distance: Distance = "bhattacharyya"
    target: Literal["softmax", "density"] = "softmax"


class PDP(SaliencyModel):
    """PDP: a softmax over pixels, trained by a distance between probability distributions.

    Its arguments are those of `PDPNetwork`; the paper's images are 480 x 640.
    """

    network: PDPNetwork
    network_class = PDPNetwork
    training_config: PDPTraining
    training_class = PDPTraining
    default_preprocess = Preprocess((480, 640), "aspect")
    statistics_images = 64

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Distance between the predicted and the true distribution, at the size of the prediction (Sec. 3.1)."""
        distance = DISTANCES[self.training_config.distance]
        return distance(self.to_log_density(logits.float()), self._truth(batch["density"], logits))

    def _truth(self, density: Tensor, logits: Tensor) -> Tensor:
        """Return the true distribution (N, h, w); all 0 for an image without fixations."""
        size = (logits.shape[-2], logits.shape[-1])
        resized = F.interpolate(density[:, None], size, mode="bilinear", align_corners=False, antialias=True)[:, 0]
        total = resized.sum((-2, -1), keepdim=True)
        if self.training_config.target == "density":
            return resized / total.clamp_min(1e-20)
        scaled = resized / density.amax((-2, -1), keepdim=True).clamp_min(1e-20)
        return scaled.flatten(1).softmax(1).view_as(resized) * (total > 0)

    def configure_sgd(self) -> Any:
        """Return the authors' SGD as in their training file."""
        return caffe_sgd(self.parameter_groups(), momentum=0.99, weight_decay=5e-4, step_size=20_000, gamma=0.1)
