"""Training: Lightning against a bare loop, how busy the network is, two processes against one, and memory.

    python benchmarks/training.py --root data [--model deepgaze2] [--only step busy ranks memory]

Each part is printed with its target, and kept in results/training.json. `step`: CPU time of a step in Lightning's loop,
on one thread, over that of a loop of forward, loss, backward and optimiser on the same batches in memory; medians over
steps, both in turn. `busy`: share of the time between the first and the last step on OSIE in which the network works
and does not wait for images. `ranks`: images a second of two processes of one thread each (gloo) over those of one.
`memory`: peak resident megabytes of two steps by the recipe, in a process of its own, for each model that is trained by
gradient. `busy` and `ranks` want a quiet machine.
"""

from __future__ import annotations

import argparse
import itertools
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
from record import record
from torch.utils.data import DataLoader

import salzoo
from salzoo._malloc import keep_memory
from salzoo.components.saliency_model import SaliencyModel
from salzoo.data import SaliencyDataModule
from salzoo.registry import read_spec, resolve
from salzoo.training.distributed import launched
from salzoo.training.fit import Run, parse

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
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1, help="that decode")
    parser.add_argument("--models", nargs="+", help="of `memory`; default: all that are trained by gradient")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--print", action="store_true", help="write no results")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--recipe", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    keep_memory()
    if arguments.recipe:
        follow(arguments.recipe, arguments.root)
    elif arguments.rank:
        clock = run(arguments, 0)
        if os.environ.get("RANK", "0") == "0":
            print(json.dumps(int(os.environ.get("WORLD_SIZE", 1)) * arguments.batch_size / clock.seconds_a_step))
    else:
        for name in arguments.only:
            part, *targets = PARTS[name]
            start = time.perf_counter()
            found = {**part(arguments), "seconds": round(time.perf_counter() - start)}
            record("training", name, found, *targets, keep=not arguments.print)


def untrained(name: str) -> SaliencyModel:
    model = salzoo.load(name, weights=None)
    model.statistics_fitted = True  # statistics do not matter here
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
    threads, ratios = torch.get_num_threads(), []
    torch.set_num_threads(1)
    data = SaliencyDataModule("osie", arguments.root, arguments.batch_size)
    data.size = untrained(arguments.model).preprocess.size
    batches = [batch for batch, _ in zip(data.train_dataloader(), range(4), strict=False)]
    steps = [batches[i % len(batches)] for i in range(arguments.steps + WARM)]
    loader = DataLoader(steps, batch_size=None)
    for i in range(arguments.rounds):
        seconds = {loop: loop(arguments.model, loader) for loop in ((lightning, bare), (bare, lightning))[i % 2]}
        ratios.append(seconds[lightning] / seconds[bare])
    torch.set_num_threads(threads)
    return {"model": arguments.model, "step_over_bare": round(statistics.median(ratios), 3), "ratios": rounded(ratios)}


def lightning(name: str, loader: DataLoader[Any]) -> float:
    """CPU seconds of a step of Lightning's loop."""
    clock = Clock(time.process_time)
    pl.Trainer(max_epochs=1, callbacks=[clock], devices=1, **QUIET).fit(untrained(name), loader)
    return median_step(clock.ended)


def bare(name: str, loader: DataLoader[Any]) -> float:
    """CPU seconds of a step of the plain loop."""
    model = untrained(name).train()
    made = torch.optim.AdamW(model.parameter_groups(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(made, 1e-3, total_steps=len(loader))
    ended = []
    for batch in loader:
        loss = model.loss(model(batch["image"]), batch)
        made.zero_grad()
        loss.backward()
        made.step()
        schedule.step()
        ended.append(time.process_time())
    return median_step(ended)


def median_step(ended: list[float]) -> float:
    return statistics.median(after - before for before, after in itertools.pairwise(ended[WARM - 1 :]))


def rounded(values: list[float]) -> list[float]:
    return [round(value, 3) for value in values]


def busy(arguments: argparse.Namespace) -> dict[str, object]:
    shares = [run(arguments, arguments.workers).busy for _ in range(arguments.rounds)]
    found = {"model": arguments.model, "threads": torch.get_num_threads(), "workers": arguments.workers}
    return {**found, "busy": round(statistics.median(shares), 3), "shares": rounded(shares)}


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
    median = round(statistics.median(ratios), 3)
    return {"model": arguments.model, "two_ranks_over_one": median, "ratios": rounded(ratios)}


def memory(arguments: argparse.Namespace) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in arguments.models or [n for n in salzoo.list_models() if read_spec(n).training == "gradient"]:
        spec, tag = resolve(name)
        words = [__file__, "--root", str(arguments.root), "--recipe", name]
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen([sys.executable, *words], stdout=log, stderr=log)
            _, status, usage = os.wait4(process.pid, 0)
            if status != 0:
                log.seek(0)
                sys.exit(f"{name}: {log.read().decode()}")
        size = spec.variants[tag].recipe["data"]["batch_size"]
        found[f"{spec.name}.{tag}"] = {"batch_size": size, "megabytes": round(usage.ru_maxrss / 1024)}
    return found


def follow(name: str, root: Path) -> None:
    """Do two steps as `salzoo fit` does them."""
    with tempfile.TemporaryDirectory() as scratch:
        words = ["--data.root", str(root), "--data.sets", "[osie]", "--trainer.logger=false"]
        words += ["--trainer.max_steps=2", "--trainer.limit_val_batches=0", "--trainer.accelerator=cpu"]
        cli = parse(Run(*resolve(name), Path(scratch), words))
        cli.model.statistics_fitted = True  # it takes minutes, and no more memory than a step
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)


PARTS: dict[str, Any] = {
    "step": (step, ("step_over_bare", "<=", 1.05)),
    "busy": (busy, ("busy", ">=", 0.9)),
    "ranks": (ranks, ("two_ranks_over_one", ">=", 1.7)),
    "memory": (memory,),
}


if __name__ == "__main__":
    main()
