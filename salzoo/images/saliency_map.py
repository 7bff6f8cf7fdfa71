"""What `predict` returns: the saliency map of one image as numbers, as something to look at, and as a file."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from salzoo._io import whole
from salzoo.errors import ImageError
from salzoo.images import areas, painting
from salzoo.images.areas import Area, Box, Region
from salzoo.images.arrays import plain_array
from salzoo.images.read import ImageLike, to_array

if TYPE_CHECKING:  # torch takes seconds to import; only `torch` needs it
    from torch import Tensor

# Longest side in pixels of what a notebook shows.
_SHOWN = 800

_NUMBERS = (".csv", ".mat", ".npy", ".npz", ".tif", ".tiff")


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
        array = plain_array(log_density, "the log density")
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
    def peak(self) -> tuple[int, int] | None:
        """(x, y) of the pixel with the highest density, the first of several; None if it is the same everywhere."""
        y, x = divmod(int(self.density.argmax()), self.density.shape[1])
        return None if self._is_flat else (x, y)

    @property
    def _is_flat(self) -> bool:
        """Whether nothing but float32 rounding differs, which `saliency` would blow up to noise."""
        low, high = self.density.min(), self.density.max()
        return bool(high - low <= 1e-5 * high)

    @property
    def _without_rounding(self) -> NDArray[np.float32]:
        """The density; where nothing but rounding differs, one value, so that rounding decides nothing."""
        return np.full_like(self.density, 1 / self.density.size) if self._is_flat else self.density

    def numpy(self) -> NDArray[np.float32]:
        """Return the density as a float32 array (H, W); it shares memory with `density`."""
        return self.density

    def torch(self) -> Tensor:
        """Return the density as a float32 tensor (H, W) on the CPU; it shares memory with `density`."""
        import torch

        return torch.from_numpy(self.density)

    def share(self, area: Area) -> float:
        """Return the share of the density in an area, from 0 to 1: of all fixations, so many are expected there.

        Args:
            area: A box (x0, y0, x1, y1) in pixels, or a boolean mask (H, W). Pixel x covers x to x + 1, so a box is
                half open: (0, 0, width, height) is the whole image. Its edges may lie within pixels, which then count
                by the part that is inside, and outside of the image, where there is no density. Boxes that share
                edges add up.

        Raises:
            ImageError: If it is neither, the box is empty or wholly outside, or the mask has another shape.

        Examples:
            >>> m = SaliencyMap(np.log([[0.1, 0.2], [0.3, 0.4]]))
            >>> round(m.share((0, 0, 2, 1)), 6), round(m.share((1.5, 0, 2, 2)), 6)
            (0.3, 0.3)
        """
        return areas.share(self.density, area)

    def regions(self, areas_of_interest: Mapping[str, Area]) -> dict[str, Region]:
        """Return what each of some areas gets: its share, its share of the image, lift and rank.

        Args:
            areas_of_interest: Boxes or masks as `share` takes them, by name. They may overlap.

        Raises:
            ImageError: As `share`; the message names the area.

        Examples:
            >>> m = SaliencyMap(np.log([[0.1, 0.2], [0.3, 0.4]]))
            >>> m.regions({"top": (0, 0, 2, 1), "right": (1, 0, 2, 2)})["right"]
            Region(share=0.6..., area_share=0.5, lift=1.2..., rank=1)
        """
        return areas.regions(self.density, areas_of_interest)

    def crop(self, *, aspect: float | None = None, size: tuple[int, int] | None = None) -> Box:
        """Return the box of a shape that keeps most density, as (x0, y0, x1, y1) in whole pixels, half open.

        All boxes are compared, in exact sums. Of boxes that keep the same, the one closest to the middle of the image
        is taken, then the upper, then the left one. `image.crop(box)` of PIL and `image[y0:y1, x0:x1]` cut it out.

        Args:
            aspect: Width / height, such as 1.0 or 16 / 9; the box is the largest that fits, to the nearest pixel.
            size: (height, width) of the box in pixels, instead.

        Raises:
            ImageError: If not one of both is given, the aspect is no number above 0, or the box does not fit.

        Examples:
            >>> SaliencyMap(np.log([[0.1, 0.2, 0.3, 0.4]])).crop(aspect=2)
            (2, 0, 4, 1)
        """
        return areas.crop(self._without_rounding, aspect, size)

    def overlay(
        self,
        image: ImageLike,
        contours: Sequence[float] = (0.5, 0.8),
        *,
        colormap: str = painting.HOUSE,
        alpha: float = painting.OPACITY,
    ) -> Image.Image:
        """Paint the map over its image: a heat map that lets the image through, and contour lines.

        Args:
            image: The image that the map belongs to, of any kind that `predict` takes.
            contours: Shares in (0, 1). Each line runs around the smallest region that holds this share of the density,
                so that this share of all fixations is expected inside it. It is white on its inner side and black on
                its outer, to show on any image.
            colormap: `salzoo`, whose lightness rises with saliency; `grey`; or any of matplotlib's names, if that is
                installed.
            alpha: Opacity of the heat map at its peak, from 0 (contours alone) to 1. Elsewhere it falls with the square
                root of saliency.

        Returns:
            An RGB image of the map's size.

        Raises:
            ImageError: If the image cannot be read or has another size, or an option is out of its range.
            SpecError: If a colour map of matplotlib's is named and that is not installed.
        """
        pixels = self._pixels(image)
        return Image.fromarray(painting.heat(pixels, self.density, self.saliency, contours, colormap, alpha))

    def fog(self, image: ImageLike) -> Image.Image:
        """Lay fog over the image, so that what is not looked at fades.

        A pixel shows through as far as the density of all pixels that are looked at no more than it: the peak as it
        is, the contour of 80 % of the density at one fifth. A map that is the same everywhere leaves the image alone.

        Args:
            image: The image that the map belongs to, of any kind that `predict` takes.

        Returns:
            An RGB image of the map's size.

        Raises:
            ImageError: If the image cannot be read or has another size.
        """
        return Image.fromarray(painting.fog(self._pixels(image), self._without_rounding))

    def _pixels(self, image: ImageLike) -> NDArray[np.float32]:
        """Return the map's own image, (H, W, 3) RGB from 0 to 255."""
        pixels = to_array(image)
        if pixels.shape[:2] != self.shape:
            raise ImageError(
                f"the map is {self.shape} (height, width), the image {pixels.shape[:2]}; "
                "pass the image that the map was predicted from"
            )
        return pixels.astype(np.float32) * np.float32(1 if pixels.dtype == np.uint8 else 255)

    def save(self, path: str | os.PathLike[str], *, image: ImageLike | None = None) -> None:
        """Write the map in the form that the suffix names.

        .png, .jpg, .jpeg, .webp, .bmp: `saliency` as 8-bit grey, rounded, for looking at; for numbers take .npy
        (density), .npz (`density` and `log_density`), .tif, .tiff (density, 32-bit float), .mat (MATLAB 5: `density`
        and `log_density`) or .csv (density, one row of the image a line). The file appears whole or not at all.

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

    def encode(self, suffix: str, *, image: ImageLike | None = None) -> bytes:
        """Return the bytes of the file that `save` would write.

        Args:
            suffix: Suffix of the file, with its dot.
            image: The image that the map belongs to, as in `save`.

        Raises:
            ImageError: If the suffix is unknown, or the image cannot be read.
        """
        suffix = suffix.lower()
        accepted = tuple(painting.FORMATS) if image is not None else (*painting.FORMATS, *_NUMBERS)
        if suffix not in accepted:
            kind = "an overlay" if image is not None else "a map"
            raise ImageError(f"cannot save {kind} as '{suffix}'; the suffix is one of {' '.join(sorted(accepted))}")
        if suffix not in _NUMBERS:
            shown = Image.fromarray(painting.to_8_bit(self.saliency)) if image is None else self.overlay(image)
            return painting.encode(shown, suffix)
        buffer = io.BytesIO()
        if suffix == ".csv":
            np.savetxt(buffer, self.density, fmt="%.9g", delimiter=",")  # nine digits give each float32 back
        elif suffix == ".mat":
            _write_mat(buffer, {"density": self.density, "log_density": self.log_density})
        elif suffix == ".npy":
            np.save(buffer, self.density)
        elif suffix == ".npz":
            np.savez(buffer, density=self.density, log_density=self.log_density)
        else:
            Image.fromarray(self.density).save(buffer, format="TIFF")
        return buffer.getvalue()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the density: `np.asarray(m)`."""
        return np.array(self.density, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        """Name the size, and the pixel that is looked at most."""
        height, width = self.shape
        peak = "the same everywhere" if self.peak is None else "peak at x={}, y={}".format(*self.peak)
        return f"SaliencyMap(height={height}, width={width}, {peak})"

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows: `saliency` in the colours of `overlay`, at most 800 pixels a side."""
        shown = Image.fromarray((painting.COLOURS[painting.to_8_bit(self.saliency)] + 0.5).astype(np.uint8))
        shown.thumbnail((_SHOWN, _SHOWN))
        return painting.encode(shown, ".png")


def _write_mat(file: io.BytesIO, arrays: dict[str, NDArray[np.float32]]) -> None:
    """Write a MATLAB 5 file, without the time that scipy notes in it: the same map gives the same bytes."""
    from scipy.io import savemat

    savemat(file, arrays)
    file.seek(0)
    file.write(b"MATLAB 5.0 MAT-file, written by salzoo".ljust(116))
