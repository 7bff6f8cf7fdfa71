"""Datasets with the fixations on all images in one file, which is read once a process."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from salzoo.data.base import FixationDataset, file_stamp
from salzoo.data.fixations import Fixations
from salzoo.errors import DataError


class OneFileDataset(FixationDataset):
    """A dataset with the fixations on all its images in one file."""

    @staticmethod
    @abstractmethod
    def read_annotations(path: Path) -> dict[str, Fixations]:
        """Read all fixations, by file name of the image: 0-based, nothing dropped.

        Raises:
            DataError: If the file is damaged or not laid out as the original download.
        """

    def read_points(self, index: int) -> Fixations:
        """Read the file, once a process, and return the fixations on one image."""
        (path,) = self.annotation_paths(index)
        points = read_once(self.read_annotations, path)
        try:
            return points[self.names[index]]
        except KeyError:
            raise DataError(f"{path} has no fixations record for the image {self.names[index]}") from None


def read_once(read: Callable[[Path], dict[str, Fixations]], path: Path) -> dict[str, Fixations]:
    """Read a file once a process, and again if it is replaced, also by an older one."""
    return _cached(read, path, file_stamp(path))


@lru_cache(maxsize=16)
def _cached(read: Callable[[Path], dict[str, Fixations]], path: Path, _stamp: tuple[int, ...]) -> dict[str, Fixations]:
    return read(path)
