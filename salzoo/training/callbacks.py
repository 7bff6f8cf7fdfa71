"""Checkpoints of a run: written whole or not at all, checked before they are resumed from.

A run keeps three: `last.ckpt` and `previous.ckpt`, the two latest epochs, and `best.ckpt`. They are Lightning's pickles
and meant for resuming; what is published is the checkpoint folder of `salzoo.checkpoint.folder`.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from salzoo.errors import SpecError
from salzoo.training.distributed import accumulation

BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint to a temporary file, flushes it to the disk and renames it; `last` becomes `previous`.

    Lightning's own writer moves the file over from /tmp, which is a copy on another file system, and does not flush.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write; after an error (a full disk) the file that was there before is still there.

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
                file.write(content.getvalue())
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


class Best(ModelCheckpoint):
    """Saves an epoch if it was validated and is better than those before.

    Lightning's own asks for the score after every epoch, also after those that `check_val_every_n_epoch` passes over.
    """

    validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that this epoch has been validated."""
        self.validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the epoch if it was validated."""
        if self.validated:
            super().on_train_epoch_end(trainer, pl_module)
        self.validated = False


class CheckScheduleOnResume(Callback):
    """Refuses to go on with a run whose learning rate was laid out over another number of steps.

    A one-cycle schedule ends with the last step: in a longer run PyTorch stops in the middle of an epoch, in a shorter
    one the rate never comes down. Schedules without an end are not checked.
    """

    before: dict[str, int] | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Store the planned steps, epochs and devices."""
        checkpoint["planned"] = _planned(trainer, pl_module)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Read what the interrupted run had planned."""
        self.before = checkpoint.get("planned")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare both plans.

        Raises:
            SpecError: If the numbers of steps differ.
        """
        now, before = _planned(trainer, pl_module), self.before
        ends = any(hasattr(config.scheduler, "total_steps") for config in trainer.lr_scheduler_configs)
        if before is None or before["steps"] == now["steps"] or not ends:
            return
        text = "{steps} steps in {epochs} epochs on {devices} device(s)"
        raise SpecError(
            f"the checkpoint's learning rate was laid out for {text.format(**before)}, this run takes "
            f"{text.format(**now)}: go on with the --trainer.max_epochs, --data.batch_size, accumulation and devices "
            "that it began with, or train anew into another folder with -o."
        )


def _planned(trainer: Trainer, model: LightningModule) -> dict[str, int]:
    steps = math.ceil(trainer.estimated_stepping_batches / accumulation(model))
    return {"steps": steps, "epochs": trainer.max_epochs or -1, "devices": trainer.world_size}


def callbacks(folder: Path) -> list[Callback]:
    """Return the callbacks that save the best and the last epoch; `save_last` writes the last only if it is better."""
    each: dict[str, Any] = {
        "dirpath": folder,
        "save_on_train_epoch_end": True,  # a whole epoch, so that a resumed run repeats none of it
        "enable_version_counter": False,
    }
    return [
        CheckScheduleOnResume(),
        Best(filename=Path(BEST).stem, monitor="val/nss", mode="max", **each),
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
