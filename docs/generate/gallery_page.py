"""The zoo's maps of eight images, cut from the sheets of the models: each image by all models, and all by each."""

from __future__ import annotations

import sys
from pathlib import Path

import facts
from model_pages import HUB, sheet
from PIL import Image
from tree import REPOSITORY, Tree

from salzoo.checkpoint.card import OVERLAYS
from salzoo.registry import spec_names

sys.path.append(str(REPOSITORY / "benchmarks"))
from sheets import pictures

IMAGES = ("Face", "Crowd", "Page of text", "Street", "Cup", "Cat", "Rocket", "Pop-out")
"""What the eight fields of a sheet show, in their order; `benchmarks/sheets.py` draws them."""
COLUMNS, ROWS = 4, 2
SIZE = (238, 178)


def add(tree: Tree) -> list[object]:
    """Cut all sheets, add the page, and return its menu."""
    ranked = sorted(spec_names(), key=lambda name: -(facts.score(facts.best_row(name), "nss") or -1))
    drawn = [(name, place) for name in ranked if (place := sheet(name)) is not None]
    folder = tree.root / "gallery"
    folder.mkdir()
    for name, place in drawn:
        cut(HUB / place, folder, name)
    for number, image in enumerate(pictures()):
        image.resize(SIZE).save(folder / f"image-{number}.jpg", quality=88)
    parts = [
        "---\nhide: [navigation]\n---\n\n# Gallery",
        "",
        "What each model says of eight images, the best on OSIE first.",
        "",
        OVERLAYS.partition("\n\n")[2],
        "",
    ]
    for number, title in enumerate(IMAGES):
        parts += [f"## {title}", "", '<div class="gallery">', _figure("image", number, title, "the image")]
        parts += [_figure(name, number, title, f'<a href="models/{name}.html">{name}</a>') for name, _ in drawn]
        parts += ["</div>", ""]
    tree.add("gallery.md", "\n".join(parts))
    return ["gallery.md"]


def _figure(stem: str, number: int, title: str, caption: str) -> str:
    size = f'width="{SIZE[0]}" height="{SIZE[1]}"'
    image = f'<img src="gallery/{stem}-{number}.jpg" alt="{title}, {stem}" {size} loading="lazy">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def cut(whole: Path, folder: Path, name: str) -> None:
    """Write the fields of a sheet as images of their own."""
    with Image.open(whole) as sheet:
        width, height = sheet.width // COLUMNS, sheet.height // ROWS
        for number in range(len(IMAGES)):
            left, top = number % COLUMNS * width, number // COLUMNS * height
            field = sheet.crop((left + 1, top + 1, left + 1 + SIZE[0], top + 1 + SIZE[1]))
            field.save(folder / f"{name}-{number}.jpg", quality=88)
