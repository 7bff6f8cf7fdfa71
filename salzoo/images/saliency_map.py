"""What `predict` returns: one image's map as numbers, as a picture, and as a file."""

from __future__ import annotations

import contextlib
import io
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from salzoo.errors import ImageError
from salzoo.images.read import ImageLike, to_array

# The heat map's colours from least to most salient, RGB. Lightness only rises along them, so that the order survives
# colour blindness and grey print.
_ANCHORS = ((24, 12, 84), (110, 22, 128), (190, 42, 110), (240, 92, 62), (253, 166, 44), (252, 246, 150))
_COLOURS = np.stack(
    [np.interp(np.linspace(0, 1, 256), np.linspace(0, 1, len(_ANCHORS)), c) for c in zip(*_ANCHORS, strict=True)],
    axis=-1,
).astype(np.float32)
# Of the heat map at its peak. Below, opacity falls with the square root of saliency, so that weak second peaks show.
_OPACITY = 0.6

_PICTURES: dict[str, dict[str, Any]] = {  # suffix -> how Pillow writes it
    ".bmp": {"format": "BMP"},
    ".jpeg": {"format": "JPEG", "quality": 95},
    ".jpg": {"format": "JPEG", "quality": 95},
    ".png": {"format": "PNG", "compress_level": 1},  # twice as fast as the default, and smooth maps stay small
    ".webp": {"format": "WEBP", "quality": 95},
}
_NUMBERS = (".npy", ".npz", ".tif", ".tiff")


class SaliencyMap:
    """Where people look in one image, as a probability density over its pixels.

    Attributes:
        density: float32 (H, W), the probability of each pixel to be fixated; sums to 1.
        log_density: float32 (H, W), its natural logarithm; finite wherever `density` is above 0.

    Args:
        log_density: Natural-log density, a float array or tensor (H, W) whose exp sums to 1 (within 1 %: what rounding
            leaves in large maps is taken out here).

    Raises:
        ImageError: If it is not a (H, W) log density.

    Examples:
        >>> m = SaliencyMap(np.log([[0.1, 0.2], [0.3, 0.4]]))
        >>> m
        SaliencyMap(height=2, width=2)
        >>> np.asarray(m).round(3).tolist() == np.float32([[0.1, 0.2], [0.3, 0.4]]).tolist()
        True
    """

    def __init__(self, log_density: Any) -> None:
        """Take the density in; normalise it exactly."""
        if hasattr(log_density, "detach"):
            log_density = log_density.detach().cpu()
        array = np.asarray(log_density)
        if array.ndim != 2 or array.dtype.kind != "f":
            raise ImageError(
                f"a saliency map is one float (H, W) log density, got shape {array.shape} of {array.dtype}"
            )
        with np.errstate(over="ignore"):  # what overflows fails the check below, with a better word
            array = array.astype(np.float32, copy=False)
            density = np.exp(array)
        total = density.sum(dtype=np.float64)
        if not 0.99 < total < 1.01:  # also true of NaN
            raise ImageError(
                f"exp(log_density) sums to {total:g}, not to 1; pass natural-log densities: log_softmax over all pixels"
            )
        self.density: NDArray[np.float32] = density / np.float32(total)
        self.log_density: NDArray[np.float32] = array - np.float32(np.log(total))

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), the image's own."""
        height, width = self.density.shape
        return height, width

    @property
    def saliency(self) -> NDArray[np.float32]:
        """Density scaled to [0, 1], float32 (H, W), for looking at; zeros if it is the same everywhere."""
        low, high = self.density.min(), self.density.max()
        if high - low <= 1e-5 * high:  # float32 rounding, which scaling would blow up to a picture of noise
            return np.zeros_like(self.density)
        scaled: NDArray[np.float32] = (self.density - low) / (high - low)
        return scaled

    def overlay(self, image: ImageLike, contours: Sequence[float] = (0.5, 0.8)) -> Image.Image:
        """Paint the map over its picture: heat that lets the picture through, and contour lines.

        Args:
            image: The picture that the map belongs to, of any kind that `predict` takes.
            contours: Shares in (0, 1). Each line runs around the smallest region that holds this share of the density:
                of all looks, so many fall inside. White on its inner side, dark on its outer, to show on any picture.

        Returns:
            An RGB picture of the map's size.

        Raises:
            ImageError: If the picture cannot be read or has another size, or a share is not in (0, 1).
        """
        picture = to_array(image)
        if picture.shape[:2] != self.shape:
            raise ImageError(
                f"the map is {self.shape} (height, width), the picture {picture.shape[:2]}; "
                "pass the picture that the map was predicted from"
            )
        if bad := [share for share in contours if not 0 < share < 1]:
            raise ImageError(f"contours are shares of the density, above 0 and below 1, got {bad[0]}")
        canvas = picture.astype(np.float32) * np.float32(1 if picture.dtype == np.uint8 else 255)
        saliency = self.saliency
        opacity = _OPACITY * np.sqrt(saliency)[..., None]
        canvas += (_COLOURS[_to_8_bit(saliency)] - canvas) * opacity
        width = max(1, round(min(self.shape) / 250))
        for share in contours:
            region = _region(self.density, share)
            canvas[_grow(region, width) & ~region] = 0
            canvas[_grow(~region, width) & region] = 255
        return Image.fromarray((canvas + 0.5).astype(np.uint8))

    def save(self, path: str | os.PathLike[str], *, image: ImageLike | None = None) -> None:
        """Write the map in the form that the suffix names.

        .png, .jpg, .jpeg, .webp, .bmp: `saliency` as 8-bit grey, rounded, for looking at; for numbers take .npy
        (density), .npz (`density` and `log_density`) or .tif, .tiff (density, 32-bit float). The file appears whole or
        not at all.

        Args:
            path: The file to write; replaced if it exists.
            image: The picture that the map belongs to: write `overlay(image)` instead, as a picture.

        Raises:
            ImageError: If the suffix is unknown, the picture cannot be read, or the file cannot be written.
        """
        path = Path(path)
        _write(path, self.encode(path.suffix, image=image))

    def encode(self, suffix: str, *, image: ImageLike | None = None) -> memoryview:
        """Return the bytes of the file that `save` would write.

        Args:
            suffix: Of the file, with its dot.
            image: As in `save`.

        Raises:
            ImageError: If the suffix is unknown, or the picture cannot be read.
        """
        suffix = suffix.lower()
        accepted = tuple(_PICTURES) if image is not None else (*_PICTURES, *_NUMBERS)
        if suffix not in accepted:
            kind = "an overlay" if image is not None else "a map"
            raise ImageError(f"cannot save {kind} as '{suffix}'; the suffix is one of {' '.join(sorted(accepted))}")
        buffer = io.BytesIO()
        if suffix == ".npy":
            np.save(buffer, self.density)
        elif suffix == ".npz":
            np.savez(buffer, density=self.density, log_density=self.log_density)
        elif suffix in _NUMBERS:
            Image.fromarray(self.density).save(buffer, format="TIFF")
        else:
            picture = Image.fromarray(_to_8_bit(self.saliency)) if image is None else self.overlay(image)
            try:
                picture.save(buffer, **_PICTURES[suffix])
            except (OSError, ValueError) as error:  # JPEG ends at 65535 pixels a side, WebP at 16383
                raise ImageError(f"cannot write {self.shape} (height, width) as {suffix}: {error}; use .png") from error
        return buffer.getbuffer()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the density: `np.asarray(m)`."""
        return np.array(self.density, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        """Name the size."""
        return f"SaliencyMap(height={self.shape[0]}, width={self.shape[1]})"


def _to_8_bit(saliency: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round [0, 1] to 0 .. 255."""
    return (saliency * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _region(density: NDArray[np.float32], share: float) -> NDArray[np.bool_]:
    """Mask the smallest set of pixels that holds this share of the density (the highest-density region)."""
    falling = np.sort(density, axis=None)[::-1]
    last = int(np.searchsorted(np.cumsum(falling, dtype=np.float64), share))
    region: NDArray[np.bool_] = density >= falling[min(last, falling.size - 1)]
    return region


def _grow(mask: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """Dilate a mask by so many pixels; cross and square take turns, which makes the outline an octagon."""
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


def _write(path: Path, data: memoryview) -> None:
    """Write a file whole or not at all: beside the target first, then renamed over it."""
    part = path.parent / f".{uuid.uuid4().hex}.part"  # hidden, and of a suffix that no glob for maps finds
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise ImageError(
            f"cannot write '{path}': {error.strerror}; check that its folder exists and can be written"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # after a success it has gone already
            part.unlink()
