"""FastSal (Hu & McGuinness, 2020; arXiv:2008.11151): MobileNetV2 and a decoder without up-sampling convolutions.

Differences from the paper and its code:
- Where both differ, this is the released code.
- The authors first teach the features those of SalGAN, then train on the maps of a teacher and of people at once.
  There is no teacher here: the loss is the part that needs none.
- The released maps are stretched to 8 bits. Here nothing is rounded, and half a grey level is added, so that the lowest
  pixel is not impossible.
- The softmax of the releases for probabilities is taken at the size of the image, after bilinear resizing of the
  logits; the authors resize the probabilities by cubic interpolation and lift what falls below 0.
- The image is squashed to 3:4, also an upright one, for which the authors turn the frame; maps are brought back to the
  image's size bilinearly, theirs by cubic interpolation.
- The decoder starts from He's initialisation; the authors start its mixers, and what reads out, from weights around 0
  with a deviation of 0.01. They go back to the best weights whenever the rate falls.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.mobilenetv2 import InvertedResidual

from salzoo import losses
from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.errors import SpecError
from salzoo.images.gaussian import gaussian_blur
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch

MOBILENET_NODES = tuple(f"features.{i}" for i in range(1, 19))
"""All blocks of MobileNetV2 and its last convolution (Sec. 3.1)."""

MIXED = {"addition": (64, 16, 4, 1), "concatenation": (4, 2, 1, 1)}
"""`width` divided by the channels of the adapted maps, from the finest to the coarsest, of both kinds of fusion."""

HALF_LEVEL = 1 / 510
"""Half a grey level of a map of 8 bits."""


class FastSalNetwork(nn.Module):
    """Every map of the backbone, shuffled to twice its resolution, mixed from the coarsest to the finest (Fig. 2).

    The maps of one stride are concatenated, and four channels each become 2 x 2 pixels; those of stride 2 join those
    that come from stride 4. A 1x1 convolution adapts each of these four groups.

    Shape: (N, 3, H, W) normalised image to logits (N, 1, H, W); at sides that 32 does not divide, what the shuffling
    adds beyond the edge is cut off.

    Args:
        backbone: timm or torchvision name.
        feature_nodes: Module names or strides, from fine to coarse: strides 2, 4, 8, 16 and 32, the channels of each
            but the first divisible by 4 in all.
        fusion: `addition` (model A), where each group passes an inverted residual, is shuffled and added to the next
            finer one, or `concatenation` (model C), where all are brought to stride 2.
        width: Channels of the coarsest group, 512 in the paper; a multiple of 256.
    """

    def __init__(
        self,
        backbone: str = "torchvision/mobilenet_v2",
        feature_nodes: tuple[int | str, ...] = MOBILENET_NODES,
        fusion: Literal["addition", "concatenation"] = "addition",
        width: int = 512,
    ) -> None:
        super().__init__()
        check_range(256, 4096, width=width)
        if width % 256:
            raise SpecError(f"width={width} is not accepted: a multiple of 256.")
        self.backbone = TimmBackbone(backbone, feature_nodes)
        self.strides = self.backbone.strides
        channels = self._grouped_channels()
        widths = [width // share for share in MIXED[fusion]]
        self.adapters = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, w, 1), nn.ReLU()) for c, w in zip(channels, widths, strict=True)
        )
        self.mixers = nn.ModuleList()
        if fusion == "addition":
            self.mixers.extend(InvertedResidual(w, w, stride=1, expand_ratio=2) for w in widths)
        self.predict = nn.Conv2d((widths[0] if self.mixers else sum(widths)) // 4, 1, 3, padding=1)
        for module in (*self.adapters.modules(), *self.mixers.modules(), self.predict):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def _grouped_channels(self) -> list[int]:
        """Return the channels of the four groups.

        Raises:
            SpecError: If the backbone's maps make no such groups.
        """
        sums = {stride: 0 for stride in self.strides}
        for stride, channels in zip(self.strides, self.backbone.channels, strict=True):
            sums[stride] += channels
        if list(sums) != [2, 4, 8, 16, 32] or any(sums[stride] % 4 for stride in (4, 8, 16, 32)):
            raise SpecError(
                f"feature_nodes of {self.backbone.name} have {sums} (channels by stride); accepted are strides 2, 4, "
                "8, 16 and 32 in this order, the channels of each but the first divisible by 4."
            )
        return [sums[2] + sums[4] // 4, *(sums[stride] // 4 for stride in (8, 16, 32))]

    def forward(self, image: Tensor) -> Tensor:
        """Run the backbone, adapt and mix its maps."""
        pairs = zip(self.strides, self.backbone(image), strict=True)
        same = [torch.cat([m for _, m in group], dim=1) for _, group in groupby(pairs, key=lambda pair: pair[0])]
        groups = [F.pixel_shuffle(maps, 2) for maps in same[1:]]
        groups[0] = torch.cat([same[0], cut(groups[0], same[0])], dim=1)
        adapted = [adapt(maps) for adapt, maps in zip(self.adapters, groups, strict=True)]
        mixed = self._add(adapted) if self.mixers else self._concatenate(adapted)
        return cut(self.predict(mixed), image)

    def _add(self, adapted: list[Tensor]) -> Tensor:
        mixed: Tensor | None = None
        for maps, mixer in reversed(list(zip(adapted, self.mixers, strict=True))):
            total = maps if mixed is None else maps + cut(mixed, maps)
            mixed = F.pixel_shuffle(total + mixer(total), 2)
        assert mixed is not None
        return mixed

    def _concatenate(self, adapted: list[Tensor]) -> Tensor:
        size = adapted[0].shape[-2:]
        resized = [F.interpolate(maps, size, mode="bilinear", align_corners=True) for maps in adapted[1:]]
        return F.pixel_shuffle(torch.cat([adapted[0], *resized], dim=1), 2)


def cut(maps: Tensor, like: Tensor) -> Tensor:
    """Cut maps to the height and width of others."""
    return maps[..., : like.shape[-2], : like.shape[-1]]


@dataclass(frozen=True)
class FastSalTraining(TrainingConfig):
    """Training of FastSal; `sgd` is what the authors' `fine_tune.py` does."""

    lr: float = 1e-2
    backbone_lr_scale: float = 0.5
    optimizer: Literal["adamw", "sgd"] = "sgd"


class FastSal(SaliencyModel):
    """FastSal: a saliency map in a hundredth of the work of SalGAN, its teacher.

    Its arguments are those of `FastSalNetwork`, and `readout`.

    Args:
        readout: `sigmoid` of the logits is the map, which is stretched and smoothed as the authors do; with `softmax`
            the logits are log densities, as in the releases that learned from DeepGaze II.
    """

    network: FastSalNetwork
    network_class = FastSalNetwork
    training_config: FastSalTraining
    training_class = FastSalTraining
    default_preprocess = Preprocess((192, 256))
    sigmoid = True

    def __init__(self, *, readout: Literal["sigmoid", "softmax"] = "sigmoid", **options: Any) -> None:
        super().__init__(**options)
        self.readout = readout

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Read the logits as densities, or stretch their sigmoid, smooth it by 5 x 5 pixels and divide by its sum."""
        if self.readout == "softmax":
            return normalise_log(logits)
        saliency = logits.sigmoid()
        low, high = saliency.amin((-2, -1), keepdim=True), saliency.amax((-2, -1), keepdim=True)
        stretched = (saliency - low) / (high - low).clamp_min(1e-8)
        return normalise_log((gaussian_blur(stretched, (5, 5), 1.1, "replicate") + HALF_LEVEL).log())

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Binary cross-entropy (SALICON), or half the divergence and parts of it and of the cosine (Sec. 3.3)."""
        density = batch["density"]
        target = density / density.amax((-2, -1), keepdim=True).clamp_min(1e-20)
        cross_entropy = losses.bce(logits[:, 0], target)
        if self.readout == "sigmoid":
            return cross_entropy
        log_density = normalise_log(logits.float())
        return 0.5 * losses.kl(log_density, density) + 0.3 * cross_entropy + 0.2 * losses.cosine(log_density, density)

    def configure_sgd(self) -> Any:
        """Return SGD with momentum 0.9 and weight decay 0.0005; a tenth of the rate after 16, 31 and 61 epochs.

        Biases have twice the rate, and no decay.
        """
        biases = {parameter for name, parameter in self.named_parameters() if name.endswith("bias")}
        groups = []
        for group in self.parameter_groups():
            weights = [p for p in group["params"] if p not in biases]
            rest = [p for p in group["params"] if p in biases]
            groups.append({"params": weights, "lr": group["lr"], "weight_decay": 5e-4})
            groups.append({"params": rest, "lr": 2 * group["lr"], "weight_decay": 0.0})
        sgd = torch.optim.SGD([g for g in groups if g["params"]], lr=self.training_config.lr, momentum=0.9)
        schedule = torch.optim.lr_scheduler.MultiStepLR(sgd, [16, 31, 61], gamma=0.1)
        return {"optimizer": sgd, "lr_scheduler": schedule}
