"""Images that no package ships, drawn here for `sheets.py`: a crowd, a page of text and a street, each 480 x 640."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SCALE = 3  # drawn larger and shrunk: smooth edges
SKIN = ("#f2d3b8", "#e0ac86", "#c68a62", "#9a6240", "#6b4029")
HAIR = ("#2a1d16", "#5b3a22", "#a8793f", "#8c8c8c", "#131313", "#7a2f1d")
SHIRTS = ("#3f6ea8", "#a83f3f", "#4d7d4d", "#d8d2c4", "#3c3c46", "#c99a3a", "#7b5a8c")
STORY = (
    "The bridge over the river was closed in spring, and the town learned to walk around it. The baker moved his "
    "stall to the other bank, the school sent a boat, and the mill stood still for eleven weeks. Nobody had asked "
    "the engineers why the third pillar leaned. When they came at last, they brought a plumb line, a camera and a "
    "dog that slept on the toll house steps. Their report had two pages. The pillar was sound, the road was not. "
)


def crowd() -> Image.Image:
    """Sixteen people in three rows before a wall, of whom two show the backs of their heads."""
    image, draw = _canvas("#b9b4a6")
    _box(draw, 0, 0, 640, 150, "#8f9aa3")
    random = np.random.default_rng(3)
    for row, count in enumerate((6, 5, 5)):
        radius = 24 + 5 * row
        for i in range(count):
            x = 640 * (i + 0.5) / count + random.integers(-12, 13)
            y = 130 + 105 * row + random.integers(-12, 13)
            turned = (row, i) in ((1, 3), (2, 0))
            person(draw, x, y, radius, random.integers(0, 60, 3), turned=turned)
    return _shrunk(image)


def page() -> Image.Image:
    """A newspaper page: a headline, two columns and a drawing with a caption."""
    image, draw = _canvas("#f4f1e8")
    _text(draw, 40, 26, "Bridge opens after a year", 42, "#111111")
    _box(draw, 40, 84, 600, 86, "#111111")
    _lines(draw, 40, 104, 265, 24)
    _box(draw, 335, 104, 600, 270, "#c9d3da")
    for x in (370, 450, 530):
        _box(draw, x, 190, x + 16, 250, "#6d6a66")
    _box(draw, 335, 178, 600, 194, "#55524e")
    _box(draw, 335, 250, 600, 270, "#7f9fb5")
    _text(draw, 335, 276, "The third pillar, on the left", 13, "#444444")
    _lines(draw, 335, 306, 265, 11)
    return _shrunk(image)


def street() -> Image.Image:
    """Houses along a road, a shop with its name, a car, a traffic light and two pedestrians."""
    image, draw = _canvas("#a9cbe6")
    for x, top, right, wall in ((0, 60, 150, "#b06a4c"), (150, 110, 290, "#d9c9a3"), (430, 90, 640, "#8c8f98")):
        _house(draw, x, top, right, wall)
    _box(draw, 0, 330, 640, 372, "#a8a49c")
    _polygon(draw, ((0, 372), (640, 372), (640, 480), (0, 480)), "#55565b")
    for x in range(10, 640, 90):
        _box(draw, x, 424, x + 48, 430, "#e8e6df")
    _box(draw, 450, 238, 570, 266, "#20453a")
    _text(draw, 463, 239, "BAKERY", 24, "#f4e7c0")
    _tree(draw, 345, 335)
    _light(draw, 410, 335)
    _car(draw, 90, 395, "#b3262b")
    for x, colours in ((250, (3, 12, 5)), (600, (0, 4, 1))):
        person(draw, x, 285, 11, np.array(colours), legs=True)
    return _shrunk(image)


def person(
    draw: ImageDraw.ImageDraw,
    x: float,
    y: float,
    radius: float,
    colours: np.ndarray,
    *,
    turned: bool = False,
    legs: bool = False,
) -> None:
    """Draw a head of a radius in pixels with its centre at (x, y), the shoulders and perhaps the legs below."""
    skin, hair, shirt = SKIN[colours[0] % 5], HAIR[colours[1] % 6], SHIRTS[colours[2] % 7]
    r = radius
    if legs:
        for side in (-0.5, 0.5):
            _box(draw, x + (side - 0.4) * r, y + 3.5 * r, x + (side + 0.4) * r, y + 7.5 * r, "#2e3440")
    body = (x - 1.6 * r, y + 1.2 * r, x + 1.6 * r, y + (4.4 if legs else 7) * r)
    draw.rounded_rectangle([SCALE * v for v in body], SCALE * r, fill=shirt)
    _box(draw, x - 0.35 * r, y + 0.7 * r, x + 0.35 * r, y + 1.5 * r, skin)
    _oval(draw, x, y - 0.15 * r, 0.95 * r, 1.2 * r, hair)
    if turned:
        return
    _oval(draw, x, y + 0.15 * r, 0.78 * r, 0.98 * r, skin)
    for side in (-0.32, 0.32):
        _oval(draw, x + side * r, y, 0.17 * r, 0.12 * r, "#ffffff")
        _oval(draw, x + side * r, y, 0.08 * r, 0.11 * r, "#201510")
        _box(draw, x + (side - 0.18) * r, y - 0.27 * r, x + (side + 0.18) * r, y - 0.2 * r, hair)
    _polygon(draw, ((x, y + 0.05 * r), (x - 0.12 * r, y + 0.42 * r), (x + 0.12 * r, y + 0.42 * r)), "#b5774f")
    _oval(draw, x, y + 0.66 * r, 0.27 * r, 0.09 * r, "#9c3c3c")


def _house(draw: ImageDraw.ImageDraw, left: int, top: int, right: int, wall: str) -> None:
    _box(draw, left, top, right, 330, wall)
    _box(draw, left, top, right, top + 8, "#5a4a42")
    for y in range(top + 24, 200, 52):
        for x in range(left + 16, right - 30, 44):
            _box(draw, x, y, x + 24, y + 34, "#e9edf0")
            _box(draw, x + 2, y + 2, x + 22, y + 32, "#46586a")
    middle = (left + right) // 2
    _box(draw, middle - 16, 268, middle + 16, 330, "#3d2b21")


def _tree(draw: ImageDraw.ImageDraw, x: int, ground: int) -> None:
    _box(draw, x - 6, ground - 90, x + 6, ground, "#5a3f2b")
    for dx, dy, r in ((-26, -110, 30), (24, -112, 32), (0, -145, 36)):
        _oval(draw, x + dx, ground + dy, r, r, "#4a7a3c")


def _light(draw: ImageDraw.ImageDraw, x: int, ground: int) -> None:
    _box(draw, x - 3, ground - 150, x + 3, ground, "#3a3a3a")
    _box(draw, x - 12, ground - 190, x + 12, ground - 126, "#202020")
    for i, colour in enumerate(("#ff3b30", "#5a4a20", "#204a28")):
        _oval(draw, x, ground - 178 + 20 * i, 8, 8, colour)


def _car(draw: ImageDraw.ImageDraw, x: int, y: int, colour: str) -> None:
    _polygon(draw, ((x + 34, y - 34), (x + 112, y - 34), (x + 140, y), (x + 14, y)), colour)
    _polygon(draw, ((x + 42, y - 28), (x + 74, y - 28), (x + 74, y - 4), (x + 28, y - 4)), "#cfe0ea")
    _polygon(draw, ((x + 80, y - 28), (x + 108, y - 28), (x + 126, y - 4), (x + 80, y - 4)), "#cfe0ea")
    _box(draw, x, y, x + 168, y + 32, colour)
    for wheel in (x + 36, x + 132):
        _oval(draw, wheel, y + 32, 16, 16, "#1c1c1c")
        _oval(draw, wheel, y + 32, 8, 8, "#a0a0a0")


def _lines(draw: ImageDraw.ImageDraw, x: int, y: int, width: int, count: int) -> None:
    """Set the story in lines of a width in pixels."""
    font, words = ImageFont.load_default(14 * SCALE), (STORY * 3).split()
    for i in range(count):
        line = words.pop(0)
        while font.getlength(f"{line} {words[0]}") < width * SCALE:
            line += f" {words.pop(0)}"
        _text(draw, x, y + 14.5 * i, line, 14, "#222222")


def _canvas(colour: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (640 * SCALE, 480 * SCALE), colour)
    return image, ImageDraw.Draw(image)


def _shrunk(image: Image.Image) -> Image.Image:
    return image.resize((640, 480), Image.Resampling.BOX)


def _box(draw: ImageDraw.ImageDraw, left: float, top: float, right: float, bottom: float, colour: str) -> None:
    draw.rectangle([SCALE * v for v in (left, top, right, bottom)], fill=colour)


def _oval(draw: ImageDraw.ImageDraw, x: float, y: float, width: float, height: float, colour: str) -> None:
    draw.ellipse([SCALE * v for v in (x - width, y - height, x + width, y + height)], fill=colour)


def _polygon(draw: ImageDraw.ImageDraw, points: tuple[tuple[float, float], ...], colour: str) -> None:
    draw.polygon([(SCALE * x, SCALE * y) for x, y in points], fill=colour)


def _text(draw: ImageDraw.ImageDraw, x: float, y: float, words: str, size: int, colour: str) -> None:
    draw.text((SCALE * x, SCALE * y), words, fill=colour, font=ImageFont.load_default(size * SCALE))
