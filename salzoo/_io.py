"""Files that appear whole or not at all, what killed processes left of them, locks and checksums."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_SCRATCH = re.compile(r"\.(?P<host>.+)-(?P<process>\d+)-[0-9a-f]{32}\.part")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a scratch path to write to, which replaces `path` at the end in one step; an error leaves nothing behind.

    The scratch file lies beside the target, hidden, and ends in `.part`, which no search for images or maps finds. Its
    name says which process of which machine writes it.
    """
    part = scratch_beside(path)
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def scratch_beside(path: Path) -> Path:
    """Return a path of no file yet, beside another and on its disk, whose name says who writes it, as `whole` does."""
    return path.parent / f".{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}.part"


def remove_abandoned(folder: Path) -> None:
    """Remove the scratch files and folders right inside a folder that killed processes of this machine left there."""
    for path in folder.glob(".*.part"):
        made = _SCRATCH.fullmatch(path.name)
        if made and made["host"] == socket.gethostname() and not _is_alive(int(made["process"])):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def unlink_scratch(folder: Path) -> None:
    """Remove, at any depth, the scratch files of processes that are no more.

    Those of other machines too, of whose processes nothing is known: call it when no other is at work in the folder.
    """
    for parent, _, names in os.walk(folder):
        for name in names:
            if (made := _SCRATCH.fullmatch(name)) and not (
                made["host"] == socket.gethostname() and _is_alive(int(made["process"]))
            ):
                Path(parent, name).unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True  # of another user
    except (OSError, OverflowError):
        return False
    return True


def lock(file: IO[bytes], *, wait: bool = True) -> bool:
    """Lock an open file against whoever else opens it, on all machines that share the disk, until it is closed.

    Args:
        file: Open for writing, which network disks ask for.
        wait: Whether to wait for another who holds it.

    Returns:
        Whether it is locked: not if another holds it, or if the system or the disk knows no locks.
    """
    try:
        import fcntl  # not on Windows

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (ImportError, OSError):
        return False
    return True


def write_text(path: Path, text: str) -> None:
    """Write a text file so that it appears whole or not at all."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def hash_file(path: Path) -> str:
    """Return the sha256 of a file as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
