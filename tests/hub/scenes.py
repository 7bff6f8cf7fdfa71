"""What the tests of the Hub share: the repository, a picture, and processes with the environment of a user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import torch
from loopback_hub import LoopbackHub

import salzoo
from salzoo.checkpoint.config import CONFIG, Measured

REPO = "ana/tiny"
PICTURE = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
ROW = Measured("osie", "test", 100, "mit", "0" * 40, {"nss": 1.5, "cc": 0.5})

SCRIPT = """
import sys, torch, salzoo, numpy as np
torch.set_num_threads(1)
picture = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
np.save(sys.argv[2], salzoo.load(sys.argv[1]).predict(picture).density)
"""


def edit(folder: Path, **changes: object) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def density(name: str | Path, **options: object) -> torch.Tensor:
    return torch.from_numpy(salzoo.load(name, **options).predict(PICTURE).density)


def publish_anything(loopback: LoopbackHub, content: dict[str, bytes]) -> None:
    """Put files on the Hub as an attacker would, without salzoo."""
    api = huggingface_hub.HfApi(loopback.url, "hf_writer")
    api.create_repo(REPO, exist_ok=True)
    loopback.repos[REPO].commit(content, "anything")


def spawn(loopback: LoopbackHub, home: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """Start a process with the environment that a user would set."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    own = {"HF_ENDPOINT": loopback.url, "HF_HOME": str(home), "HF_TOKEN": "hf_writer", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", *words]
    return subprocess.Popen(
        command, env={**kept, **own, **environment}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
