"""Several processes of one job: how they are started, and what each tells the others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")


def torchrun(words: Sequence[str], processes: int, restarts: int = 0) -> int:
    """Call `python -m WORDS` in so many processes on this machine, and return the exit code.

    Args:
        words: Module and its arguments.
        processes: How many.
        restarts: How often all are started anew when one was lost.
    """
    agent = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    # Without it the ranks that torch 2.14 restarts read the addresses of those that died.
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    command = [sys.executable, *agent, f"--max-restarts={restarts}", "-m", *words]
    return subprocess.run(command, env=environment, check=False).returncode


def all_gather_object(own: T) -> list[T]:
    """Return what each process that torchrun started gives, in the order of ranks; wait for the slowest."""
    dist.init_process_group("gloo", timeout=timedelta(days=30))
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, own)
    dist.destroy_process_group()
    return parts
