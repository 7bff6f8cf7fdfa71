"""What a table is made of, as users name it: models, folders of maps, saved tables, each with the name of its row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from salzoo.checkpoint.config import CONFIG
from salzoo.checkpoint.reference import parse_reference
from salzoo.errors import SpecError, UnknownModelError
from salzoo.evaluation.baselines import ROWS
from salzoo.evaluation.saved import AnyTable, only_row, read_table

CSV = ".csv"


@dataclass
class Sources:
    """The rows that a user asked for.

    Args:
        models: Model, model.tag, checkpoint folder or `hf://` reference, by the name of its row.
        maps: Folder of maps, by the name of its row.
        saved: CSV of scores, by the name that was given to its row, or by the file itself to take all its rows.
    """

    models: dict[str, str] = field(default_factory=dict)
    maps: dict[str, Path] = field(default_factory=dict)
    saved: dict[str, Path] = field(default_factory=dict)

    def add(self, words: Iterable[str], *, maps: bool = False, compared: bool = False) -> None:
        """Add what the words name, each `SOURCE` or `ROW=SOURCE`.

        Args:
            words: What the user typed.
            maps: Whether they are folders of maps; else a file `.csv` is a saved table, and all others are models.
            compared: Whether the names of rows that are there are words too, and folders without a checkpoint maps.

        Raises:
            SpecError: If two rows would have one name.
        """
        known = {*ROWS, *self.rows, *(row for table in self.tables() for row in table.scores)} if compared else set()
        for word in words:
            row, source = split_name(word)
            if word in known or word.rpartition(":")[0] in known:  # a row that is there, or will be: of an observer
                continue
            if maps or (compared and Path(source).is_dir() and not (Path(source) / CONFIG).exists()):
                self._put(self.maps, row, Path(source))
            elif source.lower().endswith(CSV):
                self._put(self.saved, row, Path(source))
            else:
                self._put(self.models, row, source)

    @property
    def rows(self) -> dict[str, str | Path]:
        """The source of each row."""
        return {**self.models, **self.maps, **self.saved}

    def tables(self) -> list[AnyTable]:
        """Return the saved tables, or the one row of each that was named."""
        return [read_table(path, None if row == str(path) else row) for row, path in self.saved.items()]

    def check_known(self) -> None:
        """Check the names of models beside saved scores, of whose rows they may be meant to be.

        Raises:
            SpecError: If there is neither such a row nor such a model.
        """
        rows = list(dict.fromkeys(row for table in self.tables() for row in table.scores))
        for name in self.models.values() if rows else ():
            try:
                parse_reference(name)
            except UnknownModelError as error:
                raise SpecError(f"no saved row is called {name!r}; there are {', '.join(rows)}. {error}") from None

    def row_of(self, word: str, table: AnyTable) -> str:
        """Return which row of the table a word of `--compare` means."""
        row, _ = split_name(word)
        if row in table.scores or row not in self.saved:
            return row
        return only_row(read_table(self.saved[row]), row)

    def _put(self, kind: dict[str, str] | dict[str, Path], row: str, source: str | Path) -> None:
        if self.rows.get(row, source) != source:
            raise SpecError(f"two rows are called {row!r}: {self.rows[row]} and {source}; write NEW={source}.")
        kind[row] = source  # type: ignore[assignment]


def split_name(word: str) -> tuple[str, str]:
    """Return the name of a row and its source: those of `ROW=SOURCE`, or the source twice.

    Example:
        >>> split_name("tuned=runs/salgan.lite"), split_name("salgan")
        (('tuned', 'runs/salgan.lite'), ('salgan', 'salgan'))
    """
    row, equals, source = word.partition("=")
    return (row, source) if equals and row and source and not Path(word).exists() else (word, word)
