"""Runs on several devices and machines: processes of torchrun and SLURM, signals, batch norms, the effective batch."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from types import FrameType
from typing import Any, TypeVar

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.layer_sync import LayerSync
from lightning.pytorch.utilities import rank_zero_info
from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from salzoo.backbones import TimmBackbone
from salzoo.data.videos.datamodule import VideoDataModule

T = TypeVar("T")


def launched() -> dict[str, Any]:
    """Return the trainer's arguments for the processes that torchrun or SLURM started, nothing if none did."""
    if TorchElasticEnvironment.detect():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        return {"devices": devices, "num_nodes": int(os.environ["WORLD_SIZE"]) // devices}
    if SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", 1))
        devices = int(os.environ.get("SLURM_NTASKS_PER_NODE", int(os.environ["SLURM_NTASKS"]) // nodes))
        return {"devices": devices, "num_nodes": nodes}
    return {}


def environment() -> list[SLURMEnvironment]:
    """Return the plugin for the processes that SLURM started, nothing if it did not, or torchrun did within it.

    Lightning's own response to SLURM's warning, a checkpoint in the middle of an epoch, is switched off;
    `SignalHandler` takes its place.
    """
    slurm = SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
    return [SLURMEnvironment(auto_requeue=False)] if slurm else []


class SignalHandler(Callback):
    """Ends a run at once on SIGTERM, with exit code 143, and on SLURM's SIGUSR1, after requeueing the job.

    Nothing is saved at that moment: the last whole epoch is on the disk, and resuming from it repeats the rest bit
    by bit. Lightning's own handler broadcasts from inside the signal, which hangs a step that is exchanging gradients.
    """

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over from Lightning's handlers, which are in place now and come off with them after the run."""
        self.on_train_start(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over from Lightning's handlers."""

        def stop(number: int, _frame: FrameType | None) -> None:
            launcher = trainer.strategy.launcher
            if launcher is not None:
                launcher.kill(number)  # the processes that Lightning started on this machine
            if trainer.is_global_zero:
                print(
                    f"salzoo: stopped by {signal.Signals(number).name}; --ckpt_path auto goes on where it was.",
                    file=sys.stderr,
                    flush=True,
                )
                if number == signal.SIGUSR1:
                    subprocess.run(["scontrol", "requeue", _slurm_job()], check=False)
            raise SystemExit(128 + number)

        signal.signal(signal.SIGTERM, stop)
        if SLURMEnvironment.detect():
            signal.signal(signal.SIGUSR1, stop)


def _slurm_job() -> str:
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


class SyncBatchNorm(LayerSync):
    """Batch normalisation over the batches of all GPUs of a run.

    Lightning's own plugin would lose the activation that timm's layers hold. PyTorch has no such layer for the CPU:
    there each process measures its own batch, and the first one's running statistics are kept.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Replace the layers, on GPUs only; Lightning calls this in runs of several processes only."""
        on_gpu = next(model.parameters()).is_cuda
        return synchronised(model) if on_gpu and trained_batch_norm(model) else model

    def revert(self, model: nn.Module) -> nn.Module:
        """Leave the layers as they are: tensors keep their names and values, and eval mode gives the same results."""
        return model


def trained_batch_norm(model: nn.Module) -> bool:
    """Return whether a model in train mode has batch normalisation that measures its batches."""
    return any(isinstance(module, _BatchNorm) and module.training for module in model.modules())


def synchronised(model: nn.Module) -> nn.Module:
    """Replace batch normalisation by SyncBatchNorm, in place; what is frozen stays so."""
    for name, child in model.named_children():
        setattr(model, name, convert_sync_batchnorm(child))  # type: ignore[no-untyped-call]
    for module in model.modules():
        if isinstance(module, TimmBackbone) and module.frozen_names:
            module.freeze(*module.frozen_names)
    return model


class LogRunSummary(Callback):
    """Prints devices, effective batch and learning rate at the start of a run."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the summary."""
        rank_zero_info(statement(trainer, pl_module))


def accumulation(model: LightningModule) -> int:
    """Return the batches per optimiser step of a model that steps its optimisers itself, 1 for any other."""
    return int(getattr(getattr(model, "training_config", None), "accumulate", 1))


def statement(trainer: Trainer, model: LightningModule) -> str:
    """Return what `LogRunSummary` prints."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    each, processes = data.batch_size, trainer.world_size
    accumulated = trainer.accumulate_grad_batches * accumulation(model)
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    rates = {
        group.get("max_lr", group.get("initial_lr", group["lr"])) for group in groups
    }  # the scheduler's, not now's
    device = model.device.type
    what = f"windows of {data.length} frames" if isinstance(data, VideoDataModule) else "images"
    lines = [
        f"{processes} x {device} on {trainer.num_nodes} node(s), precision {trainer.precision}, "
        f"seed {os.environ.get('PL_GLOBAL_SEED', 'none')}",
        f"Effective batch: {each} {what} x {processes} devices x {accumulated} accumulated = "
        f"{each * processes * accumulated}; {math.ceil(trainer.num_training_batches / accumulated)} steps an epoch",
        f"Learning rate: {', '.join(f'{rate:g}' for rate in sorted(rates, reverse=True))} at its highest, as given "
        "(it does not follow the batch)",
    ]
    if processes > 1 and trained_batch_norm(model):
        own = "over the batches of all devices" if device == "cuda" else "over each process's own batch"
        lines.append(f"Batch normalisation measures {own}")
    return "\n".join(lines)
