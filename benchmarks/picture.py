"""Draw the figure in the README: photographs above the overlays of some models.

make picture
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

import salzoo
from salzoo.images.samples import sample_images
from salzoo.images.sheets import side_by_side
from salzoo.registry import read_spec

MODELS = ("deepgaze2e", "bms")
IMAGES = ("astronaut", "chelsea", "coffee", "rocket")
WIDTH, HEIGHT, GAP = 300, 225, 4
FIGURE = Path(__file__).parents[1] / "docs" / "assets" / "overlays.jpg"


def main() -> None:
    samples = sample_images()
    rows = {"image": [samples[name] for name in IMAGES]}
    for name in MODELS:
        model, paper = salzoo.load(name), read_spec(name).paper
        rows[f"{name}, {paper.year}" if paper else name] = [
            model.predict(image).overlay(image) for image in rows["image"]
        ]
    images = [cropped(image) for row in rows.values() for image in row]
    titles = [title for row in rows for title in (row, *[""] * (len(IMAGES) - 1))]
    sheet = side_by_side(images, titles, len(IMAGES), cell=(HEIGHT + GAP, WIDTH + GAP), gap=GAP)
    sheet.save(FIGURE, quality=85, optimize=True)
    print(f"{FIGURE} {FIGURE.stat().st_size // 1024} KB")


def cropped(image: Image.Image) -> Image.Image:
    """Return the largest part of the figure's shape: the top of an upright image, the middle of a wide one."""
    width, height = image.size
    wide, high = min(width, height * WIDTH / HEIGHT), min(height, width * HEIGHT / WIDTH)
    left = (width - wide) / 2
    return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS, box=(left, 0, left + wide, high))


if __name__ == "__main__":
    main()
