"""One way of looking at an image: fixations in their order, as numbers, as a drawing and as a table."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from salzoo._io import whole
from salzoo.errors import DataError, ImageError
from salzoo.images.painting import encode, to_pixels
from salzoo.images.read import ImageLike, to_array

Floats = NDArray[np.float64]

_USUAL_MS = 250.0
"""Duration that is drawn where none is known."""

COLOURS = (
    (240, 92, 62),
    (58, 134, 255),
    (255, 190, 11),
    (46, 196, 120),
    (190, 82, 220),
    (20, 190, 200),
    (250, 250, 250),
)
"""RGB of the paths of one drawing, in turn."""


@dataclass(frozen=True, eq=False, repr=False)
class Scanpath:
    """The fixations of one person on one image, in the order in which they were made.

    Coordinates are 0-based pixels with a pixel's centre at its integer coordinate, as in `salzoo.data.Fixations`. They
    may lie outside the image, or be NaN where the eye was lost: such a fixation keeps its place in the order.

    Args:
        x: Pixels from the left, 1-D.
        y: Pixels from the top.
        duration: Milliseconds; None if they are not known.
        onset: Milliseconds at which each fixation begins, from where the data count; None if they are not known.

    Raises:
        DataError: If the arrays are not 1-D or differ in length.

    Example:
        >>> path = Scanpath([10, 40, 42], [20, 25, 70], [180, 220, 260])
        >>> path
        <Scanpath: 3 fixations, 660 ms>
        >>> path.histories(2)[1].tolist()
        [[10.0, 20.0, 180.0], [40.0, 25.0, 220.0]]
    """

    x: Floats
    y: Floats
    duration: Floats | None = None
    onset: Floats | None = None

    def __post_init__(self) -> None:
        """Convert the columns and check that their lengths agree."""
        for name in ("x", "y", "duration", "onset"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        columns = [column for column in (self.x, self.y, self.duration, self.onset) if column is not None]
        if any(column.ndim != 1 or len(column) != len(self.x) for column in columns):
            shapes = ", ".join(str(column.shape) for column in columns)
            raise DataError(
                f"x, y, duration and onset of a scanpath must be 1-D and of one length, got shapes {shapes}"
            )

    def __len__(self) -> int:
        """Return the number of fixations."""
        return len(self.x)

    def __repr__(self) -> str:
        """Return how many fixations there are, and how long they took together."""
        took = "" if self.duration is None else f", {np.nansum(self.duration):.0f} ms"
        return f"<Scanpath: {len(self)} fixations{took}>"

    @property
    def points(self) -> Floats:
        """(n, 2) x, y; (n, 3) with the duration if it is known."""
        return np.stack([column for column in (self.x, self.y, self.duration) if column is not None], axis=1)

    def histories(self, lags: int | None = None) -> Floats:
        """Return what came before each fixation but the first, (n - 1, K, 3): x, y, duration, in the order of time.

        Row t has what precedes fixation t + 1, the latest last, so `[:, -k]` is the k-th before; what is not there, or
        not known, is NaN.

        Args:
            lags: K; None takes n - 1, so that nothing is cut off.
        """
        steps = max(len(self) - 1, 0)
        lags = steps if lags is None else lags
        column = np.full(len(self), np.nan) if self.duration is None else self.duration
        padded = np.full((lags + len(self), 3), np.nan)
        padded[lags:] = np.stack([self.x, self.y, column], axis=1)
        found: Floats = padded[np.arange(1, steps + 1)[:, None] + np.arange(lags)]
        return found

    def overlay(self, image: ImageLike) -> Image.Image:
        """Draw the path over its image: numbered circles, larger for longer fixations, joined by lines.

        Raises:
            ImageError: If the image cannot be read.
        """
        return draw(image, [self])

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one line a fixation, with the columns of `write_csv`.

        Raises:
            ImageError: If the file cannot be written.
        """
        write_csv(path, [self])

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows: the path on grey, as large as the path is wide."""
        known = [column[np.isfinite(column)] for column in (self.y, self.x)]
        height, width = (int(column.max(initial=0)) + 33 for column in known)
        return encode(self.overlay(np.full((height, width), 128, np.uint8)), ".png")


def draw(image: ImageLike, paths: Sequence[Scanpath]) -> Image.Image:
    """Draw several paths over their image, each in a colour of its own.

    The area of a circle is in proportion to the duration; where none is known, all are as large as one of 250 ms.

    Args:
        image: Of any kind that `predict` takes.
        paths: On this image.

    Returns:
        An RGB image of the same size.

    Raises:
        ImageError: If the image cannot be read.
    """
    pixels = to_pixels(to_array(image))
    canvas = Image.fromarray(pixels).convert("RGB")
    unit = max(canvas.size) / 60  # radius at the usual duration
    pen = ImageDraw.Draw(canvas, "RGBA")
    for number, path in enumerate(paths):
        _draw_path(pen, path, COLOURS[number % len(COLOURS)], unit)
    return canvas


def _draw_path(pen: ImageDraw.ImageDraw, path: Scanpath, colour: tuple[int, int, int], unit: float) -> None:
    duration = np.full(len(path), _USUAL_MS) if path.duration is None else path.duration
    seen = np.isfinite(path.x) & np.isfinite(path.y)
    places = list(zip(path.x[seen].tolist(), path.y[seen].tolist(), strict=True))
    radii = unit * np.sqrt(np.nan_to_num(duration[seen], nan=_USUAL_MS).clip(0) / _USUAL_MS)
    width = max(1, round(unit / 6))
    pen.line(places, fill=(*colour, 210), width=width)
    font = ImageFont.load_default(max(8.0, unit))
    for number, (x, y), radius in zip(np.flatnonzero(seen) + 1, places, radii, strict=True):
        box = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(box, fill=(*colour, 150), outline=(0, 0, 0, 255), width=max(1, width // 2))
        pen.text((x, y), str(number), fill=(0, 0, 0, 255), font=font, anchor="mm")


def write_csv(path: str | os.PathLike[str], paths: Sequence[Scanpath]) -> None:
    """Write several paths into one table, one line a fixation.

    Columns are path (from 1, also if it is the only one), fixation (from 1), x, y, and duration_ms and onset_ms if they
    are known. x and y have two decimals. The file appears whole or not at all.

    Raises:
        ImageError: If it cannot be written.
    """
    timed = [name for name in ("duration", "onset") if any(getattr(each, name) is not None for each in paths)]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "fixation", "x", "y", *(f"{name}_ms" for name in timed)])
    for number, each in enumerate(paths, start=1):
        ends = [_column(each, name) for name in timed]
        for place, (x, y, *times) in enumerate(zip(each.x, each.y, *ends, strict=True), start=1):
            columns = [f"{x:.2f}", f"{y:.2f}", *(f"{time:.0f}" for time in times)]
            table.writerow([number, place, *columns])
    try:
        with whole(Path(path)) as part:
            part.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise ImageError(
            f"cannot write '{path}': {error.strerror}; check that its folder exists and can be written"
        ) from error


def _column(path: Scanpath, name: str) -> Floats:
    """Return times in ms, NaN where they are not known."""
    column: Floats | None = getattr(path, name)
    return np.full(len(path), np.nan) if column is None else column
