"""The figure of docs/guides/scanpaths.md: `python benchmarks/scanpath_picture.py` draws paths on a free photograph."""

from __future__ import annotations

from pathlib import Path

import salzoo
from salzoo.components.scanpath_model import ScanpathModel
from salzoo.images.samples import sample_images
from salzoo.images.scanpath import draw
from salzoo.images.sheets import side_by_side

PATH = Path(__file__).parents[1] / "docs/assets/scanpaths.jpg"
IMAGE, START = "coffee", (300, 200)
SAMPLES, FIXATIONS = 3, 7


def main() -> None:
    image = sample_images()[IMAGE]
    pictures, titles = [], []
    for name in ("saccadic", "saccadic.paper", "wta"):
        model = salzoo.load(name)
        assert isinstance(model, ScanpathModel)
        paths = model.predict_scanpath(image, FIXATIONS, SAMPLES)
        assert isinstance(paths, list)
        pictures.append(draw(image, paths))
        titles.append(f"{name}: {SAMPLES} paths")
    model = salzoo.load("saccadic")
    assert isinstance(model, ScanpathModel)
    pictures.append(model.conditional(image, [START]).overlay(image))
    titles.append(f"saccadic: after {START}")
    size = (264, 396)
    small = [picture.resize((size[1] - 4, size[0] - 4)) for picture in pictures]
    side_by_side(small, titles, 2, cell=size, gap=4).save(PATH, quality=85, optimize=True)
    print(f"{PATH} {PATH.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
