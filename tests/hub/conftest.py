"""A Hub on this machine, and a checkpoint that is fit to be published there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from hub.scenes import ROW
from loopback_hub import LoopbackHub

from salzoo.checkpoint import card, hub


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    """Serve a Hub; the client of this process knows it, writes with ana's token, and keeps nothing elsewhere."""
    with LoopbackHub() as server:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", "hf_writer")
        monkeypatch.setattr(hub, "WAITS", (0.01, 0.01, 0.01))
        yield server


@pytest.fixture
def folder(tiny_checkpoint: Path) -> Path:
    """Return a checkpoint that is fit to be published."""
    card.record(tiny_checkpoint, [ROW])
    return tiny_checkpoint
