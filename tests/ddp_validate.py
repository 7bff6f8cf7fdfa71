"""One of several processes under torchrun that share the validation pictures: `ddp_validate.py DATA OUTPUT`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import tiny_models
import torch
from lightning.pytorch import Trainer

from salzoo.data import SaliencyDataModule
from salzoo.training.distributed import launched


def validate(root: Path) -> dict[str, float]:
    """Score 12 pictures of three sets and of many sizes, 2 at a time."""
    model = tiny_models.build("deepgaze2")
    data = SaliencyDataModule("osie,eyecrowd,scene500", root, eval_batch_size=2)
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", **{"devices": 1, **launched()}, **options)
    (scores,) = trainer.validate(model, datamodule=data, verbose=False)
    return {**scores, "batches": float(sum(trainer.num_val_batches)), "processes": float(trainer.world_size)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = validate(Path(sys.argv[1]))
    Path(sys.argv[2], f"{os.environ['WORLD_SIZE']}-{os.environ['RANK']}.json").write_text(json.dumps(found))
