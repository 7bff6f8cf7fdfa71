"""Where an image lands when it is fitted into a fixed size: the one rule that datasets and models share."""

from __future__ import annotations

import math
from typing import Literal, get_args

from salzoo.errors import SpecError

Fit = Literal["squash", "pad", "pad_floor", "aspect", "longest", "within", "between", "cells"]
Size = tuple[int, int]
"""(height, width) in pixels."""

PAD_GREY = 128  # of 255: close to zero after any of the field's normalisations
MULTIPLE = 32  # of the sides of an `aspect` frame, and least of a `within` frame: the stride of the deepest maps
CELLS = [(32 * rows, 32 * columns) for rows in range(7, 14) for columns in range(7, 14) if 100 <= rows * columns <= 120]
"""Sizes of `cells` frames: UNISAL's, for images of any aspect ratio."""
MOST_ELONGATED = 4.0  # beyond, a frame that is made for the image stays at 1 : 4 and squashes


def frame_size(image_size: Size, size: Size, fit: Fit) -> Size:
    """Return the (height, width) of the frame into which an image is fitted.

    Args:
        image_size: (height, width) of the image.
        size: (height, width) of the network's input.
        fit: `squash` and `pad` take `size`; the others take the image's aspect ratio: `aspect` and the area of `size`,
            in multiples of 32; `longest` and the longer side of `size`; `within` and what fits into `size`, where an
            image of 32 pixels or more is never enlarged (SalNet); `between` and the mean of the scales that its longer
            and its shorter side need to have those of `size` (eDN). `cells` ignores `size`: of the frames of 7 to 13 by
            7 to 13 cells of 32 pixels, 100 to 120 in all, the one whose aspect ratio is nearest (UNISAL).

    Example:
        >>> frame_size((600, 800), (480, 640), "aspect"), frame_size((256, 256), (480, 640), "aspect")
        ((480, 640), (544, 544))
        >>> frame_size((800, 600), (300, 400), "longest")
        (400, 300)
        >>> frame_size((800, 600), (320, 320), "within"), frame_size((80, 60), (320, 320), "within")
        ((320, 240), (80, 60))
        >>> frame_size((683, 1024), (384, 512), "between")
        (362, 543)
        >>> frame_size((480, 640), (288, 384), "cells"), frame_size((100, 300), (288, 384), "cells")
        ((288, 384), (256, 416))
    """
    if fit in ("squash", "pad", "pad_floor"):
        return size
    ratio = min(max(image_size[1] / image_size[0], 1 / MOST_ELONGATED), MOST_ELONGATED)
    if fit == "longest":
        return round(max(size) / max(ratio, 1)), round(max(size) * min(ratio, 1))
    if fit == "cells":
        return max(CELLS, key=lambda cells: min(ratio * cells[0], cells[1]) / max(ratio * cells[0], cells[1]))
    if fit == "aspect":
        height = math.sqrt(size[0] * size[1] / ratio)
        return scaled_size((height, height * ratio))
    height, width = (max(side, max(image_size) / MOST_ELONGATED) for side in image_size)
    if fit == "within":
        scale = min(max(1.0, MULTIPLE / min(height, width)), size[0] / height, size[1] / width)
        return round(height * scale), round(width * scale)
    scale = (max(size) / max(height, width) + min(size) / min(height, width)) / 2
    return int(height * scale), int(width * scale)


def scaled_size(size: tuple[float, float], scale: float = 1.0) -> Size:
    """Return the multiple of 32 that is nearest to each side times `scale`, at least 32.

    Example:
        >>> scaled_size((480, 640), 1.2)
        (576, 768)
    """
    height, width = (max(MULTIPLE, round(scale * float(side) / MULTIPLE) * MULTIPLE) for side in size)
    return height, width


def fit_box(image_size: Size, size: Size, fit: Fit) -> tuple[int, int, int, int]:
    """Return the box (top, left, height, width) that an image covers inside a frame of `size`.

    Args:
        image_size: (height, width) of the image.
        size: (height, width) of the frame.
        fit: `squash` scales each side by its own factor and fills the frame, and so do those whose frames are made for
            the image; `pad` keeps the aspect ratio and centres the image (an odd spare row or column goes to the bottom
            or right); it rounds the other side, and `pad_floor` takes its whole pixels (ML-Net, SAM).

    Raises:
        SpecError: If `fit` is none of these, or a side is smaller than one pixel.

    Example:
        >>> fit_box((600, 800), (192, 192), "pad")
        (24, 0, 144, 192)
    """
    if any(side < 1 for side in (*image_size, *size)):  # not min(), which ties a traced size to the frame's
        raise SpecError(f"sizes are (height, width) of at least one pixel, got {image_size} to be fitted into {size}")
    match fit:
        case "squash" | "aspect" | "longest" | "within" | "between" | "cells":
            return 0, 0, *size
        case "pad":
            scale = min(size[0] / image_size[0], size[1] / image_size[1])
            height, width = (max(1, round(side * scale)) for side in image_size)
            return (size[0] - height) // 2, (size[1] - width) // 2, height, width
        case "pad_floor":
            height = max(1, min(size[0], image_size[0] * size[1] // image_size[1]))
            width = max(1, min(size[1], image_size[1] * size[0] // image_size[0]))
            return (size[0] - height) // 2, (size[1] - width) // 2, height, width
        case _:
            raise SpecError(f"unknown fit {fit!r}; accepted: {', '.join(map(repr, sorted(get_args(Fit))))}")
