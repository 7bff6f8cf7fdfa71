"""Your own eye-tracking study: a folder of images and the fixations on them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from glob import escape
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from salzoo._schema import from_mapping
from salzoo.data.base import FixationDataset, Split, hash_decile
from salzoo.data.density_only import DensityOnly
from salzoo.data.fixations import Fixations
from salzoo.data.folder.reader import Study, StudyOptions, find_image_folder, find_source, read_options, read_study
from salzoo.data.map_folder import MapFolder
from salzoo.errors import DataError, DatasetNotFoundError
from salzoo.images.geometry import Size
from salzoo.images.read import IMAGE_SUFFIXES

SPLITS = "splits.json"
_TENTHS: tuple[Split, ...] = ("train",) * 7 + ("val",) + ("test",) * 2


@dataclass(frozen=True)
class _Lists:
    """The content of `splits.json`: file names by split."""

    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()


class FixationFolder(FixationDataset):
    """A user's own study: images in `images/`, fixations in a table, options in `study.json`.

    The images are those directly in `root/images` (or `stimuli`, `pictures`, or `root` itself). Their fixations are, in
    this order:

    - a table in `root`, one row a fixation: CSV, TSV or Parquet with columns image, x, y, and if known observer,
      duration (ms) and timestamp, by which the fixations of an image are then sorted;
    - `root/fixations/<stem>.mat` or `.npz`, with arrays x, y and the like, or a matrix `fixations` of counts;
    - `root/maps/<stem>.png` (or any format of `salzoo evaluate --maps`): grey maps, if the points are lost. What
      needs points (NSS, AUC, information gain, log-likelihood) then refuses them; densities work.

    Dropped and counted are rows without coordinates, rows without a duration if there is such a column, and duplicates
    if there are times to recognise them by (`study.dropped`), and points outside the frame (`dropped`). Images without
    any row are left out (`study.unseen`).

    Splits are the lists of `root/splits.json`, else drawn by name: 70 % train, 10 % val, 20 % test, by a hash of the
    file name without suffix, so that an image stays in its split whatever is added.

    Args:
        root: The study's folder, or one that holds it under the name `folder`.
        split: See `FixationDataset`.
        sigma_px: Standard deviation of the blur of the density, in pixels of each image.
        pixels_per_degree: Blurs by one degree of visual angle instead (`salzoo.data.events.Screen`).
        fixations: File or folder with the fixations, relative to `root`, if there are several.
        columns: Names in the header by what they mean, as {"x": "FIX_X", "image": "stimulus"}.
        units: Units of x and y: `pixels`, or `fractions` of the image from 0 to 1.
        origin: Coordinate of the first pixel, 0 or 1.
        skip_first: How many fixations of each observer are left out at the beginning of each image.
        first: How many of the remaining ones are kept.
        weight: `duration` lets longer fixations weigh more in the density.

    Every option can instead be in `root/study.json`, where the commands find it; arguments take precedence.

    Attributes:
        study: What was read, and what was dropped and why.

    Raises:
        DatasetNotFoundError: If the images or the fixations are missing, or the split is empty.
        DataError: If a row's image is missing, or the coordinates were misread: x and y swapped, fractions or 1-based
            numbers taken for 0-based pixels.
        SpecError: If an option is wrong.
    """

    name = "folder"
    source = "A study of your own needs images and a table of fixations with columns image, x, y"

    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        sigma_px: float | None = None,
        pixels_per_degree: float | None = None,
        fixations: str | None = None,
        columns: Mapping[str, str] | None = None,
        units: Literal["pixels", "fractions"] | None = None,
        origin: Literal[0, 1] | None = None,
        skip_first: int | None = None,
        first: int | None = None,
        weight: Literal["count", "duration"] | None = None,
    ) -> None:
        folder = self._find(Path(root).expanduser())
        given = {
            "sigma_px": sigma_px,
            "pixels_per_degree": pixels_per_degree,
            "fixations": fixations,
            "columns": None if columns is None else dict(columns),
            "units": units,
            "origin": origin,
            "skip_first": skip_first,
            "first": first,
            "weight": weight,
        }
        self.options = read_options(folder, given)
        self.study: Study = _cached(folder.absolute(), self.options, _stamp(folder, self.options))
        seen = self.study.sizes
        self._maps: MapFolder | None = None
        if not self.study.has_points:
            self._maps = MapFolder(self.study.source, list(seen))
        self._place = {name: i for i, name in enumerate(seen)}
        super().__init__(
            folder, split, sigma_px=self.options.sigma_px, pixels_per_degree=self.options.pixels_per_degree
        )

    @property
    def has_points(self) -> bool:
        """Whether there are fixations, and not only maps."""
        return self.study.has_points

    def read_points(self, index: int) -> Fixations:
        """Return all fixations on one image, or its map if there are no fixations.

        Raises:
            DataError: If the map is coloured, or of another shape than its image.
        """
        name = self.names[index]
        if self._maps is None:
            return self.study.points[name]
        place, size = self._place[name], self.study.sizes[name]
        _check_map(self._maps.paths[place], size)
        return DensityOnly(self._maps.read(place, size))

    def points_options(self) -> tuple[object, ...]:
        """Return the options that change what `read_points` returns."""
        return (self.options,)

    def image_path(self, index: int) -> Path:
        """Return where the image is."""
        return self.study.image_folder / self.names[index]

    def annotation_paths(self, index: int) -> list[Path]:
        """Return the file of the image's fixations, or their common one."""
        source, stem = self.study.source, Path(self.names[index]).stem
        return [source] if source.is_file() else sorted(source.glob(f"{escape(stem)}.*"))

    def size(self, index: int) -> Size:
        """Return the image's (height, width), as read with the study."""
        return self.study.sizes[self.names[index]]

    def _points(self, index: int) -> Fixations:
        points = super()._points(index)
        if self._maps is None:
            points = points.leading(self.options.first, skip=self.options.skip_first)
        return points.weighted_by_duration() if self.options.weight == "duration" else points

    def _find(self, root: Path) -> Path:
        if not root.is_dir():
            raise DatasetNotFoundError(f"{self.name}: there is no folder {root}. {self.source}")
        inner = root / self.name
        return inner if inner.is_dir() else root

    def split_of(self, name: str) -> Split | None:
        """Return the split of an image; None if `splits.json` leaves it out."""
        if self._lists is None:
            return _TENTHS[hash_decile(Path(name).stem)]
        return next((split for split, names in self._lists.items() if name in names), None)

    def _list_names(self) -> list[str]:
        path, present = self.root / SPLITS, self._present()
        self._lists = _read_lists(path)
        if self.split == "all":
            return present
        if self._lists is None:
            names = [name for name in present if self.split_of(name) == self.split]
        else:
            names = list(self._lists[self.split])
        if absent := sorted(set(names) - set(present)):
            raise DatasetNotFoundError(
                f"{path}: {len(absent)} images of split {self.split!r} have no file or no fixations, the first is "
                f"{absent[0]}"
            )
        if not names:
            why = "is empty" if self._lists else f"got none of the {len(present)} images, which are drawn by name"
            raise DatasetNotFoundError(
                f"{self.root}: split {self.split!r} {why}; put images there in {SPLITS}: "
                '{"train": [...], "val": [...], "test": [...]} with file names'
            )
        return names

    def _present(self) -> list[str]:
        return sorted(self.study.sizes)


def _read_lists(path: Path) -> dict[Split, tuple[str, ...]] | None:
    """Return the names of each split; None if there is no such file."""
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}") from error
    lists = from_mapping(_Lists, content, str(path))
    counts = Counter((*lists.train, *lists.val, *lists.test))
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise DataError(f"{path} has {len(twice)} images more than once, the first is {twice[0]}")
    return {"train": lists.train, "val": lists.val, "test": lists.test}


@lru_cache(maxsize=8)
def _cached(root: Path, options: StudyOptions, _stamp: tuple[int, ...]) -> Study:
    """Read a study once a process, and again if a file changes."""
    return read_study(root, options)


def _stamp(root: Path, options: StudyOptions) -> tuple[int, ...]:
    """Return the number of files and the time of the last change, which tell whether a study must be read again."""
    images, source = find_image_folder(root), find_source(root, options.fixations)
    files = [source] if source.is_file() else list(source.iterdir())
    files += [path for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    return len(files), max(path.stat().st_mtime_ns for path in files)


def _check_map(path: Path, size: Size) -> None:
    """Raise if a map that is stored as an image is coloured, or has another shape than its image."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return
    with Image.open(path) as stored:
        width, height = stored.size
        bands = np.asarray(stored.convert("RGB")) if stored.mode in ("RGB", "RGBA", "P") else np.zeros((1, 1, 3))
    if (bands != bands[..., :1]).any():
        raise DataError(f"{path} is coloured; a map must be grey, and brighter where people looked more")
    if abs(width * size[0] - height * size[1]) > 0.02 * width * size[0]:
        raise DataError(f"{path} is {height} x {width} (height, width), of another shape than its image {size}")
