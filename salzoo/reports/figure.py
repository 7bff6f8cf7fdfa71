"""Figures for papers: images, what people looked at, and the maps of models, side by side."""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from salzoo._io import whole
from salzoo.data.base import FixationDataset
from salzoo.data.fixations import Fixations
from salzoo.data.folder.loose import loose_study
from salzoo.data.names import Names
from salzoo.errors import SalzooWarning, SpecError
from salzoo.images import painting
from salzoo.images.read import to_array
from salzoo.images.saliency_map import SaliencyMap

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".pdf", ".svg", ".png")
_SETTINGS: Any = {
    "pdf.fonttype": 42,  # whole TrueType fonts, which journals ask for
    "svg.hashsalt": "salzoo",  # else ids differ from run to run
}
_METADATA: dict[str, dict[str, None]] = {
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None},
    ".png": {"Software": None},
}
_FONT, _WIDE = 8, 1.3
"""Points of a title above a panel of so many inches; text and lines of narrower panels are smaller, to 60 %."""
_GAP, _TITLE, _BAR = 0.04, 0.2, 0.5
"""Inches between panels, for the line of titles, and for the colour bar with its numbers."""


@dataclass(frozen=True)
class People:
    """Where people looked in one image.

    Args:
        points: (N, 2) x and y of their fixations, 0-based; none if only a map is known.
        density: Their density.
    """

    points: NDArray[np.float64]
    density: SaliencyMap


@dataclass(frozen=True)
class Row:
    """One image of a figure.

    Args:
        image: (H, W, 3) RGB.
        people: Where people looked, if that is known.
        maps: What models say, by the title of their column.
    """

    image: NDArray[Any]
    people: People | None
    maps: Mapping[str, SaliencyMap]


def draw(
    rows: Sequence[Row],
    path: Path,
    *,
    width: float = 180 / 25.4,
    dpi: int = 300,
    contours: Sequence[float] = (0.5, 0.8),
    colormap: str = painting.HOUSE,
) -> None:
    """Draw a figure, one image a row: the image, people if they are known of any, and each model.

    Heat maps are those of `SaliencyMap.overlay`; contours are lines between pixels, vectors in PDF and SVG. The same
    input gives the same bytes: the file holds no date.

    Args:
        rows: At least one, all with maps of the same titles.
        path: A file with one of `SUFFIXES`.
        width: Of the whole figure, in inches.
        dpi: Resolution of the images in it.
        contours: As in `SaliencyMap.overlay`.
        colormap: As there.

    Raises:
        SpecError: If matplotlib is not installed, or the suffix is another.
        ImageError: As in `SaliencyMap.overlay`.
    """
    check(path)
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        figure = _figure(rows, width, contours, colormap)
        buffer, suffix = io.BytesIO(), path.suffix.lower()
        with _missing_characters_told():
            figure.savefig(buffer, format=suffix[1:], dpi=dpi, metadata=_METADATA[suffix])
    with whole(path) as part:
        part.write_bytes(buffer.getvalue())


@contextmanager
def _missing_characters_told() -> Iterator[None]:
    """Tell once which characters no font has; matplotlib does so for each character and place, in terms of its own."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    found = [(each, re.match(r"Glyph (\d+) ", str(each.message))) for each in caught]
    for each in (each for each, glyph in found if glyph is None):
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    if missing := dict.fromkeys(chr(int(glyph[1])) for _, glyph in found if glyph):
        named = ", ".join(f"{each!r} ({unicodedata.name(each, f'U+{ord(each):04X}')})" for each in missing)
        warnings.warn(
            f"no font that matplotlib knows has {named}: the title has a box there; take another title, "
            "-m TITLE=NAME, or name a font that has it as font.family in your matplotlibrc",
            SalzooWarning,
            stacklevel=4,
        )


def check(path: Path) -> None:
    """Check that a figure can be drawn into a file, before models are loaded.

    Raises:
        SpecError: If matplotlib is not installed, or the suffix is none of `SUFFIXES`, or there is no such folder.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise SpecError(f"a figure is written as {', '.join(SUFFIXES)}, got {path.name!r}.")
    if not path.parent.is_dir():
        raise SpecError(f"there is no folder {path.parent} to write {path.name} into.")
    try:
        import matplotlib as _  # noqa: F401
    except ImportError as error:
        raise SpecError('figures need matplotlib: pip install "salzoo[figures]".') from error


def _figure(rows: Sequence[Row], width: float, contours: Sequence[float], colormap: str) -> Any:
    """Lay the panels out: columns of one width, each row as high as its image."""
    from matplotlib.figure import Figure

    with_people = any(row.people is not None for row in rows)
    titles = ["image", *(["people"] if with_people else []), *rows[0].maps]
    panel = (width - _BAR - _GAP * (len(titles) - 1)) / len(titles)
    if panel <= 0:
        raise SpecError(f"{len(titles)} columns do not fit into a figure that is {width * 25.4:.0f} mm wide.")
    scale = min(1.0, max(0.6, panel / _WIDE))
    heights = [panel * row.image.shape[0] / row.image.shape[1] for row in rows]
    height = _TITLE + sum(heights) + _GAP * (len(rows) - 1)
    figure = Figure(figsize=(width, height))
    top = height - _TITLE
    for number, (row, tall) in enumerate(zip(rows, heights, strict=True)):
        seen = None if row.people is None else row.people.density
        maps = [None, *([seen] if with_people else []), *row.maps.values()]
        for column, (title, saliency_map) in enumerate(zip(titles, maps, strict=True)):
            left = column * (panel + _GAP)
            axes = figure.add_axes((left / width, (top - tall) / height, panel / width, tall / height))
            axes.set_axis_off()
            if number == 0:
                axes.set_title(title, pad=3, fontsize=_FONT * scale, parse_math=False)
            if saliency_map is None and column:  # nothing is known of people in this one
                continue
            _panel(axes, row.image, saliency_map, contours, colormap, scale)
            if column == 1 and row.people is not None:
                x, y = row.people.points.T
                axes.plot(
                    *(x, y, "o"),
                    markersize=1.5 * scale,
                    markerfacecolor="white",
                    markeredgecolor="black",
                    markeredgewidth=0.3 * scale,
                )
        if number == 0:
            place = ((width - _BAR + 0.08) / width, (top - tall) / height, 0.08 / width, tall / height)
            _bar(figure, place, colormap, scale)
        top -= tall + _GAP
    return figure


def _panel(
    axes: Any,
    image: NDArray[Any],
    saliency_map: SaliencyMap | None,
    contours: Sequence[float],
    colormap: str,
    scale: float,
) -> None:
    if saliency_map is None:
        axes.imshow(painting.to_pixels(image))
        return
    axes.imshow(np.asarray(saliency_map.overlay(image, (), colormap=colormap)))
    density = saliency_map.density
    for share in contours:
        level = float(painting.level(density, share))
        if density.min() < level:  # else it runs around the whole image
            for colour, line in (("black", 1.4), ("white", 0.7)):
                axes.contour(density, levels=[level], colors=colour, linewidths=line * scale)


def _bar(figure: Any, place: tuple[float, float, float, float], colormap: str, scale: float) -> None:
    """Draw the colours of saliency, from the lowest to the highest of each map."""
    axes = figure.add_axes(place)
    colours = painting.to_pixels(painting.colours(colormap) / np.float32(255))
    axes.imshow(colours[:, None], aspect="auto", origin="lower", extent=(0, 1, 0, 1))
    axes.set_xticks([])
    axes.set_yticks([0, 1], ["min", "max"])
    axes.yaxis.tick_right()
    axes.tick_params(length=0, pad=2, labelsize=0.85 * _FONT * scale)


def rows_of_dataset(dataset: FixationDataset, names: Sequence[str]) -> list[tuple[NDArray[Any], People | None]]:
    """Return images of a dataset and where people looked in them.

    Args:
        dataset: All its images.
        names: Of the images, matched as `salzoo.data.names.Names` does.

    Raises:
        SpecError: If one is not in the dataset.
    """
    known, rows = Names(dataset.names), list[tuple[NDArray[Any], People | None]]()
    for name in names:
        found = known.find(name)
        if found is None:
            raise SpecError(f"no image of {dataset.name} is called {name!r}{known.hint(name)}.")
        index = dataset.names.index(found)
        item = dataset[index]
        points = dataset.fixations(index) if dataset.has_points else None
        rows.append((to_array(item["image"]), _people(points, item["density"])))
    return rows


def rows_of_files(paths: Sequence[Path], table: Path | None) -> list[tuple[NDArray[Any], People | None]]:
    """Return image files, and where people looked in them.

    Args:
        paths: The images.
        table: Fixations, as `salzoo.data.FixationFolder` reads them, with `study.json` beside it if there is one; rows
            of other images are left out. None if nothing is known of people.

    Raises:
        SpecError: If there is no table.
        DataError: If the table cannot be right, or has no row of any of the images.
        ImageError: If an image cannot be read.
    """
    images = [to_array(path) for path in paths]
    if table is None:
        return [(image, None) for image in images]
    if not table.is_file():
        raise SpecError(f"there is no table of fixations {table}.")
    with loose_study(paths, table) as study:
        seen = {study.names[i]: _people(study.fixations(i), study[i]["density"]) for i in range(len(study))}
    return [(image, seen.get(path.name)) for image, path in zip(images, paths, strict=True)]


def _people(points: Fixations | None, density: Tensor) -> People | None:
    if not density.any():
        return None
    with np.errstate(divide="ignore"):
        shown = SaliencyMap(np.log(density.numpy()))
    places = np.zeros((0, 2)) if points is None else np.stack([points.x, points.y], axis=1)
    return People(places, shown)
