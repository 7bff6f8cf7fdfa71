"""Video files, decoded by PyAV: upright RGB frames with their times, and every failure told in one sentence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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
            index, start, time_s, step = -1, None, 0.0, 1 / float(stream.average_rate or 25)
            for frame in _decoded(file, stream, self.path):
                index += 1
                start = frame.time if start is None else start
                time_s = time_s + step * (index > 0) if frame.time is None or start is None else frame.time - start
                yield index, time_s, _upright(frame, self.path)
            self._check_end(index + 1, stream.frames)

    def _check_end(self, read: int, declared: int) -> None:
        if not read:
            raise ImageError(f"'{self.path}' holds no frame that can be decoded: copy it again, or convert it anew")
        if read < declared:
            warnings.warn(
                f"'{self.path}' says that it has {declared} frames, and ends after {read}: it may be cut short",
                SalzooWarning,
                stacklevel=2,
            )


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
