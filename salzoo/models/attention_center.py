"""Attention center (Firsching & He, Google, 2022): the saliency network of google/attention-center.

There is no paper: the network is written from the graph of the released `center.tflite`, whose map before the centre
of mass is the prediction. It is a MobileNetV3-Small up to its ninth block with group normalisation, and four small
heads whose maps are added. Its 288,012 parameters were trained on SALICON; how, nobody has said. Differences:
- The release ends in the centre of mass of the map, one point an image. Here the map itself is the density.
- Loss, optimiser and augmentation of the variant `paper` are ours, and so are its data.
- The release converts its input in TensorFlow, whose padding may be a pixel thinner on one side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from timm.layers.create_conv2d import create_conv2d
from torch import Tensor, nn

from salzoo import losses
from salzoo._schema import check_range
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.images.preprocess import Preprocess
from salzoo.images.resample import resize_image

if TYPE_CHECKING:
    from salzoo.data.base import Batch

GROUPS, EPSILON = 8, 17 / 2**24
"""Groups of every normalisation, and its epsilon: 1e-6 in the half precision of the file."""

SIXTH = 1365 / 2**13
"""Slope of the gate of squeeze-and-excitation: 1/6 in the half precision of the file."""


@dataclass(frozen=True)
class Block:
    """One inverted residual: channels in its middle and after it, kernel, stride, gate and activation."""

    middle: int
    channels: int
    kernel: int = 3
    stride: int = 1
    gate: int | None = None
    activation: type[nn.Module] = nn.ReLU


BLOCKS = (
    Block(16, 16, stride=2, gate=8),
    Block(72, 24, stride=2),
    Block(88, 24),
    Block(96, 40, 5, 2, 24, nn.Hardswish),
    Block(240, 40, 5, 1, 64, nn.Hardswish),
    Block(240, 40, 5, 1, 64, nn.Hardswish),
    Block(120, 48, 5, 1, 32, nn.Hardswish),
    Block(144, 48, 5, 1, 40, nn.Hardswish),
    Block(288, 96, 5, 2, 72, nn.Hardswish),
)
"""MobileNetV3-Small (Howard et al., ICCV 2019, Table 2) without its last two blocks."""

READ_OUT = (2, 4, 6, 8)
"""Blocks that have a head: strides 8, 16, 16 and 32."""


class NormalisedConvolution(nn.Sequential):
    """Convolution with TensorFlow's padding, group normalisation, activation.

    Shape: (N, inputs, H, W) to (N, outputs, H / stride, W / stride), rounded up.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the result, divisible by 8.
        kernel: Side of the kernel.
        stride: Stride.
        activation: None for none.
        depthwise: One kernel a channel.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        activation: type[nn.Module] | None = None,
        depthwise: bool = False,
    ) -> None:
        options = {"stride": stride, "padding": "same", "depthwise": depthwise}
        convolution: nn.Module = create_conv2d(inputs, outputs, kernel, **options)  # type: ignore[no-untyped-call]
        super().__init__(convolution, nn.GroupNorm(GROUPS, outputs, EPSILON))
        if activation is not None:
            self.append(activation())


class Gate(nn.Module):
    """Squeeze-and-excitation: each channel times a hard sigmoid of the averages of all.

    The file has the 3 of the hard sigmoid, min(max(x + 3, 0), 6) / 6, in the bias of the second convolution.

    Shape: (N, C, H, W) to the same.

    Args:
        channels: C.
        squeezed: Channels between the two convolutions.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Weigh the channels."""
        averages = maps.mean((-2, -1), keepdim=True)
        return maps * (F.relu6(self.excite(self.squeeze(averages).relu())) * SIXTH)


class InvertedResidual(nn.Module):
    """MobileNetV3's block: expand, convolve each channel, gate, project; the input is added where the shape stays.

    Shape: (N, inputs, H, W) to (N, block.channels, H / stride, W / stride), rounded up.

    Args:
        inputs: Channels of the input; the first block, whose middle has as many, does not expand.
        block: The other sizes.
    """

    def __init__(self, inputs: int, block: Block) -> None:
        super().__init__()
        middle, activation = block.middle, block.activation
        self.expand = nn.Identity() if middle == inputs else NormalisedConvolution(inputs, middle, 1, 1, activation)
        self.depthwise = NormalisedConvolution(middle, middle, block.kernel, block.stride, activation, depthwise=True)
        self.gate = nn.Identity() if block.gate is None else Gate(middle, block.gate)
        self.project = NormalisedConvolution(middle, block.channels)
        self.residual = block.stride == 1 and inputs == block.channels

    def forward(self, maps: Tensor) -> Tensor:
        """Run the block."""
        result: Tensor = self.project(self.gate(self.depthwise(self.expand(maps))))
        return maps + result if self.residual else result


class AttentionCenterNetwork(nn.Module):
    """Nine inverted residuals and four heads.

    Shape: (N, 3, H, W) RGB in [0, 1] to logits of the sigmoid map (N, 1, H, W).

    Args:
        width: Factor of all channels but those of the heads, rounded to multiples of 8; 1 in the release.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        check_range(0.05, 8, width=width)

        def scaled(channels: int) -> int:
            return max(round(channels * width / GROUPS), 1) * GROUPS

        channels = scaled(16)
        self.stem = NormalisedConvolution(3, channels, 3, 2, nn.Hardswish)
        self.blocks, self.heads = nn.ModuleList(), nn.ModuleList()
        for i, block in enumerate(BLOCKS):
            gate = None if block.gate is None else scaled(block.gate)
            sizes = (scaled(block.middle), scaled(block.channels), block.kernel, block.stride, gate, block.activation)
            self.blocks.append(InvertedResidual(channels, Block(*sizes)))
            channels = scaled(block.channels)
            if i in READ_OUT:
                layers = (nn.Conv2d(channels, 3, 3, padding=1), nn.MaxPool2d(3, 1, 1), nn.Conv2d(3, 1, 1))
                self.heads.append(nn.Sequential(nn.ReLU(), *layers))
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.constant_(layer.bias, 3.0 if name.endswith("gate.excite") else 0.0)

    def forward(self, image: Tensor) -> Tensor:
        """Run the blocks, and add the heads' maps at the size of the image."""
        size, read = (image.shape[-2], image.shape[-1]), list[Tensor]()
        maps = self.stem(image)
        for i, block in enumerate(self.blocks):
            maps = block(maps)
            if i in READ_OUT:
                head = self.heads[len(read)]
                read.append(resize_image(head(maps), size, "tensorflow1"))
        return torch.stack(read).sum(0)


class AttentionCenter(SaliencyModel):
    """Attention center: a very small network, made to find where a progressive image should begin.

    Its argument is that of `AttentionCenterNetwork`; the release's size is 480 x 640, with the aspect kept.
    """

    network: AttentionCenterNetwork
    network_class = AttentionCenterNetwork
    default_preprocess = Preprocess((480, 640), "pad")
    sigmoid = True

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Divide the sigmoid map by its sum: the weights of the release's centre of mass."""
        return normalise_log(F.logsigmoid(logits))

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Binary cross-entropy against the density scaled to a maximum of 1; our choice."""
        density = batch["density"]
        return losses.bce(logits[:, 0], density / density.amax((-2, -1), keepdim=True).clamp_min(1e-20))
