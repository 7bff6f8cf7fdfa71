"""Images to try a model on: free ones that Python packages ship in their wheels, and pop-out displays drawn here."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from PIL import Image, ImageDraw

from salzoo.errors import ImageError
from salzoo.images.formats import open_image

PopOut = Literal["colour", "orientation", "size"]


class Sample(NamedTuple):
    """An image inside an installed package, and what its package says of its origin and licence."""

    package: str  # the module's name
    file: str
    credit: str


SAMPLES = {
    "astronaut": Sample("skimage", "data/astronaut.png", "NASA; public domain"),
    "chelsea": Sample("skimage", "data/chelsea.png", "Stefan van der Walt; CC0"),
    "coffee": Sample("skimage", "data/coffee.png", "Rachel Michetti, courtesy of Pikolo Espresso Bar; CC0"),
    "rocket": Sample("skimage", "data/rocket.jpg", "SpaceX; public domain"),
    "china": Sample("sklearn", "datasets/images/china.jpg", "flickr.com/photos/danielbuechele; CC BY 2.0"),
    "flower": Sample("sklearn", "datasets/images/flower.jpg", "flickr.com/photos/vultilion; CC BY 2.0"),
}

_WIDTH, _HEIGHT = 640, 480
_GROUND, _RED, _GREEN = (128, 128, 128), (210, 60, 50), (50, 150, 70)


def sample_images() -> dict[str, Image.Image]:
    """Load the sample images by name: `SAMPLES` from their packages, and one pop-out display of each kind.

    All are RGB; nothing is downloaded. Two of them are CC BY: name `SAMPLES[name].credit` wherever they are shown.

    Raises:
        ImageError: If scikit-image or scikit-learn is not installed, or ships an image no longer.
    """
    photos = {name: _load(name, sample) for name, sample in SAMPLES.items()}
    return photos | {f"pop_out_{kind}": pop_out(kind, seed)[0] for seed, kind in enumerate(get_args(PopOut))}


def pop_out(
    kind: PopOut = "colour", seed: int = 0, *, columns: int = 8, rows: int = 6
) -> tuple[Image.Image, tuple[int, int]]:
    """Draw a display of 48 bars of which one differs: people look at it first (Treisman and Gelade, 1980).

    Args:
        kind: What sets the singleton apart: a red bar among green ones, a bar tilted the other way (by 90 degrees), or
            one twice as long and wide.
        seed: Seed of the place of the singleton (never in an outer row or column) and of the jitter of the grid.
        columns: Bars in a row, at least 3.
        rows: Bars in a column, at least 3.

    Returns:
        The image, RGB 480 x 640 (height, width), and the singleton's centre (x, y) in pixels.

    Raises:
        ImageError: If there is no such kind, or no inner place for the singleton.

    Examples:
        >>> image, (x, y) = pop_out("colour")
        >>> red, green, _ = image.getpixel((x, y))
        >>> red > green
        True
    """
    if kind not in get_args(PopOut):
        raise ImageError(f"no pop-out display of kind '{kind}'; the kinds are {', '.join(get_args(PopOut))}")
    if min(columns, rows) < 3:
        raise ImageError(f"a pop-out display has at least 3 columns and 3 rows, got {columns} and {rows}")
    random = np.random.default_rng(seed)
    target = (int(random.integers(1, columns - 1)), int(random.integers(1, rows - 1)))
    scale = 4  # drawn larger and shrunk: smooth edges, which Pillow's polygons do not have
    canvas = Image.new("RGB", (_WIDTH * scale, _HEIGHT * scale), _GROUND)
    draw = ImageDraw.Draw(canvas)
    centres = {}
    for cell in np.ndindex(columns, rows):
        column, row = cell
        jitter_x, jitter_y = random.integers(-6, 7, size=2)
        x = round((column + 0.5) * _WIDTH / columns) + int(jitter_x)
        y = round((row + 0.5) * _HEIGHT / rows) + int(jitter_y)
        centres[cell] = (x, y)
        odd = cell == target
        colour = _RED if odd and kind == "colour" else _GREEN
        angle = math.radians(135 if odd and kind == "orientation" else 45)
        size = 2 if odd and kind == "size" else 1
        # A pixel's centre lies at its integer coordinate: (x, y) is the middle of pixel x, y of the shrunk image.
        middle = ((x + 0.5) * scale, (y + 0.5) * scale)
        draw.polygon(_bar(middle, length=40 * size * scale, width=10 * size * scale, angle=angle), fill=colour)
    return canvas.resize((_WIDTH, _HEIGHT), Image.Resampling.BOX), centres[target]


def _bar(middle: tuple[float, float], *, length: float, width: float, angle: float) -> list[tuple[float, float]]:
    """Return the corners of a bar that is turned by `angle` (radians) from lying flat."""
    along_x, along_y = math.cos(angle) / 2, math.sin(angle) / 2
    return [
        (middle[0] + a * length * along_x - b * width * along_y, middle[1] + a * length * along_y + b * width * along_x)
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]


def _load(name: str, sample: Sample) -> Image.Image:
    """Read an image from a package's folder; importing the package would take seconds, and might download."""
    spec = find_spec(sample.package)
    if spec is None or spec.origin is None:
        raise ImageError(
            f"the sample image '{name}' is part of the package {sample.package}, which is not installed; "
            "run: pip install 'salzoo[samples]'"
        )
    path = Path(spec.origin).parent / sample.file
    if not path.is_file():
        raise ImageError(f"the sample image '{name}' is not in this version of {sample.package}: no file '{path}'")
    with open_image(path, f"'{path}'") as image:
        return image.convert("RGB")
