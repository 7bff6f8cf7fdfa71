"""What a network expects of its input: geometry and photometry, shipped with the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from salzoo.errors import SpecError
from salzoo.images.geometry import PAD_GREY, Fit, fit_box, frame_size

MOST_PIXELS = 1 << 24
"""Of a network's input; the largest that is published has 1200 x 1600."""


@dataclass(frozen=True)  # no slots=True: LightningCLI cannot parse a slotted dataclass
class Preprocess:
    """Input size, fit and normalisation of a network. Part of every checkpoint's config.json.

    Args:
        size: (height, width) in pixels of the network's input.
        fit: `squash` scales each side by its own factor; `pad` keeps the aspect and fills the rest with mid grey;
            `aspect` gives each picture an input of its own aspect and of the area of `size` (`frame_size`), for
            networks that take any size; `longest` gives it the longer side of `size` and its own aspect, to the pixel.
            Training batches are of one size: with `aspect` and `longest` pictures are squashed there.
        mean: Per channel, in `channel_order`, for images in [0, 1]; None takes the backbone's own.
        std: Likewise.
        channel_order: Order of the channels that the network was trained with.

    Raises:
        SpecError: If only one of `mean` and `std` is given, or the size is none.
    """

    size: tuple[int, int] = (192, 256)
    fit: Fit = "squash"
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    channel_order: Literal["rgb", "bgr"] = "rgb"

    def __post_init__(self) -> None:
        """Check that the normalisation is whole, and that the size is one that a machine can hold."""
        if not (min(self.size) >= 1 and self.size[0] * self.size[1] <= MOST_PIXELS):
            raise SpecError(
                f"preprocess: size {list(self.size)} is not accepted: (height, width), up to {MOST_PIXELS:,}."
            )
        if (self.mean is None) != (self.std is None):
            raise SpecError(f"preprocess: give mean and std, or neither; got mean={self.mean}, std={self.std}.")

    def resize(self, image: Tensor) -> Tensor:
        """Geometry: (N, 3, H, W) to (N, 3, h, w) of the frame, antialiased bilinear."""
        image_size = (image.shape[-2], image.shape[-1])
        frame = frame_size(image_size, self.size, self.fit)
        top, left, height, width = fit_box(image_size, frame, self.fit)
        resized = F.interpolate(image, (height, width), mode="bilinear", align_corners=False, antialias=True)
        bottom, right = frame[0] - top - height, frame[1] - left - width
        return F.pad(resized, (left, right, top, bottom), value=PAD_GREY / 255) if self.fit == "pad" else resized

    def restore(self, maps: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Undo `resize` on the network's output: (N, 1, h, w) at any stride to (N, 1, *image_size)."""
        if self.fit == "pad":
            top, left, height, width = fit_box(image_size, self.size, self.fit)
            maps = F.interpolate(maps, self.size, mode="bilinear", align_corners=False)
            maps = maps[..., top : top + height, left : left + width]
        return F.interpolate(maps, image_size, mode="bilinear", align_corners=False)

    def normalize(self, image: Tensor) -> Tensor:
        """Photometry: (N, 3, h, w) RGB in [0, 1] to what the first convolution saw in training."""
        if self.channel_order == "bgr":
            image = image.flip(1)
        if self.mean is None or self.std is None:
            return image
        mean, std = image.new_tensor(self.mean), image.new_tensor(self.std)
        return (image - mean[:, None, None]) / std[:, None, None]


def resize_density(density: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring a density (h, w) to another size (H, W): bilinear, positive, summing to 1 again."""
    resized = F.interpolate(density[None, None], size, mode="bilinear", align_corners=False)[0, 0]
    return resized / resized.sum()


def as_float(image: Tensor) -> Tensor:
    """Return pixels in [0, 1]."""
    return image / 255 if image.dtype == torch.uint8 else image.float()
