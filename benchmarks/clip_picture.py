"""The figure of docs/guides/videos.md: `python benchmarks/clip_picture.py` draws a clip and two models' maps of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import salzoo
from salzoo.video.samples import drawn_clip

PATH = Path(__file__).parents[1] / "docs/assets/clip.jpg"
SHOWN = (0, 5, 11)
"""Frames, one a column."""


def main() -> None:
    clip = drawn_clip("static", seed=4)
    rows = [[Image.fromarray(clip.frames[index]) for index in SHOWN]]
    for name in ("itti.paper", "lemeur_motion.paper"):
        frames = list(salzoo.load(name).predict_video(clip.frames))
        rows.append([frames[index].saliency_map.overlay(clip.frames[index]) for index in SHOWN])
    small = [np.hstack([np.asarray(each.resize((240, 180))) for each in row]) for row in rows]
    Image.fromarray(np.vstack(small)).save(PATH, quality=88)


if __name__ == "__main__":
    main()
