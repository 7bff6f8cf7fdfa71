"""One clip of a dataset: a video file or a folder of frames, read from any frame on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from salzoo.data.base import open_image
from salzoo.data.fixations import Floats
from salzoo.errors import DataError, ImageError
from salzoo.images.formats import list_frames
from salzoo.images.geometry import Size
from salzoo.images.read import ImageLike, to_tensor
from salzoo.video.frames import Frame
from salzoo.video.seeking import FrameTimes, frame_times, frames_from


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip, of which only the frames that are asked for are decoded.

    Args:
        name: Its name in the dataset.
        source: A video file, or a folder whose images, sorted by name, are the frames.
        fps: Frames a second of a folder; a file has its own times.
        most: Take no more than so many frames, as where truth is known for fewer.

    Raises:
        ImageError: When it is first looked into: if the file is no video, or the folder holds no image.
    """

    name: str
    source: Path
    fps: float = 25.0
    most: int | None = None

    def __len__(self) -> int:
        """Return the number of frames."""
        count = len(self._names) if self.source.is_dir() else len(self._index.seconds)
        return count if self.most is None else min(count, self.most)

    @property
    def files(self) -> tuple[Path, ...]:
        """The frames of a folder; empty for a file."""
        return tuple(self.source / name for name in self._names) if self.source.is_dir() else ()

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """File names of the frames of a folder: a fifth of what their paths would take in memory."""
        found = list_frames(self.source).found
        if not found:
            raise ImageError(f"folder '{self.source}' holds no image: a folder is a clip whose frames are its images")
        return tuple(path.name for path in found)

    @cached_property
    def _index(self) -> FrameTimes:
        return frame_times(self.source)

    @cached_property
    def times(self) -> Floats:
        """(T,) seconds at which each frame is shown, from the first one."""
        if self.source.is_dir():
            return np.arange(len(self)) / self.fps
        return self._index.seconds[: len(self)]

    @cached_property
    def size(self) -> Size:
        """(height, width) of the frames."""
        if self.source.is_dir():
            return open_image(self.source / self._names[0], lambda image: (image.height, image.width))
        return self._index.size

    @property
    def seconds(self) -> float:
        """How long it lasts: to the end of its last frame."""
        step = float(np.median(np.diff(self.times))) if len(self) > 1 else 1 / self.fps
        return float(self.times[-1]) + step

    def frames(self, first: int = 0, stop: int | None = None, every: int = 1) -> Iterator[Frame]:
        """Yield the frames `first`, `first + every`, ... below `stop`; memory holds one of them.

        Raises:
            DataError: If a frame has another size than the first one, or the file ends early.
            ImageError: If a frame cannot be decoded.
        """
        wanted = range(first, min(len(self), len(self) if stop is None else stop), every)
        if not wanted:
            return
        index = first - 1
        for index, time_s, image in self._of_folder(wanted) if self.source.is_dir() else self._of_file(first):
            if index > wanted[-1]:
                return
            if index not in wanted:
                continue
            pixels = to_tensor(image)
            if tuple(pixels.shape[1:]) != self.size:
                raise DataError(
                    f"{self.source}: frame {index} has {tuple(pixels.shape[1:])} (height, width), the first {self.size}"
                )
            yield Frame(index, time_s, pixels)
            if index == wanted[-1]:
                return
        raise DataError(f"{self.source} ends after frame {index}, but should have {len(self)}: copy it again")

    def _of_folder(self, wanted: range) -> Iterator[tuple[int, float, ImageLike]]:
        return ((index, float(self.times[index]), self.source / self._names[index]) for index in wanted)

    def _of_file(self, first: int) -> Iterator[tuple[int, float, ImageLike]]:
        return iter(frames_from(self.source, self._index, first))
