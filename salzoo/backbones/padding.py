"""TensorFlow's padding of EfficientNet, as PyTorch ports made for one size of image have it."""

from __future__ import annotations

import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn


class StaticPadding(nn.Conv2d):
    """A convolution at stride 2 that pads as TensorFlow pads even sides, on odd ones too.

    There TensorFlow, and timm with it, pads both ends alike. L. Melas-Kyriazi's EfficientNet works the padding out
    once, for the network's native size, whose sides are even for every layer of B5 (456 pixels); DeepGaze IIE has it.

    Shape: (N, C, H, W) to (N, out_channels, H // 2, W // 2).
    """

    def forward(self, input: Tensor) -> Tensor:
        """Pad one pixel more at the bottom and right than at the top and left, and convolve."""
        height, width = self.kernel_size
        before, after = ((height - 2) // 2, (width - 2) // 2), ((height - 1) // 2, (width - 1) // 2)
        return super().forward(F.pad(input, (before[1], after[1], before[0], after[0])))


def pad_statically(trunk: nn.Module) -> None:
    """Replace every convolution at stride 2 whose padding depends on the side, in place; weights stay."""
    for name, module in list(trunk.named_modules()):
        if isinstance(module, Conv2dSame) and module.stride == (2, 2) and module.dilation == (1, 1):
            side, bias = (module.kernel_size[0], module.kernel_size[1]), module.bias is not None
            static = StaticPadding(module.in_channels, module.out_channels, side, 2, groups=module.groups, bias=bias)
            static.weight, static.bias = module.weight, module.bias
            trunk.set_submodule(name, static)
