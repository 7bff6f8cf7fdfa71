"""benchmarks/latency_peers.py on a stand-in for a clone: what is run of it, what it is given, and what is counted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import scripts
import torch

CLONE = '''
import torch
from torch.utils import model_zoo


class DeepGazeIIE(torch.nn.Module):
    """Sixteen filters of 3 x 3 whose maps count for nothing, so that the centre bias is the prediction."""

    def __init__(self):
        super().__init__()
        self.filters = torch.nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.load_state_dict(model_zoo.load_url("https://example.invalid/file")["state_dict"])
        torch.hub.load("pytorch/vision:v0.6.0", "squeezenet1_1", pretrained=True)
        torch.load("no file")

    def forward(self, picture, centre_bias):
        assert not self.training
        return centre_bias[:, None] + 0 * self.filters(picture.float()).sum()
'''
script = scripts.load("benchmarks/latency_peers.py")


@pytest.fixture
def makers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return what makes the stand-in and a model of the zoo."""
    package = tmp_path / "DeepGaze" / "deepgaze_pytorch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('all of training')", encoding="utf-8")
    (package / "deepgaze2e.py").write_text(CLONE, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield script.rows(script.Peer("theirs", "DeepGaze", script.deepgaze2e, {"centre_bias.lite": {}}), tmp_path)
    for name in ("deepgaze_pytorch", "deepgaze_pytorch.deepgaze2e"):
        sys.modules.pop(name, None)


def test_a_clone_predicts_without_what_it_would_download(makers: Any) -> None:
    loading = torch.load
    subject = makers["theirs"]()
    assert torch.load is loading
    with torch.inference_mode():
        density = subject.predict(script.image())
    assert density.shape == (600, 800)
    assert density.sum() == pytest.approx(1)


def test_rows_are_timed_on_one_and_on_all_threads(makers: Any, tmp_path: Path) -> None:
    most = torch.get_num_threads()
    found = script.times(makers, tmp_path)
    assert found["threads"] == most == torch.get_num_threads()
    assert list(found["rows"]) == ["theirs", "centre_bias.lite"]
    for row in found["rows"].values():
        assert set(row) == {"1 threads", f"{most} threads"}
        assert all(0 < low <= middle <= high for middle, low, high in row.values())


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_size_counts_parameters_and_products(makers: Any) -> None:
    found = script.size(makers["theirs"])
    assert found["million"] == round(16 * 27 / 1e6, 3)
    assert found["gflop"] == round(2 * 16 * 27 * 600 * 800 / 1e9, 2)
    assert found["input"] == [600, 800]
    assert found["megabytes"] >= 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["unisal"], "unisal is no clone of the authors' repository; --help has the commands."),
        (["salgan"], "NAME='salgan' is not accepted: one of unisal, transalnet, deepgaze2e."),
    ],
)
def test_what_is_not_there_is_told(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        script.main([*words, "--peers", str(tmp_path)])
    assert told in capsys.readouterr().err
