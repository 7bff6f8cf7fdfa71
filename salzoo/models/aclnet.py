"""ACLNet (Wang, Shen, Guo, Cheng & Borji, CVPR 2018; arXiv:1801.07424): attention on VGG-16, and a convolutional LSTM.

Where paper and code differ, this is the authors' Keras code, as copies of it that agree have it. Differences:
- The state of the LSTM is carried on through the whole video, as in the authors' test; in training it begins anew with
  each clip.
- The recipe here is that of images, as clips of five frames that are alike. The authors train in turn on clips of five
  frames of DHF1K, which `--data dhf1k --data.length 5` does, and on images of SALICON, a frame each, by which the
  attention alone is supervised; here map and attention both are.
- The truth of the attention has the size of that of the map, twice the authors'.
- timm's VGG-16 expects RGB with ImageNet statistics, so that is what it gets.
- Dropout is of the whole input of the LSTM; Keras leaves out other values for each of its gates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.saliency_model import normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.components.video_model import VideoModel
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch

State = tuple[Tensor, Tensor]


class CornerMaxPool(nn.Module):
    """2 x 2 maximum over each pixel and its neighbours below and to the right: TensorFlow's "same" at stride 1.

    Shape: (N, C, H, W), not negative, to the same.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Pool."""
        return F.max_pool2d(F.pad(maps, (0, 1, 0, 1)), 2, 1)


class ConvLSTM(nn.Module):
    """A convolutional LSTM as Keras 2 has it: hard sigmoids, one bias a gate.

    Args:
        inside: Channels of the input.
        channels: Of state and memory.
    """

    def __init__(self, inside: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.of_input = nn.Conv2d(inside, 4 * channels, 3, padding=1)  # i, f, c, o
        self.of_state = nn.Conv2d(channels, 4 * channels, 3, padding=1, bias=False)
        nn.init.xavier_uniform_(self.of_input.weight)
        nn.init.orthogonal_(self.of_state.weight)
        bias = cast("Tensor", self.of_input.bias)
        nn.init.zeros_(bias)
        with torch.no_grad():
            bias[channels : 2 * channels] = 1  # of the forget gate

    def forward(self, maps: Tensor, before: State | None) -> State:
        """(N, C, h, w) maps, and state and memory of the step before, None for zeros, to state and memory."""
        gates = self.of_input(maps)
        if before is not None:
            gates = gates + self.of_state(before[0])
        let_in, keep, new, let_out = gates.chunk(4, dim=1)
        memory = hard_sigmoid(let_in) * new.tanh()
        if before is not None:
            memory = hard_sigmoid(keep) * before[1] + memory
        return hard_sigmoid(let_out) * memory.tanh(), memory


def hard_sigmoid(x: Tensor) -> Tensor:
    """Keras's: 0.2 x + 0.5 within [0, 1]; torch's has a slope of 1 / 6."""
    return (0.2 * x + 0.5).clamp(0, 1)


class ACLNetwork(nn.Module):
    """VGG-16 at stride 8, an attention over its maps, and a convolutional LSTM (Fig. 4).

    Shape: (N, 3, H, W) normalised image, sides multiples of 32, to logits (N, 1, H / 2, W / 2); in train mode those of
    the attention are a second map.

    Args:
        backbone: timm name.
        feature_nodes: The one map, of stride 8.
        trunk: `vgg16` keeps stride 8 to the end of a VGG-16, as the authors; None leaves the backbone as it is.
        width: Channels of the LSTM.
        attention: Channels of the attention's convolutions.
        dropout: Share of the LSTM's input left out in training.
        still: Frames of the clip that an image stands for; the authors' clips have 5.
    """

    temporal = True

    def __init__(
        self,
        backbone: str = "vgg16.tv_in1k",
        feature_nodes: tuple[int | str, ...] = ("features.29",),
        trunk: Literal["vgg16"] | None = "vgg16",
        width: int = 256,
        attention: tuple[int, int] = (64, 128),
        dropout: float = 0.4,
        still: int = 5,
    ) -> None:
        super().__init__()
        check_range(1, 4096, width=width, attention=attention)
        check_range(0, 1, dropout=dropout)
        check_range(1, 64, still=still)
        self.still = still
        self.backbone = TimmBackbone(backbone, feature_nodes)
        if trunk == "vgg16":
            self.backbone.trunk.set_submodule("features.23", CornerMaxPool())
        inside, (narrow, wide) = self.backbone.channels[0], attention
        self.attention = nn.Sequential(
            *(
                nn.MaxPool2d(2),
                nn.Conv2d(inside, narrow, 1),
                nn.ReLU(),
                nn.Conv2d(narrow, wide, 3, padding=1),
                nn.ReLU(),
            ),
            *(nn.MaxPool2d(2), nn.Conv2d(wide, narrow, 1), nn.ReLU(), nn.Conv2d(narrow, wide, 3, padding=1), nn.ReLU()),
            nn.Conv2d(wide, 1, 1),
            nn.Upsample(scale_factor=4, mode="nearest"),
        )
        self.dropout = nn.Dropout(dropout)
        self.lstm = ConvLSTM(inside, width)
        self.predict = nn.Conv2d(width, 1, 1)
        for layer in (*self.attention, self.predict):
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(cast("Tensor", layer.bias))

    def forward(self, image: Tensor) -> Tensor:
        """Predict images, each as the last of `still` frames that are alike."""
        attended, attention = self.attended(image)
        state: State | None = None
        for _ in range(self.still):
            state = self.lstm(self.dropout(attended), state)
        assert state is not None
        return self.read(state, attention)

    def step(self, image: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return the logits of a frame, and state and memory of the LSTM for the next one."""
        attended, attention = self.attended(image)
        state = self.lstm(self.dropout(attended), state)
        return self.read(state, attention), state

    def attended(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return features that are stronger where the attention is, and its logits, (N, 1, h, w)."""
        (features,) = self.backbone(image)
        attention: Tensor = self.attention(features)
        return features + features * attention.sigmoid(), attention

    def read(self, state: State, attention: Tensor) -> Tensor:
        """Return the map of a state, and in train mode the attention, four times as large."""
        maps = self.predict(state[0])
        if self.training:
            maps = torch.cat([maps, attention], dim=1)
        return F.interpolate(maps, scale_factor=4.0, mode="nearest")


@dataclass(frozen=True)
class ACLTraining(TrainingConfig):
    """Training of ACLNet; `sgd` is the authors' Adam.

    Args:
        lr: Learning rate of the first three epochs.
    """

    lr: float = 1e-4
    optimizer: Literal["adamw", "sgd"] = "sgd"


class ACLNet(VideoModel):
    """ACLNet, trained by KL, CC and NSS of the map and of the attention; arguments as `ACLNetwork`."""

    network: ACLNetwork
    network_class = ACLNetwork
    training_config: ACLTraining
    training_class = ACLTraining
    default_preprocess = Preprocess((256, 320), "pad_floor")
    sigmoid = True

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Sigmoid, then the map divided by its sum."""
        return normalise_log(F.logsigmoid(logits))

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """10 KL - 2 CC - NSS of the map, and of the attention (Eq. 6)."""
        criterion = losses.get("sam")
        terms = [criterion(self.to_log_density(each.float()), batch) for each in torch.split(logits, 1, dim=1)]
        return torch.stack(terms).sum()

    def configure_sgd(self) -> Any:
        """Return the authors' Adam: a tenth of the rate after 3, 6 and 8 epochs."""
        optimizer = torch.optim.Adam(self.parameter_groups(), lr=self.training_config.lr)
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 6, 8], gamma=0.1)
        return {"optimizer": optimizer, "lr_scheduler": schedule}
