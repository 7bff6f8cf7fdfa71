"""Draw the contact sheet of each model: its overlays on eight pictures, faces, crowd, text, street and objects.

    python benchmarks/sheets.py                  # of every model that needs no training here
    python benchmarks/sheets.py quest salicon    # of some

Of a checkpoint it is `sheet.jpg` beside the weights, which the card shows; of what has none, `hub/cards/<name>.jpg`.
The photographs are in the public domain or CC0 and come out of installed wheels; the others are drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps
from scenes import crowd, page, street

import salzoo
from salzoo.hub import SHEET
from salzoo.model import SaliencyModel
from salzoo.samples import sample_pictures
from salzoo.spec import read_spec, spec_names

HUB = Path(__file__).parents[1] / "hub"
WIDTH, HEIGHT, COLUMNS = 240, 180, 4
SIZE = (640, 480)  # that a picture is cut to before the model sees it, (width, height)
OBJECTS = ("coffee", "chelsea", "rocket", "pop_out_colour")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models; default all that can be loaded")
    for name in parser.parse_args().names or [n for n in spec_names() if read_spec(n).loadable and n != "uniform"]:
        write(name)


def write(name: str) -> None:
    """Write the sheet of a model's default variant."""
    folder = HUB / f"{name}.{read_spec(name).default}"
    path = folder / SHEET if folder.is_dir() else HUB / "cards" / f"{name}.jpg"
    sheet(salzoo.load(name), pictures()).save(path, quality=76, optimize=True)
    print(f"{path.relative_to(HUB.parent)} {path.stat().st_size / 1e3:.0f} KB")


def pictures() -> list[Image.Image]:
    """Return the eight pictures, all of one size: a face, a crowd, text, a street, and four with one object."""
    samples = sample_pictures()
    chosen = [samples["astronaut"], crowd(), page(), street(), *(samples[name] for name in OBJECTS)]
    return [ImageOps.fit(picture, SIZE, centering=(0.5, 0.2)) for picture in chosen]


def sheet(model: SaliencyModel, shown: Sequence[Image.Image]) -> Image.Image:
    """Return a model's overlays of pictures, four in a row."""
    rows = -(-len(shown) // COLUMNS)
    canvas = Image.new("RGB", (COLUMNS * WIDTH, rows * HEIGHT), "white")
    for i, picture in enumerate(shown):
        overlay = model.predict(picture).overlay(picture)
        overlay.thumbnail((WIDTH - 2, HEIGHT - 2), Image.Resampling.LANCZOS)
        canvas.paste(overlay, (i % COLUMNS * WIDTH + 1, i // COLUMNS * HEIGHT + 1))
    return canvas


if __name__ == "__main__":
    main()
