"""Frames from the middle of a video file: when each is shown, and decoding that starts near one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salzoo.errors import ImageError
from salzoo.video.container import Container, _decoded, _upright, opened, promised, pyav


@dataclass(frozen=True, eq=False)
class FrameTimes:
    """The frames of a file, of which none was decoded.

    Args:
        seconds: (T,) when each is shown, from the first one.
        ticks: (T,) the same in the file's own units, by which a frame is found again; None if the file does not say.
        size: (height, width) of the frames as they are shown.
    """

    seconds: NDArray[np.float64]
    ticks: NDArray[np.int64] | None
    size: tuple[int, int]


def frame_times(path: Path) -> FrameTimes:
    """Look through a file's packets for the time of each frame; the first frame is decoded for its size.

    Raises:
        ImageError: If the file cannot be opened, is no video, or has no frame.
        SpecError: If PyAV is not installed.
    """
    first = next(iter(Container(path, 0)))[2]
    size = (int(first.shape[0]), int(first.shape[1]))
    library = pyav()
    try:
        with opened(path) as (file, stream):
            packets = [each for each in file.demux(stream) if each.size and not each.is_discard]
            shown, lasts = [each.pts for each in packets], {each.pts: each.duration for each in packets}
            unit, rate, promise = float(stream.time_base or 0), float(stream.average_rate or 25), promised(file, stream)
    except library.FFmpegError as error:
        raise ImageError(f"'{path}' breaks off: {error.strerror or error}; copy it again") from error
    if None in shown or len(set(shown)) < len(shown) or not unit:
        promise.check(path, len(shown) / rate)
        return FrameTimes(np.arange(len(shown)) / rate, None, size)
    ticks = np.sort(np.array(shown, dtype=np.int64))
    last_s = (ticks[-1] - ticks[0]) * unit
    promise.check(path, float(last_s + (lasts.get(int(ticks[-1])) or 0) * unit))
    return FrameTimes((ticks - ticks[0]) * unit, ticks, size)


def frames_from(path: Path, times: FrameTimes, first: int) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    """Yield index, seconds and (H, W, 3) RGB of a frame and those after it, as reading from the beginning would.

    Decoding starts at the key frame before it; where the file does not say where frames are, at the beginning.

    Raises:
        ImageError: If a frame cannot be decoded, or the file ends before it.
    """
    found = None
    if first and times.ticks is not None:
        try:
            for found in _sought(path, times, times.ticks, first):
                yield found
        except ImageError:
            if found is not None:
                raise
    if found is None:
        for each in Container(path, 0):
            if each[0] >= first:
                yield each


def _sought(
    path: Path, times: FrameTimes, ticks: NDArray[np.int64], first: int
) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    """Yield the frames from one on, after a seek; nothing if the seek went elsewhere."""
    with opened(path) as (file, stream):
        file.seek(int(ticks[first]), stream=stream, backward=True)
        expected = None
        for frame in _decoded(file, stream, path):
            index = -1 if frame.pts is None else int(np.searchsorted(ticks, frame.pts))
            if not 0 <= index < len(ticks) or ticks[index] != frame.pts:
                return
            if index < first:
                continue
            if index != (first if expected is None else expected):
                return
            expected = index + 1
            yield index, float(times.seconds[index]), _upright(frame, path)
