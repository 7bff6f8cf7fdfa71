"""What saliency maps look like: their colours, heat maps and contours over an image, and fog."""

from __future__ import annotations

import difflib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salzoo.errors import ImageError, SpecError

Pixels = NDArray[np.uint8]

# The heat map's colours from least to most salient, RGB. Lightness only rises along them, so that the order survives
# colour blindness and grey print.
_ANCHORS = ((24, 12, 84), (110, 22, 128), (190, 42, 110), (240, 92, 62), (253, 166, 44), (252, 246, 150))
COLOURS = np.stack(
    [np.interp(np.linspace(0, 1, 256), np.linspace(0, 1, len(_ANCHORS)), c) for c in zip(*_ANCHORS, strict=True)],
    axis=-1,
).astype(np.float32)
"""The house's own colours, float32 (256, 3), RGB 0..255, from least to most salient."""
HOUSE = "salzoo"
OPACITY = 0.6
"""Opacity of the heat map at its peak. Elsewhere it falls with the square root of saliency: weak second peaks show."""
FORMATS: dict[str, dict[str, Any]] = {
    ".bmp": {"format": "BMP"},
    ".jpeg": {"format": "JPEG", "quality": 95},
    ".jpg": {"format": "JPEG", "quality": 95},
    ".png": {"format": "PNG", "compress_level": 1},  # twice as fast as the default, and smooth maps stay small
    ".webp": {"format": "WEBP", "quality": 95},
}
"""Suffixes of files to look at, and how Pillow writes them."""
_FOG = np.array((236, 238, 240), np.float32)


def colours(name: str = HOUSE) -> NDArray[np.float32]:
    """Return a colour map by name, float32 (256, 3), RGB 0..255.

    Args:
        name: `salzoo`, the house's own; `grey`; or any name of matplotlib's, if that is installed.

    Raises:
        ImageError: If there is none of this name.
        SpecError: If it would be matplotlib's, which is not installed.
    """
    if name == HOUSE:
        return COLOURS
    if name == "grey":
        return np.repeat(np.arange(256, dtype=np.float32)[:, None], 3, axis=1)
    try:
        from matplotlib import colormaps
    except ImportError as error:
        raise SpecError(
            f"colormap={name!r} would be one of matplotlib's, which is not installed: "
            'pip install "salzoo[figures]", or take "salzoo" or "grey".'
        ) from error
    if name not in colormaps:
        near = difflib.get_close_matches(str(name), [HOUSE, "grey", *colormaps], 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ImageError(f'a colour map is "salzoo", "grey" or a name of matplotlib\'s, got {name!r}{hint}')
    table: NDArray[np.float32] = (colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.float32)
    return table


def heat(
    pixels: NDArray[np.float32],
    density: NDArray[np.float32],
    saliency: NDArray[np.float32],
    contours: Sequence[float],
    colormap: str,
    alpha: float,
) -> Pixels:
    """Paint a map over its image; see `SaliencyMap.overlay`.

    Args:
        pixels: (H, W, 3) RGB of the image, 0 to 255.
        density: (H, W).
        saliency: The same, scaled to [0, 1].
        contours: As in `overlay`, like the rest.
        colormap: Its name.
        alpha: Opacity at the peak.
    """
    if bad := [share for share in contours if not 0 < share < 1]:
        raise ImageError(f"contours are shares of the density, above 0 and below 1, got {bad[0]}")
    if not 0 <= alpha <= 1:
        raise ImageError(f"alpha is the opacity at the peak, from 0 to 1, got {alpha}")
    opacity = np.float32(alpha) * np.sqrt(saliency)[..., None]
    canvas = pixels + (colours(colormap)[to_8_bit(saliency)] - pixels) * opacity
    width = max(1, round(min(density.shape) / 250))
    for share in contours:
        region = density >= level(density, share)
        canvas[grow(region, width) & ~region] = 0
        canvas[grow(~region, width) & region] = 255
    return (canvas + 0.5).astype(np.uint8)


def fog(pixels: NDArray[np.float32], density: NDArray[np.float32]) -> Pixels:
    """Let what is not looked at fade; see `SaliencyMap.fog`."""
    values, places = np.unique(density, return_inverse=True)
    held = np.bincount(places.ravel(), minlength=values.size) * values.astype(np.float64)
    seen = np.cumsum(held / held.sum())  # of each value, the share of the density that is at it or below
    visible = seen[places].reshape(density.shape).astype(np.float32)[..., None]
    return (_FOG + (pixels - _FOG) * visible + 0.5).astype(np.uint8)


def encode(image: Image.Image, suffix: str) -> bytes:
    """Return the bytes of a file to look at.

    Args:
        image: What it shows.
        suffix: One of `FORMATS`.

    Raises:
        ImageError: If the image is too large for the format.
    """
    buffer = io.BytesIO()
    try:
        image.save(buffer, **FORMATS[suffix])
    except (OSError, ValueError) as error:  # JPEG ends at 65535 pixels a side, WebP at 16383
        size = f"{(image.height, image.width)} (height, width)"
        raise ImageError(f"cannot write {size} as {suffix}: {error}; use .png") from error
    return buffer.getvalue()


def to_pixels(image: NDArray[Any]) -> Pixels:
    """Return an image as 8 bits, be it 8 bits or float in [0, 1]."""
    return np.ascontiguousarray(image if image.dtype == np.uint8 else to_8_bit(image))


def to_8_bit(saliency: NDArray[np.float32]) -> Pixels:
    """Round [0, 1] to 0 .. 255."""
    return (saliency * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def level(density: NDArray[np.float32], share: float) -> np.float32:
    """Return the density that the smallest region with this share (the highest-density region) nowhere falls below."""
    falling = np.sort(density, axis=None)[::-1]
    last = int(np.searchsorted(np.cumsum(falling, dtype=np.float64), share))
    lowest: np.float32 = falling[min(last, falling.size - 1)]
    return lowest


def grow(mask: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """Dilate a mask by so many pixels; cross and square take turns, which makes the outline an octagon.

    `scipy.ndimage.binary_dilation` gives the same masks, but takes more than ten times as long.
    """
    for step in range(steps):
        rows = mask.copy()
        rows[1:] |= mask[:-1]
        rows[:-1] |= mask[1:]
        across = mask if step % 2 == 0 else rows
        grown = rows.copy()
        grown[:, 1:] |= across[:, :-1]
        grown[:, :-1] |= across[:, 1:]
        mask = grown
    return mask
