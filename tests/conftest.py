"""What all tests share: no network, one thread, miniature data sets, a miniature checkpoint."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # all before torch and huggingface_hub read them
os.environ["HF_HUB_DISABLE_XET"] = "1"  # one test of its own has it
os.environ["HF_HUB_DISABLE_TELEMETRY"] = os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.pop("SALZOO_HUB", None)
os.environ["XDG_DATA_HOME"] = os.devnull  # no imported checkpoints of whoever runs the tests

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from data import make_tiny
from hypothesis import HealthCheck, settings

collect_ignore_glob = [
    "importing/oracles/*",
    "golden/make_resample.py",
]  # they run outside, with engines that are not installed here

torch.set_num_threads(1)  # sums in another order differ in the last bit

SLOW_BUT_SOUND = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large)
settings.register_profile(
    "seconds", max_examples=25, deadline=None, derandomize=True, suppress_health_check=SLOW_BUT_SOUND
)
settings.register_profile("minutes", max_examples=3000, deadline=None, suppress_health_check=SLOW_BUT_SOUND)
settings.load_profile(os.environ.get("SALZOO_FUZZ", "seconds"))


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Only sockets of this machine connect."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test wants to connect to {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """Lightning's seed_everything leaves its seed in the environment; nothing here may depend on the order of tests."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with miniatures of all data sets."""
    root = tmp_path_factory.mktemp("data")
    for write in (make_tiny.osie, make_tiny.eyecrowd, make_tiny.scene500):
        write(root)
    return root


@pytest.fixture
def tiny_checkpoint(tmp_path: Path) -> Path:
    """Return the folder of a miniature checkpoint, which the test may damage."""
    return tiny_models.save(tiny_models.build("deepgaze2"), tmp_path / "checkpoint")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Child processes hear SIGINT, also where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
