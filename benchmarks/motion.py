"""What stands out in drawn clips: `python benchmarks/motion.py NAME... [--clips N] [--frames T]`.

Of each model, in how many clips the odd item holds the maximum of the last frame's map (within its cell): the one
moving item among 24 that stand still, and the one that stands still among 24 moving ones; how far the map of a clip
that stands still differs from that of its image; and what a panning texture does to the map of its last frame.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import salzoo
from salzoo.video.samples import Motion, drawn_clip

WITHIN = 45
"""Pixels from the item's centre; cells are 128 x 96."""


def found(model: salzoo.SaliencyModel, motion: Motion, seed: int, frames: int) -> bool:
    """Whether the odd item holds the maximum of the last frame's map."""
    clip = drawn_clip(motion, seed, frames=frames)
    *_, last = model.predict_video(clip.frames)
    peak = last.saliency_map.peak
    return peak is not None and bool(np.hypot(*(np.array(peak) - clip.places[-1])) < WITHIN)


def still(model: salzoo.SaliencyModel, frames: int = 4) -> float:
    """Return the largest relative difference between the map of a clip that stands still and that of its image."""
    clip = drawn_clip("still", 0, frames=frames)
    *_, last = model.predict_video(clip.frames)
    return float(np.abs(last.saliency_map.density / model.predict(clip.frames[0]).density - 1).max())


def texture(frames: int, step: int = 3) -> list[NDArray[np.uint8]]:
    """Draw smooth noise of 480 x 640 over which the camera pans."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 88, 3), np.uint8)
    wide = np.asarray(Image.fromarray(noise).resize((704, 480), Image.Resampling.BICUBIC))
    return [wide[:, step * t : step * t + 640] for t in range(frames)]


def panning(model: salzoo.SaliencyModel, frames: int = 5) -> tuple[float, float, float]:
    """Return the correlation of the last frame's map with that of its image, and the bright share (> 1 / 2) of both."""
    drawn = texture(frames)
    *_, last = model.predict_video(drawn)
    image = model.predict(drawn[-1])
    correlation = np.corrcoef(last.saliency_map.density.ravel(), image.density.ravel())[0, 1]
    return float(correlation), *(float((each.saliency > 0.5).mean()) for each in (last.saliency_map, image))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--frames", type=int, default=12)
    arguments = parser.parse_args()
    print("| model | moving among static | static among moving | still clip | panning: CC | bright | bright image |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.names:
        model = salzoo.load(name)
        hits = [
            sum(found(model, motion, seed, arguments.frames) for seed in range(arguments.clips))
            for motion in ("moving", "static")
        ]
        counts = " | ".join(f"{hit} of {arguments.clips}" for hit in hits)
        cc, bright, image = panning(model)
        print(f"| `{name}` | {counts} | {still(model):.1e} | {cc:.2f} | {bright:.2f} | {image:.2f} |", flush=True)


if __name__ == "__main__":
    main()
