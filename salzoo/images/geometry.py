"""Where an image lands when it is fitted into a fixed size: the one rule that datasets and models share."""

from __future__ import annotations

import math
from typing import Literal

from salzoo.errors import SpecError

Fit = Literal["squash", "pad", "aspect", "longest"]
Size = tuple[int, int]
"""(height, width) in pixels."""

PAD_GREY = 128  # of 255: close to zero after any of the field's normalisations
MULTIPLE = 32  # of the sides of an `aspect` frame: the stride of the deepest maps
MOST_ELONGATED = 4.0  # beyond, an `aspect` or `longest` frame stays at 1 : 4 and squashes


def frame_size(image_size: Size, size: Size, fit: Fit) -> Size:
    """Return the (height, width) of the frame into which an image is fitted.

    Args:
        image_size: (height, width) of the image.
        size: (height, width) of the network's input.
        fit: `aspect` takes the image's aspect ratio and the area of `size`, in multiples of 32; `longest` takes the
            image's aspect ratio and the longer side of `size`; the others take `size`.

    Example:
        >>> frame_size((600, 800), (480, 640), "aspect"), frame_size((256, 256), (480, 640), "aspect")
        ((480, 640), (544, 544))
        >>> frame_size((800, 600), (300, 400), "longest")
        (400, 300)
    """
    if fit not in ("aspect", "longest"):
        return size
    ratio = min(max(image_size[1] / image_size[0], 1 / MOST_ELONGATED), MOST_ELONGATED)
    if fit == "longest":
        return round(max(size) / max(ratio, 1)), round(max(size) * min(ratio, 1))
    height = math.sqrt(size[0] * size[1] / ratio)
    return scaled_size((height, height * ratio))


def scaled_size(size: tuple[float, float], scale: float = 1.0) -> Size:
    """Return the multiple of 32 that is nearest to each side times `scale`, at least 32.

    Example:
        >>> scaled_size((480, 640), 1.2)
        (576, 768)
    """
    height, width = (max(MULTIPLE, round(scale * side / MULTIPLE) * MULTIPLE) for side in size)
    return height, width


def fit_box(image_size: Size, size: Size, fit: Fit) -> tuple[int, int, int, int]:
    """Return the box (top, left, height, width) that an image covers inside a frame of `size`.

    Args:
        image_size: (height, width) of the image.
        size: (height, width) of the frame.
        fit: `squash` scales each side by its own factor and fills the frame, and so do `aspect` and `longest`, whose
            frames are made for the image; `pad` keeps the aspect ratio and centres the image (an odd spare row or
            column goes to the bottom or right).

    Raises:
        SpecError: If `fit` is none of these, or a side is smaller than one pixel.

    Example:
        >>> fit_box((600, 800), (192, 192), "pad")
        (24, 0, 144, 192)
    """
    if min(*image_size, *size) < 1:
        raise SpecError(f"sizes are (height, width) of at least one pixel, got {image_size} to be fitted into {size}")
    match fit:
        case "squash" | "aspect" | "longest":
            return 0, 0, *size
        case "pad":
            scale = min(size[0] / image_size[0], size[1] / image_size[1])
            height, width = (max(1, round(side * scale)) for side in image_size)
            return (size[0] - height) // 2, (size[1] - width) // 2, height, width
        case _:
            raise SpecError(f"unknown fit {fit!r}; accepted: 'aspect', 'longest', 'pad', 'squash'")
