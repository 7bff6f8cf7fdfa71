"""Clips to try a model on, drawn here: one item among many of which it alone moves, or it alone stands still."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from salzoo.errors import ImageError

Motion = Literal["moving", "static", "still", "panning"]
_SIZE, _GRID, _SCALE = (480, 640), 5, 2
_GROUND, _INK = (118, 120, 124), (222, 214, 170)


class DrawnClip(NamedTuple):
    """A clip and where its one odd item is.

    Attributes:
        frames: (T, 480, 640, 3) RGB uint8.
        places: (T, 2) x and y of the odd item in each frame, in pixels; of `still` and `panning`, where all items do
            the same, those of an item like the others.
    """

    frames: NDArray[np.uint8]
    places: NDArray[np.float64]


def drawn_clip(motion: Motion = "moving", seed: int = 0, *, frames: int = 12, step: float = 4.0) -> DrawnClip:
    """Draw 25 alike bars on plain ground.

    Args:
        motion: `moving`: one moves, 24 stand still; `static`: one stands still, 24 move alike; `still`: none moves;
            `panning`: all move alike.
        seed: Of the bars' tilt, the jitter of their grid, the place of the odd one (never in an outer row or column)
            and the direction of motion.
        frames: Number of frames.
        step: Pixels by which a bar moves in a frame; in the middle of the clip all are at their places in the grid.

    Raises:
        ImageError: If there is no such kind, or bars would leave their cells.
    """
    if motion not in get_args(Motion):
        raise ImageError(f"no drawn clip of kind {motion!r}; the kinds are {', '.join(get_args(Motion))}")
    if frames < 1 or not 0 <= step * (frames - 1) <= 50:
        raise ImageError(f"{frames} frames of {step:g} pixels are not accepted: at least one, and at most 50 pixels.")
    random = np.random.default_rng(seed)
    tilt, direction = random.uniform(0, math.pi), random.uniform(0, 2 * math.pi)
    odd = int(random.integers(1, _GRID - 1)) * _GRID + int(random.integers(1, _GRID - 1))
    cells = np.stack(np.meshgrid(np.arange(_GRID), np.arange(_GRID)), -1).reshape(-1, 2)
    homes = (cells + 0.5) * (_SIZE[1] / _GRID, _SIZE[0] / _GRID) + random.uniform(-5, 5, (_GRID**2, 2))
    moves = np.full(_GRID**2, motion in ("static", "panning"))
    moves[odd] = motion in ("moving", "panning")
    along = step * np.array([math.cos(direction), math.sin(direction)])
    offsets = (np.arange(frames) - (frames - 1) / 2)[:, None, None] * along * moves[None, :, None]
    places = homes[None] + offsets
    return DrawnClip(np.stack([_bars(each, tilt) for each in places]), places[:, odd])


def _bars(centres: NDArray[np.float64], tilt: float) -> NDArray[np.uint8]:
    """Draw bars of 28 x 8 pixels at four times the area, and shrink: smooth edges, and steps of half a pixel."""
    canvas = Image.new("RGB", (_SIZE[1] * _SCALE, _SIZE[0] * _SCALE), _GROUND)
    draw = ImageDraw.Draw(canvas)
    along = 14 * np.array([math.cos(tilt), math.sin(tilt)])
    across = 4 * np.array([-math.sin(tilt), math.cos(tilt)])
    for centre in centres:
        corners = [centre + a * along + b * across for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
        draw.polygon([(float(x) * _SCALE, float(y) * _SCALE) for x, y in corners], _INK)
    return np.asarray(canvas.resize((_SIZE[1], _SIZE[0]), Image.Resampling.BOX))
