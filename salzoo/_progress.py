"""How far a long job is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

EVERY_S = 15.0
"""Seconds between two lines; what takes less says nothing."""


def counted(items: Iterable[T], total: int, what: str, *, shown: bool | None = None, each: str = "") -> Iterator[T]:
    """Yield items, and tell on stderr how many are done: taken, and the next one asked for.

    Args:
        items: The items.
        total: Their number.
        what: What one of them is: `image`.
        shown: Whether to show a bar; None shows one on a terminal, and lines in a log, a pipe or a notebook.
        each: What is done with each of them, for the lines: `, each in 3 rows`.
    """
    if shown is None and not (sys.stderr is not None and sys.stderr.isatty()):
        yield from _with_lines(items, total, what, each)
    else:
        yield from tqdm(items, total=total, unit=what, disable=shown is False)


def _with_lines(items: Iterable[T], total: int, what: str, each: str) -> Iterator[T]:
    begun = told = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - told >= EVERY_S:
            rest = (now - begun) / done * (total - done)
            print(
                f"salzoo: {done} of {total} {what}s{each}, {now - begun:.0f} s, about {rest:.0f} s to go",
                file=sys.stderr,
                flush=True,
            )
            told = now
        yield item
