"""Overlay videos: the maps painted over every frame of a clip, at its size and frame rate, with its sound."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from salzoo._io import whole
from salzoo.errors import ImageError
from salzoo.images.saliency_map import SaliencyMap
from salzoo.video.container import Container, opened, pyav

if TYPE_CHECKING:
    from av.container import OutputContainer

_TICKS = 90_000
"""Ticks a second of the times in the file: a frame of 1001 / 30000 s has 3003."""
_COPIED = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})
"""Sound that MP4 holds as it is; any other becomes AAC."""


def write_overlay(path: Path, clip: Container, maps: Iterable[tuple[int, SaliencyMap]]) -> Iterator[None]:
    """Write an MP4 of a clip under its maps, yielding after each frame; the file is there at the end, or not at all.

    Args:
        path: The file to write.
        clip: The clip, decoded here once more.
        maps: Index of a frame and its map, rising from 0; a frame without a map of its own has the last one before it.

    Raises:
        ImageError: If the clip breaks off, or the file cannot be written.
    """
    library = pyav()
    try:
        with whole(path) as part, library.open(str(part), "w", format="mp4") as out:
            yield from _write(out, clip, iter(maps))
    except library.FFmpegError as error:
        raise ImageError(f"cannot write '{path}': {error.strerror or error}") from error


def _write(out: OutputContainer, clip: Container, maps: Iterator[tuple[int, SaliencyMap]]) -> Iterator[None]:
    library = pyav()
    with opened(clip.path) as (_, stream):
        rate = stream.average_rate or Fraction(25)
    picture, upcoming = None, next(maps, None)
    with closing(_sound(clip.path, out)) as sound:
        waiting = next(sound, None)  # its stream is in the file before the first packet is
        for index, time_s, pixels in clip:
            while upcoming is not None and upcoming[0] <= index:
                current, upcoming = upcoming[1], next(maps, None)
            if picture is None:
                picture = _stream(out, pixels.shape[1], pixels.shape[0], rate)
            frame = library.VideoFrame.from_ndarray(np.asarray(current.overlay(pixels)), format="rgb24")
            frame.pts, frame.time_base = _ticks(time_s, rate), Fraction(1, _TICKS)
            out.mux(picture.encode(frame))
            while waiting is not None and (waiting.dts is None or waiting.dts * waiting.time_base <= time_s):
                out.mux(waiting)
                waiting = next(sound, None)
            yield
        if picture is not None:
            out.mux(picture.encode())
        while waiting is not None:
            out.mux(waiting)
            waiting = next(sound, None)


def _ticks(time_s: float, rate: Fraction) -> int:
    """Return the time of a frame in ticks: that of the rate where no more than rounding to 1 ms, as in MKV, is off."""
    even = round(time_s * rate) / rate
    return round((even if abs(float(even) - time_s) <= 0.001 else time_s) * _TICKS)


def _stream(out: OutputContainer, width: int, height: int, rate: Fraction) -> Any:
    """Add the stream of frames; of an odd size only unless colours are not sub-sampled."""
    stream = out.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "fast"})
    stream.width, stream.height = width, height
    stream.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
    stream.codec_context.time_base = Fraction(1, _TICKS)
    return stream


def _sound(path: Path, out: OutputContainer) -> Generator[Any]:
    """Yield the packets of a clip's sound, in order, if it has any; its stream is added before the first of them."""
    with opened(path) as (file, picture):
        source = next(iter(file.streams.audio), None)
        if source is None:
            return
        shift = float((picture.start_time or 0) * (picture.time_base or 0))
        if source.codec_context.name in _COPIED:
            target: Any = out.add_stream_from_template(source)
            for packet in file.demux(source):
                if packet.dts is not None and packet.time_base is not None:
                    offset = round(shift / packet.time_base)
                    packet.dts, packet.pts = packet.dts - offset, (packet.pts or packet.dts) - offset
                    packet.stream = target
                    yield packet
            return
        target = out.add_stream("aac", rate=source.codec_context.sample_rate, layout=source.codec_context.layout.name)
        for frame in file.decode(source):
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(shift / frame.time_base)
            yield from target.encode(frame)
        yield from target.encode()
