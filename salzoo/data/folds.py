"""An order of images that depends on their names alone, and the folds of a cross-validation made of it."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from unicodedata import normalize


def hash_decile(name: str) -> int:
    """Return in which tenth, 0 to 9, an image falls, by a hash of its name: the same in every copy, for ever.

    Example:
        >>> hash_decile("i1.jpg")
        7
    """
    return int.from_bytes(sha256(name.encode()).digest()[:8]) % 10


def hash_order(names: Iterable[str], seed: int = 0) -> list[str]:
    """Return names in an order that depends on them and the seed alone: by a hash of the name without suffix.

    Example:
        >>> hash_order(["a.png", "b.png", "c.png"])
        ['c.png', 'b.png', 'a.png']
    """

    def place(name: str) -> tuple[bytes, str]:
        stem = normalize("NFC", Path(name).stem)  # as one disk writes it, and another
        return sha256((f"{seed}/{stem}" if seed else stem).encode()).digest(), name

    return sorted(names, key=place)


def fold_of(names: Iterable[str], count: int, seed: int = 0) -> dict[str, int]:
    """Return the fold of each image, from 1; see `FixationDataset.in_folds`."""
    return {name: rank % count + 1 for rank, name in enumerate(hash_order(names, seed))}


def part_of(names: list[str], split: str, count: int, fold: int, seed: int) -> list[str]:
    """Return a fold's `test` images, its `train` images, all others, or `all`; `val` has none."""
    place = fold_of(names, count, seed)
    if split in ("train", "test"):
        return [name for name in names if (place[name] == fold) is (split == "test")]
    return names if split == "all" else []
