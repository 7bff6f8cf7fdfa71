"""Video files, decoded by PyAV: upright RGB frames with their times, and every failure told in one sentence."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from salzoo.errors import ImageError, SalzooWarning, SpecError

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

_HDR = {16: "PQ", 18: "HLG"}  # ITU-T H.273, transfer characteristics
_CLOCK = re.compile(r"(\d+):(\d+):(\d+\.?\d*)")


@dataclass(frozen=True)
class Promise:
    """How long a file says that its video lasts, by which one that is cut short is told.

    Args:
        seconds: That length; 0 where nothing says it.
        of_video: Whether it is said of the video itself; else of the file, whose sound may go on for longer.
    """

    seconds: float
    of_video: bool

    def check(self, path: Path, held_s: float) -> None:
        """Warn if the frames of the file last for less, up to the end of the last one."""
        slack = 0.5 if self.of_video else 1 + 0.25 * held_s
        if self.seconds > held_s + slack:
            warnings.warn(
                f"'{path}' says that it lasts {self.seconds:.1f} s, and holds {held_s:.1f} s: it may be cut short",
                SalzooWarning,
                stacklevel=3,
            )


def promised(file: InputContainer, stream: VideoStream) -> Promise:
    """Return how long a file says that its video lasts.

    MP4 says it in seconds, as its number of frames counts those that were trimmed away too; Matroska and WebM in a tag.
    Of AVI the seconds shrink with the file, and the number of frames stays.
    """
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
        trimmed = "mp4" in file.format.name
        return Promise(seconds if trimmed else max(seconds, stream.frames / float(stream.average_rate or 25)), True)
    if made := _CLOCK.match(stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = map(float, made.groups())
        return Promise(3600 * hours + 60 * minutes + seconds, True)
    return Promise((file.duration or 0) / pyav().time_base, len(file.streams) == 1)


class Container:
    """A video file that was opened once, to see that it can be; each iteration decodes it from its beginning.

    Attributes:
        path: The file.
        frames: Number of frames as the file says, or as follows from its length; 0 where it says neither.
    """

    def __init__(self, path: Path, frames: int) -> None:
        self.path, self.frames = path, frames

    def __iter__(self) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
        """Yield index, seconds from the first frame, and (H, W, 3) RGB, upright."""
        with opened(self.path) as (file, stream):
            promise = promised(file, stream)
            index, start, time_s, step = -1, None, 0.0, 1 / float(stream.average_rate or 25)
            for frame in _decoded(file, stream, self.path):
                index += 1
                start = frame.time if start is None else start
                time_s = time_s + step * (index > 0) if frame.time is None or start is None else frame.time - start
                step = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else step
                yield index, time_s, _upright(frame, self.path)
        if index < 0:
            raise ImageError(f"'{self.path}' holds no frame that can be decoded: copy it again, or convert it anew")
        promise.check(self.path, time_s + step)


def open_container(path: Path) -> Container:
    """Look into a video file.

    Raises:
        ImageError: If it is not there, empty, no video, or of high dynamic range.
        SpecError: If PyAV is not installed.
    """
    with opened(path) as (_, stream):
        seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        return Container(path, stream.frames or round(seconds * float(stream.average_rate or 0)))


def pyav() -> Any:
    """Return the module `av`.

    Raises:
        SpecError: If it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise SpecError(
            'videos are read by PyAV, which is not installed: pip install "salzoo[video]", or pass a folder of frames.'
        ) from error
    return av


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file for a while; errors as in `open_container`."""
    library = pyav()
    if not path.exists():
        raise ImageError(f"no such video file: '{path}'; check the name (a relative path starts at '{Path.cwd()}')")
    if path.is_file() and not path.stat().st_size:
        raise ImageError(f"'{path}' is empty (0 bytes): copy it again")
    try:
        file = library.open(str(path), metadata_errors="replace")
    except (library.FFmpegError, OSError, ValueError) as error:
        raise ImageError(
            f"'{path}' cannot be opened as a video: {_said(error)}; it may be cut short or no video"
        ) from (error)
    with file:
        if not file.streams.video:
            raise ImageError(f"'{path}' holds no video: it may be cut short, or hold sound alone")
        stream = file.streams.video[0]
        stream.thread_type = "AUTO"
        yield file, stream


def _decoded(file: InputContainer, stream: VideoStream, path: Path) -> Iterator[av.VideoFrame]:
    """Decode; what breaks off says where."""
    library, done = pyav(), 0
    try:
        for frame in file.decode(stream):
            if frame.is_corrupt:
                raise ImageError(f"'{path}' is damaged at frame {done}: copy it again, or convert it anew")
            yield frame
            done += 1
    except library.FFmpegError as error:
        raise ImageError(f"'{path}' breaks off after {done} frames: {_said(error)}; copy it again") from error


def _upright(frame: av.VideoFrame, path: Path) -> NDArray[np.uint8]:
    """Return a frame as players show it: in 8-bit RGB by the matrix that the file names, and turned as it says."""
    if (kind := _HDR.get(int(frame.color_trc))) is not None:
        raise ImageError(
            f"'{path}' is of high dynamic range ({kind}), which models do not know: convert it to standard range, "
            "such as by ffmpeg's filters zscale and tonemap"
        )
    pixels = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    turns, rest = divmod(frame.rotation, 90)
    if rest:
        raise ImageError(f"'{path}' is turned by {frame.rotation} degrees; accepted are multiples of 90: convert it")
    return np.ascontiguousarray(np.rot90(pixels, turns % 4)) if turns % 4 else pixels


def _said(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
