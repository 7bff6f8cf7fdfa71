"""An encoder to stride 16 and a decoder that mirrors it: the network of SalGAN and of what was built on it."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone

VGG16_FROZEN = ("features_0", "features_2", "features_5", "features_7", "features_10", "features_12", "features_14")
"""conv1_1 to conv3_3: the paper and its code train only conv4 and conv5 of the encoder (Sec. 3.1)."""

VGG16_DECODER = ((512, 512, 512), (512, 512, 512), (256, 256, 256), (128, 128), (64, 64))
"""Channels of the decoder's convolutions, up-sampled x2 between blocks (Table 1, mirrored VGG-16)."""


class SalGANNetwork(nn.Module):
    """The generator: an encoder to stride 16 and a decoder that mirrors it.

    Shape: (N, 3, H, W) normalised image, sides divisible by 16, to logits of the sigmoid map: (N, 1, H, W) with the
    paper's five blocks, (N, 1, H / 4, W / 4) with three.

    Args:
        backbone: timm name with a map of stride 16.
        frozen: Names of the encoder's modules that are not trained.
        output_stride: 16 to dilate a backbone that goes deeper; None for VGG-16.
        decoder: Channels of the 3x3 convolutions, one tuple a block; x2 nearest up-sampling between blocks. Five blocks
            bring stride 16 back to 1, three to 4.
    """

    def __init__(
        self,
        backbone: str = "vgg16.tv_in1k",
        frozen: tuple[str, ...] = VGG16_FROZEN,
        output_stride: int | None = None,
        decoder: tuple[tuple[int, ...], ...] = VGG16_DECODER,
    ) -> None:
        super().__init__()
        check_range(1, 5, decoder=len(decoder))
        check_range(1, 4096, **{f"decoder[{i}]": widths for i, widths in enumerate(decoder)})
        self.stride = 2 ** (5 - len(decoder))
        self.backbone = TimmBackbone(backbone, (16,), output_stride=output_stride)
        self.backbone.freeze(*frozen)
        channels, layers = self.backbone.channels[0], list[nn.Module]()
        for i, block in enumerate(decoder):
            layers += [nn.Upsample(scale_factor=2, mode="nearest")] if i else []
            for width in block:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        self.decoder = nn.Sequential(*layers, nn.Conv2d(channels, 1, 1))
        for layer in self.decoder:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(cast("Tensor", layer.bias))

    def forward(self, image: Tensor) -> Tensor:
        """Encode and decode."""
        (features,) = self.backbone(image)
        logits: Tensor = self.decoder(features)
        return logits
