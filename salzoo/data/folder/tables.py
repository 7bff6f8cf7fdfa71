"""Fixations from the usual files: one table (text or Parquet), or one .mat or .npz an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzoo._arrays import Stored, open_npz
from salzoo.data._matlab import open_mat, simple
from salzoo.data.count_maps import points_of
from salzoo.data.fixations import Floats
from salzoo.data.folder.options import NEEDED, OPTIONAL, StudyOptions
from salzoo.data.folder.text_table import MISSING, TextTable
from salzoo.data.folder.trackers import Tracker, find_column, recognise
from salzoo.errors import DataError, SpecError

TEXT = ("image", "observer", "event")
TABLES = (".csv", ".tsv", ".parquet")
OTHER_TABLES = (".txt", ".xls")
"""Text as trackers write it, read if nothing else is there: .txt may be notes, and .xls a real spreadsheet."""
ARRAYS = (".mat", ".npz")
EYES = ("eye", "eye l/r", "eye used", "eye tracked", "recorded eye", "eye id", "current fix eye")
"""Columns that say which eye a row is of."""

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Rows:
    """Fixations as in the file, one a row: no coordinate is converted.

    Args:
        image: Names of the images.
        x: As in the file, NaN where there is none.
        y: Likewise.
        observer: Names of the observers.
        duration: As in the file.
        timestamp: As in the file.
        event: Names of the fixations that rows are samples of.
        tracker: What wrote the table, if that is known.
        dropped: Number of rows that were left out, by reason.
    """

    image: NDArray[np.str_]
    x: Floats
    y: Floats
    observer: NDArray[np.str_] | None = None
    duration: Floats | None = None
    timestamp: Floats | None = None
    event: NDArray[np.str_] | None = None
    tracker: Tracker | None = None
    dropped: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.image)

    def take(self, places: NDArray[Any]) -> Rows:
        """Return the rows at these places, or those that a mask marks."""
        columns = ((each.name, getattr(self, each.name)) for each in fields(self))
        return replace(self, **{name: value[places] for name, value in columns if isinstance(value, np.ndarray)})

    def without(self, unwanted: NDArray[np.bool_], reason: str) -> Rows:
        """Return the rows that a mask does not mark, and count the others."""
        if not unwanted.any():
            return self
        return replace(self.take(~unwanted), dropped=self.dropped + Counter({reason: int(unwanted.sum())}))


def read_table(path: Path, options: StudyOptions, image: str | None = None) -> Rows:
    """Read a table with a header; columns without a meaning are ignored.

    Args:
        path: `.parquet`, or text whose cells are separated by tabs, semicolons, commas or bars, whichever splits the
            header and the rows alike; numbers have a point or, unless the comma separates the cells, a decimal comma.
        options: `columns`, `decimal` and `keep` are used here.
        image: What all rows are of; None where a column says it.

    Raises:
        SpecError: If `columns` gives one name two meanings, or pyarrow is needed and missing.
        DataError: If the file is damaged, a column is missing, or a cell is neither a number nor `MISSING`.
    """
    read = _read_parquet if path.suffix.lower() == ".parquet" else _read_text
    return read(path, options, image)


def header_of(path: Path, needed: Sequence[str] = NEEDED) -> list[str]:
    """Return the names of a table's columns; errors as `read_table`, which say what is needed."""
    if path.suffix.lower() == ".parquet":
        return list(_parquet(path).read_schema(path).names)
    return TextTable(path, needed).header


def read_arrays(path: Path, columns: Mapping[str, str], image: str, size: tuple[int, int], origin: int) -> Rows:
    """Read the fixations of one image from arrays `x` and `y`, or from its matrix `fixations` of counts.

    Args:
        path: `.mat` or `.npz`.
        columns: Names of the variables by what they mean; see `read_table`.
        image: Name of the image.
        size: (height, width) of the image, which a matrix must have.
        origin: Coordinate of the first pixel, 0 or 1; points from a matrix get it, too.

    Raises:
        DataError: If the file is damaged, or has neither arrays nor a matrix of the image's size.
    """
    variables = _variables(path)
    matrix = variables.get(columns.get("fixations", "fixations"))
    if matrix is not None and matrix.shape == size and matrix.numeric:
        points = points_of(matrix.read(), size, str(path), repeat=True)
        return Rows(image=np.full(len(points), image), x=points.x + origin, y=points.y + origin)
    names = _choose(path, sorted(variables), columns, needed=("x", "y"))
    found = {role: np.ravel(simple(np.asarray(variables[name].read()))) for role, name in names.items()}
    if len({len(values) for values in found.values()}) > 1:
        lengths = ", ".join(f"{names[role]} {len(values)}" for role, values in found.items())
        raise DataError(f"{path}: its arrays differ in length: {lengths}")
    try:
        converted: dict[str, Any] = {role: v.astype(str if role in TEXT else np.float64) for role, v in found.items()}
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: its arrays are not numbers: {error}") from error
    return Rows(image=np.full(len(found["x"]), image), **converted)


def join(parts: Sequence[Rows]) -> Rows:
    """Concatenate the rows of several files.

    Raises:
        DataError: If an optional column is in some files only.
    """
    joined: dict[str, Any] = {}
    for role in (*NEEDED, *OPTIONAL):
        values = [getattr(part, role) for part in parts]
        some = sum(value is not None for value in values)
        if 0 < some < len(values):
            raise DataError(f"{role} is in {some} of {len(values)} files: give it in all or in none")
        joined[role] = np.concatenate(values) if some else None
    tracker = parts[0].tracker if all(part.tracker == parts[0].tracker for part in parts) else None
    dropped = sum((part.dropped for part in parts), Counter[str]())
    return Rows(**joined, tracker=tracker, dropped=dropped)


@dataclass(frozen=True)
class _Plan:
    """Which columns are read: those with a meaning, and those by which rows are kept."""

    roles: dict[str, str]
    keep: dict[str, tuple[str, ...]]
    tracker: Tracker | None = None
    eye: str | None = None
    image: str | None = None

    @property
    def columns(self) -> list[str]:
        """The names of all of them."""
        return list(dict.fromkeys((*self.roles.values(), *self.keep, *([self.eye] if self.eye else []))))

    def rows(self, path: Path, texts: Callable[[str], list[str]], numbers: Callable[[str], Floats]) -> Rows:
        """Build the rows from what reads a column as text or as numbers."""
        wanted, dropped = None, Counter[str]()
        for column, values in self.keep.items():
            told = [text.strip() for text in texts(column)]
            fits = {text: _fits(text, values) for text in set(told)}
            if not any(fits.values()):
                some = ", ".join(sorted(fits)[:5])
                raise DataError(f"{path}: no row has {column} = {' or '.join(values)}, only {some}")
            mask = np.array([fits[text] for text in told])
            before = np.ones_like(mask) if wanted is None else wanted
            dropped[f"other {column} than {' or '.join(values)}"] += int((before & ~mask).sum())
            wanted = before & mask
        found: dict[str, Any] = {}
        for role, name in self.roles.items():
            found[role] = np.array([text.strip() for text in texts(name)], dtype=str) if role in TEXT else numbers(name)
        if self.image is not None:
            found["image"] = np.full(len(found["x"]), self.image)
        rows = Rows(**found, tracker=self.tracker, dropped=+dropped)
        kept = np.ones(len(rows), dtype=np.bool_) if wanted is None else wanted
        if self.eye is not None:
            eyes = np.array([text.strip() for text in texts(self.eye)], dtype=str)
            _refuse_both_eyes(path, rows.take(kept), eyes[kept], self.eye)
        return rows.take(kept)


def _refuse_both_eyes(path: Path, rows: Rows, eyes: NDArray[np.str_], column: str) -> None:
    """Refuse fixations of which most observers have some of one eye and some of the other on the same image."""
    if rows.observer is None:
        return
    told = np.array([text.lower() not in MISSING for text in eyes.tolist()], dtype=np.bool_)
    looks = set(zip(rows.image[told].tolist(), rows.observer[told].tolist(), eyes[told].tolist(), strict=True))
    each = Counter((image, observer) for image, observer, _ in looks)
    if sum(count > 1 for count in each.values()) > 0.1 * len(each):
        names = sorted({eye for *_, eye in looks})
        raise DataError(
            f"{path}: the column {column!r} tells of both eyes ({', '.join(names[:4])}), whose fixations would count "
            f'twice: say "keep": {{"{column}": ["{names[0]}"]}} in study.json, or ["*"] to take all rows'
        )


def _fits(text: str, values: Sequence[str]) -> bool:
    return any(
        text.casefold() == value.casefold() or fnmatchcase(text.casefold(), value.casefold()) for value in values
    )


def _plan(path: Path, header: Sequence[str], options: StudyOptions, image: str | None) -> _Plan:
    """Return what to read from a table with such a header."""
    if repeated := sorted({name for name in header if name and header.count(name) > 1}):
        raise DataError(f"{path} has several columns called {repeated[0]!r}")
    keep = {name: tuple(str(value) for value in values) for name, values in options.keep.items()}
    if absent := sorted(set(keep) - set(header)):
        raise SpecError(f"{path} has no column {absent[0]!r} to keep rows by, only {', '.join(header)}")
    eye = None if (found := find_column(EYES, header)) in keep else found
    tracker = None
    if any(options.columns.get(role, role) not in header for role in ("x", "y")):
        tracker = recognise(header)
    needed = tuple(role for role in NEEDED if role != "image" or image is None)
    if tracker is None:
        return _Plan(_choose(path, header, options.columns, needed), keep, eye=eye, image=image)
    columns = {role: name for role in (*NEEDED, *OPTIONAL) if (name := tracker.find(role, header)) is not None}
    columns |= options.columns
    if image is None and "image" not in columns:
        raise DataError(
            f"{path} is an export of {tracker.name} in which no column is known to name the image: say which one does, "
            f'as columns={{"image": ...}} or under "columns" in study.json; it has {", ".join(header)}'
        )
    roles = _choose(path, header, columns, needed, tuple(role for role in OPTIONAL if role in columns))
    return _Plan(roles, tracker.kept(header) | keep, tracker, eye, image)


def _choose(
    path: Path,
    header: Sequence[str],
    columns: Mapping[str, str],
    needed: Sequence[str] = NEEDED,
    optional: Sequence[str] = OPTIONAL,
) -> dict[str, str]:
    """Return the name in the header for each meaning that is there."""
    chosen = {}
    for role in (*needed, *optional):
        if role == "event" and role not in columns:
            continue  # a column of that name often says what kind of event a row is
        name = columns.get(role, role)
        if name in header:
            chosen[role] = name
        elif role in needed or role in columns:
            near = next((other for other in header if other.lower() == name.lower()), "FIX_X" if role == "x" else "...")
            raise DataError(
                f"{path} has no column {name!r}, only {', '.join(header) or 'an empty header'}; name yours as "
                f'columns={{{role!r}: {near!r}}}, or under "columns" in study.json'
            )
    if len(set(chosen.values())) < len(chosen):
        raise SpecError(f"columns gives one name two meanings: {chosen}")
    return chosen


def _read_text(path: Path, options: StudyOptions, image: str | None) -> Rows:
    table = TextTable(path, NEEDED)
    plan = _plan(path, table.header, options, image)
    table.read(plan.columns)
    decimal = options.decimal or (None if table.delimiter != "," else ".")
    return plan.rows(path, table.texts, lambda name: table.numbers(name, decimal))


def _parquet(path: Path) -> Any:
    try:
        import_module("pyarrow")  # by itself: its part may be imported where it no longer is
        return import_module("pyarrow.parquet")
    except ImportError as error:
        raise SpecError(
            f"{path} is a Parquet file, which pyarrow reads: pip install pyarrow, or save it as CSV"
        ) from error


def _read_parquet(path: Path, options: StudyOptions, image: str | None) -> Rows:
    parquet = _parquet(path)
    pa = import_module("pyarrow")
    try:
        plan = _plan(path, parquet.read_schema(path).names, options, image)
        table = parquet.read_table(path, columns=plan.columns)

        def texts(name: str) -> list[str]:
            return ["" if value is None else str(value) for value in table[name].to_pylist()]

        def numbers(name: str) -> Floats:
            return np.asarray(table[name].cast(pa.float64()).to_numpy(), dtype=np.float64)

        return plan.rows(path, texts, numbers)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as a table of fixations: {error}") from error


def _variables(path: Path) -> dict[str, Stored]:
    return open_mat(path) if path.suffix.lower() == ".mat" else open_npz(path)
