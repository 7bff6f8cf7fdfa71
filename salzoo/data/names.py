"""The one rule by which a name in a table, a list or a folder means one of a dataset's images."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from unicodedata import normalize

from salzoo.images.formats import is_image


class Names:
    r"""Finds files by the names that other programs give them.

    A name stands for a file if it is the same in Unicode's composed form (NFC); else without regard to case, if that
    fits one file only; else without the suffix of an image, likewise. Folders before the name are left aside.

    Args:
        present: File names.

    Example:
        >>> names = Names(["IMG_1.JPG", "b.png"])
        >>> names.find(r"C:\stimuli\img_1.bmp"), names.find("c.png")
        ('IMG_1.JPG', None)
        >>> names.hint("bb.png")
        "; did you mean 'b.png'?"
    """

    def __init__(self, present: Iterable[str]) -> None:
        self.present = sorted(set(present))
        self._tables = [(key, self._unique(key)) for key in (_composed, _caseless, _stem, _any_stem)]

    def find(self, label: str) -> str | None:
        """Return the file that is meant, or None if there is none, or no single one."""
        name = split_folder(label)[1]
        if name in self._tables[0][1]:
            return self._tables[0][1][name]
        candidates = [(table, key(name)) for key, table in self._tables[:2]]
        # the suffix may be missing in the label ("img.v2" for img.v2.png), or be another one
        candidates += [(self._tables[2][1], _composed(name)), (self._tables[3][1], _caseless(name))]
        candidates += [(table, key(name)) for key, table in self._tables[2:]]
        return next((table[key] for table, key in candidates if table.get(key)), None)

    def hint(self, label: str) -> str:
        """Return the end of a sentence that says which files are called nearly so; empty if none is."""
        name = _caseless(split_folder(label)[1])
        by_key = {_caseless(each): each for each in self.present}
        near = difflib.get_close_matches(name, by_key, 2, 0.75)
        return f"; did you mean {' or '.join(repr(by_key[key]) for key in near)}?" if near else ""

    def _unique(self, key: Callable[[str], str]) -> dict[str, str | None]:
        """Return the files by their keys; None where several have the same."""
        found: dict[str, str | None] = {}
        for name in self.present:
            found[key(name)] = None if key(name) in found else name
        return found


def split_folder(label: str) -> tuple[str, str]:
    """Return the name of the last folder before a file's name, empty if there is none, and the file's name."""
    parts = [part for part in label.strip().replace("\\", "/").split("/") if part not in ("", ".")]
    return (parts[-2] if len(parts) > 1 else ""), (parts[-1] if parts else "")


def _composed(name: str) -> str:
    return normalize("NFC", name)


def _caseless(name: str) -> str:
    return normalize("NFC", normalize("NFC", name).casefold())


def _stem(name: str) -> str:
    path = PurePosixPath(name)
    return _composed(path.stem if is_image(path) else name)


def _any_stem(name: str) -> str:
    return _caseless(_stem(name))
