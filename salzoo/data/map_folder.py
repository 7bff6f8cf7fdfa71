"""Saliency maps of any other tool: one file an image, found by the image's stem, or an array in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from unicodedata import normalize

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from salzoo.data._matrix import ARRAYS, read_matrix
from salzoo.data.names import Names
from salzoo.errors import ImageError, SalzooError
from salzoo.images import formats
from salzoo.images.arrays import plain_array
from salzoo.images.geometry import Size
from salzoo.images.grey import grey_values, is_rounded
from salzoo.images.imresize import imresize

_NUMBERS = (".npy", ".npz", ".mat", ".tiff", ".tif")
SUFFIXES = (*_NUMBERS, ".png", *sorted(formats.SUFFIXES - {*_NUMBERS, ".png"}))
"""In the order of preference, if an image has several: those that keep the numbers first. In either case."""


class MapFolder:
    """The maps of a folder.

    A map is found by its path below the folder, `cat/001.png` for the image `cat/001.jpg`; else by its own name, where
    that stands for one image and lies in one place.

    Args:
        folder: Holds `<stem><suffix>` for every image, with any of `SUFFIXES`, at any depth.
        names: File names of the images, with the folders that a dataset has them in.

    Raises:
        ImageError: If the folder or a map is missing; the message names the first one and counts them.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        if not folder.is_dir():
            raise ImageError(f"there is no folder {folder} with maps")
        listing = formats.list_files(folder, SUFFIXES, deep=True)
        paths = sorted(listing.found, key=_rank)
        found = _match([path.relative_to(folder) for path in paths], names)
        self.paths = [folder / found[name][0] for name in names if len(found.get(name, ())) == 1]
        if missing := [name for name in names if len(found.get(name, ())) != 1]:
            accepted = " ".join(SUFFIXES)
            others = f"; not read: {formats.name_some(listing.left_out)}" if listing.left_out else ""
            several = " and ".join(map(str, found.get(missing[0], ())[:2]))
            raise ImageError(
                f"{folder} has no map for {len(missing)} of {len(names)} images, the first is "
                f"{str(PurePosixPath(missing[0]).with_suffix(''))!r}{several and f', for which it has {several}'}; "
                f"a map is called like its image and has one of the suffixes {accepted}{others}"
            )

    @property
    def eight_bit(self) -> bool:
        """Whether one of five maps has only 256 levels, which changes KL, information gain and AUC."""
        chosen = np.unique(np.linspace(0, len(self.paths) - 1, min(5, len(self.paths))).astype(int))
        return any(is_rounded(np.asarray(self.stored(index))) for index in chosen)

    def read(self, index: int, size: Size, *, scaled: bool = True) -> Tensor:
        """Return one map as (H, W) float64 at an image's size, as `to_map` brings it there.

        Args:
            index: Number of the image.
            size: (height, width) of the image.
            scaled: Whether a map of another shape than the image is stretched to it, as benchmarks do.

        Raises:
            ImageError: If the file cannot be read, or is not one grey map of finite, non-negative numbers, or has
                another shape than the image against `scaled`.
        """
        array, path = self.stored(index), self.paths[index]
        height, width = array.shape if array.ndim == 2 else size
        if not scaled and abs(width * size[0] - height * size[1]) > 0.02 * width * size[0]:
            raise ImageError(f"{path} is {height} x {width} (height, width), of another shape than its image {size}")
        return to_map(array, size, str(path))

    def stored(self, index: int) -> NDArray[np.generic]:
        """Return one map as it is stored.

        Raises:
            ImageError: If the file cannot be read, or is no grey map.
        """
        return read_stored(self.paths[index])


def _match(paths: Sequence[Path], names: Sequence[str]) -> dict[str, list[Path]]:
    """Return the map of each image, or several that it may be; `paths` are below the folder, the preferred first."""
    images, keys = Names(names), Counter(_key(name) for name in names)
    inner = {_key(name): name for name in names if "/" in name and keys[_key(name)] == 1}
    found: dict[str, list[Path]] = {}
    by_name: dict[str, dict[Path, Path]] = {}
    for path in paths:
        if own := inner.get(_key(path.as_posix())):
            found.setdefault(own, [path])
        elif named := images.find(path.stem):
            by_name.setdefault(named, {}).setdefault(path.parent, path)
    for name, places in by_name.items():
        found.setdefault(name, [places[Path()]] if Path() in places else list(places.values()))
    return found


def _key(name: str) -> str:
    return normalize("NFC", normalize("NFC", str(PurePosixPath(name).with_suffix(""))).casefold())


def _rank(path: Path) -> int:
    """Return the place of a file's suffix in the order of preference."""
    return SUFFIXES.index(path.suffix.lower())


def to_map(values: Tensor | ArrayLike, size: Size, what: str) -> Tensor:
    """Return a saliency map as an (H, W) tensor on the CPU, at an image's size.

    A map of another size is scaled as the MIT benchmark does (MATLAB's `imresize`, bicubic); what the overshoot of the
    bicubic kernel makes negative becomes 0. One that is transposed is refused.

    Args:
        values: (h, w), finite and not negative: a tensor, an array, or what numpy makes one of, as a `SaliencyMap`.
        size: (height, width) of the image.
        what: Whose map it is, for the error texts.

    Returns:
        float32 for a tensor of float32, else float64.

    Raises:
        ImageError: If it is not one map of such numbers.
    """
    array = plain_array(values, what)
    if array.dtype.kind not in "biuf":
        raise ImageError(f"{what} is {type(values).__name__}, of {array.dtype}; a map is one array of real numbers")
    is_single = isinstance(values, Tensor) and values.dtype == torch.float32
    maps = torch.from_numpy(array if is_single else array.astype(np.float64))
    if maps.ndim != 2 or not maps.numel():
        raise ImageError(f"{what} has shape {tuple(maps.shape)}; a map is one (height, width) array")
    if not torch.isfinite(maps).all() or maps.min() < 0:
        raise ImageError(
            f"{what} ranges from {maps.min():g} to {maps.max():g}; a map is finite and not negative "
            "(log densities: take the exponential first)"
        )
    if maps.shape == (size[1], size[0]) != size:
        raise ImageError(f"{what} is {tuple(maps.shape)} (height, width), its image {size}: transpose it")
    return maps if maps.shape == size else imresize(maps, size=size).clamp_min(0)


def read_map(path: Path, size: Size) -> Tensor:
    """Return the map in a file as (H, W) float64 at an image's size, as `to_map` brings it there.

    Raises:
        ImageError: If it is not one grey map of finite numbers that are not negative.
    """
    return to_map(read_stored(path), size, str(path))


def read_stored(path: Path) -> NDArray[np.generic]:
    """Return the matrix called `density`, as salzoo writes it, or the only one; else the grey values of an image.

    Raises:
        ImageError: If the file cannot be read, or is no grey map.
    """
    try:
        if path.suffix.lower() in ARRAYS:
            return read_matrix(path, ("density",))
        with formats.open_image(path, str(path)) as image:
            return grey_values(image, str(path))
    except ImageError:
        raise
    except SalzooError as error:  # names the file already
        raise ImageError(str(error)) from error
    except Exception as error:  # numpy, scipy and Pillow raise a dozen kinds on a damaged file
        raise ImageError(f"{path} cannot be read as a map: {error}") from error
