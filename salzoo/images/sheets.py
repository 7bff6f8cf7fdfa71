"""Sheets: images side by side, under their titles."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from salzoo.errors import ImageError

_TEXT = 14
"""Size of the titles, in pixels."""
_LINE = 22
"""Height of a line of titles, in pixels."""


def side_by_side(
    images: Sequence[Image.Image],
    titles: Sequence[str] = (),
    columns: int | None = None,
    *,
    cell: tuple[int, int] = (180, 240),
    gap: int = 2,
) -> Image.Image:
    """Lay images out in rows, each shrunk to its cell and never enlarged, on white.

    Args:
        images: At least one, of any mode and size.
        titles: One an image, above it; or one a column, above the first row; or none.
        columns: Images in a row; None puts all into one.
        cell: (height, width) of each in pixels, its gap included.
        gap: Pixels between two neighbours.

    Raises:
        ImageError: If there is no image, or the number of titles is neither that of the images nor of the columns.

    Examples:
        >>> side_by_side([Image.new("RGB", (640, 480)), Image.new("L", (30, 40))], ["a", "b"]).size
        (480, 202)
    """
    columns = min(columns or len(images), len(images))
    if not images or columns < 1:
        raise ImageError("a sheet needs at least one image, and one column")
    if len(titles) not in (0, columns, len(images)):
        raise ImageError(f"a sheet of {len(images)} images in {columns} columns has no place for {len(titles)} titles")
    height, width = cell
    tops, bottom = [], 0
    for row in range(-(-len(images) // columns)):
        bottom += _LINE if titles and (row == 0 or len(titles) == len(images)) else 0
        tops.append(bottom)
        bottom += height
    sheet = Image.new("RGB", (columns * width, bottom), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    for i, image in enumerate(images):
        left, top = i % columns * width, tops[i // columns]
        if i < len(titles):
            draw.text((left + 6, top - _LINE + 2), _shortened(titles[i], width - 8, font), fill="black", font=font)
        shown = image.convert("RGB")
        shown.thumbnail((max(1, width - gap), max(1, height - gap)), Image.Resampling.LANCZOS)
        sheet.paste(shown, (left + (width - shown.width) // 2, top + (height - shown.height) // 2))
    return sheet


def _shortened(title: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return a title, cut where it would run into the next."""
    if font.getlength(title) <= width:
        return title
    kept = next((n for n in range(len(title) - 1, 0, -1) if font.getlength(title[:n] + "...") <= width), 1)
    return title[:kept] + "..."
