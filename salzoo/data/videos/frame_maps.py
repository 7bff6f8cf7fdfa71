"""DHF1K, Hollywood-2 and UCF Sports: a map and the points of each frame, as the authors of DHF1K hand them on."""

from __future__ import annotations

import re
from abc import abstractmethod
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from salzoo._text import read_json
from salzoo.data._matrix import ARRAYS, read_matrix
from salzoo.data.base import open_image
from salzoo.data.folds import hash_decile
from salzoo.data.point_files import SUFFIXES
from salzoo.data.videos.base import VideoDataset, find_root
from salzoo.data.videos.clip import Clip
from salzoo.data.videos.gaze import Gaze, GazeFiles
from salzoo.errors import DataError, DatasetNotFoundError
from salzoo.images.formats import list_frames
from salzoo.images.geometry import Size
from salzoo.images.grey import grey_values
from salzoo.video.frames import SUFFIXES as VIDEOS

_SLACK = 2
"""Frames by which decoders differ on one file; more is another file."""


class FrameMaps(VideoDataset):
    """Clips with `maps/` and `fixation/`, each of one file a frame.

    Arguments and errors as `VideoDataset`. Points are in `fixation/*.png` or `fixation/maps/*.mat` (a matrix, not 0
    where somebody looked); who looked is not in them. The density of a frame is its file in `maps/`, divided by its
    sum, unless a blur is given. `splits.json` in the dataset's folder, with lists train, val and test of names, takes
    the place of the usual splits.
    """

    def read_clip(self, index: int) -> Clip:
        """Return the frames of a clip; where a video file has up to two more than are annotated, without those."""
        name = self.names[index]
        clip = Clip(name, self._frames_of(name), fps=30.0 if self.fps is None else self.fps)
        if not self.has_fixations:
            return clip
        annotated, count = len(self._files(name)), len(clip)
        if count == annotated:
            return clip
        if clip.source.is_dir() or abs(count - annotated) > _SLACK:
            raise DataError(
                f"{self.name}: {clip.source} has {count} frames, and {self._annotations(name)} is of {annotated}: "
                "the two do not go together, or a download is not whole"
            )
        return Clip(name, clip.source, clip.fps, most=min(count, annotated))

    fps: float | None = None
    """Frames a second of a folder of frames."""

    def read_gaze(self, index: int) -> Gaze:
        """Return the points of each frame."""
        clip = self.clip(index)
        return GazeFiles(self._files(self.names[index]), clip.size)

    def read_map(self, index: int, frame: int) -> Tensor | None:
        """Return the density that comes with the dataset; all 0 where the map is black.

        Raises:
            DataError: If it has another size than the frame.
        """
        folder = self._annotations(self.names[index]) / "maps"
        files = _listed(folder)
        if not files:
            return None
        points = self._files(self.names[index])
        if len(files) != len(points):
            raise DataError(
                f"{self.name}: {folder} has {len(files)} maps, and there are points of {len(points)} frames"
            )
        path = files[frame]
        if path.suffix.lower() in ARRAYS:
            values = read_matrix(path, ("I",)).astype(np.float64)
        else:
            values = open_image(path, lambda image: grey_values(image, str(path)).astype(np.float64))
        if values.shape != self.clip(index).size or not np.isfinite(values).all() or values.min() < 0:
            raise DataError(f"{path} is no map of a frame of {self.clip(index).size} (height, width): {values.shape}")
        total = values.sum()
        return torch.from_numpy((values / total if total else values).astype(np.float32))

    @property
    def has_maps(self) -> bool:
        """Whether densities are the maps that come with the dataset: unless a blur is given."""
        return self._blur is None and bool(_listed(self._annotations(self.names[0]) / "maps"))

    @abstractmethod
    def _annotations(self, name: str) -> Path:
        """Return the folder that has `maps/` and `fixation/` of a clip."""

    @abstractmethod
    def _frames_of(self, name: str) -> Path:
        """Return the folder or file of a clip's frames."""

    def _files(self, name: str) -> tuple[Path, ...]:
        """Return the file of points of each frame."""
        folder = self._annotations(name) / "fixation"
        found = _listed(folder) or _listed(folder / "maps")
        if not found:
            raise DatasetNotFoundError(f"{self.name}: no points of clip {name} in {folder}. {self.source}")
        return found

    def _listed_split(self, present: list[str]) -> list[str] | None:
        """Return the split that `splits.json` lists; None if there is no such file."""
        path = self.root / "splits.json"
        if not path.exists() or self.split == "all":
            return None
        try:
            lists = read_json(path)
        except (ValueError, OSError) as error:
            raise DataError(str(error)) from error
        names = lists.get(self.split) if isinstance(lists, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError(f"{path} must be JSON with lists train, val and test")
        if absent := sorted(set(names) - set(present)):
            raise DatasetNotFoundError(f"{path}: {len(absent)} clips of split {self.split!r} are not here: {absent[0]}")
        return sorted(names)


class DHF1K(FrameMaps):
    """DHF1K: 1,000 videos of 640 x 360 at 30 frames a second; 17 observers (Wang et al., CVPR 2018).

    `annotation/0001/{maps,fixation}`, and the frames as `video/001.AVI` (any suffix of a video), `video/0001/*.png` or
    `annotation/0001/images/*.png`: three programs put them in three places. `train` is 1 to 600, `val` 601 to 700,
    `test` 701 to 1,000, whose fixations are not public; `all` has those with fixations. Coordinates and maps are those
    of the release. The usual blur
    is 12.74 px at a width of 640: the authors' Gaussian is 30 px wide at half its height.
    """

    name = "dhf1k"
    fps = 30.0
    source = "DHF1K is the data of Wang et al., 'Revisiting Video Saliency', CVPR 2018: video/ and annotation/"

    @property
    def has_fixations(self) -> bool:
        """Whether the fixations of this split are here: those of `test` are not public."""
        return bool(self.names) and all((self._annotations(name) / "fixation").is_dir() for name in self.names)

    def _usual_sigma(self, size: Size) -> float:
        return 12.74 * size[1] / 640

    def _find(self, root: Path) -> Path:
        try:
            return find_root(root, self.name, self.source, ("annotation",))
        except DatasetNotFoundError:
            return find_root(root, self.name, self.source, ("video",))  # the test split alone

    def _list_names(self) -> list[str]:
        found = {f"{int(path.name):04d}" for path in self.root.glob("annotation/*") if _is_number(path)}
        found |= {f"{int(path.stem):04d}" for path in self.root.glob("video/*") if path.stem.isdigit()}
        present = sorted(found)
        names = self._listed_split(present)
        if self.split == "all":
            names = [name for name in present if (self._annotations(name) / "fixation").is_dir()] or present
        if names is None:
            names = [name for name in present if self.split == _dhf1k_split(int(name))]
        if not names:
            raise DatasetNotFoundError(f"{self.name}: no clip of split {self.split!r} in {self.root}. {self.source}")
        return names

    def _annotations(self, name: str) -> Path:
        return self.root / "annotation" / name

    def _frames_of(self, name: str) -> Path:
        for folder in (self._annotations(name) / "images", self.root / "video" / name):
            if folder.is_dir():
                return folder
        for path in sorted((self.root / "video").glob("*")):
            if path.suffix.lower() in VIDEOS and path.stem.isdigit() and int(path.stem) == int(name):
                return path
        raise DatasetNotFoundError(
            f"{self.name}: no frames of clip {name}: neither video/{int(name):03d}.AVI, video/{name}/ nor "
            f"annotation/{name}/images/ in {self.root}. {self.source}"
        )


class Shots(FrameMaps):
    """`training/` and `testing/`, each with one folder a shot: `images/`, `maps/`, `fixation/`.

    Frames are taken by the numbers in their names, which need not begin at 1, and each has the points and the map of
    its own number. `test` is `testing/`; `val` is a tenth of `training/`, by a hash of the video's name, and `train`
    the rest: the dataset has no such split of its own.
    """

    def _usual_sigma(self, size: Size) -> float:
        return 20.0

    def _find(self, root: Path) -> Path:
        return find_root(
            root, self.name, self.source, ("training",) if self.split in ("train", "val") else ("testing",)
        )

    def _list_names(self) -> list[str]:
        parts = {"train": ("training",), "val": ("training",), "test": ("testing",), "all": ("training", "testing")}
        present = sorted(
            f"{part}/{path.name}"
            for part in parts[self.split]
            for path in (self.root / part).glob("*")
            if (path / "images").is_dir()
        )
        names = self._listed_split(present)
        if names is None:
            names = [name for name in present if self.split in ("all", "test", self._part(name))]
        if not names:
            raise DatasetNotFoundError(f"{self.name}: no clip of split {self.split!r} in {self.root}. {self.source}")
        return names

    @staticmethod
    def _part(name: str) -> str:
        return "val" if hash_decile(re.sub(r"_\d+$", "", name.partition("/")[2])) == 0 else "train"

    def _annotations(self, name: str) -> Path:
        return self.root / name

    def _frames_of(self, name: str) -> Path:
        return self.root / name / "images"

    def read_clip(self, index: int) -> Clip:
        """Return the frames of a shot, after a look at whether they are the annotated ones."""
        clip = super().read_clip(index)
        files = self._files(self.names[index])
        numbers = [(_last_number(a), _last_number(b)) for a, b in zip(clip.files, files, strict=True)]
        if wrong := [i for i, (a, b) in enumerate(numbers) if a != b]:
            raise DataError(
                f"{self.name}: frame {clip.files[wrong[0]]} would have the points of {files[wrong[0]].name}: the "
                "numbers of frames and points differ"
            )
        return clip


class Hollywood2(Shots):
    """Hollywood-2: 1,707 clips of films, cut into shots; 19 observers (Mathe & Sminchisescu, PAMI 2015).

    As handed on with DHF1K: `training/actioncliptrain00001_1/{images,maps,fixation}` and
    `testing/actioncliptest00001_1/...`. The numbers of frames go on over the shots of a clip. Shots are clips here.
    """

    name = "hollywood2"
    fps = 25.0
    source = (
        "Hollywood-2 is the data of Mathe and Sminchisescu, 'Actions in the Eye', PAMI 2015, as handed on with DHF1K"
    )


class UCFSports(Shots):
    """UCF Sports: 150 short clips of sports; 19 observers (Mathe & Sminchisescu, PAMI 2015).

    As handed on with DHF1K: `training/Diving-Side-001/{images,maps,fixation}` and `testing/...`.
    """

    name = "ucf_sports"
    fps = 25.0
    source = (
        "UCF Sports is the data of Mathe and Sminchisescu, 'Actions in the Eye', PAMI 2015, as handed on with DHF1K"
    )

    @staticmethod
    def _part(name: str) -> str:
        return "val" if hash_decile(name.partition("/")[2]) == 0 else "train"


@lru_cache(maxsize=16)
def _listed(folder: Path) -> tuple[Path, ...]:
    """Return the files of a folder in the order of the numbers in their names."""
    return list_frames(folder, SUFFIXES).found if folder.is_dir() else ()


def _is_number(path: Path) -> bool:
    return path.is_dir() and path.name.isdigit()


def _dhf1k_split(number: int) -> str:
    return "train" if number <= 600 else "val" if number <= 700 else "test"


def _last_number(path: Path) -> int:
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else -1
