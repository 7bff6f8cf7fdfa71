"""Clips for tests, drawn here: files of many kinds, written by PyAV."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

av = pytest.importorskip("av", reason="comes with salzoo[video]")

Pixels = NDArray[np.uint8]
SILENT, WITH_SOUND = False, True


def disc_frames(count: int, size: tuple[int, int] = (48, 64), step: float = 1.5) -> list[Pixels]:
    """Return frames of a light disc that moves to the right over smooth dark ground."""
    y, x = np.mgrid[: size[0], : size[1]]
    ground = 40 + 20 * np.sin(x / 9) * np.cos(y / 7)
    frames = []
    for t in range(count):
        disc = np.hypot(x - 10 - step * t, y - size[0] / 2) < 6
        frames.append(np.stack([np.where(disc, 230, ground), ground, np.where(disc, 60, ground)], -1).astype(np.uint8))
    return frames


def write_clip(
    path: Path,
    frames: Iterable[Pixels],
    rate: int = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times_s: list[float] | None = None,
    sound: bool = SILENT,
    sound_s: float | None = None,
    transfer: int | None = None,
) -> Path:
    """Write a video file; `times_s` makes its rate variable, `sound` adds a tone, of the clip's length or `sound_s`."""
    with av.open(str(path), "w") as out:
        stream = None
        tone = out.add_stream("aac", rate=8000, layout="mono") if sound else None
        for index, pixels in enumerate(frames):
            if stream is None:
                stream = out.add_stream(codec, rate=rate)
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = pix_fmt
                stream.options = {"crf": "4", "g": "5"} if codec == "libx264" else {}
                if transfer is not None:
                    stream.codec_context.color_trc = transfer
                if times_s is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times_s is not None:
                frame.pts, frame.time_base = round(times_s[index] * 1000), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        assert stream is not None
        out.mux(stream.encode())
        if tone is not None:
            seconds = sound_s or (index + 1) / rate
            wave = np.sin(np.arange(int(8000 * seconds)) / 3).astype(np.float32)[None]
            chunk = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            chunk.sample_rate = 8000
            out.mux(tone.encode(chunk))
            out.mux(tone.encode())
    return path


def turn(path: Path) -> Path:
    """Mark an MP4 as turned by a quarter, in the matrix of its track header, as telephones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: 40 bytes before the matrix
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path
