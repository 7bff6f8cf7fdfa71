"""What models look at in web pages: layouts drawn here, of which every element and its place are known.

    python benchmarks/designs.py [MODEL ...] [--orders 2]

A layout has a header and, below it, six cells of one size that hold a headline, an image, a face, a text, a button and
a banner. Each order of the six is drawn six times, every time one cell further, so that each element is in each cell as
often: what an element gets on average is due to what it is, what a cell gets is due to where it is. Kept of each model
are how often an element is looked at for its size (1 is chance), and the shares of the cells' columns and rows.

Nobody looked at these layouts: the numbers say what models do, not whether people do the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from record import record
from scenes import SCALE, STORY, person

import salzoo
from salzoo.components.saliency_model import SaliencyModel
from salzoo.registry import read_spec

ELEMENTS = ("headline", "image", "face", "text", "button", "banner")
WIDTH, HEIGHT, HEADER, MARGIN = 1024, 640, 64, 24  # pixels
ROWS, COLUMNS = 2, 3
COLOURS = ("#1f6feb", "#c0392b", "#1e8449", "#7d3c98", "#d35400", "#117a8b")
TITLES = ("Ships return to the old harbour", "A garden on every second roof", "The night train is back",
          "Bread without a recipe", "Why rivers move", "Two wheels through the snow")  # fmt: skip
Box = tuple[float, float, float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: all that load without training")
    parser.add_argument("--orders", type=int, default=2, help="orders of the elements, six layouts each")
    arguments = parser.parse_args()
    for name in arguments.models or loadable():
        found = measure(salzoo.load(name), arguments.orders)
        record("designs", name, {**found, "layouts": len(ELEMENTS) * arguments.orders})


def loadable() -> list[str]:
    """Return every model, in the variant that `load` takes by default or else in its first with weights."""
    specs = [read_spec(name) for name in salzoo.list_models(trained=True) if name != "uniform"]
    specs = [spec for spec in specs if spec.kind == "image"]
    return [s.name if s.default in s.loadable else f"{s.name}.{s.loadable[0]}" for s in specs]


def measure(model: SaliencyModel, orders: int) -> dict[str, dict[str, float]]:
    """Return the lift of each element, and the shares of columns and rows among the cells, averaged over layouts."""
    lifts, cells = [], []
    for image, boxes in layouts(orders):
        m = model.predict(image)
        lifts.append([region.lift for region in m.regions(boxes).values()])
        shares = np.array([m.share(cell(place)) for place in range(len(ELEMENTS))]).reshape(ROWS, COLUMNS)
        cells.append(shares / shares.sum())
    grid = np.mean(cells, axis=0)
    names = (*ELEMENTS, "header")
    return {
        "lift": {name: round(float(lift), 3) for name, lift in zip(names, np.mean(lifts, axis=0), strict=True)},
        "columns": {name: round(float(s), 3) for name, s in zip(("left", "middle", "right"), grid.sum(0), strict=True)},
        "rows": {name: round(float(s), 3) for name, s in zip(("upper", "lower"), grid.sum(1), strict=True)},
    }


def layouts(orders: int) -> Iterator[tuple[Image.Image, dict[str, Box]]]:
    """Yield layouts, and the box (x0, y0, x1, y1) of each element and of the header in pixels."""
    for seed in range(orders):
        random = np.random.default_rng(seed)
        order = random.permutation(len(ELEMENTS))
        for shift in range(len(ELEMENTS)):
            yield draw(np.roll(order, shift), seed)


def cell(place: int) -> Box:
    """Return the box of a cell, from the upper left one row by row."""
    row, column = divmod(place, COLUMNS)
    width, height = WIDTH / COLUMNS, (HEIGHT - HEADER) / ROWS
    return (column * width, HEADER + row * height, (column + 1) * width, HEADER + (row + 1) * height)


def draw(order: Sequence[int], seed: int) -> tuple[Image.Image, dict[str, Box]]:
    """Draw a layout whose cell k holds element `order[k]`; the seed decides on colours and words."""
    random = np.random.default_rng(1000 + seed)
    sheet = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), "white")
    pen, accent = ImageDraw.Draw(sheet), COLOURS[seed % len(COLOURS)]
    rectangle(pen, (0, 0, WIDTH, HEADER), "#f3f4f6")
    for k, word in enumerate(("Harbour", "News", "Places", "People", "About")):
        write(pen, (MARGIN if k == 0 else 560 + 100 * k, 20), word, 22 if k == 0 else 15, "#222222")
    boxes: dict[str, Box] = {}
    for place, element in sorted(enumerate(order), key=lambda pair: ELEMENTS[pair[1]] != "face"):
        left, top, right, bottom = cell(place)
        rectangle(pen, (left, top, right, bottom), "#ffffff")  # a person reaches below the frame, as it is drawn first
        inner = (left + MARGIN, top + MARGIN, right - MARGIN, bottom - MARGIN)
        boxes[ELEMENTS[element]] = DRAWERS[ELEMENTS[element]](pen, inner, accent, random.integers(0, 60, 3))
    ordered = {name: boxes[name] for name in ELEMENTS} | {"header": (0.0, 0.0, float(WIDTH), float(HEADER))}
    return sheet.resize((WIDTH, HEIGHT), Image.Resampling.BOX), ordered


def headline(pen: ImageDraw.ImageDraw, box: Box, accent: str, numbers: np.ndarray) -> Box:
    """Set a title in large letters, in as many lines as it needs."""
    left, top, right, bottom = box
    lines = set_lines(TITLES[numbers[0] % len(TITLES)].split(), right - left, 38)
    height = 46 * len(lines)
    y = (top + bottom - height) / 2
    for k, line in enumerate(lines):
        write(pen, (left, y + 46 * k), line, 38, "#111111")
    return (left, y, right, y + height)


def landscape(pen: ImageDraw.ImageDraw, box: Box, accent: str, numbers: np.ndarray) -> Box:
    """Draw hills, a house and the sun."""
    left, top, right, bottom = box
    horizon = top + 0.55 * (bottom - top)
    rectangle(pen, box, "#9cc9ea")
    pen.ellipse([SCALE * v for v in (right - 80, top + 20, right - 40, top + 60)], fill="#f6d55c")
    hills = (left, bottom, left, horizon, left + 90, horizon - 50, right, horizon + 30, right, bottom)
    pen.polygon([SCALE * v for v in hills], fill="#5d8a4c")
    rectangle(pen, (left + 60, horizon, left + 120, horizon + 50), "#a4502f")
    rectangle(pen, (left + 82, horizon + 22, left + 98, horizon + 50), "#3d2b21")
    return box


def portrait(pen: ImageDraw.ImageDraw, box: Box, accent: str, numbers: np.ndarray) -> Box:
    """Draw a person before a plain wall."""
    left, top, right, bottom = box
    middle, width = (left + right) / 2, 150
    frame = (middle - width / 2, top, middle + width / 2, bottom)
    rectangle(pen, frame, "#cfd8dc")
    person(pen, middle, top + 80, 42, numbers)
    rectangle(pen, (left, bottom, right, bottom + MARGIN), "#ffffff")
    return frame


def text(pen: ImageDraw.ImageDraw, box: Box, accent: str, numbers: np.ndarray) -> Box:
    """Set a story in small letters."""
    left, top, right, bottom = box
    words = STORY.split()
    begin = int(numbers[0]) % len(words)
    for k, line in enumerate(set_lines((words[begin:] + words) * 2, right - left, 14)[: int((bottom - top) / 19)]):
        write(pen, (left, top + 19 * k), line, 14, "#333333")
    return box


def button(pen: ImageDraw.ImageDraw, box: Box, accent: str, numbers: np.ndarray) -> Box:
    """Draw a button with two words."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    frame = (x - 95, y - 26, x + 95, y + 26)
    pen.rounded_rectangle([SCALE * v for v in frame], 10 * SCALE, fill=accent)
    write(pen, (x - 62, y - 14), "Subscribe now", 19, "#ffffff")
    return frame


def banner(pen: ImageDraw.ImageDraw, box: Box, accent: str, numbers: np.ndarray) -> Box:
    """Draw an advertisement: three words on colour."""
    left, top, right, bottom = box
    frame = (left, top + 50, right, bottom - 50)
    rectangle(pen, frame, "#f4b400")
    write(pen, (left + 30, top + 75), "SALE 50 %", 40, "#8b0000")
    write(pen, (left + 32, bottom - 95), "this week only", 18, "#5a2d00")
    return frame


DRAWERS = {"headline": headline, "image": landscape, "face": portrait, "text": text, "button": button, "banner": banner}


def set_lines(words: Sequence[str], width: float, size: int) -> list[str]:
    """Break words into lines of a width in pixels."""
    font, lines = ImageFont.load_default(size * SCALE), [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > width * SCALE:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def rectangle(pen: ImageDraw.ImageDraw, box: Box, colour: str) -> None:
    pen.rectangle([SCALE * v for v in box], fill=colour)


def write(pen: ImageDraw.ImageDraw, place: tuple[float, float], words: str, size: int, colour: str) -> None:
    pen.text((SCALE * place[0], SCALE * place[1]), words, fill=colour, font=ImageFont.load_default(size * SCALE))


if __name__ == "__main__":
    main()
