"""STSConvNet and STSMaxNet (Bak, Kocak, Erdem & Erdem, IEEE TMM 2017; arXiv:1607.04730): a frame and its optical flow.

Two streams of SalNet's layers up to conv5, one of the frame and one of a picture of the flow from the frame before it,
are fused, and the rest of SalNet makes the map. Differences:
- Where paper and released network differ, this is the released one: no ReLU after the fusing convolution. The released
  script feeds the frame into both streams; here, as in the paper, the second one sees the flow.
- The flow is that of `components.flow.local_motion`, Lucas and Kanade's in a pyramid, where the authors have another
  method's; the authors' scale of its picture is not known. Here it has x, y and length, `MOST` pixels of the network's
  input being 1, and the length from -1. At the first frame, and of an image alone, nothing moves.
- The recipe here is that of images, whose flow is 0; `--data diem` trains on clips, both streams at once. The authors
  train the streams apart, from SalNet's weights, on frames and flow of DIEM. Rate and schedule are `salnet.paper`'s.
- Nothing is rounded to 8 bits, and the clip at 0 is a soft one, as SalNet's here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components.flow import local_motion
from salzoo.components.optimizers import caffe_sgd
from salzoo.components.training_config import TrainingConfig
from salzoo.components.vgg_m import VGGMStem, initialise, large_column, scaled_error, scaled_log_density
from salzoo.components.video_model import VideoModel
from salzoo.errors import WeightsError
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch

MEAN, STD = (100 / 255, 110 / 255, 118 / 255), (0.5, 0.5, 0.5)
"""(x - (100, 110, 118)) / 127.5 for RGB pixels from 0 to 255."""

MOST = 20.0
"""Pixels a frame that are 1 in the picture of the flow."""


class STSNetwork(nn.Module):
    """Two streams, their fusion, and the end of SalNet (Fig. 2).

    Shape: (N, 3, H, W) normalised image, sides divisible by 4, to maps (N, 1, H, W) in about [-1, 1].

    Args:
        fusion: `conv`: both maps side by side, and a convolution of 1x1; `max`: the larger of both.
        stem: Channels of conv1 to conv3.
        column: Channels of conv4 to conv8.
    """

    temporal = True

    def __init__(
        self,
        fusion: Literal["conv", "max"] = "conv",
        stem: tuple[int, int, int] = (96, 256, 512),
        column: tuple[int, int, int, int, int] = (512, 512, 256, 128, 32),
    ) -> None:
        super().__init__()
        check_range(1, 8192, stem=stem, column=column)
        self.frame, self.flow = stream(stem, column[:2]), stream(stem, column[:2])
        width = column[1]
        self.fuse = nn.Conv2d(2 * width, width, 1) if fusion == "conv" else None
        if self.fuse is not None:
            initialise(self.fuse, "linear")
        self.tail = large_column(width, (*column[2:], 1), first=6)
        self.deconv1 = nn.ConvTranspose2d(1, 1, 8, 4, 2, bias=False)
        nn.init.constant_(self.deconv1.weight, 1 / 64)

    def forward(self, image: Tensor) -> Tensor:
        """Predict images alone, where nothing moves."""
        return self.both(image, picture(torch.zeros_like(image[:, :2])))

    def step(self, image: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the map of a frame, and its intensity for the next one."""
        grey = image.mean(1, keepdim=True) / 2 + sum(MEAN) / 3
        if state is None:
            return self(image), grey
        motion, _ = local_motion(grey, state)
        return self.both(image, picture(motion)), grey

    def both(self, image: Tensor, flow: Tensor) -> Tensor:
        """Normalised frames and pictures of flow, (N, 3, H, W) each, to maps."""
        seen, moved = self.frame(image), self.flow(flow)
        fused = torch.maximum(seen, moved) if self.fuse is None else self.fuse(torch.cat([seen, moved], dim=1))
        maps: Tensor = self.deconv1(self.tail(fused))
        return maps


def stream(stem: tuple[int, int, int], widths: tuple[int, ...]) -> nn.Sequential:
    """Return conv1 to conv5 of SalNet."""
    features = VGGMStem(stem)
    return nn.Sequential(features, large_column(features.channels, widths))


def picture(flow: Tensor) -> Tensor:
    """Motion in pixels, (N, 2, H, W), to x, y and length as three channels from -1 to 1."""
    length = flow.square().sum(1, keepdim=True).sqrt()
    return torch.cat([flow / MOST, 2 * length / MOST - 1], dim=1).clamp(-1, 1)


@dataclass(frozen=True)
class STSTraining(TrainingConfig):
    """Training of both; `sgd` has momentum 0.9 and a rate that is halved every 2,000 steps, as SalNet's.

    Args:
        lr: Learning rate at the start.
        stem_weights: File with the weights of VGG-CNN-M for `pretrained_backbone`, as `VGGMStem.load` reads it.
    """

    lr: float = 5e-3
    optimizer: Literal["adamw", "sgd"] = "sgd"
    stem_weights: str | None = None


class STSConvNet(VideoModel):
    """STSConvNet, or STSMaxNet with `fusion="max"`: Euclidean loss; arguments as `STSNetwork`."""

    network: STSNetwork
    network_class = STSNetwork
    training_config: STSTraining
    training_class = STSTraining
    default_preprocess = Preprocess((240, 320), mean=MEAN, std=STD)

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Undo the scaling of the target, clip, blur and divide by the sum, as `scaled_log_density`."""
        return scaled_log_density(logits)

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean squared error between maps in about [-1, 1], as `scaled_error`."""
        return scaled_error(logits, batch["density"])

    def load_pretrained_backbone(self) -> None:
        """Load weights of VGG-CNN-M, from `training_config.stem_weights`, into both streams.

        Raises:
            WeightsError: If no file is named, or it does not fit.
        """
        file = self.training_config.stem_weights
        if file is None:
            raise WeightsError(
                "The ImageNet weights of VGG-CNN-M exist as a Caffe model only. Save weight and bias of its conv1, "
                "conv2 and conv3 as a safetensors file and give --training.stem_weights FILE, or start from noise with "
                "--training.pretrained_backbone false."
            )
        for one in (self.network.frame, self.network.flow):
            stem = one[0]
            assert isinstance(stem, VGGMStem)
            stem.load(file)

    def configure_sgd(self) -> Any:
        """Return SGD with biases at twice the rate of weights."""
        return caffe_sgd(self.parameter_groups(), momentum=0.9, step_size=2000, gamma=0.5)
