"""Draw the contact sheet of each model: its overlays on eight images, faces, crowd, text, street and objects.

    make sheets                           # of every model that is shipped
    make sheets ROWS="quest salicon"      # of some

Of a checkpoint it is `sheet.jpg` beside the weights, and its card is written again to show it; of what has no weights
it is `hub/cards/<name>.jpg`, which `hub/cards/<name>.md` shows.
The photographs are in the public domain or CC0 and come out of installed wheels; the others are drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps
from scenes import crowd, page, street

import salzoo
from salzoo.checkpoint import card
from salzoo.checkpoint.config import SHEET
from salzoo.components.saliency_model import SaliencyModel
from salzoo.images.samples import sample_images
from salzoo.images.sheets import side_by_side
from salzoo.registry import ModelSpec, read_spec, spec_names

HUB = Path(__file__).parents[1] / "hub"
CELL, COLUMNS = (180, 240), 4  # (height, width)
SIZE = (640, 480)  # that an image is cut to before the model sees it, (width, height)
OBJECTS = ("coffee", "chelsea", "rocket", "pop_out_colour")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models; default all that can be loaded")
    for name in parser.parse_args().names or [
        n for n in spec_names() if read_spec(n).loadable and read_spec(n).kind == "image" and n != "uniform"
    ]:
        write(read_spec(name.partition(".")[0]))


def write(spec: ModelSpec) -> None:
    """Draw the sheet of a model's default variant, and write its card again."""
    folder = HUB / f"{spec.name}.{spec.default}"
    path = folder / SHEET if folder.is_dir() else HUB / "cards" / f"{spec.name}.jpg"
    sheet(salzoo.load(spec.name), pictures()).save(path, quality=76, optimize=True)
    if folder.is_dir():
        card.write(folder, spec)
    print(f"{path.relative_to(HUB.parent)} {path.stat().st_size / 1e3:.0f} KB")


def pictures() -> list[Image.Image]:
    """Return the eight images, all of one size: a face, a crowd, text, a street, and four with one object."""
    samples = sample_images()
    chosen = [samples["astronaut"], crowd(), page(), street(), *(samples[name] for name in OBJECTS)]
    return [ImageOps.fit(picture, SIZE, centering=(0.5, 0.2)) for picture in chosen]


def sheet(model: SaliencyModel, shown: Sequence[Image.Image]) -> Image.Image:
    """Return a model's overlays of images, four in a row."""
    return side_by_side([model.predict(image).overlay(image) for image in shown], columns=COLUMNS, cell=CELL)


if __name__ == "__main__":
    main()
