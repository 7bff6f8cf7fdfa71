"""What all datasets of fixations have in common; a reader adds only the layout of its own files."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import wraps
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, Literal, ParamSpec, Self, TypedDict, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from salzoo._text import read_json
from salzoo.data._matrix import ARRAYS, read_matrix
from salzoo.data.density_only import DensityOnly
from salzoo.data.fixations import Fixations, checked_blur, join
from salzoo.data.folds import part_of
from salzoo.data.names import Names
from salzoo.data.points_cache import PreparedPoints
from salzoo.errors import DataError, DatasetNotFoundError, ImageError, SalzooError, SpecError
from salzoo.images import formats
from salzoo.images.fingerprint import Fingerprints, fingerprint
from salzoo.images.geometry import Size
from salzoo.images.grey import grey_values
from salzoo.images.read import to_array
from salzoo.images.scanpath import Scanpath

Split = Literal["train", "val", "test", "all"]


P = ParamSpec("P")
T = TypeVar("T")
AnyDataset = TypeVar("AnyDataset", bound="FixationDataset")


def tells_refusals(open_dataset: Callable[P, T]) -> Callable[P, T]:
    """Wrap what opens a dataset: what the system refuses it (permissions, a broken disk) is one `DataError`."""

    @wraps(open_dataset)
    def opened(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return open_dataset(*args, **kwargs)
        except SalzooError:  # some of which are OSErrors too
            raise
        except OSError as error:
            reason = error.strerror or error
            raise DataError(
                f"cannot read {error.filename or 'the dataset'}: {reason}; check its permissions"
            ) from error

    return opened


class Item(TypedDict):
    """One image with its ground truth; both maps are all 0 where the fixations are not public."""

    image: Tensor  # (3, H, W) uint8, RGB
    fixations: Tensor  # (H, W) int32, number of fixations in each pixel
    density: Tensor  # (H, W) float32, sums to 1; all 0 if nobody looked at the image
    name: str


class Batch(TypedDict):
    """A batch of training images of one size, with their ground truth."""

    image: Tensor  # (N, 3, H, W) uint8, RGB
    fixations: Tensor  # (N, H, W) int32
    density: Tensor  # (N, H, W) float32
    name: list[str]


class EvalBatch(TypedDict):
    """A batch of images at their own sizes, with their ground truth; each list is as long as the batch."""

    image: list[Tensor]  # (3, H, W) uint8, RGB
    fixations: list[Tensor]  # (H, W) int32
    density: list[Tensor]  # (H, W) float32
    name: list[str]


class FixationDataset(Dataset[Item], ABC):
    """The images of one dataset and the fixations on them, at the images' own sizes.

    Args:
        root: The dataset's own folder, or a folder that holds it under its usual name.
        split: `train`, `val` or `test` as `splits.json` in the dataset's folder lists them, else the lists shipped with
            salzoo; `all` takes every image in the folder, also those in none of the three.
        sigma_px: Standard deviation of the Gaussian that blurs fixations into the density, in pixels of each image.
        pixels_per_degree: Blurs by one degree of visual angle instead. Without either, the blur is the one that is
            usual for the dataset, else 1/25 of the image's height: 24 px at OSIE's 600 rows.

    Attributes:
        names: File name of each image, in the order of the index.
        root: The folder in which the dataset was found.

    Raises:
        DatasetNotFoundError: If the folder, the fixations or an image of the split is missing.
        SpecError: If the split is unknown, the blur is not above 0, or it is given twice.
    """

    name: str
    annotations: ClassVar[str]
    stimuli: ClassVar[str] = "data/stimuli"
    source: ClassVar[str]
    """Paper and download, for error messages."""
    splits: ClassVar[tuple[Split, ...]] = get_args(Split)
    hidden: ClassVar[tuple[Split, ...]] = ()
    """Splits whose fixations are not public."""
    _fold: tuple[int, int, int] | None = None
    """Number of folds, which one, and the seed, if it is one of a cross-validation."""

    @tells_refusals
    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        sigma_px: float | None = None,
        pixels_per_degree: float | None = None,
    ) -> None:
        self._blur = checked_blur(sigma_px, pixels_per_degree)
        self._open(Path(root).expanduser(), split)

    @abstractmethod
    def read_points(self, index: int) -> Fixations:
        """Read the fixations on one image from the dataset's own files: 0-based, nothing dropped.

        Raises:
            DataError: If the file is damaged or not laid out as the original download.
        """

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def __repr__(self) -> str:
        """Return what was opened and where."""
        hidden = "" if self.has_fixations else ", fixations not public"
        maps = ", maps without fixation points" if self.has_fixations and not self.has_points else ""
        what = f"{self.name!r}, split={self.split!r}, root={str(self.root)!r}"
        return f"<{type(self).__name__} {what}: {len(self)} images{hidden}{maps}>"

    def sibling(self, split: Split) -> Self:
        """Return another split of the same dataset, with the same options."""
        other = copy(self)
        other._open(self.root, split)
        return other if self._prepared is None else prepare(other, self._prepared.folder)

    def in_folds(self, count: int, fold: int, seed: int = 0) -> Self:
        """Return one fold of a cross-validation over all images: `test` is the fold, `train` all others, `val` empty.

        Images go round the folds in the order of a hash of their names, so that sizes differ by one at most, and the
        same images are always divided alike.

        Args:
            count: Number of folds.
            fold: Which, from 1; 0 holds nothing out, for the model that is trained on all images at the end.
            seed: Seed of the order.

        Raises:
            DataError: If the fixations are not public.
            SpecError: If there are fewer images than folds.
        """
        everything = self.sibling("all")
        everything.require_fixations()
        if not 2 <= count <= len(everything):
            raise SpecError(f"{self.name}: {len(everything)} images make 2 to {len(everything)} folds, not {count}.")
        other = copy(everything)
        other._fold = (count, fold, seed)
        return other.sibling("test" if fold else "train")

    def only(self, names: Sequence[str]) -> Self:
        """Return the dataset with only these of its images, in this order."""
        other = copy(self)
        other.names, other._prepared = list(names), None  # prepared points are found by index, all others by name
        return other

    @property
    def has_fixations(self) -> bool:
        """Whether the fixations of this split are public; if not, maps are all 0 and nothing can be scored."""
        return self.split not in self.hidden

    @property
    def has_points(self) -> bool:
        """Whether fixations are known as points, and not only as maps."""
        return self.has_fixations

    @property
    def has_rounded_maps(self) -> bool:
        """Whether all that is known are maps of 256 levels: KL divergences to them are those of rounded numbers."""
        return False

    def require_fixations(self) -> None:
        """Check that this split can be trained or scored on.

        Raises:
            DataError: If its fixations are not public.
        """
        if not self.has_fixations:
            raise DataError(
                f"{self.name}: the fixations of split {self.split!r} are not public, so nothing can be trained "
                "or scored on it; `salzoo data submit` writes maps in the form that the benchmark takes"
            )

    @property
    def has_order(self) -> bool:
        """Whether it is known who made which fixation, and in which order."""
        return False

    def require_order(self) -> None:
        """Check that there are scanpaths.

        Raises:
            DataError: If the order of the fixations, or who made them, is not known.
        """
        self.require_fixations()
        if not self.has_order:
            raise DataError(
                f"{self.name}: these files do not tell who made which fixation in which order, so there are no "
                "scanpaths; osie, eyecrowd and scene500 have them, and a folder of yours with a column observer"
            )

    def scanpaths(self, index: int) -> list[Scanpath]:
        """Return the scanpaths on one image, one an observer, in pixels; fixations outside the image stay in them.

        Raises:
            DataError: If the order of the fixations, or who made them, is not known.
        """
        self.require_order()
        return self._points(index).scanpaths()

    def __getitem__(self, index: int) -> Item:
        """Return the image at its own size with its count and density maps."""
        image = self.image(index)
        size: Size = (image.shape[1], image.shape[2])
        points = self._points(index)  # the maps leave out those outside
        return Item(
            image=image,
            fixations=points.counts(size),
            density=points.density(size, self.sigma(size)),
            name=self.names[index],
        )

    def image_path(self, index: int) -> Path:
        """Return where the image is."""
        return self.root / self.stimuli / self.names[index]

    def annotation_paths(self, index: int) -> Iterable[Path]:
        """Return the files that `read_points` reads for this image."""
        return [self.root / self.annotations]

    def points_options(self) -> tuple[object, ...]:
        """Return the options that change what `read_points` returns."""
        return ()

    def map_path(self, index: int) -> Path:
        """Return where the density that comes with the dataset is.

        Raises:
            DataError: If the dataset comes without densities.
        """
        raise DataError(f"{self.name} comes without maps; the density of an item is made from its fixations")

    def provided_density(self, index: int) -> Tensor:
        """Return the density that comes with the dataset, (H, W) float32 summing to 1: blurred, mostly of 8 bits.

        Raises:
            DataError: If the dataset comes without maps, or this one is black, negative or not finite.
            ImageError: If it is coloured or transparent.
            DatasetNotFoundError: If the file is not there.
        """
        path = self.map_path(index)
        if path.suffix.lower() in ARRAYS:
            grey = read_matrix(path, ("I",)).astype(np.float64)
        else:
            grey = open_image(path, lambda image: grey_values(image, str(path)).astype(np.float64))
        if not (np.isfinite(grey).all() and grey.min(initial=0) >= 0 and grey.any()):
            what = "black" if not grey.any() else "not finite and positive"
            raise DataError(f"{path} is {what}: no density can be made of it")
        return torch.from_numpy((grey / grey.sum()).astype(np.float32))

    def image(self, index: int) -> Tensor:
        """Return the image as (3, H, W) uint8 RGB, as stored: an EXIF rotation is not applied."""
        path = self.image_path(index)
        return open_image(path, lambda image: torch.from_numpy(_rgb(image, path)).permute(2, 0, 1))

    def size(self, index: int) -> Size:
        """Return the image's (height, width), from its header."""
        return open_image(self.image_path(index), lambda image: (image.height, image.width))

    def fingerprints(self) -> Fingerprints:
        """Return the fingerprint of each image, (n,) uint64: by it copies are recognised, whatever their name."""
        return np.array([open_image(self.image_path(i), fingerprint) for i in range(len(self))], dtype=np.uint64)

    def fixations(self, index: int) -> Fixations:
        """Return the image's fixations, without those outside its frame."""
        return self._points(index).inside(self.size(index))

    def observer_name(self, number: int) -> str:
        """Return what an observer is called, who has this number in `Fixations.observer`."""
        return str(number)

    def sigma(self, size: Size) -> float:
        """Return the standard deviation of the density's blur in pixels, for an image of this size."""
        return self._usual_sigma(size) if self._blur is None else self._blur

    @property
    def dropped(self) -> int:
        """Number of fixations of this split that are left out because they lie outside their image."""
        return sum(len(self._points(i)) - len(self.fixations(i)) for i in range(len(self)))

    def _usual_sigma(self, size: Size) -> float:
        return size[0] / 25

    def _points(self, index: int) -> Fixations:
        if not self.has_fixations:
            return join([])
        return self.read_points(index) if self._prepared is None else self._prepared[index]

    def _open(self, root: Path, split: Split) -> None:
        if split not in self.splits:
            raise SpecError(f"{self.name}: unknown split {split!r}; accepted: {', '.join(self.splits)}")
        self.split = split
        self._prepared: PreparedPoints | None = None
        self.root = self._find(root)
        self.names: list[str] = self._list_names() if self._fold is None else self._list_fold(*self._fold)

    def _list_fold(self, count: int, fold: int, seed: int) -> list[str]:
        split, self.split = self.split, "all"
        names = self._list_names()
        self.split = split
        if not (found := part_of(names, split, count, fold, seed)):
            raise DatasetNotFoundError(f"{self.name}: fold {fold} of {count} has no split {split!r}")
        return found

    def _folders(self) -> tuple[str, ...]:
        """Return the names, in lower case, that the dataset's folder usually has."""
        return (self.name,)

    def _absent(self, folder: Path) -> list[str]:
        """Return what `folder` lacks to be the dataset's own."""
        needed = (self.annotations, self.stimuli) if self.has_fixations else (self.stimuli,)
        return [part for part in needed if not (folder / part).exists()]

    def _find(self, root: Path) -> Path:
        if not root.is_dir():
            raise DatasetNotFoundError(f"{self.name}: there is no folder {root}. {self.source}")
        inner = [child for child in root.iterdir() if child.name.lower() in self._folders()]
        absent = {folder: self._absent(folder) for folder in (root, *sorted(inner))}
        nearest = min(absent, key=lambda folder: len(absent[folder]))
        if nearest != root and (rivals := [each.name for each in sorted(inner) if not absent[each]])[1:]:
            raise DataError(f"{self.name}: {root} holds {' and '.join(rivals)}; give one of these folders")
        if absent[nearest]:
            missing = " and no ".join(absent[nearest]) + f" in {nearest}"
            hint = "" if inner else f", nor a folder named {' or '.join(self._folders())}"
            above = root.absolute().parent
            hint += "" if self._absent(above) else f"; {above} has them, give that folder"
            raise DatasetNotFoundError(f"{self.name}: no {missing}{hint}. {self.source}")
        return nearest

    def _list_names(self) -> list[str]:
        present = self._present()
        names = present if self.split == "all" else self._read_split(present)
        if set(names) - set(present):
            known = Names(present)
            names = [known.find(name) or name for name in names]
        absent = sorted(set(names) - set(present))
        if absent or not names:
            what = f"{len(absent)} of {len(names)} images, such as {absent[0]}," if absent else "every image"
            where = self.root / self.stimuli
            raise DatasetNotFoundError(f"{self.name}: {what} of split {self.split!r} missing in {where}. {self.source}")
        return names

    def _present(self) -> list[str]:
        """Return the names of all images in the dataset's folder."""
        return list_images(self.root / self.stimuli)

    def _read_split(self, present: list[str]) -> list[str]:
        own = self.root / "splits.json"
        path = own if own.exists() else files("salzoo.data") / "splits" / f"{self.name}.json"
        try:
            lists = read_json(own) if path is own else json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(str(error)) from error
        if not isinstance(lists, dict) or self.split not in lists:
            raise DataError(f"{path} must be JSON with lists train, val and test")
        names: list[str] = lists[self.split]
        texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not texts or len(set(names)) != len(names):
            raise DataError(f"{path}: split {self.split!r} must be a list of different file names")
        return names


def prepare(dataset: AnyDataset, folder: str | Path) -> AnyDataset:
    """Write all points of a dataset to one file, unless that was done before, and read them from there from now on.

    The name of the file depends on the size and the time stamp of every annotation file, so one that was replaced is
    read again. Values are the same to the last bit.

    Args:
        dataset: One split; it is changed and returned. One without public fixations, or of maps instead of points,
            stays as it is.
        folder: Folder of the cache, made if it is not there. Any number of datasets can share it.

    Raises:
        DataError: If an annotation file cannot be read.
    """
    if not dataset.has_fixations:
        return dataset
    folder = Path(folder).expanduser()
    stem = f"{dataset.name}-{dataset.split}-{_cache_key(dataset)}"
    if PreparedPoints.complete(folder, stem):
        dataset._prepared = PreparedPoints(folder, stem)
    elif not isinstance(dataset.read_points(0), DensityOnly):
        folder.mkdir(parents=True, exist_ok=True)
        points = (dataset.read_points(index) for index in range(len(dataset)))
        dataset._prepared = PreparedPoints.write(folder, stem, points)
    return dataset


def _cache_key(dataset: FixationDataset) -> str:
    """Return a hash of all that the points depend on."""
    digest = sha256(repr((type(dataset).__name__, dataset.points_options(), dataset.names)).encode())
    for path in dict.fromkeys(path for i in range(len(dataset)) for path in dataset.annotation_paths(i)):
        digest.update(f"{path.absolute()} {file_stamp(path)}\n".encode())
    return digest.hexdigest()[:16]


def file_stamp(path: Path) -> tuple[int, int, int, int]:
    """Return size, times and number of a file, of which one differs if it was written or replaced since.

    The second time is that at which the file's entry changed, which no program sets: it tells a file that was replaced
    by an older one of the same size.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def list_images(folder: Path) -> list[str]:
    """Return the sorted file names of the images in a folder, an empty list if there is no such folder.

    A warning names the images that are left out because no decoder for them is open (HEIC, camera raw, ...).
    """
    if not folder.is_dir():
        return []
    listing = formats.list_files(folder)
    listing.warn(str(folder), listing.unreadable)
    return [path.name for path in listing.found]


def require_files(wanted: Iterable[str], folder: Path, whose: FixationDataset) -> None:
    """Check that a folder has all wanted files.

    Raises:
        DatasetNotFoundError: If it has not; the message counts the missing ones and names one.
    """
    wanted = list(wanted)
    present = {path.name for path in folder.glob("*")}
    if absent := [name for name in wanted if name not in present]:
        raise DatasetNotFoundError(
            f"{whose.name}: {len(absent)} of {len(wanted)} files, such as {absent[0]}, missing in {folder}. "
            f"{whose.source}"
        )


def _rgb(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    """Return (H, W, 3) as `salzoo.images.read` does, but not rotated: fixations refer to the stored pixels."""
    if image.mode == "RGB":
        return np.array(image)
    if image.mode.startswith(("I", "F")):
        raise ImageError(f"{path} has {image.mode} pixels, which are not 8 bit; convert it first")
    return to_array(np.array(image.convert("RGBA" if image.has_transparency_data else "RGB"))).astype(np.uint8)


def open_image(path: Path, read: Callable[[Image.Image], T]) -> T:
    """Read something from an image file.

    Raises:
        DatasetNotFoundError: If it is not there.
        ImageError: If it is damaged or not an image.
    """
    if not os.path.lexists(path):
        raise DatasetNotFoundError(f"there is no image {path}")
    with formats.open_image(path, str(path)) as image:
        try:
            return read(image)
        except SalzooError:
            raise
        except Exception as error:  # Pillow's plugins raise many kinds on a damaged file
            raise ImageError(f"{path} cannot be read as an image: {error}") from error
