"""What kind of image one is, by its pixels alone: the groups in which a model may do better or worse than elsewhere."""

from __future__ import annotations

from typing import Final

from torch import Tensor

from salzoo.images.grey import SPREAD

KINDS: Final = {
    "grey": "no colour in 99 % of the pixels",
    "portrait": "higher than wide, by more than a tenth",
    "square": "as high as wide, up to a tenth",
    "wide": "beyond 4:3, more than 1.4 times as wide as high",
    "small": "longer side below 400 px",
}
"""Kinds of images, and what they are; an image may be of several, or of none."""

_GREY, _TENTH, _WIDE, _SMALL = 0.99, 1.1, 1.4, 400


def kinds(image: Tensor) -> tuple[str, ...]:
    """Return which of `KINDS` an image is of.

    Args:
        image: (3, H, W) uint8 RGB.

    Example:
        >>> import torch
        >>> kinds(torch.zeros(3, 300, 200, dtype=torch.uint8))
        ('grey', 'portrait', 'small')
    """
    height, width = image.shape[-2:]
    spread = image.amax(0).int() - image.amin(0).int()
    found = {
        "grey": float((spread <= SPREAD).float().mean()) >= _GREY,
        "portrait": height > _TENTH * width,
        "square": max(height, width) <= _TENTH * min(height, width),
        "wide": width > _WIDE * height,
        "small": max(height, width) < _SMALL,
    }
    return tuple(kind for kind in KINDS if found[kind])
