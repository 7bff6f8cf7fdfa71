"""CAT2000: twenty categories of images, with one file of fixations an image, or one file for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from salzoo.data._matlab import load_objects
from salzoo.data.base import FixationDataset, Split, list_images
from salzoo.data.fixations import Fixations, Floats, join
from salzoo.data.folds import hash_decile
from salzoo.data.one_file import read_once
from salzoo.data.point_files import find_files, read_points
from salzoo.errors import DataError
from salzoo.images.formats import is_hidden
from salzoo.images.geometry import Size

_ALL = "trainSet/allFixData.mat"


class CAT2000(FixationDataset):
    """CAT2000: 4,000 images of 1920x1080 in 20 categories; 5 s (Borji and Itti, arXiv:1505.03581, 2015).

    `trainSet/Stimuli/<category>/NNN.jpg` with `trainSet/FIXATIONLOCS/<category>/NNN.mat` (a matrix of the image's
    size, not 0 where one of the 18 observers looked; .npy, .npz or an image of points will do) and `FIXATIONMAPS`;
    `testSet/Stimuli/<category>/NNN.jpg`, 2,000 images whose fixations are not public. `names` are
    `<category>/NNN.jpg`; folders `Output` are copies and left out.
    Train and test share one numbering, so the numbers of a category have gaps.

    The matrices do not tell who looked, in which order or how often at the same pixel: all fixations are observer 0's.
    The file `trainSet/allFixData.mat` does: a `containers.Map` from `<category>/NNN.jpg` to a cell array with one
    struct an observer, of `name` and `data` (N x 2 or more, x and y, 1-based: one is subtracted). With `observers` it
    is read instead, and `name` is `cat2000_observers`, as scores on the two differ; the same number on two images need
    not be the same person.

    `all` is the whole of `trainSet`, which has no validation split: `val` is the list in `splits.json`, else a tenth of
    the images, by a hash of the name (`hash_decile` is 0), and `train` the rest. The usual blur is that of the
    Tuebingen benchmark, 40 px at 1080 rows.

    Args:
        root: See `FixationDataset`.
        split: See `FixationDataset`.
        observers: Read `allFixData.mat`, which tells observers apart.
        sigma_px: See `FixationDataset`.
        pixels_per_degree: See `FixationDataset`.
    """

    name = "cat2000"
    hidden = ("test",)
    source = (
        "CAT2000 is the data of Borji and Itti, 'CAT2000: A Large Scale Fixation Dataset for Boosting Saliency "
        "Research', arXiv:1505.03581: trainSet.zip and, for the split test, testSet.zip"
    )

    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        observers: bool = False,
        sigma_px: float | None = None,
        pixels_per_degree: float | None = None,
    ) -> None:
        self.observers = observers
        if observers:
            self.name = "cat2000_observers"
        super().__init__(root, split, sigma_px=sigma_px, pixels_per_degree=pixels_per_degree)

    @property
    def has_order(self) -> bool:
        """Whether it is known who made which fixation, and in which order: with `observers`."""
        return self.observers and self.has_fixations

    def read_points(self, index: int) -> Fixations:
        """Read the image's matrix, or all observers' points."""
        (path,) = self.annotation_paths(index)
        if self.observers:
            points = read_once(_read_everybody, path)
            if self.names[index] not in points:
                raise DataError(f"{path} has no fixations for the image {self.names[index]}")
            return points[self.names[index]]
        return read_points(path, self.size(index))

    def category(self, index: int) -> str:
        """Return the image's category."""
        return self.names[index].split("/")[0]

    def annotation_paths(self, index: int) -> Iterable[Path]:
        """Return the image's .mat file, or the one for all."""
        return [self.root / _ALL if self.observers else self._files[self.names[index]]]

    def map_path(self, index: int) -> Path:
        """Return where the density that comes with the dataset is."""
        return self._set / "FIXATIONMAPS" / self.names[index]

    def image_path(self, index: int) -> Path:
        """Return where the image is."""
        return self._set / "Stimuli" / self.names[index]

    @property
    def _set(self) -> Path:
        return self.root / ("trainSet" if self.has_fixations else "testSet")

    def _usual_sigma(self, size: Size) -> float:
        return 40 * size[0] / 1080

    def _folders(self) -> tuple[str, ...]:
        return ("cat2000",)

    def _absent(self, folder: Path) -> list[str]:
        fixations = _ALL if self.observers else "trainSet/FIXATIONLOCS"
        parts = ["trainSet/Stimuli", fixations] if self.has_fixations else ["testSet/Stimuli"]
        return [part for part in parts if not (folder / part).exists()]

    def _present(self) -> list[str]:
        categories = sorted(path for path in (self._set / "Stimuli").iterdir() if path.is_dir() and not is_hidden(path))
        return [f"{category.name}/{name}" for category in categories for name in list_images(category)]

    def _read_split(self, present: list[str]) -> list[str]:
        if self.split == "test":
            return present
        if (self.root / "splits.json").exists():
            return super()._read_split(present)
        return [name for name in present if (hash_decile(name) == 0) == (self.split == "val")]

    def _list_names(self) -> list[str]:
        names = super()._list_names()
        matrices = self.has_fixations and not self.observers
        self._files: dict[str, Path] = {}
        for category in dict.fromkeys(name.split("/")[0] for name in names) if matrices else ():
            own = [name for name in names if name.startswith(f"{category}/")]
            found = find_files((Path(name).stem for name in own), self._set / "FIXATIONLOCS" / category, self)
            self._files |= {name: found[Path(name).stem] for name in own}
        return names


def _read_everybody(path: Path) -> dict[str, Fixations]:
    """Return the fixations on each image, by `<category>/NNN.jpg`."""
    try:
        found = {name: join([_person(each) for each in _people(cell)]) for name, cell in _read_map(path).items()}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        expected = "a containers.Map from images to structs of data (N x 2 or more)"
        raise DataError(f"{path} does not hold {expected}: {error!r}") from error
    return {name: Fixations(points.x, points.y, points.observer) for name, points in found.items()}


def _read_map(path: Path) -> dict[str, Any]:
    """Return the largest `containers.Map` of a MATLAB file: its one property is a struct of `keys` and `values`."""
    structs = [
        part for part in load_objects(path) if part.size == 1 and {"keys", "values"} <= {*(part.dtype.names or ())}
    ]
    properties = [part.ravel()[0] for part in structs]
    maps = [dict(zip(map(str, _flat(p["keys"])), _flat(p["values"]), strict=True)) for p in properties]
    return max(maps, key=len)


def _flat(cell: Any) -> list[Any]:
    """Return the elements of a cell array; SciPy wraps each text in an array."""
    return [each.item() if each.dtype.kind == "U" else each for each in cell.ravel()]


def _people(value: Any) -> Iterator[Any]:
    """Yield the structs in a cell array, however deeply they are nested."""
    for each in value.ravel():
        if value.dtype.names:
            yield each
        else:
            yield from _people(each)


def _person(record: Any) -> tuple[Floats, Floats, Floats]:
    """Return 0-based x and y; an observer without fixations is an empty matrix."""
    points = np.asarray(record["data"], dtype=np.float64)
    if points.size and (points.ndim != 2 or points.shape[1] < 2):
        raise ValueError(f"data must be N x 2 or more, got {points.shape}")
    x, y = points[:, :2].T - 1 if points.size else np.empty((2, 0))
    return x, y, x
