"""The figure of docs/guides/videos.md: `python benchmarks/clip_picture.py [--clip FILE.mp4 [--kind static]]`.

Without `--clip` it draws two clips and models' maps of them into docs/assets/clip.jpg. With it, it writes one of the
clips as a video, for `salzoo predict FILE.mp4 -m itti.motion -o DIR`; that needs PyAV.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import salzoo
from salzoo.video.samples import DrawnClip, Motion, drawn_clip

PATH = Path(__file__).parents[1] / "docs/assets/clip.jpg"
SHOWN = (0, 5, 11)
"""Frames, one a column."""
SEED, FPS = 4, 10
MODELS = ("itti.paper", "itti.motion", "lemeur_motion.paper")
SIDE = (160, 120)
"""(width, height) of each small picture."""


def column(clip: DrawnClip) -> NDArray[np.uint8]:
    """Return the clip's frames side by side, and under them the overlays of each model."""
    rows = [[Image.fromarray(clip.frames[index]) for index in SHOWN]]
    for name in MODELS:
        frames = list(salzoo.load(name).predict_video(clip.frames))
        rows.append([frames[index].saliency_map.overlay(clip.frames[index]) for index in SHOWN])
    return np.vstack([np.hstack([np.asarray(each.resize(SIDE)) for each in row]) for row in rows])


def write(clip: DrawnClip, path: Path) -> None:
    """Write the frames as a video of `FPS` frames a second."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "12"})
        stream.height, stream.width = clip.frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for pixels in clip.frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        container.mux(stream.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--kind", choices=("moving", "static", "still", "panning"), default="static")
    arguments = parser.parse_args()
    if arguments.clip is not None:
        kind: Motion = arguments.kind
        write(drawn_clip(kind, SEED), arguments.clip)
        return
    moving, static = (column(drawn_clip(kind, SEED)) for kind in ("moving", "static"))
    gap = np.full((len(moving), 12, 3), 255, np.uint8)
    Image.fromarray(np.hstack([moving, gap, static])).save(PATH, quality=85)


if __name__ == "__main__":
    main()
