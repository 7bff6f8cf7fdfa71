"""MIT1003 and MIT300: the training and the benchmark images of the MIT saliency benchmark."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from salzoo.data._matlab import load_mat, open_mat
from salzoo.data.base import FixationDataset, Split, list_images, require_files
from salzoo.data.events import Screen, velocity_events
from salzoo.data.fixations import Fixations, Floats, join
from salzoo.data.folds import hash_decile
from salzoo.data.point_files import find_files, read_points
from salzoo.errors import DataError, SpecError
from salzoo.images.formats import is_hidden
from salzoo.images.geometry import Size

_HZ, _SHORTEST = 240, 100.0  # ms
_SCREEN = Screen(width_cm=1, width_px=35, distance_cm=0.5 / math.tan(math.radians(0.5)))  # 35 px a degree


class MIT1003(FixationDataset):
    """MIT1003: 1003 images, their longer side 1024; 15 observers, 3 s (Judd et al., ICCV 2009).

    `ALLSTIMULI/*.jpeg`, and the fixations in one of two forms, as the archives unpack (also nested: `DATA/DATA/`):

    - `DATA/<observer>/<image>.mat`, raw gaze at 240 Hz, if it is there. Fixations are detected by
      `salzoo.data.events.velocity_events`, at 35 px a degree and from 100 ms on. The authors' program,
      `checkFixations.m`, is another algorithm, so their number differs from the published 104,171. `observers` has the
      observers' names in the order of their numbers.
    - `ALLFIXATIONMAPS/<image>_fixPts.jpg` otherwise, or .png, .mat, .npy, .npz of the same name: pixels of 128 or
      more are fixations, in formats without losses those that are not 0. Who made them, in which
      order and how often is lost: all are observer 0's, and `observers` is empty.

    The first fixation of each observer is left out, as by the authors: it is where the fixation cross was. (The maps
    come without it.) Coordinates are used unchanged, as in pysaliency. The dataset has no splits of its own: they are
    the lists in `splits.json`, else a tenth of the images is `test` and another tenth `val`, by a hash of the file name
    (`hash_decile`: 0 is test, 1 is val). The usual blur is 24 px at 1024.

    Args:
        root: See `FixationDataset`.
        split: See `FixationDataset`.
        first_fixation: Keep the first fixation of each observer.
        sigma_px: See `FixationDataset`.
        pixels_per_degree: See `FixationDataset`.

    Raises:
        SpecError: If `first_fixation` is wanted of `ALLFIXATIONMAPS`, which comes without it.
    """

    name = "mit1003"
    stimuli = "ALLSTIMULI"
    source = (
        "MIT1003 is the data of Judd et al., 'Learning to Predict Where Humans Look', ICCV 2009: ALLSTIMULI.zip and "
        "DATA.zip (raw gaze) or ALLFIXATIONMAPS.zip (maps)"
    )

    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        first_fixation: bool = False,
        sigma_px: float | None = None,
        pixels_per_degree: float | None = None,
    ) -> None:
        self.first_fixation = first_fixation
        super().__init__(root, split, sigma_px=sigma_px, pixels_per_degree=pixels_per_degree)

    @property
    def has_order(self) -> bool:
        """Whether it is known who made which fixation, and in which order: from raw gaze."""
        return bool(self.observers)

    def read_points(self, index: int) -> Fixations:
        """Read the raw gaze of each observer, or the map of points."""
        paths = list(self.annotation_paths(index))
        if not self.observers:
            return read_points(paths[0], self.size(index))
        return join([_fixations(path) for path in paths]).leading(skip=0 if self.first_fixation else 1)

    def annotation_paths(self, index: int) -> Iterable[Path]:
        """Return the .mat file of each observer, or the map of points."""
        stem = Path(self.names[index]).stem
        if self.observers:
            return [_inner(self.root / "DATA") / observer / f"{stem}.mat" for observer in self.observers]
        return [self._maps[f"{stem}_fixPts"]]

    def points_options(self) -> tuple[object, ...]:
        """Return whether the first fixations are kept."""
        return (self.first_fixation,)

    def map_path(self, index: int) -> Path:
        """Return where the density that comes with the dataset is."""
        return _inner(self.root / "ALLFIXATIONMAPS") / f"{Path(self.names[index]).stem}_fixMap.jpg"

    def image_path(self, index: int) -> Path:
        """Return where the image is."""
        return _inner(self.root / self.stimuli) / self.names[index]

    def _usual_sigma(self, size: Size) -> float:
        return 24 * max(size) / 1024

    def _absent(self, folder: Path) -> list[str]:
        fixations = any((folder / name).is_dir() for name in ("DATA", "ALLFIXATIONMAPS"))
        return ["DATA or ALLFIXATIONMAPS"] * (not fixations) + [self.stimuli] * (not (folder / self.stimuli).is_dir())

    def _present(self) -> list[str]:
        return list_images(_inner(self.root / self.stimuli))

    def _read_split(self, present: list[str]) -> list[str]:
        if (self.root / "splits.json").exists():
            return super()._read_split(present)
        return [name for name in present if {0: "test", 1: "val"}.get(hash_decile(name), "train") == self.split]

    def _list_names(self) -> list[str]:
        names = super()._list_names()
        folder = _inner(self.root / "DATA")
        self.observers = sorted(
            child.name for child in folder.glob("[!._]*") if child.is_dir() and not is_hidden(child)
        )
        if not self.observers and self.first_fixation:
            raise SpecError("mit1003: ALLFIXATIONMAPS has no first fixations; unpack DATA.zip beside it")
        for observer in self.observers:
            require_files((f"{Path(name).stem}.mat" for name in names), folder / observer, self)
        if not self.observers:
            points = _inner(self.root / "ALLFIXATIONMAPS")
            self._maps = find_files((f"{Path(name).stem}_fixPts" for name in names), points, self, ".jpg")
        return names


class MIT300(FixationDataset):
    """MIT300: the 300 images of the MIT/Tuebingen benchmark; the fixations of its 39 observers are not public.

    `BenchmarkIMAGES/i1.jpg ... i300.jpg`, in that order. The only split is `test`, which is also `all`.
    `salzoo.data.write_submission` writes the folder that the benchmark takes.
    """

    name = "mit300"
    stimuli = "BenchmarkIMAGES"
    splits = ("test", "all")
    hidden = ("test", "all")
    source = "MIT300 is the benchmark data of Judd, Durand and Torralba, MIT 2012: BenchmarkIMAGES.zip"

    def __init__(
        self,
        root: str | Path,
        split: Split = "test",
        *,
        sigma_px: float | None = None,
        pixels_per_degree: float | None = None,
    ) -> None:
        super().__init__(root, split, sigma_px=sigma_px, pixels_per_degree=pixels_per_degree)

    def read_points(self, index: int) -> Fixations:
        """Return no fixations, as they are not public."""
        return join([])

    def _list_names(self) -> list[str]:
        folder = _inner(self.root / self.stimuli)
        numbers = [int(name[1:-4]) for name in list_images(folder) if re.fullmatch(r"i\d+\.jpg", name)]
        names = [f"i{number}.jpg" for number in range(1, max(numbers, default=1) + 1)]
        require_files(names, folder, self)
        return names

    def image_path(self, index: int) -> Path:
        """Return where the image is."""
        return _inner(self.root / self.stimuli) / self.names[index]


def _fixations(path: Path) -> tuple[Floats, Floats, Floats, Floats]:
    """Return x, y, duration and onset (ms) of the fixations in raw gaze, negative while the eye is closed."""
    gaze = _eye_data(path)
    x, y = np.where((gaze >= 0).all(1), gaze.T, np.nan)
    try:
        found = velocity_events(np.arange(len(x)) * 1000 / _HZ, x, y, _SCREEN, min_duration_ms=_SHORTEST)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    assert found.duration is not None
    assert found.onset is not None
    return found.x, found.y, found.duration, found.onset


def _eye_data(path: Path) -> Floats:
    """Return one observer's gaze on one image, (N, 2)."""
    found = open_mat(path)
    name = path.stem[:63]  # MATLAB's names end after 63 letters
    only = next(iter(found)) if len(found) == 1 else name  # as saved under another name by another program
    record: Any = load_mat(path, name if name in found else only, simplify=True)
    try:
        data = record["DATA"]
        gaze = np.asarray((data if isinstance(data, dict) else data[0])["eyeData"], dtype=np.float64)
        return gaze[:, :2] if gaze.size else np.empty((0, 2))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"{path} is not a struct with DATA(1).eyeData, N x 2 or more: {error!r}") from error


def _inner(folder: Path) -> Path:
    """Return the folder of the same name inside, if an archive was unpacked into a folder of its own name."""
    return folder / folder.name if (folder / folder.name).is_dir() else folder
