"""The points of one split in one file, so that an epoch reads no annotation file again."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from salzoo.data.density_only import DensityOnly
from salzoo.data.fixations import Fixations

if TYPE_CHECKING:
    from salzoo.data.base import FixationDataset

_Dataset = TypeVar("_Dataset", bound="FixationDataset")

_POINT = np.dtype([("x", "<f8"), ("y", "<f8"), ("observer", "<i8"), ("duration", "<f8")])


class PreparedPoints:
    """Points that `prepare` wrote; each picture's are read from the file when they are asked for.

    In memory there is one number a picture, whatever the number of points.

    Args:
        folder: Where the cache is.
        stem: Of the two files: `.points`, the records of all pictures in a row, and `.npz`, where each picture's begin.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self.folder, self._path = folder, folder / f"{stem}.points"
        with np.load(folder / f"{stem}.npz", allow_pickle=False) as index:
            self._first: NDArray[np.int64] = index["first"]
            self._timed: bool = bool(index["timed"])

    def __getitem__(self, index: int) -> Fixations:
        """Return one picture's points."""
        first, end = self._first[index], self._first[index + 1]
        records = np.fromfile(self._path, _POINT, int(end - first), offset=int(first) * _POINT.itemsize)
        return Fixations(records["x"], records["y"], records["observer"], records["duration"] if self._timed else None)


def prepare(dataset: _Dataset, folder: str | Path) -> _Dataset:
    """Write all points of a data set into one file, unless that was done before, and read them from there from now on.

    The file's name depends on the size and the time stamp of every annotation file, so one that was replaced is read
    again. Values are the same to the last bit.

    Args:
        dataset: One split of a set; it is changed and returned. One without public fixations, or of maps instead of
            points, stays as it is.
        folder: Of the cache; made if it is not there. Any number of sets can share it.

    Raises:
        DataError: If an annotation file cannot be read.
    """
    if not dataset.has_fixations:
        return dataset
    folder = Path(folder).expanduser()
    stem = f"{dataset.name}-{dataset.split}-{_key(dataset)}"
    if not (folder / f"{stem}.npz").exists():
        if isinstance(dataset.read_points(0), DensityOnly):
            return dataset
        folder.mkdir(parents=True, exist_ok=True)
        _write(dataset, folder / stem)
    dataset._prepared = PreparedPoints(folder, stem)
    return dataset


def _key(dataset: FixationDataset) -> str:
    """Return a hash of all that the points depend on."""
    digest = sha256(repr((type(dataset).__name__, dataset.points_options(), dataset.names)).encode())
    for path in dict.fromkeys(path for i in range(len(dataset)) for path in dataset.annotation_paths(i)):
        status = path.stat()
        digest.update(f"{path.absolute()} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _write(dataset: FixationDataset, target: Path) -> None:
    first, timed = [0], False
    with _whole(target.with_name(f"{target.name}.points")) as path, path.open("wb") as file:
        for index in range(len(dataset)):
            points = dataset.read_points(index)
            records = np.zeros(len(points), _POINT)
            records["x"], records["y"], records["observer"] = points.x, points.y, points.observer
            if points.duration is not None:
                timed, records["duration"] = True, points.duration
            records.tofile(file)
            first.append(first[-1] + len(points))
    # Last, because its presence means that both are complete.
    with _whole(target.with_name(f"{target.name}.npz")) as path, path.open("wb") as file:
        np.savez(file, first=np.array(first), timed=np.array(timed))


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """Give a path to write to; what is there in the end becomes `target`, and nothing is left after an error."""
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
