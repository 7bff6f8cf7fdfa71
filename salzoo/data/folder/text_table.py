"""Tables in text, as spreadsheets, trackers and scripts write them: any delimiter, decimal sign and encoding."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from salzoo._text import read_text
from salzoo.data.fixations import Floats
from salzoo.errors import DataError

MISSING = frozenset(
    {"", ".", "-", "--", "na", "n/a", "#n/a", "nan", "none", "null", "undefined", "undefinednull", "missing"}
)
"""What eye trackers and statistics programs write for a missing value, in lower case."""

_DELIMITERS = "\t;,|"


class TextTable:
    """A table with a header; the cells of the columns that are asked for are read.

    Args:
        path: Text whose cells are separated by tabs, semicolons, commas or bars, whichever splits the header and the
            rows alike.
        needed: What the header must have, for the message about an empty file.

    Attributes:
        header: Names of the columns.
        delimiter: What separates the cells.
        lines: Number of the line in the file of each row, once it is read.

    Raises:
        DataError: If the file is no text, or empty.
    """

    def __init__(self, path: Path, needed: Sequence[str]) -> None:
        try:
            text = read_text(path)
        except (ValueError, OSError) as error:
            hint = ": save it as CSV" if path.suffix.lower() == ".xls" else ""
            raise DataError(f"{path} is not a table in text{hint}; {error}") from error
        head = _head(text)
        if not head:
            raise DataError(f"{path} is empty; it needs a header with {', '.join(needed)}")
        self.path = path
        self.delimiter = _delimiter(head) or ("\t" if path.suffix.lower() == ".tsv" else _most_frequent(head[0]))
        rows = io.StringIO(_without_preamble(text), newline="")
        self._rows = _lines(path, csv.reader(rows, delimiter=self.delimiter, strict=True))
        try:
            _, names = next(self._rows)
        except csv.Error as error:
            raise DataError(f"{path} is not a table in text: {error}") from error
        self.header = [name.strip() for name in names]
        self.lines: list[int] = []
        self._columns: dict[str, Sequence[str]] = {}

    def read(self, names: Sequence[str]) -> None:
        """Read the columns of these names.

        Raises:
            DataError: If the file is damaged, or a row has more or fewer cells than the header.
        """
        places = [self.header.index(name) for name in names]
        pick = itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)
        cells = []
        try:
            for number, row in self._rows:
                self.lines.append(number)
                cells.append(pick(row))
        except csv.Error as error:
            raise DataError(f"{self.path} is not a table in text: {error}") from error
        self._columns = dict(zip(names, zip(*cells, strict=True) if cells else [()] * len(places), strict=True))

    def texts(self, name: str) -> list[str]:
        """Return a column as it is."""
        return list(self._columns[name])

    def numbers(self, name: str, decimal: str | None) -> Floats:
        """Return a column as numbers, NaN for what is `MISSING`.

        Args:
            name: The column.
            decimal: The decimal sign; None takes a comma where no number of the column has a point.

        Raises:
            DataError: If a cell is neither; the message has its line.
        """
        return _numbers(self.path, name, [cell.strip() for cell in self._columns[name]], self.lines, decimal)


def looks_like_a_table(path: Path) -> bool:
    """Return whether a text file has a header of at least three columns, and rows of as many cells."""
    try:
        return _delimiter(_head(read_text(path))) is not None
    except (OSError, ValueError):
        return False


def _without_preamble(text: str) -> str:
    """Return a table's text from its header on: without Excel's `sep=` and comments (`#`) before it."""
    lines = text.split("\n", 50)
    before = next((i for i, line in enumerate(lines) if not _is_preamble(line)), len(lines))
    return "\n".join(lines[before:])


def _is_preamble(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#") or re.fullmatch(r'"?sep=.?"?\s*', line) is not None


def _head(text: str) -> list[str]:
    """Return the first lines of a table that are not empty, the header first."""
    return [line for line in _without_preamble(text[:100_000]).split("\n")[:30] if line.strip()]


def _delimiter(head: Sequence[str]) -> str | None:
    """Return what splits the header into most cells, and nearly all rows into as many; None if nothing does."""
    best, most = None, 2
    for delimiter in _DELIMITERS:
        widths = [len(row) for row in csv.reader(head, delimiter=delimiter)] or [0]
        alike = sum(widths[0] - 1 <= width <= widths[0] + 1 for width in widths)
        if widths[0] > most and alike >= 0.8 * len(widths):
            best, most = delimiter, widths[0]
    return best


def _most_frequent(header: str) -> str:
    return max(_DELIMITERS, key=lambda delimiter: (header.count(delimiter), delimiter == ","))


def _lines(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield number and cells of each line that is not empty; each must have as many cells as the first.

    Cells behind the last column, as of a separator at the end of each line, must be empty.
    """
    width = 0
    for row in reader:
        if not any(row):
            continue
        if not width:
            while not row[-1].strip():
                row.pop()
            width = len(row)
        if any(row[width:]) or len(row) < width:
            hint = "; is the comma also the decimal sign? Separate the cells by semicolons" if len(row) > width else ""
            raise DataError(f"{path}, line {reader.line_num} has {len(row)} cells, the header has {width}{hint}")
        yield reader.line_num, row[:width]


def _numbers(path: Path, name: str, texts: Sequence[str], lines: Sequence[int], decimal: str | None) -> Floats:
    """Return a column's numbers; `decimal` None takes a comma where no number of the column has a point."""
    try:
        if decimal != ",":
            return np.array(texts, dtype=np.float64)
    except ValueError:
        pass  # some are missing or wrong: look at each
    if decimal is None:
        decimal = (
            "," if any("," in text for text in texts) and not any("." in text.strip(".") for text in texts) else "."
        )
    values = np.full(len(texts), np.nan)
    for i, text in enumerate(texts):
        if text.lower() not in MISSING:
            try:
                if decimal == "," and "." in text:
                    raise ValueError
                values[i] = float(text.replace(decimal, "."))
            except ValueError:
                hint = '; if the comma is the decimal sign, say decimal="," in study.json' if "," in text else ""
                raise DataError(f"{path}, line {lines[i]}: {name} is {text!r}, not a number{hint}") from None
    return values
