"""Saliency maps of any other tool: one file an image, found by the image's stem, or an array in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from salzoo.errors import ImageError, SalzooError
from salzoo.images.geometry import Size
from salzoo.images.imresize import imresize

SUFFIXES = (".npy", ".npz", ".mat", ".tiff", ".tif", ".png", ".jpg", ".jpeg", ".bmp")
"""In the order of preference, if an image has several: those that keep the numbers first."""


class MapFolder:
    """The maps of a folder.

    Args:
        folder: Holds `<stem><suffix>` for every image, with any of `SUFFIXES`.
        names: File names of the images.

    Raises:
        ImageError: If the folder or a map is missing; the message names the first one and counts them.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        if not folder.is_dir():
            raise ImageError(f"there is no folder {folder} with maps")
        found = {path.name: path for path in folder.iterdir()}
        self.paths: list[Path] = []
        missing: list[str] = []
        for name in names:
            stem = Path(name).stem
            path = next((found[stem + s] for s in SUFFIXES if stem + s in found), None)
            if path is None:
                missing.append(stem)
            else:
                self.paths.append(path)
        if missing:
            accepted = ", ".join(SUFFIXES)
            raise ImageError(
                f"{folder} has no map for {len(missing)} of {len(names)} images, the first is {missing[0]!r}; "
                f"a map is called like its image and ends in one of {accepted}"
            )

    @property
    def eight_bit(self) -> bool:
        """Whether some map has only 256 levels, which changes KL, information gain and AUC."""
        return any(path.suffix in SUFFIXES[5:] for path in self.paths)

    def read(self, index: int, size: Size) -> Tensor:
        """Return one map as (H, W) float64 at an image's size, as `to_map` brings it there.

        Raises:
            ImageError: If the file cannot be read, or is not one map of finite, non-negative numbers.
        """
        path = self.paths[index]
        try:
            array = _read(path)
        except SalzooError:
            raise
        except Exception as error:  # numpy, scipy and Pillow raise a dozen kinds on a damaged file
            raise ImageError(f"{path} cannot be read as a map: {error}") from error
        return to_map(array, size, str(path))


def to_map(values: Tensor | ArrayLike, size: Size, what: str) -> Tensor:
    """Return a saliency map as an (H, W) tensor on the CPU, at an image's size.

    A map of another size is scaled as the MIT benchmark does (MATLAB's `imresize`, bicubic); what the overshoot of the
    bicubic kernel makes negative becomes 0.

    Args:
        values: (h, w), finite and not negative: a tensor, an array, or what numpy makes one of, as a `SaliencyMap`.
        size: (height, width) of the image.
        what: Whose map it is, for the error texts.

    Returns:
        float32 for a tensor of float32, else float64.

    Raises:
        ImageError: If it is not one map of such numbers.
    """
    if isinstance(values, Tensor):
        maps = values.detach().cpu()
        maps = maps if maps.dtype in (torch.float32, torch.float64) else maps.double()
    else:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise ImageError(f"{what} is {type(values).__name__}, of {array.dtype}; a map is one array of real numbers")
        maps = torch.from_numpy(array.astype(np.float64))
    if maps.ndim != 2 or not maps.numel():
        raise ImageError(f"{what} has shape {tuple(maps.shape)}; a map is one (height, width) array")
    if not torch.isfinite(maps).all() or maps.min() < 0:
        raise ImageError(
            f"{what} ranges from {maps.min():g} to {maps.max():g}; a map is finite and not negative "
            "(log densities: take the exponential first)"
        )
    return maps if maps.shape == size else imresize(maps, size=size).clamp_min(0)


def _read(path: Path) -> NDArray[np.generic]:
    if path.suffix == ".npy":
        array: NDArray[np.generic] = np.load(path, allow_pickle=False)
        return array
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as content:
            return _only_map(path, {name: content[name] for name in content.files})
    if path.suffix == ".mat":
        from scipy.io import loadmat  # half a second, and only this layout needs it

        return _only_map(path, {k: v for k, v in loadmat(path).items() if not k.startswith("__")})
    with Image.open(path) as image:
        return np.asarray(image if image.mode in ("F", "I", "I;16", "L") else image.convert("L"))


def _only_map(path: Path, arrays: dict[str, NDArray[np.generic]]) -> NDArray[np.generic]:
    """Return the array called `density`, as salzoo writes it, or the only two-dimensional one."""
    maps = [a for a in arrays.values() if a.ndim == 2 and min(a.shape) > 1 and a.dtype.kind in "fiub"]
    if "density" in arrays:
        return arrays["density"]
    if len(maps) != 1:
        raise ImageError(f"{path} holds {', '.join(arrays) or 'nothing'}; one two-dimensional array is needed")
    return maps[0]
