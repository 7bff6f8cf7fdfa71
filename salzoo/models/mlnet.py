"""ML-Net (Cornia, Baraldi, Serra & Cucchiara, ICPR 2016; arXiv:1609.01064).

Differences from the paper:
- Where paper and released code differ, this is the released code: the "weight decay" is a decay of the learning rate,
  every pooling window reaches one pixel up and left, as Keras 1 on Theano pads (`ShiftedMaxPool`), and the prior is
  up-sampled as by Theano (`upsample`).
- timm's VGG-16 expects RGB with ImageNet statistics, so that is what it gets instead of BGR minus the Caffe mean.
- The epoch with the best validation NSS is kept; the authors stop when the validation loss has not fallen for 5 epochs.
- The lite variant reads three stages of a frozen EfficientNet-Lite0, standardised and brought to the resolution of the
  first, with softplus instead of ReLU: an untrained ReLU at the end can be 0 everywhere, and a trained one leaves large
  parts of the map without any order. Its prior starts at the average density of the training fixations, not at ones,
  and is held less.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.keras1 import ShiftedMaxPool, upsample
from salzoo.components.layers import StackedFeatures, kernel_density, relative_log
from salzoo.components.optimizers import decaying_sgd
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch
    from salzoo.data.fixations import Fixations
    from salzoo.data.statistics import TrainingStatistics
    from salzoo.images.geometry import Size

VGG16_NODES = ("features.16", "features.23", "features.29")
"""pool3, pool4 and conv5_3 after its ReLU, 1,280 channels in all (Sec. III-A)."""

VGG16_POOLS = {"features.4": 2, "features.9": 2, "features.16": 2, "features.23": 1}
"""Strides of pool1 to pool4: the last one does not shrink the map, so that all maps have stride 8 (Sec. III-A)."""


class LearnedPrior(nn.Module):
    """Multiplies a map by 1 + W, bilinearly up-sampled; W is a small grid over the frame (Sec. III-C).

    Shape: (N, 1, H, W) to the same.

    Args:
        grid: (height, width) of W; 6 x 8 for the paper's maps of 60 x 80.
        upsampling: `bilinear` to maps of any size, or `theano`, as the authors' code does, to a multiple of the grid.
    """

    def __init__(self, grid: tuple[int, int] = (6, 8), upsampling: Literal["bilinear", "theano"] = "bilinear") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, *grid))
        self.upsampling = upsampling

    def fit(self, fixations: Iterable[tuple[Fixations, Size]]) -> None:
        """Set 1 + W to the average density of fixations, relative to a uniform one."""
        density = kernel_density(fixations, (self.weight.shape[-2], self.weight.shape[-1]), bandwidth=0.1)
        self.weight.copy_(density / density.mean() - 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Multiply.

        Raises:
            SpecError: If the maps are no multiple of the grid, and `upsampling` is `theano`.
        """
        if self.upsampling == "bilinear":
            return maps * F.interpolate(1 + self.weight, maps.shape[-2:], mode="bilinear", align_corners=False)
        height, width = self.weight.shape[-2:]
        ratio = max(1, maps.shape[-2] // height)
        if maps.shape[-2:] != (ratio * height, ratio * width):
            raise SpecError(
                f"a prior of {height} x {width} cannot be enlarged to maps of {maps.shape[-2]} x {maps.shape[-1]} as "
                "Theano does: take preprocess.size [480, 640] with fit squash or pad, or prior_upsampling='bilinear'."
            )
        return maps * upsample(1 + self.weight, ratio)


class MLNetNetwork(nn.Module):
    """Features of several levels, two convolutions that encode them, and the prior (Fig. 2).

    Shape: (N, 3, H, W) normalised image to a saliency map (N, 1, H / 8, W / 8), not negative.

    Args:
        backbone: timm name.
        feature_nodes: Strides or module names; one has stride 8, to which maps of other strides are brought.
        pools: Name of a pooling layer of the backbone to the stride of the `ShiftedMaxPool` that replaces it.
        frozen: Do not train the backbone, and standardise its maps.
        activation: Activation after each of the two convolutions.
        dropout: Share of the features' values left out in training.
        prior_upsampling: As `LearnedPrior`.
    """

    def __init__(
        self,
        backbone: str = "vgg16.tv_in1k",
        feature_nodes: tuple[int | str, ...] = VGG16_NODES,
        pools: dict[str, int] = VGG16_POOLS,
        frozen: bool = False,
        activation: Literal["relu", "softplus"] = "relu",
        dropout: float = 0.5,
        prior_upsampling: Literal["bilinear", "theano"] = "bilinear",
    ) -> None:
        super().__init__()
        check_range(1, 16, **{f"pools.{name}": stride for name, stride in pools.items()})
        check_range(0, 1, dropout=dropout)
        features = TimmBackbone(backbone, feature_nodes)
        for name, stride in pools.items():
            features.trunk.set_submodule(name, ShiftedMaxPool(stride))
        if frozen:
            features.freeze()
        self.features = StackedFeatures(features, stride=8)
        self.dropout = nn.Dropout(dropout)
        self.encode = nn.Conv2d(self.features.channels, 64, 3, padding=1)
        self.predict = nn.Conv2d(64, 1, 1)
        self.activation = {"relu": nn.ReLU(), "softplus": nn.Softplus()}[activation]
        self.prior = LearnedPrior(upsampling=prior_upsampling)
        for layer in (self.encode, self.predict):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(cast("Tensor", layer.bias))

    def forward(self, image: Tensor) -> Tensor:
        """Extract features, encode them, weigh by place."""
        encoded = self.activation(self.encode(self.dropout(self.features(image))))
        return F.relu(self.prior(self.activation(self.predict(encoded))))


@dataclass(frozen=True)
class MLNetTraining(TrainingConfig):
    """Training of ML-Net.

    Args:
        fit_prior: Start the prior from the density of the training fixations instead of from ones.
        prior_decay: Weight of the mean square of the prior's W in the loss (the code: 1).
    """

    optimizer: Literal["adamw", "sgd"] = "sgd"
    fit_prior: bool = False
    prior_decay: float = 1.0


class MLNet(SaliencyModel):
    """ML-Net: features of several levels, a learned prior, and a squared error that weighs salient pixels more.

    Its arguments are those of `MLNetNetwork`, and `power`. The paper's size is 480 x 640, with the aspect kept.

    Args:
        power: The network's map to this power is the prediction; 1 in the paper, more is sharper.
    """

    network: MLNetNetwork
    network_class = MLNetNetwork
    training_config: MLNetTraining
    training_class = MLNetTraining
    default_preprocess = Preprocess((480, 640), "pad")

    def __init__(self, *, power: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        check_range(0.01, 100, power=power)
        self.power = power

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Divide the map by its sum; a pixel at 0 gets a millionth of the highest one."""
        return normalise_log(self.power * relative_log(logits))

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Weighted squared error against maps of maximum 1 (Eq. 2), and the decay of the prior (Eq. 4)."""
        truth = F.adaptive_avg_pool2d(batch["density"], (logits.shape[-2], logits.shape[-1]))
        truth = truth / truth.amax((-2, -1), keepdim=True).clamp_min(1e-20)
        error = losses.weighted_mse(logits[:, 0].float(), truth)
        return error + self.training_config.prior_decay * self.network.prior.weight.square().mean()

    def fit_statistics(self, data: TrainingStatistics) -> None:
        """Fit the prior to the training fixations if asked, and a frozen backbone's statistics to training images."""
        if self.training_config.fit_prior:
            self.network.prior.fit(data.train_points())
        super().fit_statistics(data)

    def configure_sgd(self) -> Any:
        """Return the authors' SGD with Nesterov momentum 0.9, whose rate after t steps is lr / (1 + 0.0005 t)."""
        return decaying_sgd(self.parameter_groups(), self.training_config.lr)
