"""The files that can be written of an image and its map, and what each is called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from salzoo.errors import SpecError
from salzoo.images import painting
from salzoo.images.saliency_map import SaliencyMap

if TYPE_CHECKING:  # torch takes seconds to import
    from torch import Tensor

Format = Literal["png", "npy", "tiff", "mat", "csv", "overlay", "fog", "crop"]
SUFFIX: dict[Format, str] = {
    "png": ".png",
    "npy": ".npy",
    "tiff": ".tiff",
    "mat": ".mat",
    "csv": ".csv",
    "overlay": "_overlay.jpg",
    "fog": "_fog.jpg",
    "crop": "_crop.jpg",
}
"""What follows the name of the image in that of the file. Those that begin with `_` show the image itself."""


def check_fast(formats: Iterable[Format], fast_decode: bool) -> None:
    """Refuse formats that show an image of which not all pixels are decoded.

    Raises:
        SpecError: If there are such.
    """
    if fast_decode and (shown := [kind for kind in formats if SUFFIX[kind].startswith("_")]):
        others = ", ".join(kind for kind in SUFFIX if not SUFFIX[kind].startswith("_"))
        raise SpecError(
            f"format {shown[0]} shows the image, of which fast decoding leaves pixels out: decode it in full, "
            f"or take formats of the map alone ({others})."
        )


def encode(kind: Format, saliency_map: SaliencyMap, image: Tensor, crop: Mapping[str, Any]) -> bytes:
    """Return the content of one file.

    Args:
        kind: Its format.
        saliency_map: The map of the image.
        image: (3, H, W) RGB, uint8 or float in [0, 1].
        crop: Arguments of `SaliencyMap.crop`: `aspect`, or `size` as (height, width).

    Raises:
        ImageError: If the image is too large for the format, or too small for the crop.
    """
    if kind == "fog":
        return painting.encode(saliency_map.fog(image), ".jpg")
    if kind == "crop":
        x0, y0, x1, y1 = saliency_map.crop(**crop)
        pixels = painting.to_pixels(image[:, y0:y1, x0:x1].permute(1, 2, 0).numpy())
        return painting.encode(Image.fromarray(pixels), ".jpg")
    if kind == "overlay":
        return saliency_map.encode(".jpg", image=image)
    return saliency_map.encode(SUFFIX[kind])


def key_in_tar(kind: Format) -> str:
    """Return what follows the key of a sample in the name of its file in a webdataset shard."""
    return SUFFIX[kind].lstrip("_.").replace("_", ".")  # `overlay.jpg`, `png`
