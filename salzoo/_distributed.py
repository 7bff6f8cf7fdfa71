"""Several processes of one job: how they are started, and what each tells the others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")


def in_torchrun() -> bool:
    """Whether torchrun, or another launcher of its kind, started this process."""
    return "RANK" in os.environ


def rank() -> int:
    """Return the number of this process in its job; 0 without a launcher."""
    return int(os.environ.get("RANK", 0))


def local_rank() -> int:
    """Return the number of this process on its machine; 0 without a launcher."""
    return int(os.environ.get("LOCAL_RANK", 0))


def world_size() -> int:
    """Return how many processes the job has; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_rank_zero() -> bool:
    """Whether this is the process that writes and prints what the job writes and prints once."""
    return rank() == 0


def torchrun(words: Sequence[str], processes: int, restarts: int = 0) -> int:
    """Call `python -m WORDS` in so many processes on this machine, and return the exit code.

    Args:
        words: Name of the module and its arguments.
        processes: Number of processes.
        restarts: How often all are started anew when one was lost.
    """
    agent = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    # Without it the ranks that torch 2.14 restarts read the addresses of those that died.
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    command = [sys.executable, *agent, f"--max-restarts={restarts}", "-m", *words]
    return subprocess.run(command, env=environment, check=False).returncode


def all_gather_object(own: T) -> list[T]:
    """Return what each process that torchrun started gives, in the order of ranks; wait for the slowest."""
    import torch.distributed as dist  # here: the command line asks for `rank` before it needs torch

    dist.init_process_group("gloo", timeout=timedelta(days=30))
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, own)
    dist.destroy_process_group()
    return parts
