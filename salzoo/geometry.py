"""Where a picture lands when it is fitted into a fixed size: the one rule that data and models share."""

from __future__ import annotations

from typing import Literal

from salzoo.errors import SpecError

Fit = Literal["squash", "pad"]
Size = tuple[int, int]


def fit_box(image_size: Size, size: Size, fit: Fit) -> tuple[int, int, int, int]:
    """Return the box (top, left, height, width) that a picture covers inside a frame of `size`.

    Args:
        image_size: (height, width) of the picture.
        size: (height, width) of the frame.
        fit: `squash` scales each side by its own factor and fills the frame; `pad` keeps the aspect ratio and centres
            the picture (an odd spare row or column goes to the bottom or right).

    Raises:
        SpecError: If `fit` is neither, or a side is smaller than one pixel.

    Example:
        >>> fit_box((600, 800), (192, 192), "pad")
        (24, 0, 144, 192)
    """
    if min(*image_size, *size) < 1:
        raise SpecError(f"sizes are (height, width) of at least one pixel, got {image_size} to be fitted into {size}")
    match fit:
        case "squash":
            return 0, 0, *size
        case "pad":
            scale = min(size[0] / image_size[0], size[1] / image_size[1])
            height, width = (max(1, round(side * scale)) for side in image_size)
            return (size[0] - height) // 2, (size[1] - width) // 2, height, width
        case _:
            raise SpecError(f"unknown fit {fit!r}; accepted: 'pad', 'squash'")
