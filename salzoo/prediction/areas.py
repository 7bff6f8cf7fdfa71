"""Areas of interest of many images: the file that lists them, and the table of what they get."""

from __future__ import annotations

import csv
import io
import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from salzoo._schema import shown
from salzoo._text import read_json, to_cell
from salzoo.data.folder.text_table import MISSING, TextTable
from salzoo.data.names import Names, split_folder
from salzoo.errors import DataError, ImageError, SalzooWarning, SpecError
from salzoo.images.areas import Area, Region
from salzoo.images.read import to_array
from salzoo.images.saliency_map import SaliencyMap

EDGES = ("x0", "y0", "x1", "y1")
COLUMNS = ("image", "area", "share", "area_share", "lift", "rank")
TABLE = "areas.csv"
"""Name of the table in the output folder."""
_FORM = f"an area has a name and {', '.join(EDGES)} in pixels, or a mask; without an image it is in all of them"


@dataclass(frozen=True)
class Entry:
    """One area of the file.

    Args:
        where: File and line, for messages.
        image: Name of its image; empty for all.
        name: Its own.
        area: The box, or the path of its mask: an image that is black outside, and nowhere inside.
    """

    where: str
    image: str
    name: str
    area: tuple[float, ...] | Path


class AreaFile:
    """The areas of interest of some images.

    Args:
        path: A table in text with the columns `name`, `x0`, `y0`, `x1` and `y1`, or `name` and `mask`, and, unless the
            areas are in all images, `image`; or the same as JSON, a list of objects with these keys. Masks lie beside
            the file, or where their path says.
        images: The images of the run. Names are matched to them as `salzoo.data` does, by `salzoo.data.names.Names`;
            if several images have one name, the folder before it decides.

    Raises:
        SpecError: If there is no such file, or it fits none of the images.
        DataError: If an entry of it cannot be right; the message has its line and the value.
    """

    def __init__(self, path: Path, images: Sequence[Path]) -> None:
        if not path.is_file():
            raise SpecError(f"there is no file of areas {path}.")
        entries = list(_read_json(path) if path.suffix.lower() == ".json" else _read_table(path))
        if not entries:
            raise DataError(f"{path} lists no area; {_FORM}")
        self._areas: dict[Path, dict[str, Entry]] = {image: {} for image in images}
        names, unknown = Names(image.name for image in images), dict[str, Entry]()
        for entry in entries:
            fitting = _fitting(entry, images, names)
            if not fitting:
                unknown.setdefault(entry.image, entry)
            for image in fitting:
                if other := self._areas[image].get(entry.name):
                    raise DataError(f"{entry.where}: {image.name} has an area {entry.name!r} already, of {other.where}")
                self._areas[image][entry.name] = entry
        if unknown:
            first = next(iter(unknown.values()))
            told = f"{first.where}: no input is called {first.image!r}{names.hint(first.image)}"
            if not any(self._areas.values()):
                raise SpecError(f"{told}; no area is in any of the {len(images)} images.")
            warnings.warn(f"left out areas of {len(unknown)} images; {told}", SalzooWarning, stacklevel=2)
        if bare := [image.name for image, areas in self._areas.items() if not areas]:
            told = f"{path} has no area in {len(bare)} of {len(images)} images, the first is {bare[0]}"
            warnings.warn(told, SalzooWarning, stacklevel=2)

    def regions(self, image: Path, saliency_map: SaliencyMap) -> dict[str, Region]:
        """Return what each area of an image gets.

        Raises:
            ImageError: If one does not fit the image, or its mask cannot be read; the message has its line.
        """
        areas: dict[str, Area] = {}
        for name, entry in self._areas[image].items():
            try:
                given = entry.area
                areas[name] = np.any(to_array(given), axis=-1) if isinstance(given, Path) else given
                saliency_map.share(areas[name])
            except ImageError as error:
                raise ImageError(f"{entry.where}, area {name!r}: {error}") from error
        return saliency_map.regions(areas)


def to_csv(found: Mapping[str, Mapping[str, Region]]) -> str:
    """Return one line for each area of each image, with `COLUMNS`; the lift of an area without pixels is left empty.

    Names are cells of `salzoo._text.to_cell`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for image, regions in found.items():
        for name, region in regions.items():
            lift = "" if math.isnan(region.lift) else f"{region.lift:.6g}"
            numbers = [f"{region.share:.6g}", f"{region.area_share:.6g}", lift, region.rank]
            writer.writerow([to_cell(image), to_cell(name), *numbers])
    return text.getvalue()


def _fitting(entry: Entry, images: Sequence[Path], names: Names) -> list[Path]:
    """Return the images that an entry is of: all, one, or none."""
    if not entry.image:
        return list(images)
    found = names.find(entry.image)
    fitting = [image for image in images if image.name == found]
    if len(fitting) > 1:
        folder = split_folder(entry.image)[0]
        fitting = [image for image in fitting if image.absolute().parent.name == folder] or fitting
    if len(fitting) > 1:
        raise DataError(
            f"{entry.where}: image {entry.image!r} may be {fitting[0]} or {fitting[1]}: name its folder too, "
            f"as {fitting[0].absolute().parent.name}/{fitting[0].name}"
        )
    return fitting


def _read_table(path: Path) -> Iterator[Entry]:
    table = TextTable(path, ("name", *EDGES))
    columns = [name for name in ("image", "name", *EDGES, "mask") if name in table.header]
    missing = [name for name in ("name", *EDGES) if name not in columns]
    if twice := [name for name in columns if table.header.count(name) > 1]:
        raise DataError(f"{path} has two columns {twice[0]!r}; {_FORM}")
    if missing and not ("name" in columns and "mask" in columns):
        raise DataError(f"{path} has no column {missing[0]!r}, only {', '.join(table.header)}; {_FORM}")
    table.read(columns)
    decimal = None if table.delimiter != "," else "."
    numbers = {name: table.numbers(name, decimal).tolist() for name in EDGES if name in columns}
    texts = {name: table.texts(name) for name in columns if name not in EDGES}
    for i, line in enumerate(table.lines):
        cells = {name: column[i] for name, column in numbers.items() if not math.isnan(column[i])}
        words = {name: column[i].strip() for name, column in texts.items()}
        words |= {name: "" for name in ("image", "mask") if words.get(name, "").lower() in MISSING}
        yield _entry(f"{path}, line {line}", cells | words, path.parent)


def _read_json(path: Path) -> Iterator[Entry]:
    try:
        content = read_json(path)
    except ValueError as error:
        raise DataError(f"cannot read the areas: {error}") from error
    if not isinstance(content, list):
        raise DataError(f"{path} holds {type(content).__name__}, not a list of areas; {_FORM}")
    for number, given in enumerate(content, 1):
        where = f"{path}, entry {number}"
        if not isinstance(given, dict):
            raise DataError(f"{where} is {given!r}; {_FORM}")
        if unknown := [key for key in given if key not in ("image", "name", *EDGES, "mask")]:
            raise DataError(f"{where} has the key {unknown[0]!r}; {_FORM}")
        for key, value in given.items():
            number_wanted = key in EDGES
            if isinstance(value, bool) or not isinstance(value, int | float if number_wanted else str):
                raise DataError(f"{where}: {key} is {value!r}, not {'a number' if number_wanted else 'a text'}")
            if not isinstance(value, str) and not abs(value) < sys.float_info.max:
                raise DataError(f"{where}: {key} is {shown(value)}, no place in an image")
        yield _entry(where, given, path.parent)


def _entry(where: str, given: Mapping[str, Any], folder: Path) -> Entry:
    """Check what an entry says, as far as that can be without its image."""
    image, name, mask = (given.get(key, "") for key in ("image", "name", "mask"))
    edges = tuple(float(given[key]) for key in EDGES if key in given)
    if not name:
        raise DataError(f"{where}: the area has no name; {_FORM}")
    if bool(mask) == bool(edges) or len(edges) not in (0, 4):
        got = ", ".join(key for key in (*EDGES, "mask") if given.get(key, "") != "") or "neither"
        raise DataError(f"{where}: area {name!r} has {got}; {_FORM}")
    if mask:
        if not (folder / mask).is_file():
            raise DataError(f"{where}: area {name!r}: there is no mask {folder / mask}")
        return Entry(where, image, name, folder / mask)
    x0, y0, x1, y1 = edges
    if not (all(map(math.isfinite, edges)) and x0 < x1 and y0 < y1):
        told = ", ".join(f"{edge:g}" for edge in edges)
        raise DataError(f"{where}: area {name!r} is ({told}); a box is (x0, y0, x1, y1) with x0 < x1 and y0 < y1")
    return Entry(where, image, name, edges)
