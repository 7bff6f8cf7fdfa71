"""Checkpoints of a run: written whole or not at all, checked before they are resumed from.

A run keeps three: `last.ckpt` and `previous.ckpt`, the two latest epochs, and `best.ckpt`. They are pickles of this
machine, to resume from; what is published is the checkpoint folder of `salzoo.hub`.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place, flushes it to the disk and renames it; the last one becomes the previous.

    Lightning's own writer moves it over from /tmp, which on another file system is a copy, and does not flush.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write; after an error (a full disk) what was there before is still there.

        Raises:
            OSError: If it cannot be written.
        """
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        torch.save(checkpoint, content)  # into memory first: torch turns a full disk into a RuntimeError
        part = place.with_name(f".{place.name}.part")
        try:
            with part.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            if place.name == LAST and place.exists():
                os.replace(place, place.with_name(PREVIOUS))
            os.replace(part, place)
        finally:
            part.unlink(missing_ok=True)
        folder = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the names
        finally:
            os.close(folder)


def callbacks(folder: Path) -> list[ModelCheckpoint]:
    """Return what saves the best epoch, and what saves the last: `save_last` would write it after better ones only."""
    each: dict[str, Any] = {
        "dirpath": folder,
        "save_on_train_epoch_end": True,  # a whole epoch, so that a resumed run repeats none of it
        "enable_version_counter": False,
    }
    return [
        ModelCheckpoint(filename=Path(BEST).stem, monitor="val/nss", mode="max", **each),
        ModelCheckpoint(filename=Path(LAST).stem, **each),
    ]


def newest(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, None if there is none; newer ones that are damaged are removed."""
    for name in (LAST, PREVIOUS, BEST):
        path = folder / name
        if is_whole(path):
            return path
        if path.exists():
            rank_zero_only(print)(f"{path} is damaged and is left out.")
            path.unlink(missing_ok=True)  # of two processes the other may have been faster
    return None


def is_whole(path: Path) -> bool:
    """Return whether a checkpoint has all its bytes: its zip directory is there, and every checksum is right."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False
