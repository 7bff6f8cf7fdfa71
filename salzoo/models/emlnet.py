"""EML-NET (Jia & Bruce, Image and Vision Computing 2020; arXiv:1805.01047).

Differences from the paper:
- We had the released code and no full text: this is the released network, with two ResNet-50. The paper reads
  NASNet-Large too, whose weights were never released.
- The authors' second backbone starts from Places365, whose weights no package has; here both start from ImageNet,
  unless the released files are imported.
- The authors train each backbone with a combination of its own, then a second round of read-outs on both of them,
  frozen. The recipe of the paper variant trains all at once. One backbone alone is `backbones` of one name.
- The loss is theirs without its constants, for any resolution: a fixated pixel counts as often as it was fixated, and
  no 1e-6 is added to the predicted density.
- Fixations are where people looked; the authors' loader takes coordinates that count from 1 for ones that count from
  0, so that theirs lie a pixel farther down and to the right, and drops those at these edges.
- The map is blurred and stretched to [0, 1] as by their script, but not rounded to 8 bits.
- The lite variant reads two frozen EfficientNet-Lite, the second one cut at stride 16, standardised, with several
  channels a read-out; read-outs are combined at stride 8, and brought there bilinearly. Training starts from a low map:
  from 0.5 a normalised output hardly gets down to what most places deserve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import Standardise, resize_map
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.errors import SpecError
from salzoo.images.gaussian import gaussian_blur
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch

RESNET50_NODES = (2, 4, 8, 16, 32)
"""conv1 after its ReLU, and the four stages (Fig. 2)."""


class ReadOut(nn.Sequential):
    """A 3x3 convolution and batch normalisation, with a ReLU after it or not.

    Shape: (N, channels, H, W) to (N, width, H, W).

    Args:
        channels: Channels of the map.
        width: Channels of the result.
        relu: Whether there is a ReLU.
    """

    def __init__(self, channels: int, width: int, *, relu: bool = True) -> None:
        super().__init__(nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), *[nn.ReLU()] * relu)
        nn.init.normal_(self[0].weight, std=math.sqrt(2 / (9 * width)))  # type: ignore[arg-type]  # the authors'
        nn.init.zeros_(self[0].bias)  # type: ignore[arg-type]  # it has one


class Levels(nn.Module):
    """One backbone and a read-out of each of its maps.

    Shape: (N, 3, H, W) normalised image to a list of (N, width, ~H / stride, ~W / stride).

    Args:
        backbone: timm name.
        feature_nodes: Strides or module names.
        width: Channels of each read-out.
        frozen: Do not train the backbone, and standardise its maps.
        dropout: Share of each map's channels left out in training.
    """

    def __init__(
        self, backbone: str, feature_nodes: Sequence[int | str], width: int, *, frozen: bool, dropout: float
    ) -> None:
        super().__init__()
        self.backbone = TimmBackbone(backbone, feature_nodes)
        if frozen:
            self.backbone.freeze()
        channels = self.backbone.channels
        self.standardise = nn.ModuleList(Standardise(c) if frozen else nn.Identity() for c in channels)
        self.dropout = nn.Dropout2d(dropout)
        self.readouts = nn.ModuleList(ReadOut(c, width) for c in channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Run the backbone and read out its maps."""
        maps = self.backbone(image)
        return [
            readout(self.dropout(standardise(m)))
            for readout, standardise, m in zip(self.readouts, self.standardise, maps, strict=True)
        ]


class EMLNetNetwork(nn.Module):
    """Read-outs of every level of one or more backbones, combined by one convolution (Fig. 2).

    Shape: (N, 3, H, W) normalised image to logits of the sigmoid map: (N, 1, H, W) with `nearest`, else
    (N, 1, ~H / stride, ~W / stride).

    Args:
        backbones: timm names. With several, each read-out is followed by a second one, of its own channels, as in the
            authors' decoder.
        feature_nodes: Strides or module names of each backbone.
        stride: Where the read-outs are combined: the authors' is 1 for two backbones and 2 for one.
        readout: Channels of each read-out; the paper's is 1.
        upsampling: How read-outs come to that stride, and with `nearest`, the authors', the result to the image's size.
        frozen: Do not train the backbones, and standardise their maps.
        dropout: Share of each map's channels left out in training; the authors have none.
        prior: Height of the sigmoid map before training; the authors' is 0.5.
    """

    def __init__(
        self,
        backbones: tuple[str, ...] = ("resnet50.tv_in1k", "resnet50.tv_in1k"),
        feature_nodes: tuple[tuple[int | str, ...], ...] = (RESNET50_NODES, RESNET50_NODES),
        stride: int = 1,
        readout: int = 1,
        upsampling: Literal["nearest", "bilinear"] = "nearest",
        frozen: bool = False,
        dropout: float = 0.0,
        prior: float = 0.5,
    ) -> None:
        super().__init__()
        if not 1 <= len(backbones) == len(feature_nodes) <= 8:
            raise SpecError(
                f"backbones and feature_nodes: {len(backbones)} and {len(feature_nodes)} are not accepted; each of 1 "
                "to 8 backbones has a list of nodes."
            )
        check_range(1, 64, stride=stride)
        check_range(1, 1024, readout=readout)
        check_range(0, 1, dropout=dropout)
        check_range(1e-6, 1 - 1e-6, prior=prior)
        self.stride, self.upsampling = stride, upsampling
        self.levels = nn.ModuleList(
            Levels(backbone, nodes, readout, frozen=frozen, dropout=dropout)
            for backbone, nodes in zip(backbones, feature_nodes, strict=True)
        )
        number = sum(map(len, feature_nodes))
        again = len(backbones) > 1
        self.again = nn.ModuleList(ReadOut(readout, readout) if again else nn.Identity() for _ in range(number))
        self.combine = ReadOut(number * readout, 1, relu=False)
        nn.init.constant_(self.combine[1].bias, math.log(prior / (1 - prior)))  # type: ignore[arg-type]  # it has one

    def forward(self, image: Tensor) -> Tensor:
        """Read out every level, bring all to one size, combine."""
        size = (math.ceil(image.shape[-2] / self.stride), math.ceil(image.shape[-1] / self.stride))
        maps = [m for levels in self.levels for m in levels(image)]
        read = [self._resize(again(m), size) for again, m in zip(self.again, maps, strict=True)]
        logits: Tensor = self.combine(torch.cat(read, dim=1))
        return self._resize(logits, (image.shape[-2], image.shape[-1])) if self.upsampling == "nearest" else logits

    def _resize(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(maps, size) if self.upsampling == "nearest" else resize_map(maps, size)


@dataclass(frozen=True)
class EMLNetTraining(TrainingConfig):
    """Training of EML-NET; `sgd` has momentum 0.9, weight decay 1e-4, and a tenth of the rate every 5 epochs.

    Args:
        lr: Learning rate at the start; of AdamW the peak of a one-cycle schedule.
    """

    lr: float = 1e-2
    optimizer: Literal["adamw", "sgd"] = "sgd"


class EMLNet(SaliencyModel):
    """EML-NET: what every level of several backbones says, combined; trained on KL, CC and NSS at once.

    Its arguments are those of `EMLNetNetwork`, and `blur`.

    Args:
        blur: Standard deviation in pixels of the network's input of the Gaussian that blurs the map, before it is
            stretched to [0, 1]; the authors' is 5, for two backbones. With 0 it is neither blurred nor stretched.
    """

    network: EMLNetNetwork
    network_class = EMLNetNetwork
    training_config: EMLNetTraining
    training_class = EMLNetTraining
    default_preprocess = Preprocess((480, 640), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    sigmoid = True

    def __init__(self, *, blur: float = 5.0, **options: Any) -> None:
        super().__init__(**options)
        check_range(0, 100, blur=blur)
        self.blur = blur

    def average_views(self, maps: Sequence[Tensor]) -> Tensor:
        """Average the views; blur the sigmoid map and stretch it to [0, 1], as the authors' script; logits again."""
        logits = super().average_views(maps)
        if not self.blur:
            return logits
        side = 2 * round(4 * self.blur) + 1  # four deviations to each side, as scikit-image cuts it off
        pad = side // 2
        saliency = F.pad(logits.float().sigmoid(), (pad,) * 4, mode="replicate")
        blurred = gaussian_blur(saliency, (side, side), self.blur, "constant")[..., pad:-pad, pad:-pad]
        low, high = blurred.amin((-2, -1), keepdim=True), blurred.amax((-2, -1), keepdim=True)
        return ((blurred - low) / (high - low).clamp_min(1e-8)).logit(eps=1e-6).to(logits.dtype)

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Divide the sigmoid map by its sum."""
        return normalise_log(F.logsigmoid(logits))

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """KL + (1 - CC) + (NSS of the fixations themselves - NSS), without the constants (Sec. 3.3)."""
        logits = logits.float()
        loss: Tensor = losses.get("eml_net")(self.to_log_density(logits), batch, logits[:, 0])
        return loss

    def configure_sgd(self) -> Any:
        """Return the authors' SGD."""
        sgd = torch.optim.SGD(self.parameter_groups(), momentum=0.9, weight_decay=1e-4)
        return {"optimizer": sgd, "lr_scheduler": torch.optim.lr_scheduler.StepLR(sgd, step_size=5, gamma=0.1)}
