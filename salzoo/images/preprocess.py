"""What a network expects of its input: geometry and photometry, shipped with the weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from salzoo._schema import check_range
from salzoo.errors import ImageError, SpecError
from salzoo.images.geometry import PAD_GREY, Fit, Size, fit_box, frame_size
from salzoo.images.read import ImageLike, to_tensor
from salzoo.images.resample import AVERAGING, Resample, resize_image

Statistic = tuple[float, float, float]
"""One value for each colour channel."""

MOST_PIXELS, LONGEST = 1 << 22, 1 << 11
"""Most pixels of a network's input, and of its longer side; the largest that is published has 1200 x 1600."""
_RANGE = (-0.5, 1.5)
"""What float pixels must lie in: wider than [0, 1] by what resampling, noise and attacks overshoot, too narrow for
0 to 255 and for images that are normalised already."""


@dataclass(frozen=True)  # no slots=True: LightningCLI cannot parse a slotted dataclass
class Preprocess:
    """Input size, fit and normalisation of a network. Part of every checkpoint's config.json.

    Called with an image, it returns what the model takes: `model(preprocess(image)[None])`.

    Args:
        size: (height, width) of the network's input in pixels.
        fit: `squash` scales each side by its own factor; `pad` and `pad_floor` keep the aspect ratio (`fit_box`) and
            fill the rest with `pad_value`; the others give each image an input of its own aspect ratio (`frame_size`),
            for networks that take any size: `aspect` with the area of `size`, and to the pixel `longest` with the
            longer side of `size`, `within` never enlarged and `between` scaled by the mean of what both sides need;
            `cells` has sizes of its own. Training batches are of one size, `size`: there these images are squashed.
        mean: Mean of each channel, in `channel_order`, of images in [0, 1]; None takes the backbone's own.
        std: Standard deviation of each channel, likewise.
        channel_order: Order of the channels that the network was trained with.
        resample: How images are resized, see `resize_image`; that of a published network is its authors'.
        pad_value: Grey of the rest of a padded image, from 0 to 255; mid grey is close to zero after any normalisation.

    Raises:
        SpecError: If only one of `mean` and `std` is given, or a value is not accepted.
    """

    size: tuple[int, int] = (192, 256)
    fit: Fit = "squash"
    mean: Statistic | None = None
    std: Statistic | None = None
    channel_order: Literal["rgb", "bgr"] = "rgb"
    resample: Resample = "antialiased"
    pad_value: int = PAD_GREY

    def __post_init__(self) -> None:
        """Check that the normalisation is whole, and that the size is one that a machine can hold."""
        if not (min(self.size) >= 1 and max(self.size) <= LONGEST and self.size[0] * self.size[1] <= MOST_PIXELS):
            raise SpecError(
                f"preprocess: size {list(self.size)} is not accepted: (height, width), up to {LONGEST:,} a side and "
                f"{MOST_PIXELS:,} pixels."
            )
        if (self.mean is None) != (self.std is None):
            raise SpecError(f"preprocess: give mean and std, or neither; got mean={self.mean}, std={self.std}.")
        check_range(-1000, 1000, mean=self.mean)
        check_range(1e-4, 1000, std=self.std)
        check_range(0, 255, pad_value=self.pad_value)

    def __call__(self, image: ImageLike) -> Tensor:
        """Read an image and bring it to the network's size.

        Geometry only: the model normalises the pixels itself. A batch of these goes through the model as `predict`
        sends it there, if all have one size, as with `squash`, `pad` and `pad_floor`.

        Args:
            image: An image of any size and of any kind that `to_tensor` takes.

        Returns:
            (3, h, w) RGB, float32 in [0, 1], on the CPU.

        Raises:
            ImageError: If the image cannot be read, or its shape, type or range is not accepted.
        """
        return self.resize(to_tensor(image)[None])[0]

    def with_statistics(self, mean: Statistic, std: Statistic) -> Preprocess:
        """Return a copy with these RGB statistics of images in [0, 1], put into `channel_order`."""
        if self.channel_order == "bgr":
            mean, std = (mean[2], mean[1], mean[0]), (std[2], std[1], std[0])
        return replace(self, mean=mean, std=std)

    def enough(self, image_size: Size) -> Size:
        """Return the (height, width) that an image may be decoded at, at least: twice what the network sees of it.

        Where `resample` leaves pixels out, it matters which, and the answer is the size of the image.

        Args:
            image_size: (height, width) of the image.
        """
        if self.resample not in AVERAGING:
            return image_size
        _, (_, _, height, width) = self._place(image_size)
        return 2 * height, 2 * width

    def _place(self, image_size: Size) -> tuple[Size, tuple[int, int, int, int]]:
        """Return the frame of an image, and the box (top, left, height, width) that it covers there."""
        frame = frame_size(image_size, self.size, self.fit)
        return frame, fit_box(image_size, frame, self.fit)

    def resize(self, image: Tensor, image_size: Size | None = None) -> Tensor:
        """Geometry: fit images into the network's input.

        Args:
            image: (N, 3, H, W) uint8 from 0 to 255, or float in [0, 1].
            image_size: (height, width) of the images in full, if they were decoded at a fraction; None: (H, W).

        Returns:
            (N, 3, h, w) float32 in [0, 1], whatever torch's default type.

        Raises:
            ImageError: If the pixels are of another type.
        """
        frame, (top, left, height, width) = self._place(image_size or (image.shape[-2], image.shape[-1]))
        resized = resize_image(as_float(image), (height, width), self.resample)
        bottom, right = frame[0] - top - height, frame[1] - left - width
        return F.pad(resized, (left, right, top, bottom), value=self.pad_value / 255) if self._padded else resized

    @property
    def _padded(self) -> bool:
        return self.fit in ("pad", "pad_floor")

    def restore(self, maps: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Undo `resize` on the network's output: (N, 1, h, w) at any stride to (N, 1, *image_size)."""
        if self._padded:
            top, left, height, width = fit_box(image_size, self.size, self.fit)
            maps = F.interpolate(maps, self.size, mode="bilinear", align_corners=False)
            maps = maps[..., top : top + height, left : left + width]
        return F.interpolate(maps, image_size, mode="bilinear", align_corners=False)

    def normalize(self, image: Tensor) -> Tensor:
        """Photometry: bring pixels to what the first convolution saw in training.

        Args:
            image: (N, 3, h, w) RGB, uint8 from 0 to 255 or float in [0, 1]: the same values for both. On the CPU floats
                far outside [0, 1] are refused; on a GPU they are not looked at, which would stop its queue.

        Returns:
            (N, 3, h, w) in `channel_order`; floats keep their type, uint8 gives float32.

        Raises:
            ImageError: If the pixels are of another type or, on the CPU, clearly of another range.
        """
        if image.is_floating_point():
            _check_range(image)
        else:
            image = as_float(image)
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
    """Return pixels, uint8 from 0 to 255 or float in [0, 1], as float32 in [0, 1], whatever torch's default type.

    Raises:
        ImageError: If they are of another type.
    """
    if image.dtype == torch.uint8:
        return image.float().div_(255)
    if not image.is_floating_point():
        raise ImageError(f"pixels are uint8 from 0 to 255 or float in [0, 1], got {image.dtype}; convert them.")
    return image.float()


def _check_range(image: Tensor) -> None:
    """Refuse floats that are 0 to 255, normalised already, or NaN, where a look at them is cheap."""
    if image.device.type != "cpu" or not image.numel() or torch.compiler.is_compiling():
        return
    low, high = (float(value) for value in image.detach().aminmax())
    if not (low >= _RANGE[0] and high <= _RANGE[1]):
        raise ImageError(
            f"float pixels lie in [0, 1], got values from {low:g} to {high:g}: pass uint8, or divide by 255; "
            "the model normalises by itself."
        )
