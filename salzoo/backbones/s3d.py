"""S3D (Xie, Sun, Huang, Tu & Murphy, ECCV 2018), torchvision's, as an extractor of features of a clip."""

from __future__ import annotations

from functools import partial
from typing import cast

import torchvision
from torch import Tensor, nn
from torchvision.models.video.s3d import Conv3dNormActivation, SepInceptionBlock3D, TemporalSeparableConv

from salzoo._schema import check_range
from salzoo.errors import WeightsError

TAPS = (3, 6, 12, 15)
"""Layers of torchvision's `features` whose maps are returned: the last ones at each spatial stride."""

_BLOCKS = (
    *((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    *((192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64)),
    *((112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128)),
    *((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
"""Channels of the branches of Mixed_3b to Mixed_5c."""
_POOLS = {7: (3, 2, 1), 13: (2, 2, 0)}
"""Kernel, stride and padding of the poolings in time and space, by layer."""


class S3DBackbone(nn.Module):
    """S3D without its classifier; its weights are random, as He draws them. Tensors have torchvision's names.

    Shape: (N, 3, T, H, W) normalised clip, sides multiples of 32 and T of 8, to a list of four maps:
    (N, channels[0], T / 2, H / 4, W / 4), (N, channels[1], T / 2, H / 8, W / 8), (N, channels[2], T / 4, H / 16,
    W / 16) and (N, channels[3], T / 8, H / 32, W / 32).

    Args:
        width: Channels of every layer as a share of the published ones; 1 for these.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        check_range(1 / 64, 2, width=width)
        norm = partial(nn.BatchNorm3d, eps=1e-3, momentum=1e-3)
        self.width = width

        def scaled(count: int) -> int:
            return max(1, round(count * width))

        stem, wide = scaled(64), scaled(192)
        layers: list[nn.Module] = [
            TemporalSeparableConv(3, stem, 7, 2, 3, norm),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            Conv3dNormActivation(stem, stem, kernel_size=1, stride=1, norm_layer=norm),
            TemporalSeparableConv(stem, wide, 3, 1, 1, norm),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        ]
        channels, at = wide, {3: wide}
        for block in _BLOCKS:
            if pool := _POOLS.get(len(layers)):
                layers.append(nn.MaxPool3d(*pool))
            branches = tuple(map(scaled, block))
            layers.append(SepInceptionBlock3D(channels, *branches, norm))
            channels = branches[0] + branches[2] + branches[4] + branches[5]
            at[len(layers) - 1] = channels
        self.features = nn.Sequential(*layers)
        for layer in self.features.modules():
            if isinstance(layer, nn.Conv3d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.channels = tuple(at[tap] for tap in TAPS)

    def forward(self, clip: Tensor) -> list[Tensor]:
        """Return the map at each of `TAPS`."""
        maps, x = list[Tensor](), clip
        for k, layer in enumerate(self.features):
            x = layer(x)
            if k in TAPS:
                maps.append(x)
        return maps

    def load_pretrained(self) -> None:
        """Load torchvision's weights of Kinetics-400.

        Raises:
            WeightsError: If they can be neither found nor fetched, or the width is another.
        """
        if self.width != 1:
            raise WeightsError(f"S3D of width {self.width}: Kinetics weights are of width 1; train without, or take 1.")
        try:
            whole = torchvision.models.get_model("s3d", weights="DEFAULT")
        except Exception as error:  # urllib's, torch.hub's and the file system's
            reason = (str(error).strip().splitlines() or [""])[0]
            raise WeightsError(
                f"No Kinetics weights for S3D: {type(error).__name__}: {reason} Connect to download.pytorch.org (or "
                "fill its cache, TORCH_HOME), or start from noise with --training.pretrained_backbone false."
            ) from error
        self.features.load_state_dict(cast("nn.Module", whole.features).state_dict())
