"""Throughput and memory of `predict_video`: `python benchmarks/video.py [NAME] [--frames N] [--memory N]`.

A drawn clip of 640 x 360 is predicted frame by frame, and the same frames one by one with `predict`; then `signature`
predicts a video of many frames, of which memory is read after the first thousand and at the end.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import salzoo
from salzoo.video.frames import read_frames

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from clips import disc_frames, write_clip


def throughput(name: str, frames: int) -> dict[str, float]:
    model = salzoo.load(name)
    with tempfile.TemporaryDirectory() as folder:
        clip = write_clip(Path(folder) / "clip.mp4", disc_frames(frames, (360, 640)))
        images = [frame.image for frame in read_frames(clip)]
        model.predict(images[0])
        start = time.perf_counter()
        for image in images:
            model.predict(image)
        singles = frames / (time.perf_counter() - start)
        start = time.perf_counter()
        count = sum(1 for _ in model.predict_video(clip))
        assert count == frames
        return {"images_per_s": singles, "frames_per_s": frames / (time.perf_counter() - start)}


def memory(frames: int) -> dict[str, float]:
    """Return how many megabytes the process grew by after the first thousand frames."""
    model = salzoo.load("signature")
    with tempfile.TemporaryDirectory() as folder:
        drawn = disc_frames(50)
        clip = write_clip(Path(folder) / "clip.mp4", (drawn[t % 50] for t in range(frames)))
        for frame in model.predict_video(clip, smooth="median:5"):
            if frame.index == 1000:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"frames": frames, "grown_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", default="deepgaze2")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--memory", type=int, default=20_000)
    arguments = parser.parse_args()
    found = throughput(arguments.name, arguments.frames) | memory(arguments.memory)
    print(json.dumps({key: np.round(value, 2).item() for key, value in found.items()}))
