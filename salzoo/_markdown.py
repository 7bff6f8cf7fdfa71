"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table: header, rule, and one line a row.

    Example:
        >>> table(["model", "nss"], [["uniform", "0.000"]])
        ['| model | nss |', '|---|---|', '| uniform | 0.000 |']
    """
    return [_line(header), "|---" * len(header) + "|", *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
