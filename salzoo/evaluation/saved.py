"""Tables read back from CSV, and several tables of the same images, or videos, made one."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np

from salzoo._text import from_cell, read_text
from salzoo.errors import DataError, SpecError
from salzoo.evaluation.baselines import ROWS
from salzoo.evaluation.table import COLUMNS, SETTINGS, Table
from salzoo.evaluation.videos import baselines
from salzoo.evaluation.videos import table as videos
from salzoo.evaluation.videos.table import SCORED, VideoTable
from salzoo.metrics import METRICS
from salzoo.metrics.scanpaths import CONDITIONAL

Lines = list[dict[str, str]]
AnyTable: TypeAlias = Table | VideoTable
WHAT: dict[type[AnyTable], str] = {Table: "images", VideoTable: "videos"}
"""What each kind of table has scores of."""


_WHOLE = "part_of"
"""The column that tables of a whole split may lack, as those of earlier versions do."""


def read_table(path: Path, row: str | None = None) -> AnyTable:
    """Read what `Table.to_csv`, or that of `VideoTable`, wrote.

    Args:
        path: The file.
        row: The one row to take, or a new name for the only one that is no baseline; None takes all.

    Raises:
        DataError: If the file cannot be read, is not such a CSV, or is cut.
        SpecError: If there is no such row, and several that the name could stand for.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path} with saved scores; `salzoo evaluate ... --csv {path}` writes one")
    rows: dict[str, Lines] = {}
    try:
        text = read_text(path)
        reader = csv.DictReader(io.StringIO(text), restval="")
        of_videos = _are_videos(reader.fieldnames or (), path)
        if not text.endswith("\n") or text.count('"') % 2:  # the last line, or a quoted cell in it, has no end
            raise DataError(f"{path} is cut short: its last line breaks off; copy it again, or score again")
        for line in reader:
            rows.setdefault(from_cell(line["row"]), []).append({_WHOLE: "", **line})
        return _choose(_of_videos(rows) if of_videos else _of_images(rows), row, path)
    except (DataError, SpecError):
        raise
    except (ValueError, KeyError, csv.Error) as error:
        raise DataError(f"{path} is not what `salzoo evaluate --csv` wrote: {error}") from error


def merge(tables: Sequence[AnyTable], names: Sequence[str]) -> AnyTable:
    """Return one table with the rows of several, over the same images or videos.

    Args:
        tables: The tables; a row that several have must have the same scores in all of them.
        names: What to call each table in errors.

    Raises:
        SpecError: If images, their fixations, the split or a setting differ, or two rows of one name; if some tables
            are of images, others of videos.
    """
    joined = tables[0]
    for other, name in zip(tables[1:], names[1:], strict=True):
        if type(other) is not type(joined):
            kinds = f"{names[0]} has scores of {WHAT[type(joined)]}, {name} of {WHAT[type(other)]}"
            raise SpecError(f"{kinds}: compare them apart.")
        joined = _join(joined, names[0], other, name)
    return joined


def only_row(table: AnyTable, path: Path | str) -> str:
    """Return the name of the one row that is no baseline.

    Raises:
        SpecError: If there are several, or none.
    """
    rows = baselines.ROWS if isinstance(table, VideoTable) else ROWS
    own = [row for row in table.scores if row not in rows] or list(table.scores)
    if len(own) != 1:
        raise SpecError(f"{path} has the rows {', '.join(own)}: say which, as {own[0]}={path}.")
    return own[0]


def _are_videos(header: Sequence[str], path: Path) -> bool:
    """Whether scores are of videos; DataError if columns of images or videos are missing."""
    if {"image", *CONDITIONAL} <= set(header):
        raise DataError(
            f"{path} has scores of scanpaths, which are not read back, only those of images and videos are: score the "
            "models together, `salzoo evaluate A B --scanpaths`"
        )
    wanted = videos.COLUMNS if "video" in header else COLUMNS
    if missing := [name for name in wanted if name not in (*header, _WHOLE)]:
        raise DataError(
            f"{path} has no column {missing[0]!r}; it must be written by `salzoo evaluate --csv`, as it is: score again"
        )
    return "video" in header


def _of_images(rows: dict[str, Lines]) -> Table:
    images, (dataset, split, part_of, convention, specific, baseline) = _shared(rows, "image", SETTINGS)
    first = next(iter(rows.values()))
    return Table(
        dataset,
        split,
        images,
        convention,
        baseline,
        {row: _scores(lines) for row, lines in rows.items()},
        {"True": True, "False": False}[specific],
        _notes(rows),
        tuple(line["truth"] for line in first),
        tuple(int(line["fold"]) for line in first if line["fold"]),
        int(part_of) if part_of else None,
    )


def _of_videos(rows: dict[str, Lines]) -> VideoTable:
    names, settings = _shared(rows, "video", videos.SETTINGS)
    dataset, split, part_of, every, convention, negatives, baseline = settings
    first, scores = next(iter(rows.values())), {row: _scores(lines) for row, lines in rows.items()}
    return VideoTable(
        dataset,
        split,
        names,
        int(every),
        convention,
        cast("baselines.Negatives", negatives),
        baseline,
        scores,
        {row: {m: [int(line[SCORED.format(m)]) for line in rows[row]] for m in each} for row, each in scores.items()},
        tuple(int(line["frames"]) for line in first),
        tuple(int(line["frames_without_fixations"]) for line in first),
        _notes(rows),
        tuple(line["truth"] for line in first),
        int(part_of) if part_of else None,
    )


def _shared(rows: dict[str, Lines], what: str, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is scored, and the settings, which must be the same in all rows."""
    if not rows:
        raise ValueError("it has no scores")
    scored = tuple(from_cell(line[what]) for line in next(iter(rows.values())))
    if len(set(scored)) != len(scored):
        raise ValueError(f"a row has {'an' if what == 'image' else 'a'} {what} twice")
    for row, lines in rows.items():
        if tuple(from_cell(line[what]) for line in lines) != scored:
            raise ValueError(f"row {row!r} has other {what}s than the first one")
    settings = {tuple(line[name] for name in names) for lines in rows.values() for line in lines}
    if len(settings) > 1:
        raise ValueError(f"its lines have different settings: {' and '.join(map(str, sorted(settings)))}")
    return scored, settings.pop()


def _notes(rows: dict[str, Lines]) -> tuple[str, ...]:
    cells = (line["notes"] for lines in rows.values() for line in lines)
    return tuple(dict.fromkeys(note for cell in cells for note in from_cell(cell).splitlines()))


def _scores(lines: Lines) -> dict[str, list[float]]:
    return {
        name: [float(line[name]) if line[name] else math.nan for line in lines]
        for name in METRICS
        if any(line.get(name) for line in lines)
    }


def _choose(found: AnyTable, row: str | None, path: Path) -> AnyTable:
    if row is None:
        return found
    chosen = row if row in found.scores else only_row(found, path)
    scores = {row: found.scores[chosen]}
    if isinstance(found, VideoTable):
        return replace(found, scores=scores, counts={row: found.counts[chosen]})
    return replace(found, scores=scores)


def _join(one: AnyTable, first: str, other: AnyTable, second: str) -> AnyTable:
    for setting in videos.SETTINGS if isinstance(one, VideoTable) else SETTINGS:
        a, b = getattr(one, setting), getattr(other, setting)
        if a != b:
            raise SpecError(f"{first} and {second} do not belong in one table: {setting} is {a!r} and {b!r}.")
    names, what = _names(one), WHAT[type(one)]
    if odd := sorted(set(names) ^ set(_names(other))):
        where = first if odd[0] in names else second
        raise SpecError(f"{first} and {second} have different {what}: {len(odd)}, such as {odd[0]}, only in {where}.")
    other = _in_order(other, [_names(other).index(name) for name in names])
    told: dict[str, tuple[Sequence[str | int], Sequence[str | int]]]
    told = {"the fixations, the blur or the baseline of ig": (one.truth, other.truth)}
    if isinstance(one, Table) and isinstance(other, Table):
        told["the fold"] = one.folds, other.folds
    for reason, (mine, theirs) in told.items():
        if differing := [name for name, x, y in zip(names, mine, theirs, strict=False) if x != y]:
            count = f"{len(differing)} {what}, such as {differing[0]}"
            raise SpecError(f"{first} and {second} do not belong in one table: {reason} of {count}, differ.")
    for row, values in other.scores.items():
        if row in one.scores and not _alike(one.scores[row], values):
            raise SpecError(f"both {first} and {second} have a row {row!r}, with other scores: write NEW={second}.")
    notes = tuple(dict.fromkeys((*one.notes, *other.notes)))
    more = {row: values for row, values in other.scores.items() if row not in one.scores}
    joined = replace(one, scores=one.scores | more, notes=notes)
    if isinstance(joined, VideoTable) and isinstance(other, VideoTable):
        return replace(joined, counts=joined.counts | {row: other.counts[row] for row in more})
    if isinstance(joined, Table) and isinstance(other, Table):
        return replace(joined, folds=joined.folds or other.folds)
    return joined


def _names(found: AnyTable) -> tuple[str, ...]:
    return found.videos if isinstance(found, VideoTable) else found.images


def _in_order(found: AnyTable, order: Sequence[int]) -> AnyTable:
    """Return a table with its images, or videos, in another order."""
    if isinstance(found, Table):
        return found.take(order)
    names, truth = tuple(_names(found)[i] for i in order), tuple(found.truth[i] for i in order if found.truth)
    scores = {row: {m: [values[i] for i in order] for m, values in each.items()} for row, each in found.scores.items()}
    counts = {row: {m: [n[i] for i in order] for m, n in each.items()} for row, each in found.counts.items()}
    frames, empty = tuple(found.frames[i] for i in order), tuple(found.empty[i] for i in order)
    return replace(found, videos=names, truth=truth, scores=scores, counts=counts, frames=frames, empty=empty)


def _alike(one: dict[str, list[float]], other: dict[str, list[float]]) -> bool:
    return one.keys() == other.keys() and all(
        np.allclose(one[name], other[name], rtol=1e-3, atol=1e-6, equal_nan=True) for name in one
    )
