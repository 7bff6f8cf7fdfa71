"""What every data set of fixations has in common; a reader adds only how its own files are laid out."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypedDict, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from salzoo.data.fixations import Fixations
from salzoo.errors import DataError, DatasetNotFoundError, ImageError, SpecError
from salzoo.geometry import Size
from salzoo.image import IMAGE_SUFFIXES, to_array

Split = Literal["train", "val", "test", "all"]


T = TypeVar("T")


class Item(TypedDict):
    """One picture with its ground truth."""

    image: Tensor  # (3, H, W) uint8, RGB
    fixations: Tensor  # (H, W) int16, number of fixations in each pixel
    density: Tensor  # (H, W) float32, sums to 1; all 0 if nobody looked at the picture
    name: str


class Batch(TypedDict):
    """Training pictures of one size, with their ground truth."""

    image: Tensor  # (N, 3, H, W) uint8, RGB
    fixations: Tensor  # (N, H, W) int16
    density: Tensor  # (N, H, W) float32
    name: list[str]


class EvalBatch(TypedDict):
    """Pictures at their own sizes, with their ground truth; each list is as long as the batch."""

    image: list[Tensor]  # (3, H, W) uint8, RGB
    fixations: list[Tensor]  # (H, W) int16
    density: list[Tensor]  # (H, W) float32
    name: list[str]


class FixationDataset(Dataset[Item], ABC):
    """Pictures of one data set and the fixations on them, at the pictures' own sizes.

    Args:
        root: The set's own folder, or a folder that holds it under its usual name.
        split: `all` takes every picture in the folder, also those in none of the three splits. The lists are those of
            `splits.json` beside the set, else the ones shipped with salzoo.
        sigma_px: Blur of the density in pixels of each picture.
        pixels_per_degree: Takes one degree of visual angle as blur instead. Without either, the blur is 1/25 of the
            picture's height: 24 px at OSIE's 600 rows.

    Attributes:
        names: File name of each picture, in the order of the index.
        root: The folder in which the set was found.

    Raises:
        DatasetNotFoundError: If the folder, the fixations or a picture of the split is missing.
        SpecError: If the split or the blur is none of the above.
    """

    name_of_set: ClassVar[str]
    annotations: ClassVar[str]
    stimuli: ClassVar[str] = "data/stimuli"
    source: ClassVar[str]
    """Paper and origin, for the reader of an error message."""

    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        sigma_px: float | None = None,
        pixels_per_degree: float | None = None,
    ) -> None:
        if split not in get_args(Split):
            raise SpecError(f"{self.name_of_set}: unknown split {split!r}; accepted: {', '.join(get_args(Split))}")
        if sigma_px is not None and pixels_per_degree is not None:
            raise SpecError("sigma_px and pixels_per_degree both set the blur of the density: give one of them")
        blur = sigma_px if pixels_per_degree is None else pixels_per_degree
        if blur is not None and not blur > 0:
            raise SpecError(f"the blur of the density must be above 0 pixels, got {blur}")
        self._blur = blur
        self.split = split
        self.root = self._find(Path(root).expanduser())
        self.names: list[str] = self._list_names()

    @staticmethod
    @abstractmethod
    def read_annotations(path: Path) -> dict[str, Fixations]:
        """Read the set's fixations: by file name of the picture, 0-based, nothing dropped.

        Raises:
            DataError: If the file is damaged or not laid out as the set's own download.
        """

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.names)

    def sibling(self, split: Split) -> Self:
        """Return another split of the same set."""
        other = type(self)(self.root, split)
        other._blur = self._blur
        return other

    def __getitem__(self, index: int) -> Item:
        """Return the picture at its own size with its count and density maps."""
        image = self.image(index)
        size: Size = (image.shape[1], image.shape[2])
        points = self._points(index)  # the maps leave out what is outside
        return Item(
            image=image,
            fixations=points.counts(size),
            density=points.density(size, self.sigma(size)),
            name=self.names[index],
        )

    def image_path(self, index: int) -> Path:
        """Return where the picture is."""
        return self.root / self.stimuli / self.names[index]

    def image(self, index: int) -> Tensor:
        """Return the picture as (3, H, W) uint8 RGB, as stored: an EXIF rotation is not followed."""
        return _open(self.image_path(index), lambda picture: torch.from_numpy(_rgb(picture)).permute(2, 0, 1))

    def size(self, index: int) -> Size:
        """Return the picture's (height, width), from its header."""
        return _open(self.image_path(index), lambda picture: (picture.height, picture.width))

    def fixations(self, index: int) -> Fixations:
        """Return the picture's fixations, without those outside its frame."""
        return self._points(index).inside(self.size(index))

    def sigma(self, size: Size) -> float:
        """Return the blur of the density in pixels, for a picture of this size."""
        return size[0] / 25 if self._blur is None else self._blur

    @property
    def dropped(self) -> int:
        """Number of fixations of this split that are left out because they are outside their picture's frame."""
        return sum(len(self._points(i)) - len(self.fixations(i)) for i in range(len(self)))

    def _points(self, index: int) -> Fixations:
        path = self.root / self.annotations
        points = _cached(self.read_annotations, path, path.stat().st_mtime_ns)
        try:
            return points[self.names[index]]
        except KeyError:
            raise DataError(f"{path} has no fixations record for the picture {self.names[index]}") from None

    def _find(self, root: Path) -> Path:
        if not root.is_dir():
            raise DatasetNotFoundError(f"{self.name_of_set}: there is no folder {root}. {self.source}")
        inner = [child for child in root.iterdir() if child.name.lower() == self.name_of_set]
        absent = {
            folder: [part for part in (self.annotations, self.stimuli) if not (folder / part).exists()]
            for folder in (root, *sorted(inner))
        }
        nearest = min(absent, key=lambda folder: len(absent[folder]))
        if absent[nearest]:
            missing = " and no ".join(absent[nearest]) + f" in {nearest}"
            hint = "" if inner else f", nor a folder named {self.name_of_set}"
            raise DatasetNotFoundError(f"{self.name_of_set}: no {missing}{hint}. {self.source}")
        return nearest

    def _list_names(self) -> list[str]:
        folder = self.root / self.stimuli
        present = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        names = present if self.split == "all" else self._read_split()
        absent = sorted(set(names) - set(present))
        if absent or not names:
            what = f"{len(absent)} of {len(names)} pictures, such as {absent[0]}," if absent else "every picture"
            raise DatasetNotFoundError(
                f"{self.name_of_set}: {what} of split {self.split!r} missing in {folder}. {self.source}"
            )
        return names

    def _read_split(self) -> list[str]:
        own = self.root / "splits.json"
        path = own if own.exists() else files("salzoo.data") / "splits" / f"{self.name_of_set}.json"
        try:
            names = json.loads(path.read_text(encoding="utf-8"))[self.split]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} must be JSON with lists train, val and test: {error!r}") from error
        if not isinstance(names, list) or len(set(names)) != len(names):
            raise DataError(f"{path}: split {self.split!r} must be a list of different file names")
        return names


@lru_cache(maxsize=16)
def _cached(read: Callable[[Path], dict[str, Fixations]], path: Path, _mtime_ns: int) -> dict[str, Fixations]:
    """Read once a process; the time stamp makes a file that was replaced count as another."""
    return read(path)


def load_mat(path: Path, variable: str, *, simplify: bool) -> Any:
    """Return one variable of a MATLAB file.

    Args:
        path: The file.
        variable: Its name.
        simplify: Structs as dicts and cells as lists, squeezed; otherwise arrays of objects in their own shape.

    Raises:
        DataError: If the file is damaged, of another kind, or without that variable.
    """
    from scipy.io import loadmat  # slow to import, and only the .mat layouts need it

    try:
        content = loadmat(path, simplify_cells=simplify)
    except Exception as error:  # scipy raises whatever it stumbles over in a damaged file, from zlib.error to TypeError
        raise DataError(f"{path} cannot be read as a MATLAB file, is the download complete? {error!r}") from error
    if variable not in content:
        found = ", ".join(sorted(key for key in content if not key.startswith("__"))) or "nothing"
        raise DataError(f"{path} has no variable {variable!r}, only {found}")
    return content[variable]


def _rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """Return (H, W, 3) as `salzoo.image` reads pictures, but unrotated: fixations are on what is stored."""
    if picture.mode == "RGB":
        return np.array(picture)
    if picture.mode.startswith(("I", "F")):
        raise ImageError(f"its {picture.mode} pixels are not 8 bit; convert it first")
    return to_array(np.array(picture.convert("RGBA" if picture.has_transparency_data else "RGB"))).astype(np.uint8)


def _open(path: Path, read: Callable[[Image.Image], T]) -> T:
    try:
        with Image.open(path) as picture:
            return read(picture)
    except FileNotFoundError as error:
        raise DatasetNotFoundError(f"the picture {path} is gone") from error
    except (OSError, SyntaxError, ImageError, Image.DecompressionBombError) as error:  # SyntaxError: a broken PNG
        raise ImageError(f"{path} cannot be read as a picture: {error}") from error
