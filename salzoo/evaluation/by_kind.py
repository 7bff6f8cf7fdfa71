"""Scores by kind of image: where a model explains what people look at, and where it does not."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from salzoo import _markdown
from salzoo._text import read_text
from salzoo.data import FixationDataset
from salzoo.data.names import Names
from salzoo.errors import DataError, SpecError
from salzoo.evaluation.baselines import ROWS
from salzoo.evaluation.statistics import FEWEST, finite, interval, mean, plus_minus
from salzoo.evaluation.table import Table
from salzoo.images.kinds import KINDS, kinds

ALL = "all"
"""The kind that every image is of."""
BY_PIXELS = "kind"
"""What stands for `KINDS` in the place of a file."""

NONE = "–"

Kinds = Mapping[str, Sequence[str]]
"""Names of the images of each kind."""


def kinds_of(dataset: FixationDataset) -> dict[str, list[str]]:
    """Return the images of each of `salzoo.images.kinds.KINDS`, by the pixels alone; every image is read."""
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for index, name in enumerate(dataset.names):
        for kind in kinds(dataset.image(index)):
            found[kind].append(name)
    return found


def read_kinds(path: Path) -> dict[str, list[str]]:
    """Read which images are of which kind from a CSV with the columns `image` and `kind`, a line for each pair.

    Raises:
        DataError: If there is no such file, a column is missing, no line names a kind, or one names `ALL`.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}: --by takes {BY_PIXELS}, or a CSV with the columns image and kind.")
    reader = csv.DictReader(io.StringIO(read_text(path)), restval="")
    if missing := [name for name in ("image", "kind") if name not in (reader.fieldnames or ())]:
        raise DataError(f"{path} has no column {missing[0]!r}; it needs image and kind, a line for each pair.")
    found: dict[str, list[str]] = {}
    for line in reader:
        if kind := line["kind"].strip():
            found.setdefault(kind, []).append(line["image"])
    if not found:
        raise DataError(f"{path} has no line that names a kind.")
    if ALL in found:
        raise DataError(f"{path} has a kind {ALL!r}, which stands for all images of the table: call it otherwise.")
    return dict(sorted(found.items()))


@dataclass(frozen=True, repr=False)
class ByKind:
    """Information gain and explained information of a table's rows, kind by kind; it prints as Markdown.

    Args:
        table: Scores of every image, `ig` among them.
        kinds: Names of the images of each kind; those of images that are not in the table are passed over.
        named: Rows to show, though they are called like a baseline; models and `gold` are shown anyway.

    Raises:
        SpecError: If the table has no information gain, or none of its images is named.
    """

    table: Table
    kinds: Kinds
    named: Collection[str] = ()

    def __post_init__(self) -> None:
        """Check that there is something to show."""
        if not any("ig" in scores for scores in self.table.scores.values()):
            raise SpecError("kinds of images are compared by information gain, and the table has no ig.")
        named = [name for names in self.kinds.values() for name in names]
        if named and not any(part.images for kind, part in self.parts().items() if kind != ALL):
            where = f"it has {self.table.images[0]}, they {named[0]}"
            raise SpecError(f"no image of the table is named by its kinds: {where}.")

    def parts(self) -> dict[str, Table]:
        """Return the table of the images of each kind, that of all images first."""
        names, place = Names(self.table.images), {name: index for index, name in enumerate(self.table.images)}
        parts = {ALL: self.table}
        for kind, labels in self.kinds.items():
            known = {name for label in labels if (name := names.find(label)) is not None}
            parts[kind] = self.table.take(sorted(place[name] for name in known))
        return parts

    def to_json(self) -> dict[str, Any]:
        """Return the number of images of each kind, and mean and interval of each row; none of fewer than `FEWEST`."""
        found = {}
        for kind, part in self.parts().items():
            rows = self._rows() if len(part.images) >= FEWEST else []
            found[kind] = {"images": len(part.images), "rows": {row: self._numbers(part, row) for row in rows}}
        return cast("dict[str, Any]", finite(found))

    def to_markdown(self) -> str:
        """Return a line for each kind and row, with half of each 95 % interval over images."""
        explains, lines = bool(self.table.explained()), []
        for kind, found in self.to_json().items():
            for row, numbers in (found["rows"] or {NONE: {}}).items():
                cells = [_cell(numbers.get("ig"), ".3f")] + [_cell(numbers.get("explained"), ".1%")] * explains
                lines.append([kind, str(found["images"]), row, *cells])
        header = [self.table.dataset, "images", "", "ig ↑", *["explained"] * explains]
        few = f"Kinds of fewer than {FEWEST} images have no numbers."
        about = [f"{kind}: {KINDS[kind]}." for kind in self.kinds if kind in KINDS]
        return "\n".join([*_markdown.table(header, lines), "", " ".join([*about, few])])

    __repr__ = _repr_markdown_ = to_markdown

    def _rows(self) -> list[str]:
        return [row for row in self.table.scores if row not in ROWS or row == "gold" or row in self.named]

    def _numbers(self, part: Table, row: str) -> dict[str, list[float]]:
        gain = part.scores[row].get("ig", [])
        found = {"ig": [mean(gain), *interval(gain)], "explained": list(part.explained().get(row, ()))}
        return {name: numbers for name, numbers in found.items() if numbers and not math.isnan(numbers[0])}


def _cell(numbers: Sequence[float | None] | None, form: str) -> str:
    if numbers is None:
        return NONE
    value, low, high = (math.nan if number is None else number for number in numbers)
    return f"{value:z{form}}{plus_minus((low, high), form)}"
