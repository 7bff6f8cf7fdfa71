"""DeepFix (Kruthiventi, Ayush & Babu, IEEE Transactions on Image Processing 2017; arXiv:1510.02927).

A re-implementation from secondary descriptions: the authors released no code, and sizes of layers are those that public
descriptions of the network agree on. Chosen here, where they say nothing:
- The Gaussian blobs have standard deviations of 1/16, 1/8, 3/16 and 1/4 of the map's sides and a height of 1.
- pool4 is a maximum over 3 x 3 pixels at stride 1, and there is no pool5.
- The true map is the fixation density scaled to a maximum of 1; the loss is taken at the resolution of the prediction.
- Stochastic gradient descent with momentum 0.9, weight decay 0.0005 and a rate of 0.01, a tenth of it whenever the
  validation NSS has stopped rising. One stage of training: the second one, on real fixations, is `salzoo finetune`.
- A map is made a density by division by its sum; below 2 % of the maximum it was trained to have it is bent, so that it
  is positive everywhere and keeps its order.
- timm's VGG-16 expects RGB with ImageNet statistics, so that is what it gets.
The lite variant reads five stages of a frozen EfficientNet-Lite0, standardised and brought to stride 16, instead of
VGG-16 with a dilated last block, with half the dilation and narrower modules, AdamW and a one-cycle rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import StackedFeatures, dilate
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch

VGG16_NODES = ("features.29",)
"""conv5_3 after its ReLU."""

BLOB_SIDES = (1 / 16, 1 / 8, 3 / 16, 1 / 4)
"""Standard deviations of the blobs as shares of a side; every pair of a vertical and a horizontal one is a blob."""

FLOOR = 0.02
"""Value of a predicted map, whose maximum should be 1, below which it goes on as an exponential."""


class Inception(nn.Module):
    """Four branches of different receptive fields, concatenated (GoogLeNet's module with a dilated branch).

    Shape: (N, C, H, W) to (N, width, H, W); of the paper's 512 the branches have 128, 256, 64 and 64.

    Args:
        channels: C.
        width: Channels of the result, divisible by 16.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        part = width // 16
        self.point = nn.Conv2d(channels, 4 * part, 1)
        self.local = nn.Sequential(
            nn.Conv2d(channels, 4 * part, 1), nn.ReLU(), nn.Conv2d(4 * part, 8 * part, 3, padding=1)
        )
        self.wide = nn.Sequential(
            nn.Conv2d(channels, part, 1), nn.ReLU(), nn.Conv2d(part, 2 * part, 3, padding=2, dilation=2)
        )
        self.pooled = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), nn.Conv2d(channels, 2 * part, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Run the branches."""
        return torch.cat([branch(maps) for branch in (self.point, self.local, self.wide, self.pooled)], dim=1).relu()


class LocationBiasedConvolution(nn.Module):
    """A dilated 5x5 convolution of feature maps and of 16 fixed blobs around the centre.

    R_k = ReLU(W_k * V + W'_k * L + b_k): the same as a convolution of the maps V and L concatenated, but that of the
    blobs L, which gives each place a bias of its own, is computed once a batch.

    Shape: (N, C, H, W) to (N, width, H, W).

    Args:
        channels: C.
        width: Channels of the result.
        dilation: Dilation of the kernel; 6 for the paper's maps of stride 8.
    """

    def __init__(self, channels: int, width: int, dilation: int) -> None:
        super().__init__()
        blobs, reach = len(BLOB_SIDES) ** 2, 2 * dilation
        self.features = nn.Conv2d(channels, width, 5, padding=reach, dilation=dilation)
        self.location = nn.Conv2d(blobs, width, 5, padding=reach, dilation=dilation, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve."""
        bias = self.location(blobs((maps.shape[-2], maps.shape[-1]), maps))
        return F.relu(self.features(maps) + bias)


def blobs(size: tuple[int, int], like: Tensor) -> Tensor:
    """Return the location maps (1, 16, *size), each 1 at the centre, on the device and of the type of `like`."""
    sides = like.new_tensor(BLOB_SIDES)
    rows, columns = (
        torch.exp(-((((torch.arange(n, device=like.device) + 0.5) / n - 0.5) / sides[:, None]) ** 2) / 2) for n in size
    )
    return (rows[:, None, :, None] * columns[None, :, None, :]).flatten(0, 1)[None].to(like.dtype)


class DeepFixNetwork(nn.Module):
    """Features, two inception modules, two location-biased convolutions, one map.

    Shape: (N, 3, H, W) normalised image to a map (N, 1, h, w), trained to be the density scaled to a maximum of 1.

    Args:
        backbone: timm name.
        feature_nodes: Strides or module names; all maps are brought to the size of the first.
        dilated: Turn VGG-16 into the paper's backbone of stride 8: pool4 at stride 1, conv5_1 to conv5_3 dilated by 2.
        frozen: Do not train the backbone, and standardise its maps.
        width: Channels after each inception module and location-biased convolution; the paper's is 512.
        dilation: Dilation of the location-biased convolutions; the paper's is 6, on maps of stride 8.
        dropout: Share of values left out after each location-biased convolution in training.
    """

    def __init__(
        self,
        backbone: str = "vgg16.tv_in1k",
        feature_nodes: tuple[int | str, ...] = VGG16_NODES,
        dilated: bool = True,
        frozen: bool = False,
        width: int = 512,
        dilation: int = 6,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_range(16, 4096, width=width)
        check_range(1, 64, dilation=dilation)
        check_range(0, 1, dropout=dropout)
        if width % 16:
            raise SpecError(f"width={width} is not accepted: a multiple of 16, which the branches share.")
        features = TimmBackbone(backbone, feature_nodes)
        if dilated:
            dilate_vgg16(features.trunk)
        if frozen:
            features.freeze()
        self.features = StackedFeatures(features, features.strides[0])
        self.head = nn.Sequential(
            Inception(self.features.channels, width),
            Inception(width, width),
            LocationBiasedConvolution(width, width, dilation),
            nn.Dropout(dropout),
            LocationBiasedConvolution(width, width, dilation),
            nn.Dropout(dropout),
            nn.Conv2d(width, 1, 1),
        )
        for layer in self.head.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Run the backbone and the head."""
        saliency: Tensor = self.head(self.features(image))
        return saliency


def dilate_vgg16(vgg16: nn.Module) -> None:
    """Keep stride 8 to the end of timm's VGG-16, cut out by names, in place; its weights stay."""
    vgg16.set_submodule("features.23", nn.MaxPool2d(3, stride=1, padding=1))
    dilate(vgg16, ("features.24", "features.26", "features.28"), 2)


@dataclass(frozen=True)
class DeepFixTraining(TrainingConfig):
    """Training of DeepFix; `sgd` is stochastic gradient descent as described above.

    Args:
        lr: Learning rate at the start; of AdamW the peak of a one-cycle schedule.
    """

    lr: float = 1e-2
    optimizer: Literal["adamw", "sgd"] = "sgd"


class DeepFix(SaliencyModel):
    """DeepFix: large receptive fields that know where in the image they are, trained by Euclidean loss.

    Its arguments are those of `DeepFixNetwork`, and `power`.

    Args:
        power: The network's map to this power is the prediction; 1 in the paper, more is sharper.
    """

    network: DeepFixNetwork
    network_class = DeepFixNetwork
    training_config: DeepFixTraining
    training_class = DeepFixTraining
    default_preprocess = Preprocess((480, 640), "aspect")
    statistics_images = 64

    def __init__(self, *, power: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        check_range(0.01, 100, power=power)
        self.power = power

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Make the map positive, without ties, and divide it by its sum."""
        above, below = logits.clamp_min(FLOOR).log(), (logits - FLOOR).clamp_max(0)
        return normalise_log(self.power * (above + below))

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean squared error against the density scaled to a maximum of 1."""
        truth = F.adaptive_avg_pool2d(batch["density"], (logits.shape[-2], logits.shape[-1]))
        return losses.mse(logits[:, 0].float(), truth / truth.amax((-2, -1), keepdim=True).clamp_min(1e-20))

    def configure_sgd(self) -> Any:
        """Return stochastic gradient descent that slows down when the validation NSS stops rising."""
        sgd = torch.optim.SGD(self.parameter_groups(), lr=self.training_config.lr, momentum=0.9, weight_decay=5e-4)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(sgd, mode="max", factor=0.1, patience=2, min_lr=1e-6)
        return {"optimizer": sgd, "lr_scheduler": {"scheduler": plateau, "monitor": "val/nss"}}
