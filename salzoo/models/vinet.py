"""ViNet (Jain, Yarlagadda, Jyoti, Karthik, Subramanian & Gandhi, IROS 2021; arXiv:2012.06170), without sound.

Where paper and released code differ, this is the released code. Differences:
- The window of a frame is that frame and the 31 before it, the first frame repeated in front of a video. The authors
  predict the first 31 frames of a video from windows in reversed time, which look up to 31 frames ahead.
- The recipe here is that of images, as clips that stand still. The authors train on clips of DHF1K, which `--data dhf1k
  --data.length 32` does.
- The branch for sound (AViNet) is left out: its authors found that the network ignores it.
- Their final blur of 2 pixels is a share of the frame's height, that of DHF1K's 360 rows (`blur`).
- torchvision's Kinetics weights are the ones that the encoder starts from; they are not the authors' own.
- `groups` and `aligned` make the decoder of ViNet-S (Girmaji et al., ICASSP 2025; arXiv:2502.00397), whose network is
  otherwise the same; its released code takes one size of input, this any with sides that are multiples of 32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._schema import check_range
from salzoo.backbones.s3d import S3DBackbone
from salzoo.components.clip_model import ClipModel, ClipNetwork
from salzoo.components.training_config import TrainingConfig
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch


class ViNetNetwork(ClipNetwork):
    """S3D, and a decoder whose levels are joined along time (Fig. 2).

    Shape: (N, 3, H, W) normalised image, or a clip (N, 3, 32, H, W), sides multiples of 32, to logits (N, 1, H, W).

    Args:
        width: As `S3DBackbone`, and of the decoder's channels; 1 for the published 31,099,585 parameters.
        groups: Groups of the decoder's first five convolutions; those of ViNet-S are 32, 16, 8, 4 and 2.
        aligned: Up-sample with the centres of the corner pixels at the same places, as ViNet-S.

    Raises:
        SpecError: If the groups are not five, or do not divide the channels.
    """

    def __init__(self, width: float = 1.0, groups: tuple[int, ...] = (1, 1, 1, 1, 1), aligned: bool = False) -> None:
        super().__init__()
        check_range(1, 1024, groups=groups)
        self.backbone, self.aligned = S3DBackbone(width), aligned
        fine, middle, coarse, deep = self.backbone.channels
        narrow, last = (max(1, round(count * width)) for count in (64, 32))
        channels = (deep, coarse, middle, fine, narrow, last)
        if len(groups) != 5 or any(c % g for c, g in zip((*channels[:5], *channels[1:]), groups * 2, strict=True)):
            raise SpecError(
                f"groups={list(groups)} is not accepted: five numbers that divide {list(channels[:5])} and "
                f"{list(channels[1:])}."
            )

        def layer(place: int, kernel: tuple[int, int, int]) -> nn.Conv3d:
            inside, outside = channels[place : place + 2]
            stride, padding = (kernel[0], 1, 1), (0, 1, 1)
            return nn.Conv3d(inside, outside, kernel, stride, padding, groups=groups[place], bias=False)

        self.decode = nn.ModuleList(
            [layer(0, (1, 3, 3)), layer(1, (3, 3, 3)), layer(2, (5, 3, 3)), layer(3, (5, 3, 3)), layer(4, (2, 3, 3))]
        )
        self.merge = nn.Conv3d(last, last, (2, 1, 1), (2, 1, 1), bias=False)
        self.predict = nn.Conv3d(last, 1, 1)

    def clip(self, frames: Tensor) -> Tensor:
        """Encode; then convolve, double the size, and append a finer level as more frames, until time is gone."""
        *levels, x = self.backbone(frames)
        for k, layer in enumerate(self.decode):
            x = self._doubled(layer(x).relu())
            if k < 3:
                x = torch.cat([x, levels[2 - k]], dim=2)
        logits: Tensor = self.predict(self.merge(x).relu())
        return logits[:, :, 0]

    def _doubled(self, maps: Tensor) -> Tensor:
        """Double height and width, bilinear, each frame by itself."""
        count, channels, time, height, width = maps.shape
        frames = maps.transpose(1, 2).flatten(0, 1)
        larger = F.interpolate(frames, (2 * height, 2 * width), mode="bilinear", align_corners=self.aligned)
        return larger.view(count, time, channels, 2 * height, 2 * width).transpose(1, 2)


@dataclass(frozen=True)
class ViNetTraining(TrainingConfig):
    """Training of ViNet; `sgd` is the authors' Adam.

    Args:
        lr: Learning rate.
    """

    lr: float = 1e-4
    optimizer: Literal["adamw", "sgd"] = "sgd"


class ViNet(ClipModel):
    """ViNet, trained by divergence and correlation; arguments as `ViNetNetwork`, and `blur`."""

    network: ViNetNetwork
    network_class = ViNetNetwork
    training_config: ViNetTraining
    training_class = ViNetTraining
    default_preprocess = Preprocess((224, 384), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """KL - CC (code; Sec. III-C names the terms)."""
        loss: Tensor = losses.get({"kl": 1.0, "cc": -1.0})(self.to_log_density(logits.float()), batch)
        return loss

    def configure_sgd(self) -> Any:
        """Return the authors' Adam."""
        return torch.optim.Adam(self.parameter_groups(), lr=self.training_config.lr)
