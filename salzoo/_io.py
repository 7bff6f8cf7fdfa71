"""Files that appear whole or not at all, and their checksums."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a scratch path to write to, which replaces `path` at the end in one step; an error leaves nothing behind.

    The scratch file lies beside the target, hidden, and ends in `.part`, which no search for images or maps finds.
    """
    part = path.parent / f".{uuid.uuid4().hex}.part"
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file so that it appears whole or not at all."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def hash_file(path: Path) -> str:
    """Return the sha256 of a file as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
