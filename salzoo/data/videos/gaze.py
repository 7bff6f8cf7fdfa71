"""Who looked where in each frame of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from salzoo.data.fixations import Fixations, Floats
from salzoo.data.point_files import read_points
from salzoo.images.geometry import Size


class Gaze(Protocol):
    """Fixations by frame.

    Attributes:
        observers: Names of the observers, in the order of their numbers; empty if they are not told apart.
        dropped: Number of rows that are left out, by reason.
    """

    observers: tuple[str, ...]
    dropped: dict[str, int]

    def __getitem__(self, frame: int, /) -> Fixations:
        """Return the fixations in a frame: 0-based pixels, also those outside of it."""
        ...


class GazeRows:
    """Rows of a table, each of which holds for some frames in a row.

    Args:
        x: 0-based pixels.
        y: Likewise.
        observer: Number of each row's observer.
        first: First frame of each row.
        stop: The frame after its last one; a row with none is never seen.
        observers: Names of the observers.
        dropped: What was left out before.
    """

    def __init__(
        self,
        x: Floats,
        y: Floats,
        observer: NDArray[np.int64],
        first: NDArray[np.int64],
        stop: NDArray[np.int64],
        observers: Sequence[str] = (),
        dropped: dict[str, int] | None = None,
    ) -> None:
        kept = np.flatnonzero(stop > first)
        self._points = Fixations(x[kept], y[kept], observer[kept])
        self._first, self._stop = first[kept], stop[kept]
        self.observers, self.dropped = tuple(observers), dict(dropped or {})

    def __len__(self) -> int:
        """Return the number of rows that are seen in some frame."""
        return len(self._points)

    def __getitem__(self, frame: int) -> Fixations:
        """Return the fixations in a frame."""
        here = np.flatnonzero((self._first <= frame) & (frame < self._stop))
        points = self._points
        return Fixations(points.x[here], points.y[here], points.observer[here])

    @property
    def points(self) -> Fixations:
        """Each row once."""
        return self._points


class GazeFiles:
    """One file of points a frame, in which it is lost who looked.

    Args:
        files: File of each frame.
        size: (height, width) of the frames.
    """

    observers: tuple[str, ...] = ()

    def __init__(self, files: Sequence[Path], size: Size) -> None:
        self._files, self._size = files, size
        self.dropped: dict[str, int] = {}

    def __getitem__(self, frame: int) -> Fixations:
        """Return the fixations in a frame.

        Raises:
            DataError: If the file cannot be read, is a blurred map, or has another size than the frame.
        """
        return read_points(self._files[frame], self._size)


def frames_of_events(
    onset: Floats, duration: Floats, times: Floats, end: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first frame and the one after the last of fixations that begin and last: all frames shown meanwhile.

    A frame is seen from the time at which it is shown on: onset <= time < onset + duration, as LEDOV's code has it. A
    fixation that ends before the next frame is shown counts in the frame that it began in.

    Args:
        onset: Seconds from the first frame.
        duration: Seconds.
        times: When each frame is shown.
        end: When the clip ends.
    """
    first = np.searchsorted(times, onset, side="left")
    stop = np.searchsorted(times, onset + duration, side="left")
    between = (stop <= first) & (onset >= 0) & (onset < end)
    began = np.searchsorted(times, onset, side="right") - 1
    first, stop = np.where(between, began, first), np.where(between, began + 1, stop)
    return first.astype(np.int64), np.where((onset < end) & (onset + duration > 0), stop, first).astype(np.int64)


def frames_of_samples(
    when: Floats, observer: NDArray[np.int64], times: Floats, end: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the frames of samples of gaze, as `frames_of_events`, and which are an observer's further ones.

    A frame has one sample of each observer: the one nearest to the middle of the time for which it is shown.

    Args:
        when: Seconds from the first frame.
        observer: Number of each sample's observer.
        times: When each frame is shown.
        end: When the clip ends.
    """
    frame = np.searchsorted(times, when, side="right") - 1
    inside = (when >= 0) & (when < end)
    shown, until = (
        times[np.clip(frame, 0, len(times) - 1)],
        np.append(times[1:], end)[np.clip(frame, 0, len(times) - 1)],
    )
    off = np.abs(when - (shown + until) / 2)
    order = np.lexsort((off, observer, frame))
    again = np.zeros(len(when), dtype=np.bool_)
    same = (np.diff(frame[order]) == 0) & (np.diff(observer[order]) == 0)
    again[order[1:]] = same
    first = np.where(inside, frame, 0).astype(np.int64)
    return first, np.where(inside & ~again, first + 1, first).astype(np.int64), again & inside
