"""SALICON, in its two editions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from salzoo.data._matlab import load_mat, open_mat
from salzoo.data._matrix import ARRAYS
from salzoo.data.base import FixationDataset, Split, list_images
from salzoo.data.datasets.salicon_json import find_json, read_api_json
from salzoo.data.fixations import Fixations, Floats, join
from salzoo.data.one_file import read_once
from salzoo.data.point_files import MATRICES, find_files, read_points
from salzoo.errors import DataError, DatasetNotFoundError, SpecError
from salzoo.images import formats
from salzoo.images.geometry import Size

Edition = Literal[2015, 2017]

_PARTS: tuple[Split, ...] = ("train", "val", "test")
_NOBODY = np.empty((0, 2))


class SALICON(FixationDataset):
    """SALICON: 20,000 MS COCO images of 640x480; mouse movements in place of gaze (Jiang et al., CVPR 2015).

    `images/{train,val,test}/COCO_*.jpg` (or all in `images/`), `fixations/{train,val}/COCO_*.mat` and, if there,
    `maps/{train,val}/COCO_*.png`: 10,000, 5,000 and 5,000 images. The fixations of `test` are not public; `all` is
    train and val. A .mat has a struct array `gaze`, one element a worker, with `fixations` (N x 2, x and y, 1-based:
    one is subtracted) and the raw mouse track `location`, which is not read as fixations. A worker's number is the
    position in that array; the same number on two images need not be the same person.

    Fixations are also read as they are passed on otherwise: the JSON of SALICON's API,
    `annotations/fixations_{train,val}2014*.json` (row and column, 1-based, one entry a worker); and in place of each
    .mat the matrix `I` of the release for LSUN 2015 (in `fixation/`, without folders for the splits), an image of
    points, .npy or .npz: these do not tell who looked, in which order or how often, so all are observer 0's.

    The editions of 2015 and 2017 have the same images and file names, but different fixations; scores on the two must
    not be compared. The edition is therefore part of `name`: `salicon2015`, `salicon2017`, or `salicon_of_unknown_year`
    if neither `edition` nor the folder tells. The folder tells by a year in its name or in that of its folder
    `fixations` (such as `fixations2017`), or by mouse tracks that leave the image, which those of 2015 do not.

    The usual blur is that of the authors' code, 19 px at 480 rows.

    Args:
        root: See `FixationDataset`; also a folder that holds `SALICON`, `SALICON2015` or `SALICON2017`.
        split: See `FixationDataset`.
        edition: 2015 or 2017; None to go by the folder.
        sigma_px: See `FixationDataset`.
        pixels_per_degree: See `FixationDataset`.

    Raises:
        DataError: If the folder holds both editions and `edition` is not given, or not the edition that is.
    """

    name = "salicon"
    stimuli = "images"
    hidden = ("test",)
    source = (
        "SALICON is the data of Jiang et al., 'SALICON: Saliency in Context', CVPR 2015, from salicon.net: one archive "
        "of images, one of maps, and one of fixations for each edition, 2015 and 2017; fixations and maps hold train/ "
        "and val/ without a folder around them, so unpack them into fixations/ and maps/"
    )

    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        edition: Edition | None = None,
        sigma_px: float | None = None,
        pixels_per_degree: float | None = None,
    ) -> None:
        if edition is not None and edition not in get_args(Edition):
            raise SpecError(f"salicon: unknown edition {edition!r}; accepted: 2015, 2017")
        self._asked = edition
        super().__init__(root, split, sigma_px=sigma_px, pixels_per_degree=pixels_per_degree)

    def read_points(self, index: int) -> Fixations:
        """Read the image's own file, or its entries in the JSON for all."""
        (path,) = self.annotation_paths(index)
        if self._json:
            return read_once(read_api_json, path)[self.names[index]]
        variables = open_mat(path).keys() if path.suffix.lower() == ".mat" else {*MATRICES}
        if "gaze" not in variables and not variables.isdisjoint(MATRICES):
            return read_points(path, self.size(index))
        gaze = _gaze(path)
        try:
            people = [_matrix(fixations) - 1 for fixations in gaze["fixations"]]
            outside = self.edition == 2015 and _leaves_the_image(gaze, self.size(index))
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: fixations and location must be N x 2 matrices of x and y: {error}") from error
        if outside:
            raise DataError(
                f"{path} has mouse tracks outside the image, which the edition of 2015 does not have: the folder holds "
                "the edition of 2017, or both mixed. Unpack one edition into a folder of its own, and give its year"
            )
        points = join([(person[:, 0], person[:, 1], person[:, 0]) for person in people])
        return Fixations(points.x, points.y, points.observer)

    def annotation_paths(self, index: int) -> Iterable[Path]:
        """Return the image's own file, or the JSON for all."""
        name = self.names[index]
        return [self._json[_part(name)] if self._json else self._files[Path(name).stem]]

    def map_path(self, index: int) -> Path:
        """Return where the density that comes with the dataset is, blurred by 19 px."""
        name = self.names[index]
        folders = [self.root / each for each in (f"maps{self.edition}", "maps", "saliency")]  # the last for LSUN 2015
        folder = _inside(next((each for each in folders if each.is_dir()), folders[1]), _part(name))
        found = [folder / f"{Path(name).stem}{suffix}" for suffix in (".png", ".jpg", *ARRAYS)]
        return next((path for path in found if path.exists()), found[0])

    def image_path(self, index: int) -> Path:
        """Return where the image is."""
        return self._image_folder(_part(self.names[index])) / self.names[index]

    def _usual_sigma(self, size: Size) -> float:
        return 19 * size[0] / 480

    def _folders(self) -> tuple[str, ...]:
        years = get_args(Edition) if self._asked is None else (self._asked,)
        return ("salicon", *(f"salicon{year}" for year in years))

    def _absent(self, folder: Path) -> list[str]:
        present = not self.has_fixations or _fixation_folders(folder) or find_json(folder)
        fixations = [] if present else ["fixations"]
        return fixations + [self.stimuli] * (not (folder / self.stimuli).is_dir())

    def _find(self, root: Path) -> Path:
        rivals = [root / name for name in _children(root, r"salicon(2015|2017)")]
        if self._asked is None and len(rivals) > 1 and self._absent(root):
            raise DataError(f"salicon: {root} holds both editions; give edition=2015 or edition=2017")
        found = super()._find(root)
        self._fixation_folder, self.edition = self._which(found)
        self.name = f"salicon{self.edition or '_of_unknown_year'}"
        return found

    def _which(self, root: Path) -> tuple[Path, int | None]:
        """Return the folder of fixations and its edition, None if nothing tells."""
        folders, self._json = _fixation_folders(root), find_json(root)
        folders = [folder for folder in folders if folder not in {path.parent for path in self._json.values()}]
        if folders and self._json:
            names = ", ".join(path.name for path in (*folders, *self._json.values()))
            raise DataError(f"salicon: {root} has fixations twice, in {names}: keep one of them")
        if self._asked is not None:  # first the folder that names it, last the one that names the other
            folders.sort(key=lambda folder: (_year(folder.name) != self._asked, _year(folder.name) is not None))
        elif len(folders) > 1:
            names = ", ".join(folder.name for folder in folders)
            raise DataError(f"salicon: {root} holds {names}: more than one edition; give edition=2015 or edition=2017")
        if not folders:  # JSON, or only the test split, which is the same in both
            years = {_year(path.name.replace("2014", "")) for path in self._json.values()} | {_year(root.name)} - {None}
            return root / "fixations", self._asked or (years.pop() if len(years) == 1 else None)
        told = {year for year in (_year(folders[0].name), _year(root.name), self._asked) if year is not None}
        if len(told) > 1:
            raise DataError(
                f"salicon: is {folders[0]} the edition of 2015 or of 2017? Its name, the name of the dataset's "
                f"folder and the edition that was asked for ({self._asked}) must not contradict each other"
            )
        if not told and _shows_2017(folders[0]):
            return folders[0], 2017
        return folders[0], next(iter(told), None)

    def _present(self) -> list[str]:
        parts: tuple[Split, ...] = ("train", "val") if self.split == "all" else (self.split,)
        names = []
        for part in parts:
            prefix = f"COCO_{part}2014_"
            names += [name for name in list_images(self._image_folder(part)) if name.startswith(prefix)]
        return names

    def _read_split(self, present: list[str]) -> list[str]:
        return present

    def _list_names(self) -> list[str]:
        names = super()._list_names()
        self._files: dict[str, Path] = {}
        for part in dict.fromkeys(map(_part, names)) if self.has_fixations else ():
            stems = [Path(name).stem for name in names if _part(name) == part]
            if self._json:
                where, seen = (
                    self._json_of(part),
                    {Path(name).stem for name in read_once(read_api_json, self._json_of(part))},
                )
                if unseen := sorted(set(stems) - seen):
                    raise DatasetNotFoundError(
                        f"{self.name}: {where} has no fixations on {len(unseen)} of {len(stems)} images, such as "
                        f"{unseen[0]}.jpg. {self.source}"
                    )
            else:
                where = _inside(self._fixation_folder, part)
                self._files |= find_files(stems, where, self)
                seen = {path.stem for path in formats.list_files(where, ARRAYS).found}
            if more := sorted(stem for stem in seen - set(stems) if _part(stem) == part):
                raise DatasetNotFoundError(
                    f"{self.name}: {len(more)} images, such as {more[0]}.jpg, missing in "
                    f"{self._image_folder(part)}: {where} has fixations on them. {self.source}"
                )
        return names

    def _json_of(self, part: str) -> Path:
        if part not in self._json:
            raise DatasetNotFoundError(f"{self.name}: no fixations_{part}2014.json in {self.root}. {self.source}")
        return self._json[part]

    def _image_folder(self, part: str) -> Path:
        return _inside(self.root / self.stimuli, part)


def _inside(folder: Path, part: str) -> Path:
    """Return the folder of a split, which not every release has."""
    return folder / part if (folder / part).is_dir() else folder


def _part(name: str) -> str:
    """Return the split in a COCO file name."""
    return name.removeprefix("COCO_").split("2014_")[0]


def _children(folder: Path, pattern: str) -> list[str]:
    return sorted(
        child.name for child in folder.glob("*") if re.fullmatch(pattern, child.name.lower()) and child.is_dir()
    )


def _fixation_folders(root: Path) -> list[Path]:
    return [root / name for name in _children(root, r"fixations?[-_]?(2015|2017)?")]


def _year(name: str) -> int | None:
    found = re.search(r"2015|2017", name)
    return int(found[0]) if found else None


def _gaze(path: Path) -> NDArray[Any]:
    """Return the struct array, one element a worker."""
    gaze = load_mat(path, "gaze", simplify=False)
    if "fixations" not in (gaze.dtype.names or ()):
        raise DataError(f"{path}: gaze must be a struct array with a field fixations, got {gaze.dtype}")
    return np.asarray(gaze).ravel()


def _matrix(points: Floats) -> Floats:
    """Return (N, 2) points; a worker without any is an empty matrix of any shape."""
    points = np.asarray(points, dtype=np.float64)
    if points.size == 0:
        return _NOBODY
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"got shape {points.shape}")
    return points


def _leaves_the_image(gaze: NDArray[Any], size: Size) -> bool:
    """Return whether a 1-based mouse track leaves the image by more than a pixel, which rounding does not explain."""
    tracks: Iterable[Floats] = gaze["location"] if "location" in (gaze.dtype.names or ()) else []
    points = np.concatenate([_NOBODY, *(_matrix(track) for track in tracks)])
    return bool(((points < 0) | (points > (size[1] + 1, size[0] + 1))).any())


def _shows_2017(folder: Path) -> bool:
    """Return whether one of a few files spread over the folder must be of the edition of 2017."""
    places = [place for place in (folder, *(folder / part for part in _PARTS)) if place.is_dir()]
    files = [path for place in places for path in formats.list_files(place, {".mat"}).found]
    some = files[:: max(1, len(files) // 16)]
    return any(_leaves_the_image(_gaze(path), (480, 640)) for path in some if "gaze" in open_mat(path))
