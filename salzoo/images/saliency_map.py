"""What `predict` returns: the saliency map of one image as numbers, as something to look at, and as a file."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from salzoo._io import whole
from salzoo.errors import ImageError
from salzoo.images.read import ImageLike, to_array

if TYPE_CHECKING:  # torch takes seconds to import; only `torch` needs it
    from torch import Tensor

# The heat map's colours from least to most salient, RGB. Lightness only rises along them, so that the order survives
# colour blindness and grey print.
_ANCHORS = ((24, 12, 84), (110, 22, 128), (190, 42, 110), (240, 92, 62), (253, 166, 44), (252, 246, 150))
_COLOURS = np.stack(
    [np.interp(np.linspace(0, 1, 256), np.linspace(0, 1, len(_ANCHORS)), c) for c in zip(*_ANCHORS, strict=True)],
    axis=-1,
).astype(np.float32)
# Opacity of the heat map at its peak. Elsewhere it falls with the square root of saliency: weak second peaks show.
_OPACITY = 0.6
# Longest side in pixels of what a notebook shows.
_SHOWN = 800

_VIEWABLE: dict[str, dict[str, Any]] = {  # suffix -> how Pillow writes it
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
        SaliencyMap(height=2, width=2, peak at x=1, y=1)
        >>> np.asarray(m).round(3).tolist() == np.float32([[0.1, 0.2], [0.3, 0.4]]).tolist()
        True
    """

    def __init__(self, log_density: Any) -> None:
        """Check the log density and normalise it exactly."""
        if hasattr(log_density, "detach"):
            log_density = log_density.detach().cpu()
        array = np.asarray(log_density)
        if array.ndim != 2 or array.dtype.kind != "f":
            raise ImageError(
                f"a saliency map is one float (H, W) log density, got shape {array.shape} of {array.dtype}"
            )
        with np.errstate(over="ignore"):  # what overflows fails the check below, with a better message
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
        """(height, width) of the image, in pixels."""
        height, width = self.density.shape
        return height, width

    @property
    def saliency(self) -> NDArray[np.float32]:
        """Density scaled to [0, 1], float32 (H, W), for looking at; zeros if it is the same everywhere."""
        low, high = self.density.min(), self.density.max()
        if self._is_flat:
            return np.zeros_like(self.density)
        scaled: NDArray[np.float32] = (self.density - low) / (high - low)
        return scaled

    @property
    def _is_flat(self) -> bool:
        """Whether nothing but float32 rounding differs, which `saliency` would blow up to noise."""
        low, high = self.density.min(), self.density.max()
        return bool(high - low <= 1e-5 * high)

    def numpy(self) -> NDArray[np.float32]:
        """Return the density as a float32 array (H, W); it shares memory with `density`."""
        return self.density

    def torch(self) -> Tensor:
        """Return the density as a float32 tensor (H, W) on the CPU; it shares memory with `density`."""
        import torch

        return torch.from_numpy(self.density)

    def overlay(self, image: ImageLike, contours: Sequence[float] = (0.5, 0.8)) -> Image.Image:
        """Paint the map over its image: a heat map that lets the image through, and contour lines.

        Args:
            image: The image that the map belongs to, of any kind that `predict` takes.
            contours: Shares in (0, 1). Each line runs around the smallest region that holds this share of the density,
                so that this share of all fixations is expected inside it. It is white on its inner side and black on
                its outer, to show on any image.

        Returns:
            An RGB image of the map's size.

        Raises:
            ImageError: If the image cannot be read or has another size, or a share is not in (0, 1).
        """
        pixels = to_array(image)
        if pixels.shape[:2] != self.shape:
            raise ImageError(
                f"the map is {self.shape} (height, width), the image {pixels.shape[:2]}; "
                "pass the image that the map was predicted from"
            )
        if bad := [share for share in contours if not 0 < share < 1]:
            raise ImageError(f"contours are shares of the density, above 0 and below 1, got {bad[0]}")
        canvas = pixels.astype(np.float32) * np.float32(1 if pixels.dtype == np.uint8 else 255)
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
            image: The image that the map belongs to: write `overlay(image)` instead.

        Raises:
            ImageError: If the suffix is unknown, the image cannot be read, or the file cannot be written.
        """
        path = Path(path)
        data = self.encode(path.suffix, image=image)
        try:
            with whole(path) as part:
                part.write_bytes(data)
        except OSError as error:
            raise ImageError(
                f"cannot write '{path}': {error.strerror}; check that its folder exists and can be written"
            ) from error

    def encode(self, suffix: str, *, image: ImageLike | None = None) -> memoryview:
        """Return the bytes of the file that `save` would write.

        Args:
            suffix: Suffix of the file, with its dot.
            image: The image that the map belongs to, as in `save`.

        Raises:
            ImageError: If the suffix is unknown, or the image cannot be read.
        """
        suffix = suffix.lower()
        accepted = tuple(_VIEWABLE) if image is not None else (*_VIEWABLE, *_NUMBERS)
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
            shown = Image.fromarray(_to_8_bit(self.saliency)) if image is None else self.overlay(image)
            try:
                shown.save(buffer, **_VIEWABLE[suffix])
            except (OSError, ValueError) as error:  # JPEG ends at 65535 pixels a side, WebP at 16383
                raise ImageError(f"cannot write {self.shape} (height, width) as {suffix}: {error}; use .png") from error
        return buffer.getbuffer()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the density: `np.asarray(m)`."""
        return np.array(self.density, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        """Name the size, and the pixel that is looked at most."""
        height, width = self.shape
        y, x = divmod(int(self.density.argmax()), width)
        peak = "the same everywhere" if self._is_flat else f"peak at x={x}, y={y}"
        return f"SaliencyMap(height={height}, width={width}, {peak})"

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows: `saliency` in the colours of `overlay`, at most 800 pixels a side."""
        shown = Image.fromarray((_COLOURS[_to_8_bit(self.saliency)] + 0.5).astype(np.uint8))
        shown.thumbnail((_SHOWN, _SHOWN))
        buffer = io.BytesIO()
        shown.save(buffer, **_VIEWABLE[".png"])
        return buffer.getvalue()


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
