"""What visitors leave on the server's disk, kept within bounds."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def make_room(folder: Path, most: int) -> None:
    """Remove the oldest files under a folder until the others have at most `most` bytes together.

    Files are emptied first: one that is still being uploaded would take its room until the upload ends.
    """
    found = []
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # gradio moves and removes files meanwhile
            if path.is_file():
                found.append((path.stat().st_mtime, path.stat().st_size, path))
    left = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if left <= most:
            return
        with suppress(FileNotFoundError):
            os.truncate(path, 0)
            path.unlink()
        left -= size
