"""TASED-Net (Min & Corso, ICCV 2019; arXiv:1908.05786): S3D and a decoder in space that gathers what time holds.

Where paper and released code differ, this is the released code. Differences:
- The window of a frame is that frame and the 31 before it, the first frame repeated in front of a video. The authors
  predict the first 31 frames of a video from windows in reversed time, which look up to 31 frames ahead.
- The recipe here is that of images, as clips that stand still. The authors train on clips of DHF1K, which `--data dhf1k
  --data.length 32` does. Their loss divides the maps of a batch by their common sum; here each is a density of its own.
- Their maps are cut off to 8 bits, then blurred by 7 pixels at a height of 224; here they are blurred alone (`blur`).
- torchvision's Kinetics weights are the ones that the encoder starts from; they are not the authors' own. New
  convolutions start as He's, for the statistics of the authors' normalisations move by a thousandth a step.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo.backbones.s3d import S3DBackbone
from salzoo.components.clip_model import ClipModel, ClipNetwork
from salzoo.components.training_config import TrainingConfig
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch

Kernel = tuple[int, int, int]


class TASEDNetwork(ClipNetwork):
    """S3D, and a decoder that puts maps back to the places of poolings beside it, until time is gone (Fig. 2).

    Shape: (N, 3, H, W) normalised image, or a clip (N, 3, 32, H, W), sides multiples of 32, to logits (N, 1, H, W).

    Args:
        width: As `S3DBackbone`, and of the decoder's channels; 1 for the published 21,260,693 parameters.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.backbone = S3DBackbone(width)
        fine, middle, coarse, deep = self.backbone.channels
        narrow, last = max(1, round(64 * width)), 4
        self.decode1 = nn.Sequential(*_layer(deep, deep), *_up(deep, coarse))
        self.decode2, self.decode3 = nn.Sequential(*_up(coarse, middle)), nn.Sequential(*_up(middle, fine))
        self.decode4 = nn.Sequential(
            *(*_up(fine, narrow, 4), *_layer(narrow, narrow, 2), *_up(narrow, last, 1), *_layer(last, last, 2)),
            nn.ConvTranspose3d(last, last, (1, 4, 4), (1, 2, 2), (0, 1, 1), bias=False),
            nn.Conv3d(last, 1, 1),
        )
        for layer in itertools.chain.from_iterable(m.modules() for m in self.children() if m is not self.backbone):
            if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
                mode: Literal["fan_in", "fan_out"] = "fan_in" if isinstance(layer, nn.Conv3d) else "fan_out"
                nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu")

    def clip(self, frames: Tensor) -> Tensor:
        """Encode, and decode with the places of the maxima of each level (Sec. 3.2).

        Clip by clip in eval mode: where two values are nearly the same, the rounding of a batch of another size would
        move a maximum, and with it what is put back there.
        """
        if len(frames) > 1 and not self.training:
            return torch.cat([self.clip(frames[i : i + 1]) for i in range(len(frames))])
        fine, middle, coarse, x = self.backbone(frames)
        finest, finer = (_places(F.max_pool3d(m, (4, 1, 1)), (1, 3, 3), (0, 1, 1)) for m in (fine, middle))
        x = _put_back(self.decode1(x), _places(F.max_pool3d(coarse, (2, 1, 1)), (1, 2, 2), (0, 0, 0)))
        x = _put_back(self.decode2(x), finer)
        x = _put_back(self.decode3(x), finest)
        logits: Tensor = self.decode4(x)
        return logits[:, :, 0]


def _norm(channels: int) -> nn.Module:
    return nn.BatchNorm3d(channels, eps=1e-3, momentum=1e-3)


def _layer(inside: int, outside: int, frames: int = 1) -> list[nn.Module]:
    """Return a convolution that makes one frame of so many, its normalisation and a ReLU."""
    convolution = nn.Conv3d(inside, outside, (frames, 1, 1), (frames, 1, 1), bias=False)
    return [convolution, _norm(outside), nn.ReLU()]


def _up(inside: int, outside: int, side: int = 3) -> list[nn.Module]:
    """Return a transposed convolution in space, its normalisation and a ReLU; a side of 4 doubles the size."""
    stride, margin = (2 if side == 4 else 1), (side - 1) // 2
    layer = nn.ConvTranspose3d(inside, outside, (1, side, side), (1, stride, stride), (0, margin, margin), bias=False)
    return [layer, _norm(outside), nn.ReLU()]


def _places(maps: Tensor, kernel: Kernel, padding: Kernel) -> tuple[Tensor, torch.Size]:
    """Return where the maxima of a pooling by 2 in space are, and the size of what is pooled."""
    _, indices = F.max_pool3d_with_indices(maps, kernel, (1, 2, 2), padding)
    return indices, maps.shape


def _put_back(maps: Tensor, places: tuple[Tensor, torch.Size]) -> Tensor:
    """Put values where maxima were, 0 elsewhere; of windows that share a maximum the last value counts."""
    indices, shape = places
    empty = maps.new_zeros(shape).flatten(2)
    return empty.scatter(2, indices.flatten(2), maps.flatten(2)).view(shape)


@dataclass(frozen=True)
class TASEDTraining(TrainingConfig):
    """Training of TASED-Net; `sgd` is the authors'.

    Args:
        lr: Learning rate of the decoder.
        backbone_lr_scale: Of the encoder, whose rate stays at 0.001.
    """

    lr: float = 0.1
    backbone_lr_scale: float = 0.01
    optimizer: Literal["adamw", "sgd"] = "sgd"


class TASEDNet(ClipModel):
    """TASED-Net, trained by the divergence of the map from the truth; arguments as `TASEDNetwork`, and `blur`."""

    network: TASEDNetwork
    network_class = TASEDNetwork
    training_config: TASEDTraining
    training_class = TASEDTraining
    no_graph = "its unpooling turns a runtime's rounding errors into another map"
    default_preprocess = Preprocess((224, 384), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Kullback-Leibler divergence (Sec. 4.2)."""
        loss: Tensor = losses.get("kl")(self.to_log_density(logits.float()), batch)
        return loss

    def configure_sgd(self) -> Any:
        """Return the authors' SGD: the decoder's rate falls to a tenth at 75 and at 95 % of the steps."""
        optimizer = torch.optim.SGD(self.parameter_groups(), momentum=0.9, weight_decay=2e-7)
        total = int(self.trainer.estimated_stepping_batches)

        def decoder(step: int) -> float:
            return 0.1 ** ((step >= 0.75 * total) + (step >= 0.95 * total))

        rates = [decoder, lambda step: 1.0][: len(optimizer.param_groups)]
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rates)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
