"""Fixations from the usual files: one table (CSV, TSV, Parquet), or one .mat or .npz an image."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzoo.data._matlab import load_mats
from salzoo.data.fixations import Floats
from salzoo.errors import DataError, SpecError

NEEDED, OPTIONAL = ("image", "x", "y"), ("observer", "duration", "timestamp")
TEXT = ("image", "observer")
TABLES = (".csv", ".tsv", ".parquet")
ARRAYS = (".mat", ".npz")
MISSING = frozenset({"", ".", "-", "na", "n/a", "nan", "none", "null"})
"""What eye trackers and statistics programs write for a missing number, in lower case."""

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Rows:
    """Fixations as in the file, one a row: no coordinate is converted and no row dropped."""

    image: NDArray[np.str_]
    x: Floats
    y: Floats
    observer: NDArray[np.str_] | None = None
    duration: Floats | None = None
    timestamp: Floats | None = None


def read_table(path: Path, columns: Mapping[str, str]) -> Rows:
    """Read a table with a header; further columns are ignored.

    Args:
        path: `.parquet`, or text: `.tsv` is separated by tabs, `.csv` and others by tabs, semicolons or commas,
            whichever comes first in this list and is in the header.
        columns: Names in the header by what they mean (`NEEDED` and `OPTIONAL`), where the two differ.

    Raises:
        SpecError: If `columns` gives one name two meanings, or pyarrow is needed and missing.
        DataError: If the file is damaged, a column is missing, or a cell is neither a number nor `MISSING`.
    """
    read = _read_parquet if path.suffix.lower() == ".parquet" else _read_text
    return Rows(**read(path, columns))


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
    if matrix is not None and matrix.ndim == 2 and matrix.shape == size and matrix.dtype.kind in "buif":
        row, column = np.nonzero(matrix)
        times = matrix[row, column].astype(np.int64)
        x, y = (np.repeat(places, times).astype(np.float64) + origin for places in (column, row))
        return Rows(image=np.full(len(x), image), x=x, y=y)
    names = _choose(path, sorted(variables), {**columns, "image": ""}, needed=("x", "y"))
    found = {role: variables[name].ravel() for role, name in names.items()}
    if len({len(values) for values in found.values()}) > 1:
        lengths = ", ".join(f"{names[role]} {len(values)}" for role, values in found.items())
        raise DataError(f"{path}: its arrays differ in length: {lengths}")
    try:
        converted = {role: v.astype(str if role in TEXT else np.float64) for role, v in found.items()}
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: its arrays are not numbers: {error}") from error
    return Rows(image=np.full(len(found["x"]), image), **converted)


def join(parts: Sequence[Rows]) -> Rows:
    """Concatenate the rows of several files.

    Raises:
        DataError: If an optional column is in some files only.
    """
    joined = {}
    for role in (*NEEDED, *OPTIONAL):
        values = [getattr(part, role) for part in parts]
        some = sum(value is not None for value in values)
        if 0 < some < len(values):
            raise DataError(f"{role} is in {some} of {len(values)} files: give it in all or in none")
        joined[role] = np.concatenate(values) if some else None
    return Rows(**joined)  # type: ignore[arg-type]


def _choose(
    path: Path, header: Sequence[str], columns: Mapping[str, str], needed: Sequence[str] = NEEDED
) -> dict[str, str]:
    """Return the name in the header for each meaning that is there."""
    chosen = {}
    for role in (*needed, *OPTIONAL):
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


def _read_text(path: Path, columns: Mapping[str, str]) -> Columns:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            delimiter = "\t" if path.suffix.lower() == ".tsv" else next((d for d in "\t;" if d in first), ",")
            lines = list(_lines(path, csv.reader(file, delimiter=delimiter, strict=True)))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a table in UTF-8 text: {error}") from error
    if not lines:
        raise DataError(f"{path} is empty; it needs a header with {', '.join(NEEDED)}")
    (_, names), *rows = lines
    header = [name.strip() for name in names]
    if repeated := sorted({name for name in header if name and header.count(name) > 1}):
        raise DataError(f"{path} has several columns called {repeated[0]!r}")
    found: Columns = {}
    for role, name in _choose(path, header, columns).items():
        column = header.index(name)
        texts = [row[column].strip() for _, row in rows]
        found[role] = np.array(texts, dtype=str) if role in TEXT else _numbers(path, name, texts, rows)
    return found


def _lines(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield number and cells of each line that is not empty; each must have as many cells as the first."""
    width = 0
    for row in reader:
        if row:
            width = width or len(row)
            if len(row) != width:
                raise DataError(f"{path}, line {reader.line_num} has {len(row)} cells, the header has {width}")
            yield reader.line_num, row


def _numbers(path: Path, name: str, texts: list[str], rows: list[tuple[int, list[str]]]) -> Floats:
    try:
        return np.array(texts, dtype=np.float64)
    except ValueError:
        pass  # some are missing or wrong: look at each
    values = np.full(len(texts), np.nan)
    for i, text in enumerate(texts):
        if text.lower() not in MISSING:
            try:
                values[i] = float(text)
            except ValueError:
                hint = "; write a point for the decimal comma" if "," in text else ""
                raise DataError(f"{path}, line {rows[i][0]}: {name} is {text!r}, not a number{hint}") from None
    return values


def _read_parquet(path: Path, columns: Mapping[str, str]) -> Columns:
    try:
        pa, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise SpecError(
            f"{path} is a Parquet file, which pyarrow reads: pip install pyarrow, or save it as CSV"
        ) from error
    try:
        names = _choose(path, parquet.read_schema(path).names, columns)
        table = parquet.read_table(path, columns=list(names.values()))
        return {
            role: np.array([str(value) for value in table[name].to_pylist()])
            if role in TEXT
            else np.asarray(table[name].cast(pa.float64()).to_numpy(), dtype=np.float64)
            for role, name in names.items()
        }
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as a table of fixations: {error}") from error


def _variables(path: Path) -> Columns:
    if path.suffix.lower() == ".mat":
        return {name: np.asarray(value) for name, value in load_mats(path, None, simplify=True).items()}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as .npz: {error}") from error
