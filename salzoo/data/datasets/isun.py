"""iSUN: webcam gaze, one MATLAB file a split."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from salzoo.data._matlab import load_mat
from salzoo.data.base import require_files
from salzoo.data.fixations import Fixations, Floats, join
from salzoo.data.one_file import OneFileDataset, read_once
from salzoo.data.point_files import find_files, read_points
from salzoo.errors import DataError

_FILES = {"train": "training", "val": "validation", "test": "testing"}


class ISUN(OneFileDataset):
    """iSUN: 8,926 images of scenes; about 3 observers each, by webcam (Xu et al., arXiv:1504.06755, 2015).

    `images/*.jpg` and `training.mat` (6,000 images), `validation.mat` (926) and `testing.mat` (2,000, names only: its
    fixations are not public; `all` is train and val). Each has a struct array named like the file, of `image` (the
    image's name without .jpg) and `gaze`, a struct array of `fixation` (N x 2, x and y), one element an observer; the
    same number on two images need not be the same person. Coordinates are used unchanged, as in pysaliency; the dataset
    does not say whether they count from 0 or from 1.

    Where the struct arrays have names only, `fixation/<image>.mat` has a matrix of the image's size, not 0 where
    somebody looked (.npy, .npz or an image of points will do); `saliency/<image>.mat` is the density that comes with
    the dataset.
    """

    name = "isun"
    stimuli = "images"
    hidden = ("test",)
    source = (
        "iSUN is the data of Xu et al., 'TurkerGaze: Crowdsourcing Saliency with Webcam based Eye Tracking', "
        "arXiv:1504.06755, for the LSUN saliency challenge of 2015: training.mat, validation.mat, testing.mat and "
        "image.zip"
    )

    @staticmethod
    def read_annotations(path: Path) -> dict[str, Fixations]:
        """Read one split's struct array."""
        found: dict[str, Fixations] = {}
        for number, record in enumerate(_records(path), start=1):
            try:
                name = _name(record["image"])
                points = join([_person(person) for person in _people(record)])
            except (KeyError, TypeError, ValueError, IndexError) as error:
                expected = "a struct of image and gaze.fixation (N x 2)"
                raise DataError(f"{path}: record {number} is not {expected}: {error!r}") from error
            if name in found:
                raise DataError(f"{path}: record {number} is a second one for the image {name}")
            found[name] = Fixations(points.x, points.y, points.observer)
        return found

    def read_points(self, index: int) -> Fixations:
        """Read the file of the split, once a process, or the image's own matrix."""
        (path,) = self.annotation_paths(index)
        return read_points(path, self.size(index)) if self._files else super().read_points(index)

    def annotation_paths(self, index: int) -> Iterable[Path]:
        """Return the file of the image's split, or the image's own."""
        name = self.names[index]
        return [self._files[Path(name).stem] if self._files else self._file(self._part_of[name])]

    def map_path(self, index: int) -> Path:
        """Return where the density that comes with the dataset is."""
        return self.root / "saliency" / f"{Path(self.names[index]).stem}.mat"

    def _absent(self, folder: Path) -> list[str]:
        needed = [*(f"{_FILES[part]}.mat" for part in self._parts()), self.stimuli]
        return [part for part in needed if not (folder / part).exists()]

    def _parts(self) -> tuple[str, ...]:
        return ("train", "val") if self.split == "all" else (self.split,)

    def _file(self, part: str) -> Path:
        return self.root / f"{_FILES[part]}.mat"

    def _names_of(self, part: str) -> list[str]:
        path = self._file(part)
        if part != "test" and not self._has_matrices(part):
            return list(read_once(self.read_annotations, path))
        try:
            return [_name(record["image"]) for record in _records(path)]
        except TypeError as error:
            raise DataError(f"{path}: {error}") from error

    def _has_matrices(self, part: str) -> bool:
        """Return whether the fixations are in `fixation/`, and the split's file has names only."""
        path = self.root / "fixation"
        return path.is_dir() and "gaze" not in (
            load_mat(self._file(part), _FILES[part], simplify=False).dtype.names or ()
        )

    def _list_names(self) -> list[str]:
        self._part_of = {name: part for part in self._parts() for name in self._names_of(part)}
        names = list(self._part_of)
        require_files(names, self.root / self.stimuli, self)
        matrices = self.has_fixations and all(self._has_matrices(part) for part in self._parts())
        self._files = find_files((Path(name).stem for name in names), self.root / "fixation", self) if matrices else {}
        return names


def _records(path: Path) -> list[Any]:
    """Return the elements of the struct array that is named like the file."""
    records = load_mat(path, path.stem, simplify=False)
    if "image" not in (records.dtype.names or ()):
        raise DataError(f"{path}: {path.stem} must be a struct array with a field image, got {records.dtype}")
    return list(records.ravel())


def _name(value: Any) -> str:
    """Return the file name from a string that may be nested in cells."""
    while isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if not isinstance(value, str):
        raise TypeError(f"image must be the name of an image, got {type(value).__name__}")
    return f"{value.removesuffix('.jpg')}.jpg"


def _people(record: Any) -> list[Any]:
    """Return each observer's matrix."""
    gaze = record["gaze"]
    while gaze.dtype == object and gaze.size == 1:  # a struct array in a cell
        gaze = gaze.item()
    return list(gaze["fixation"].ravel()) if gaze.size else []


def _person(fixation: Floats) -> tuple[Floats, Floats, Floats]:
    points = np.asarray(fixation, dtype=np.float64)
    if points.size and (points.ndim != 2 or points.shape[1] != 2):
        raise ValueError(f"fixation must be N x 2, got {points.shape}")
    points = points.reshape(-1, 2)
    return points[:, 0], points[:, 1], points[:, 0]
