"""The frames of a video, of whatever kind: a file, a folder of images, or an iterator."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from salzoo.errors import ImageError, SpecError
from salzoo.images.formats import list_files, list_frames
from salzoo.images.read import ImageLike, to_tensor
from salzoo.video.container import open_container

if TYPE_CHECKING:  # torch takes seconds to import; only images as tensors need it
    from torch import Tensor

VideoLike: TypeAlias = "str | os.PathLike[str] | Iterable[ImageLike | tuple[float, ImageLike]]"
# fmt: off
SUFFIXES = frozenset((
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob",
    ".webm", ".wmv", ".y4m",
))
# fmt: on
"""Suffixes, in lower case, by which a command tells a video from an image; a file is read whatever its suffix."""
FPS = 25.0
"""Frames a second of a folder or an iterator whose frames say no time."""


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        index: Its number in the video, from 0, those that were left out counted.
        time_s: When it is shown, in seconds from the first frame.
        image: (3, H, W) RGB, uint8, or float in [0, 1] for images of more bits.
    """

    index: int
    time_s: float
    image: Tensor


def read_frames(source: VideoLike, *, every: int = 1, fps: float = FPS, after: int = -1) -> Iterator[Frame]:
    """Open a video and yield its frames; memory holds one of them.

    Args:
        source: A file that PyAV decodes (extra `salzoo[video]`), upright and converted to 8-bit RGB; a folder, whose
            images are the frames, by the numbers in their names; or an iterable of images of any kind that `predict`
            takes, or of pairs (seconds, image).
        every: Yield the frames 0, `every`, 2 `every`, ... alone.
        fps: Frames a second of a folder, or of an iterable that says no times.
        after: Yield only frames of a higher index; the first item of an iterable is the one after it.

    Raises:
        ImageError: If it cannot be opened, is no video or has no frame; while it is read, if a frame cannot be
            decoded, has another size than the first one, or is not later than the one before.
        SpecError: If an argument is out of its range, or PyAV is not installed; while it is read, if a file or folder
            ends before `after`.
    """
    if not isinstance(every, Integral) or isinstance(every, bool) or every < 1:
        raise SpecError(f"every={every!r} is not accepted: 1 for each frame, 2 for every other one, ...")
    if not isinstance(fps, Real) or not (math.isfinite(fps) and fps > 0):
        raise SpecError(f"fps={fps!r} is not accepted: frames a second, above 0.")
    if isinstance(source, str | os.PathLike):
        path = Path(os.path.expanduser(source))
        frames = _of_folder(path, fps) if path.is_dir() else iter(open_container(path))
        label = f"'{path}'"
    elif hasattr(source, "__iter__") and not isinstance(source, bytes | bytearray | memoryview):
        frames = _of_items(source, fps, after + 1)
        label = "the video"
    else:
        raise ImageError(
            f"cannot read a video from {type(source).__name__}; pass a file, a folder of frames or an iterator of them"
        )
    return _chosen(frames, label, every, after)


def find_clips(inputs: Sequence[str]) -> list[Path]:
    """Return the clips among inputs of a command: files with a suffix of videos, by name, glob or folder.

    A folder is one of clips if it holds such files and no image.
    """
    found: dict[Path, None] = {}
    for name in inputs:
        try:
            names = _named(name)
        except (OSError, ImageError):  # what is wrong with it is told by what reads it
            continue
        found |= dict.fromkeys(each for each in names if each.suffix.lower() in SUFFIXES and not each.is_dir())
    return list(found)


def _named(name: str) -> list[Path]:
    """Return the files that an input of a command names; those of a folder if it holds no image."""
    path = Path(name)
    if path.is_dir():
        return [] if list_files(path).found else sorted(path.iterdir())
    return [path] if path.exists() or not glob.has_magic(name) else sorted(map(Path, glob.glob(name)))


def _chosen(frames: Iterator[tuple[int, float, ImageLike]], label: str, every: int, after: int) -> Iterator[Frame]:
    """Decode the frames that are wanted, and check that they go together."""
    size: tuple[int, ...] | None = None
    before, index = -math.inf, after
    for index, time_s, image in frames:
        if not time_s > before:
            raise ImageError(
                f"{label}: frame {index} is shown at {time_s:g} s, not after the one before it ({before:g} s): "
                "times of frames rise"
            )
        before = time_s
        if index <= after or index % every:
            continue
        try:
            pixels = to_tensor(image)
        except ImageError as error:
            raise ImageError(f"{label}: frame {index}: {error}") from error
        size = size or tuple(pixels.shape)
        if tuple(pixels.shape) != size:
            raise ImageError(
                f"{label}: frame {index} has {tuple(pixels.shape[1:])} (height, width), those before it {size[1:]}: "
                "the frames of one video have one size"
            )
        yield Frame(index, time_s, pixels)
    if index < after:
        raise SpecError(
            f"{label} ends with frame {index}, and is to go on after frame {after}: that is the state of another video."
        )


def _of_folder(folder: Path, fps: float) -> Iterator[tuple[int, float, ImageLike]]:
    """Return the images of a folder as frames."""
    listing = list_frames(folder)
    if not listing.found:
        raise ImageError(f"folder '{folder}' holds no image: a folder is a video whose frames are its images")
    listing.warn(f"folder '{folder}'", listing.left_out)
    return ((index, index / fps, path) for index, path in enumerate(listing.found))


def _of_items(
    items: Iterable[ImageLike | tuple[float, ImageLike]], fps: float, first: int
) -> Iterator[tuple[int, float, ImageLike]]:
    for index, item in enumerate(items, first):
        if isinstance(item, tuple):
            if len(item) != 2 or isinstance(item[0], bool) or not isinstance(item[0], int | float):
                raise ImageError(f"the video: item {index} is a tuple, but not a pair (seconds, image)")
            yield index, float(item[0]), item[1]
        else:
            yield index, index / fps, item
