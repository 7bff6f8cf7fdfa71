"""The points of one split in one file, so that an epoch reads no annotation file again."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from salzoo._io import whole
from salzoo.data.fixations import Fixations

_POINT = np.dtype([("x", "<f8"), ("y", "<f8"), ("observer", "<i8"), ("duration", "<f8"), ("onset", "<f8")])


class PreparedPoints:
    """Points in a file, of which those of one image are read when they are asked for.

    In memory there is one number an image, whatever the number of points.

    Args:
        folder: Where the cache is.
        stem: Name of its two files without suffix: `.points` has the records of all images in a row, `.npz` where those
            of each image begin.

    Raises:
        FileNotFoundError: If they have not been written yet.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self.folder, self._path = folder, folder / f"{stem}.points"
        with np.load(folder / f"{stem}.npz", allow_pickle=False) as index:
            self._first: NDArray[np.int64] = index["first"]
            self._timed, self._started = bool(index["timed"]), bool(index["started"])

    @classmethod
    def complete(cls, folder: Path, stem: str) -> bool:
        """Whether both files are there, and as long as they were written."""
        try:
            points = cls(folder, stem)
            return points._path.stat().st_size == int(points._first[-1]) * _POINT.itemsize
        except (OSError, EOFError, ValueError, KeyError, IndexError, zipfile.BadZipFile):
            return False

    @classmethod
    def write(cls, folder: Path, stem: str, images: Iterable[Fixations]) -> Self:
        """Write the points of one image after the other; nothing is left after an error."""
        first, timed, started = [0], False, False
        with whole(folder / f"{stem}.points") as path, path.open("wb") as file:
            for points in images:
                records = np.zeros(len(points), _POINT)
                records["x"], records["y"], records["observer"] = points.x, points.y, points.observer
                if points.duration is not None:
                    timed, records["duration"] = True, points.duration
                if points.onset is not None:
                    started, records["onset"] = True, points.onset
                records.tofile(file)
                first.append(first[-1] + len(points))
        # Last, because its presence means that both are complete.
        with whole(folder / f"{stem}.npz") as path, path.open("wb") as file:
            np.savez(file, first=np.array(first), timed=np.array(timed), started=np.array(started))
        return cls(folder, stem)

    def __getitem__(self, index: int) -> Fixations:
        """Return the points of one image."""
        first, end = self._first[index], self._first[index + 1]
        records = np.fromfile(self._path, _POINT, int(end - first), offset=int(first) * _POINT.itemsize)
        duration, onset = (
            records[name] if known else None for name, known in (("duration", self._timed), ("onset", self._started))
        )
        return Fixations(records["x"], records["y"], records["observer"], duration, onset=onset)
