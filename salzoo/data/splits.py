"""Splits of a user's own data: the lists of `splits.json`, or exact shares drawn by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from salzoo._schema import from_mapping
from salzoo._text import read_json
from salzoo.data.base import Split
from salzoo.data.folds import hash_order
from salzoo.data.names import Names
from salzoo.errors import DataError

SPLITS = "splits.json"
_TENTHS: tuple[Split, ...] = ("train",) * 7 + ("val",) + ("test",) * 2


@dataclass(frozen=True)
class _Lists:
    """The content of `splits.json`: file names by split."""

    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()


def draw(names: list[str]) -> dict[Split, tuple[str, ...]]:
    """Return the names of each split: exact shares by rank, where shares of hashes leave a small study to luck."""
    lists: dict[Split, list[str]] = {"train": [], "val": [], "test": []}
    for rank, name in enumerate(hash_order(names)):
        lists[_TENTHS[(2 * rank + 1) * 5 // len(names)]].append(name)
    return {split: tuple(sorted(own)) for split, own in lists.items()}


def read_lists(path: Path, names: Names, what: str = "images") -> dict[Split, tuple[str, ...]]:
    """Return the names of each split, those that fit one of the dataset's as its own.

    Raises:
        DataError: If the file is not such lists, or one name is in two places.
    """
    try:
        content = read_json(path)
    except (ValueError, OSError) as error:
        raise DataError(str(error)) from error
    lists = from_mapping(_Lists, content, str(path))
    train, val, test = (tuple(names.find(name) or name for name in own) for own in (lists.train, lists.val, lists.test))
    counts = Counter((*train, *val, *test))
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise DataError(f"{path} has {len(twice)} {what} more than once, the first is {twice[0]}")
    return {"train": train, "val": val, "test": test}
