"""ML-Net (Cornia, Baraldi, Serra & Cucchiara, ICPR 2016; arXiv:1609.01064).

Differences from the paper:
- Where paper and released code differ, this is the released code: the "weight decay" is a decay of the learning rate,
  and every pooling window reaches one pixel up and left, as Keras 1 on Theano pads (`ShiftedMaxPool`).
- timm's VGG-16 expects RGB with ImageNet statistics, so that is what it gets instead of BGR minus the Caffe mean; the
  frame around a picture of another aspect is mid grey instead of black.
- The epoch with the best validation NSS is kept; the authors stop when the validation loss has not fallen for 5 epochs.
- The lite variant reads three stages of a frozen EfficientNet-Lite0, standardised and brought to the resolution of the
  first, with softplus instead of ReLU: an untrained ReLU at the end can be 0 everywhere, and a trained one leaves large
  parts of the map without any order. Its prior starts at the average density of the training fixations, not at ones,
  and is held less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo.backbones.timm_backbone import TimmBackbone
from salzoo.components.layers import StackedTaps, kernel_density
from salzoo.components.optimizers import decaying_sgd
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.images.preprocess import Preprocess, as_float

if TYPE_CHECKING:
    from salzoo.data import SaliencyDataModule
    from salzoo.data.base import Batch
    from salzoo.data.fixations import Fixations
    from salzoo.images.geometry import Size

VGG16_TAPS = ("features.16", "features.23", "features.29")
"""pool3, pool4 and conv5_3 after its ReLU, 1,280 channels in all (Sec. III-A)."""

VGG16_POOLS = {"features.4": 2, "features.9": 2, "features.16": 2, "features.23": 1}
"""Strides of pool1 to pool4: the last one does not shrink the map, so that all taps have stride 8 (Sec. III-A)."""


class ShiftedMaxPool(nn.Module):
    """2 x 2 maximum over each pixel and its neighbours above and to the left: Keras 1's "same" padding on Theano.

    Shape: (N, C, H, W), not negative, to (N, C, H / stride, W / stride), rounded up.

    Args:
        stride: 1 or 2.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        """Pool."""
        return F.max_pool2d(F.pad(maps, (1, 0, 1, 0)), 2, self.stride)


class LearnedPrior(nn.Module):
    """Multiplies a map by 1 + W, bilinearly up-sampled; W is a small grid over the frame (Sec. III-C).

    Shape: (N, 1, H, W) to the same.

    Args:
        grid: (height, width) of W; 6 x 8 for the paper's maps of 60 x 80.
    """

    def __init__(self, grid: tuple[int, int] = (6, 8)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, *grid))

    def fit(self, fixations: Iterable[tuple[Fixations, Size]]) -> None:
        """Set 1 + W to the average density of fixations, relative to a uniform one."""
        density = kernel_density(fixations, (self.weight.shape[-2], self.weight.shape[-1]), bandwidth=0.1)
        self.weight.copy_(density / density.mean() - 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Multiply."""
        return maps * F.interpolate(1 + self.weight, maps.shape[-2:], mode="bilinear", align_corners=False)


class MLNetNetwork(nn.Module):
    """Taps of several levels, two convolutions that encode them, and the prior (Fig. 2).

    Shape: (N, 3, H, W) normalised image to a saliency map (N, 1, H / 8, W / 8), not negative.

    Args:
        backbone: timm name.
        taps: See `TimmBackbone`; one has stride 8, to which maps of other strides are brought.
        pools: Name of a pooling layer of the trunk to the stride of the `ShiftedMaxPool` that replaces it.
        frozen: Do not train the trunk, standardise its maps and keep those of the training pictures in memory.
        activation: After each of the two convolutions.
        dropout: Share of the taps' values left out in training.
        pretrained_backbone: Start from ImageNet weights.
    """

    def __init__(
        self,
        backbone: str,
        taps: Sequence[int | str],
        pools: Mapping[str, int],
        frozen: bool,
        activation: Literal["relu", "softplus"],
        dropout: float,
        pretrained_backbone: bool,
    ) -> None:
        super().__init__()
        trunk = TimmBackbone(backbone, taps, pretrained=pretrained_backbone, remember=frozen)
        for name, stride in pools.items():
            trunk.trunk.set_submodule(name, ShiftedMaxPool(stride))
        if frozen:
            trunk.freeze()
        self.features = StackedTaps(trunk, stride=8)
        self.dropout = nn.Dropout(dropout)
        self.encode = nn.Conv2d(self.features.channels, 64, 3, padding=1)
        self.predict = nn.Conv2d(64, 1, 1)
        self.activation = {"relu": nn.ReLU(), "softplus": nn.Softplus()}[activation]
        self.prior = LearnedPrior()
        for layer in (self.encode, self.predict):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(cast("Tensor", layer.bias))

    def forward(self, image: Tensor) -> Tensor:
        """Tap, encode, weigh by place."""
        encoded = self.activation(self.encode(self.dropout(self.features(image))))
        return F.relu(self.prior(self.activation(self.predict(encoded))))


class MLNet(SaliencyModel):
    """ML-Net: features of several levels, a learned prior, and a squared error that weighs salient pixels more.

    Args:
        backbone: timm name.
        taps: Strides or module names; the default is the paper's.
        pools: Name of a pooling layer of the trunk to the stride of the `ShiftedMaxPool` that replaces it.
        frozen: Do not train the trunk, standardise its maps and keep those of the training pictures in memory.
        activation: After each of the two convolutions.
        dropout: Share of the taps' values left out in training.
        mirror: Predict the average of the maps of the picture and of its mirror image; twice the work.
        power: The network's map to this power is the prediction; 1 in the paper, more is sharper.
        fit_prior: Start the prior from the density of the training fixations instead of from ones.
        prior_decay: Weight of the mean square of the prior's W in the loss (the code: 1).
        optimizer: `paper` (SGD with Nesterov momentum 0.9 and a decaying rate) or `adamw` with a one-cycle rate.
        lr: Rate at the start, or the peak of the one-cycle rate.
        pretrained_backbone: Start from ImageNet weights; `salzoo.load` of a checkpoint never does.
        preprocess: What the network expects; the paper's size is 480 x 640, with the aspect kept.
        loss: Instead of the paper's, see `salzoo.losses.get`.
    """

    network: MLNetNetwork

    def __init__(
        self,
        backbone: str = "vgg16.tv_in1k",
        taps: tuple[int | str, ...] = VGG16_TAPS,
        pools: dict[str, int] = VGG16_POOLS,
        frozen: bool = False,
        activation: Literal["relu", "softplus"] = "relu",
        dropout: float = 0.5,
        mirror: bool = False,
        power: float = 1.0,
        fit_prior: bool = False,
        prior_decay: float = 1.0,
        optimizer: Literal["paper", "adamw"] = "paper",
        lr: float = 1e-3,
        pretrained_backbone: bool = False,
        preprocess: Preprocess = Preprocess((480, 640), "pad"),
        loss: losses.LossSpec | None = None,
    ) -> None:
        super().__init__(preprocess, backbone=backbone, loss=loss, mirror=mirror)
        self.power, self.fit_prior, self.prior_decay = power, fit_prior, prior_decay
        self.optimizer, self.lr = optimizer, lr
        self.network = MLNetNetwork(backbone, taps, pools, frozen, activation, dropout, pretrained_backbone)

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Divide the map by its sum; a pixel at 0 gets a millionth of the highest one."""
        scaled = logits / logits.amax((-2, -1), keepdim=True).clamp_min(1e-8)
        return normalise_log(self.power * scaled.clamp_min(1e-6).log())

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """NegativeWeights squared error against maps of maximum 1 (Eq. 2), and the decay of the prior (Eq. 4)."""
        truth = F.adaptive_avg_pool2d(batch["density"], (logits.shape[-2], logits.shape[-1]))
        truth = truth / truth.amax((-2, -1), keepdim=True).clamp_min(1e-20)
        error = losses.weighted_mse(logits[:, 0].float(), truth)
        return error + self.prior_decay * self.network.prior.weight.square().mean()

    def calibrate(self, data: SaliencyDataModule) -> None:
        """Fit the prior to the training fixations, and a frozen trunk's statistics to 256 training pictures."""
        if self.fit_prior:
            self.network.prior.fit(data.train_points())
        images = (as_float(image).to(self.device) for image in data.calibration_images(256))
        self.network.features.fit(self.preprocess.normalize(image) for image in images)

    def configure_optimizers(self) -> Any:
        """AdamW, or the authors' SGD, whose rate after t steps is lr / (1 + 0.0005 t)."""
        if self.optimizer == "adamw":
            return super().configure_optimizers()
        return decaying_sgd(self.parameter_groups(), self.lr)
