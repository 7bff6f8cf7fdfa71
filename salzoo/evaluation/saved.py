"""Tables read back from CSV, and several tables of the same images made one."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from salzoo._text import from_cell, read_text
from salzoo.errors import DataError, SpecError
from salzoo.evaluation.baselines import ROWS
from salzoo.evaluation.table import COLUMNS, SETTINGS, Table
from salzoo.metrics import METRICS

Lines = list[dict[str, str]]


def read_table(path: Path, row: str | None = None) -> Table:
    """Read what `Table.to_csv` wrote.

    Args:
        path: The file.
        row: The one row to take, or a new name for the only one that is no baseline; None takes all.

    Raises:
        DataError: If the file cannot be read, is not such a CSV, or is cut.
        SpecError: If there is no such row, and several that the name could stand for.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path} with saved scores; `salzoo evaluate ... --csv {path}` writes one")
    reader = csv.DictReader(io.StringIO(read_text(path)), restval="")
    if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
        raise DataError(
            f"{path} has no column {missing[0]!r}; it must be written by `salzoo evaluate --csv`, as it is: score again"
        )
    rows: dict[str, Lines] = {}
    try:
        for line in reader:
            rows.setdefault(from_cell(line["row"]), []).append(line)
        return _choose(_table(rows), row, path)
    except SpecError:
        raise
    except (ValueError, KeyError, csv.Error) as error:
        raise DataError(f"{path} is not what `salzoo evaluate --csv` wrote: {error}") from error


def merge(tables: Sequence[Table], names: Sequence[str]) -> Table:
    """Return one table with the rows of several, over the same images.

    Args:
        tables: The tables; a row that several have must have the same scores in all of them.
        names: What to call each table in errors.

    Raises:
        SpecError: If images, their fixations, the split or a setting differ, or two rows of one name.
    """
    joined = tables[0]
    for table, name in zip(tables[1:], names[1:], strict=True):
        joined = _join(joined, names[0], table, name)
    return joined


def only_row(table: Table, path: Path | str) -> str:
    """Return the name of the one row that is no baseline.

    Raises:
        SpecError: If there are several, or none.
    """
    own = [row for row in table.scores if row not in ROWS] or list(table.scores)
    if len(own) != 1:
        raise SpecError(f"{path} has the rows {', '.join(own)}: say which, as {own[0]}={path}.")
    return own[0]


def _table(rows: dict[str, Lines]) -> Table:
    if not rows:
        raise ValueError("it has no scores")
    images = tuple(from_cell(line["image"]) for line in next(iter(rows.values())))
    if len(set(images)) != len(images):
        raise ValueError("a row has an image twice")
    every = [line for lines in rows.values() for line in lines]
    for row, lines in rows.items():
        if tuple(from_cell(line["image"]) for line in lines) != images:
            raise ValueError(f"row {row!r} has other images than the first one")
    settings = {tuple(line[name] for name in SETTINGS) for line in every}
    if len(settings) > 1:
        raise ValueError(f"its lines have different settings: {' and '.join(map(str, sorted(settings)))}")
    dataset, split, convention, specific, baseline = settings.pop()
    first = next(iter(rows.values()))
    return Table(
        dataset,
        split,
        images,
        convention,
        baseline,
        {row: _scores(lines) for row, lines in rows.items()},
        {"True": True, "False": False}[specific],
        tuple(dict.fromkeys(note for line in every for note in from_cell(line["notes"]).splitlines())),
        tuple(line["truth"] for line in first),
        tuple(int(line["fold"]) for line in first if line["fold"]),
    )


def _scores(lines: Lines) -> dict[str, list[float]]:
    return {
        name: [float(line[name]) if line[name] else math.nan for line in lines]
        for name in METRICS
        if any(line[name] for line in lines)
    }


def _choose(table: Table, row: str | None, path: Path) -> Table:
    if row is None:
        return table
    chosen = row if row in table.scores else only_row(table, path)
    return replace(table, scores={row: table.scores[chosen]})


def _join(one: Table, first: str, other: Table, second: str) -> Table:
    for setting in SETTINGS:
        a, b = getattr(one, setting), getattr(other, setting)
        if a != b:
            raise SpecError(f"{first} and {second} do not belong in one table: {setting} is {a!r} and {b!r}.")
    if odd := sorted(set(one.images) ^ set(other.images)):
        where = first if odd[0] in one.images else second
        raise SpecError(f"{first} and {second} have different images: {len(odd)}, such as {odd[0]}, only in {where}.")
    order = [other.images.index(image) for image in one.images]
    for what, a, b in (
        (
            "the fixations, the blur or the baseline of ig",
            one.truth,
            tuple(other.truth[i] for i in order if other.truth),
        ),
        ("the fold", one.folds, tuple(other.folds[i] for i in order if other.folds)),
    ):
        if differing := [image for image, x, y in zip(one.images, a, b, strict=False) if x != y]:
            count = f"{len(differing)} images, such as {differing[0]}"
            raise SpecError(f"{first} and {second} do not belong in one table: {what} of {count}, differ.")
    scores = dict(one.scores)
    for row, values in other.scores.items():
        ordered = {name: [each[i] for i in order] for name, each in values.items()}
        if row in scores and not _alike(scores[row], ordered):
            raise SpecError(f"both {first} and {second} have a row {row!r}, with other scores: write NEW={second}.")
        scores.setdefault(row, ordered)
    notes = tuple(dict.fromkeys((*one.notes, *other.notes)))
    folds = one.folds or tuple(other.folds[i] for i in order if other.folds)
    return replace(one, scores=scores, notes=notes, folds=folds)


def _alike(one: dict[str, list[float]], other: dict[str, list[float]]) -> bool:
    return one.keys() == other.keys() and all(
        np.allclose(one[name], other[name], rtol=1e-3, atol=1e-6, equal_nan=True) for name in one
    )
