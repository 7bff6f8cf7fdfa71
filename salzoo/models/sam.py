"""SAM-VGG and SAM-ResNet (Cornia, Baraldi, Serra & Cucchiara, IEEE TIP 2018; arXiv:1611.09571).

Differences from the paper:
- Where paper and released code differ, this is the released code: the coefficients of the loss, the bounds of the
  priors, pooling windows that reach up and left (`ShiftedMaxPool`), and Theano's bilinear up-sampling (`upsample`).
- timm's backbones expect RGB with ImageNet statistics, so that is what they get instead of BGR minus the Caffe mean.
  The ResNet-50 has the authors' layers, with the stride of a block in its first convolution and a bias in every one;
  timm's weights for it were trained with the stride in the 3x3 convolution.
- The truth has the size of the network's input, half of the authors', who train on maps as large as the output.
- The epoch with the best validation NSS is kept; the authors stop when the validation loss has not fallen for 3 epochs.
- Gates that see the same map are one convolution: the same sums.
- The lite variant reads five stages of a frozen EfficientNet-Lite0, standardised and brought to stride 16, and one
  convolution makes 64 channels of them. Its attention has the mean 1 instead of the sum 1, so that the size of the
  image makes no difference; its dilation is half, its stride being twice as large; and an exponential takes the place
  of the ReLU at the end, which can be 0 everywhere and leaves parts of a map without any order.
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
from salzoo.components.keras1 import ShiftedMaxPool, upsample
from salzoo.components.layers import StackedFeatures, blur_mirrored, dilate, evenly, keep_stride_8, relative_log
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch

PRIOR_BOUNDS = ((0.25, 0.75), (0.35, 0.65), (0.1, 0.9), (0.2, 0.8))
"""Lowest and highest mean along x and along y, standard deviation along x and along y, in widths of the map."""


class AttentiveConvLSTM(nn.Module):
    """A convolutional LSTM that sees the same map at every step, each time with another attention (Sec. III-B).

    Shape: (N, C, H, W) to the state after the last step, the same shape.

    Args:
        channels: C, also those of state and attention.
        steps: Number of steps.
        attention: What the attention over all places is scaled to: its `sum` is 1 in the paper, or its `mean` is.
    """

    def __init__(self, channels: int, steps: int = 4, attention: Literal["sum", "mean"] = "sum") -> None:
        super().__init__()
        self.steps, self.attention = steps, attention
        self.attend_state = nn.Conv2d(channels, channels, 3, padding=1)
        self.attend_input = nn.Conv2d(channels, channels, 3, padding=1)
        self.attend = nn.Conv2d(channels, 1, 3, padding=1, bias=False)
        self.input_gates = nn.Conv2d(channels, 4 * channels, 3, padding=1)  # i, f, c, o
        self.state_gates = nn.Conv2d(channels, 4 * channels, 3, padding=1)
        for layer in (self.attend_state, self.attend_input, self.input_gates):
            nn.init.normal_(layer.weight, std=0.05)
        nn.init.zeros_(self.attend.weight)
        for gate in self.state_gates.weight.chunk(4):
            nn.init.orthogonal_(gate, gain=1.1)
        for layer in (self.attend_state, self.attend_input, self.input_gates, self.state_gates):
            nn.init.zeros_(cast("Tensor", layer.bias))

    def forward(self, maps: Tensor) -> Tensor:
        """Run all steps."""
        state: Tensor | None = None
        memory, seen = torch.zeros_like(maps), self.attend_input(maps)
        for _ in range(self.steps):
            energy = self.attend(torch.tanh(_of_state(self.attend_state, state) + seen))
            attention = energy.flatten(1).softmax(1).view_as(energy)
            if self.attention == "mean":
                attention = attention * attention[0].numel()
            gates = self.input_gates(maps * attention) + _of_state(self.state_gates, state)
            let_in, keep, new, let_out = gates.chunk(4, dim=1)
            memory = keep.sigmoid() * memory + let_in.sigmoid() * new.tanh()
            state = let_out.sigmoid() * memory.tanh()
        return cast("Tensor", state)


def _of_state(convolution: nn.Conv2d, state: Tensor | None) -> Tensor:
    """Convolve the state; the one before the first step is 0, which leaves the bias."""
    bias = cast("Tensor", convolution.bias)
    convolved: Tensor = bias[:, None, None] if state is None else convolution(state)
    return convolved


class LearnedPriors(nn.Module):
    """Gaussians over the frame whose centres and widths are learned, each with a maximum of 1 (Sec. III-C).

    x runs from 0 to 1 over the width; y has the same unit, and its middle is at 0.5, too.

    Shape: a size (H, W) to (1, count, H, W).

    Args:
        count: Number of Gaussians.
    """

    def __init__(self, count: int = 16) -> None:
        super().__init__()
        means, deviations = torch.empty(2, count).uniform_(0.3, 0.7), torch.empty(2, count).uniform_(0.05, 0.3)
        self.weight = nn.Parameter(torch.cat([means, deviations]))

    def forward(self, size: tuple[int, int]) -> Tensor:
        """Draw the Gaussians; what lies outside of `PRIOR_BOUNDS` counts as their nearest value."""
        mean_x, mean_y, std_x, std_y = (
            values.clamp(*bounds)[:, None] for values, bounds in zip(self.weight, PRIOR_BOUNDS, strict=True)
        )
        half = size[0] / size[1] / 2
        x = evenly(0, 1, size[1], self.weight)
        y = evenly(0.5 - half, 0.5 + half, size[0], self.weight)
        columns = (x - mean_x).square() / (2 * std_x.square() + 1e-7)
        rows = (y - mean_y).square() / (2 * std_y.square() + 1e-7)
        columns, rows = (away.amin(1, keepdim=True) - away for away in (columns, rows))
        gaussians: Tensor = (rows[:, :, None] + columns[:, None, :]).exp()
        return gaussians.unsqueeze(0)


class PriorConvolution(nn.Module):
    """A dilated 5x5 convolution of maps and of learned priors, with a ReLU (Sec. III-C).

    Shape: (N, C, H, W) to the same.

    Args:
        channels: C.
        priors: Number of Gaussians.
        dilation: Dilation of the kernel.
    """

    def __init__(self, channels: int, priors: int, dilation: int) -> None:
        super().__init__()
        self.priors = LearnedPriors(priors)
        self.convolution = nn.Conv2d(channels + priors, channels, 5, padding=2 * dilation, dilation=dilation)
        nn.init.xavier_uniform_(self.convolution.weight)
        nn.init.zeros_(cast("Tensor", self.convolution.bias))

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve."""
        priors = self.priors((maps.shape[-2], maps.shape[-1])).to(maps.dtype)
        return F.relu(self.convolution(torch.cat([maps, priors.expand(maps.shape[0], -1, -1, -1)], dim=1)))


class SAMNetwork(nn.Module):
    """Features, an attentive convolutional LSTM, two convolutions with learned priors, one map (Fig. 2).

    Shape: (N, 3, H, W) normalised image to a map (N, 1, upsampling * h, upsampling * w), for features of (h, w).

    Args:
        backbone: timm name.
        feature_nodes: Strides or module names; all maps are brought to the size of the first.
        trunk: What turns the backbone into the authors' of stride 8: `vgg16` or `resnet50`; None leaves it as it is.
        frozen: Do not train the backbone, and standardise its maps.
        width: Channels of everything after the features; the paper's are 512.
        reduce: Side of the kernel of a convolution, with a ReLU, that makes `width` channels of the features; None for
            features that have as many.
        steps: Steps of the LSTM.
        attention: As `AttentiveConvLSTM`.
        priors: Number of Gaussians of each of the two convolutions with priors.
        dilation: Dilation of these two; the paper's is 4, on maps of stride 8.
        activation: Of the last convolution: `relu`, or `exponential`, whose logarithm the result is then.
        upsampling: How much larger the map is made in the end.
        dropout: Share of the reduced features' channels left out in training; the paper has none.
    """

    def __init__(
        self,
        backbone: str = "vgg16.tv_in1k",
        feature_nodes: tuple[int | str, ...] = ("features.29",),
        trunk: Literal["vgg16", "resnet50"] | None = "vgg16",
        frozen: bool = False,
        width: int = 512,
        reduce: int | None = None,
        steps: int = 4,
        attention: Literal["sum", "mean"] = "sum",
        priors: int = 16,
        dilation: int = 4,
        activation: Literal["relu", "exponential"] = "relu",
        upsampling: int = 16,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_range(1, 4096, width=width, priors=priors)
        check_range(1, 64, steps=steps, dilation=dilation, upsampling=upsampling)
        check_range(1, 15, reduce=reduce)
        check_range(0, 1, dropout=dropout)
        features = TimmBackbone(backbone, feature_nodes)
        if trunk is not None:
            {"vgg16": dilate_vgg16, "resnet50": make_keras_resnet50}[trunk](features.trunk)
        if frozen:
            features.freeze()
        self.features = StackedFeatures(features, features.strides[0])
        self.reduce = nn.Identity() if reduce is None else convolution(self.features.channels, width, reduce)
        self.dropout = nn.Dropout2d(dropout)
        self.lstm = AttentiveConvLSTM(width, steps, attention)
        self.prior_convolutions = nn.Sequential(*(PriorConvolution(width, priors, dilation) for _ in range(2)))
        self.predict = nn.Conv2d(width, 1, 1)
        nn.init.xavier_uniform_(self.predict.weight)
        nn.init.zeros_(cast("Tensor", self.predict.bias))
        self.trunk, self.activation, self.upsampling = trunk, activation, upsampling

    def forward(self, image: Tensor) -> Tensor:
        """Run backbone, LSTM and priors."""
        maps = self.lstm(self.dropout(self.reduce(self.features(image))))
        saliency = self.predict(self.prior_convolutions(maps))
        return upsample(saliency.relu() if self.activation == "relu" else saliency, self.upsampling)


def convolution(channels: int, width: int, side: int) -> nn.Sequential:
    """Return a convolution that keeps the size, started as in Keras, and a ReLU."""
    layer = nn.Conv2d(channels, width, side, padding=side // 2)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(cast("Tensor", layer.bias))
    return nn.Sequential(layer, nn.ReLU())


def dilate_vgg16(vgg16: nn.Module) -> None:
    """Keep stride 8 to the end of timm's VGG-16, cut out by names, in place; its weights stay."""
    vgg16.set_submodule("features.16", ShiftedMaxPool(2))
    vgg16.set_submodule("features.23", ShiftedMaxPool(1))
    dilate(vgg16, ("features.24", "features.26", "features.28"), 2)


def make_keras_resnet50(resnet50: nn.Module) -> None:
    """Make timm's ResNet-50, cut out by names, that of Keras with stride 8 to the end, in place; its weights stay.

    In Keras a block's first convolution has its stride, and every convolution has a bias.
    """
    for module in list(resnet50.modules()):
        if isinstance(module, nn.Conv2d):
            module.bias = nn.Parameter(torch.zeros(module.out_channels))
    keep_stride_8(resnet50)


@dataclass(frozen=True)
class SAMTraining(TrainingConfig):
    """Training of SAM; `sgd` is the authors' RMSprop.

    Args:
        lr: Learning rate; of AdamW the peak of a one-cycle schedule.
    """

    lr: float = 1e-4
    optimizer: Literal["adamw", "sgd"] = "sgd"


class SAM(SaliencyModel):
    """SAM: a convolutional LSTM that refines its attention, and learned priors; trained by KL, CC and NSS at once.

    Its arguments are those of `SAMNetwork`, and `blur_px`.

    Args:
        blur_px: Standard deviation of a final blur of predicted maps, in pixels of the image; the authors' is 7, and 0
            changes nothing.
    """

    network: SAMNetwork
    network_class = SAMNetwork
    training_config: SAMTraining
    training_class = SAMTraining
    default_preprocess = Preprocess((240, 320), "pad")
    statistics_images = 64

    def __init__(self, *, blur_px: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        check_range(0, 100, blur_px=blur_px)
        self.blur_px = blur_px

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Divide the map by its sum; a pixel of a ReLU that is at 0 gets a millionth of the highest one."""
        if self.network.activation == "exponential":
            return normalise_log(logits)
        return normalise_log(relative_log(logits if self.training else blur_mirrored(logits, self.blur_px)))

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """10 KL - 2 CC - NSS (Sec. III-D and code)."""
        loss: Tensor = losses.get("sam")(self.to_log_density(logits.float()), batch)
        return loss

    def load_pretrained_backbone(self) -> None:
        """Load ImageNet weights; timm's ResNet-50 has no biases, which stay 0."""
        own = [m for m in self.network.features.backbone.modules() if isinstance(m, nn.Conv2d)]
        biases = {m: m.bias for m in own if self.network.trunk == "resnet50"}
        try:
            for module in biases:
                module.bias = None
            super().load_pretrained_backbone()
        finally:
            for module, bias in biases.items():
                module.bias = bias

    def configure_sgd(self) -> Any:
        """Return the authors' RMSprop."""
        return torch.optim.RMSprop(self.parameter_groups(), lr=self.training_config.lr, alpha=0.9)
