"""Maps that are stored as images: their grey values, or what else they are by their content."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salzoo.errors import ImageError

SPREAD = 4
"""Between the channels of a pixel that is grey: what encoders of JPEG round."""
_LEVELS = 256


def grey_values(image: Image.Image, label: str) -> NDArray[Any]:
    """Return the values of a grey image, with all the bits that Pillow has of them.

    It may be stored in colours or with a palette if they are greys, and with transparency if nothing is transparent.

    Args:
        image: An image as it was opened.
        label: What it is called in errors.

    Returns:
        (H, W), uint8, uint16, int32 or float32.

    Raises:
        ImageError: If it is coloured, or transparent somewhere: then its numbers are not a map's, or hidden.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        return np.asarray(image)
    if image.has_transparency_data:
        opaque = np.asarray(image.convert("RGBA"))[..., 3]
        if opaque.min() < 255:
            raise ImageError(f"{label} is transparent in places; a map is one grey channel: save it without")
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))
    bands = np.asarray(image.convert("RGB")).astype(np.int16)
    if (bands.max(-1) - bands.min(-1)).max(initial=0) > SPREAD:
        raise ImageError(
            f"{label} is coloured; a map must be grey, and brighter where people looked more: "
            "save the numbers, before a colour map is applied to them"
        )
    return np.asarray(image.convert("L"))


def is_rounded(values: NDArray[Any]) -> bool:
    """Whether a map has the levels of 8 bits only, whatever its type: a density made of it is rounded.

    A map that is the same everywhere is not.
    """
    if values.dtype.itemsize == 1:
        return True
    some = values.reshape(-1)[:: max(1, values.size // 20_000)]
    return some.size > 4 * _LEVELS and 1 < len(np.unique(some)) <= _LEVELS
