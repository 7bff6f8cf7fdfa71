"""Training: Lightning against a bare loop, how busy the network is, two processes against one, and memory.

    python benchmarks/training.py --root data [--model deepgaze2] [--only step busy ranks memory]

Prints JSON. `step_over_bare`: CPU seconds of a step under Lightning, as `salzoo fit` calls it, over those of a loop of
forward, loss, backward and optimiser on the same batches in memory; both in turn in one process. `busy`: share of the
time between the first and the last step on OSIE in which the network works and does not wait for pictures. `ranks`:
pictures a second of two processes of one thread each (gloo) over those of one. `memory`: peak resident megabytes of
three steps of `salzoo fit` in a process of its own, for each model that is trained by gradient. All but the first want
a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader

import salzoo
from salzoo.allocator import keep_memory
from salzoo.data import SaliencyDataModule
from salzoo.model import SaliencyModel, as_float
from salzoo.processes import launched
from salzoo.spec import read_spec

QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}
WARM = 3


class Clock(pl.Callback):
    """Notes when each step began and ended."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.now = now
        self.began: list[float] = []
        self.ended: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.began.append(self.now())

    def on_train_batch_end(self, *_: Any) -> None:
        self.ended.append(self.now())

    @property
    def seconds_a_step(self) -> float:
        return (self.ended[-1] - self.ended[WARM - 1]) / (len(self.ended) - WARM)

    @property
    def busy(self) -> float:
        worked = sum(b - a for a, b in zip(self.began[WARM:], self.ended[WARM:], strict=True))
        return worked / (self.ended[-1] - self.began[WARM])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, type=Path, help="folder with OSIE")
    parser.add_argument("--model", default="deepgaze2")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1, help="that decode")
    parser.add_argument("--only", nargs="+", default=["step", "busy", "ranks", "memory"])
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    keep_memory()
    if arguments.rank:
        clock = run(arguments, 0)
        if os.environ.get("RANK", "0") == "0":
            print(json.dumps(int(os.environ.get("WORLD_SIZE", 1)) * arguments.batch_size / clock.seconds_a_step))
        return
    found: dict[str, Any] = {"model": arguments.model, "threads": torch.get_num_threads()}
    for name in arguments.only:
        found |= {"step": step, "busy": busy, "ranks": ranks, "memory": memory}[name](arguments)
    print(json.dumps(found, indent=2))


def untrained(name: str) -> SaliencyModel:
    model = salzoo.load(name, weights=None)
    model.calibrated = True  # statistics do not matter here
    return model


def run(arguments: argparse.Namespace, workers: int) -> Clock:
    """Train on OSIE."""
    clock = Clock()
    data = SaliencyDataModule("osie", arguments.root, arguments.batch_size, num_workers=workers)
    options: dict[str, Any] = {"devices": 1, **launched(), **QUIET}
    trainer = pl.Trainer(max_steps=arguments.steps + WARM, callbacks=[clock], limit_val_batches=0, **options)
    trainer.fit(untrained(arguments.model), data)
    return clock


def step(arguments: argparse.Namespace) -> dict[str, object]:
    data = SaliencyDataModule("osie", arguments.root, arguments.batch_size)
    ratios = []
    for _ in range(arguments.rounds):
        model, clock = untrained(arguments.model), Clock(time.process_time)
        data.size = model.preprocess.size
        batches = [batch for batch, _ in zip(data.train_dataloader(), range(4), strict=False)]
        steps = [batches[i % len(batches)] for i in range(arguments.steps + WARM)]
        loader = DataLoader(steps, batch_size=None)
        trainer = pl.Trainer(max_epochs=1, callbacks=[clock], devices=1, **QUIET)
        trainer.fit(model, loader)
        ratios.append(clock.seconds_a_step / bare(model, loader))
    return {"step_over_bare": round(statistics.median(ratios), 3), "step_ratios": [round(r, 3) for r in ratios]}


def bare(model: SaliencyModel, loader: DataLoader[Any]) -> float:
    """CPU seconds of a step of the plain loop."""
    made = torch.optim.AdamW(model.parameter_groups(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(made, 1e-3, total_steps=len(loader))
    model.train()
    ended = []
    for batch in loader:
        loss = model.training_loss(model(as_float(batch["image"])), batch)
        made.zero_grad()
        loss.backward()
        made.step()
        schedule.step()
        ended.append(time.process_time())
    return (ended[-1] - ended[WARM - 1]) / (len(ended) - WARM)


def busy(arguments: argparse.Namespace) -> dict[str, object]:
    shares = [run(arguments, arguments.workers).busy for _ in range(arguments.rounds)]
    return {"busy": round(statistics.median(shares), 3), "busy_shares": [round(share, 3) for share in shares]}


def ranks(arguments: argparse.Namespace) -> dict[str, object]:
    words = [__file__, "--rank", "--root", str(arguments.root), "--model", arguments.model]
    words += ["--steps", str(arguments.steps), "--batch-size", str(arguments.batch_size)]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    ratios = []
    for _ in range(arguments.rounds):
        one, two = (
            float(
                subprocess.run(
                    [sys.executable, *before, *words], env=environment, capture_output=True, text=True, check=True
                ).stdout.split()[-1]
            )
            for before in ([], launch)
        )
        ratios.append(two / one)
    return {"two_ranks_over_one": round(statistics.median(ratios), 3), "rank_ratios": [round(r, 3) for r in ratios]}


def memory(arguments: argparse.Namespace) -> dict[str, object]:
    found = {}
    for name in salzoo.list_models():
        spec = read_spec(name)
        if spec.training != "gradient":
            continue
        with tempfile.TemporaryDirectory() as scratch:
            words = ["fit", name, "--data", "osie", "--root", str(arguments.root), "-o", scratch]
            words += ["--trainer.max_steps=3", "--trainer.limit_val_batches=0", "--trainer.logger=false"]
            with tempfile.TemporaryFile() as log:
                process = subprocess.Popen([sys.executable, "-m", "salzoo", *words], stdout=log, stderr=log)
                _, status, usage = os.wait4(process.pid, 0)
            size = spec.variants[spec.default].recipe.get("data", {}).get("batch_size")
            found[f"{name}.{spec.default}"] = {
                "batch_size": size,
                "megabytes": round(usage.ru_maxrss / 1024) if status == 0 else None,
            }
    return {"memory": found}


if __name__ == "__main__":
    main()
