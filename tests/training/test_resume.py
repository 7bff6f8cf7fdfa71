"""`fit --ckpt_path FILE` goes on from what a run of this model wrote, and runs nothing that a file holds."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch

import salzoo
from salzoo import SaliencyModel
from salzoo.cli import main
from salzoo.errors import WeightsError

IMAGE = np.zeros((20, 30, 3), np.uint8)


class Touch:
    """Pickled as a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def finished(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of one epoch."""
    folder = tmp_path_factory.mktemp("run")
    words = [*tiny_models.fit_words("deepgaze2", tiny_data, folder), "--trainer.max_epochs=1"]
    assert main([*words, "--training.loss={kl: 1.0, cc: -0.5}"]) == 0
    return folder


def state(finished: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(finished / "checkpoints/last.ckpt", weights_only=True)
    return content


@pytest.mark.parametrize("how", ["torch", "plain"])
def test_a_file_that_runs_code_runs_none(
    finished: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    evil, made = tmp_path / "evil.ckpt", tmp_path / "made"
    content = {**state(finished), "callbacks": {"x": Touch(made)}}
    torch.save(content, evil) if how == "torch" else evil.write_bytes(pickle.dumps(content))
    words = tiny_models.fit_words("deepgaze2", tiny_data, tmp_path / "run")
    assert main([*words, "--ckpt_path", str(evil)]) == 2
    assert str(evil) in capsys.readouterr().err
    for load in (salzoo.load, SaliencyModel.load_from_checkpoint):
        with pytest.raises(WeightsError, match=r"evil.ckpt is not a checkpoint of Lightning's trainer"):
            load(evil)
    assert not made.exists()


def cast(kind: torch.dtype) -> Callable[[dict[str, Any]], object]:
    name = "network.readout.0.weight"
    return lambda content: content["state_dict"].update({name: content["state_dict"][name].to(kind)})


def nested() -> list[Any]:
    """Return a list of ten levels that a pickle holds in some bytes, and that has 100^9 items."""
    items: list[Any] = [1]
    for _ in range(9):
        items = [items] * 100
    return items


def without(*names: str) -> Callable[[dict[str, Any]], object]:
    return lambda content: [content.pop(name) for name in names]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("state_dict"), "is not a checkpoint of Lightning's trainer"),
        (without("salzoo"), "does not say whose it is, and a run of deepgaze2.lite cannot go on from it"),
        (without("optimizer_states", "loops"), "holds weights alone (loops is missing)"),
        (lambda c: c["salzoo"]["config"].update(tag="paper"), "is of deepgaze2.paper, and a run of deepgaze2.lite"),
        (lambda c: c["salzoo"]["config"].update(model="salgan"), "is of salgan.lite, and a run of deepgaze2.lite"),
        (lambda c: c["salzoo"].update(config=[1]), "expected a mapping"),
    ],
)
def test_what_another_wrote_is_refused(
    finished: Path,
    tiny_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], object],
    words: str,
) -> None:
    content, path = state(finished), tmp_path / "other.ckpt"
    change(content)
    torch.save(content, path)
    run = tiny_models.fit_words("deepgaze2", tiny_data, tmp_path / "run")
    assert main([*run, "--ckpt_path", str(path)]) == 2
    error = capsys.readouterr().err
    assert f"--ckpt_path: {path} " in error
    assert words in error
    assert len(error.strip().splitlines()) == 1


def test_a_folder_and_a_zip(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tiny_models.fit_words("deepgaze2", tiny_data, tmp_path / "run")
    assert main([*run, "--ckpt_path", str(tmp_path)]) == 2
    assert f"{tmp_path} to resume from is no file" in capsys.readouterr().err
    with zipfile.ZipFile(tmp_path / "a.ckpt", "w") as file:
        file.writestr("a.txt", "a")
    assert main([*run, "--ckpt_path", str(tmp_path / "a.ckpt")]) == 2
    assert "a.ckpt is not a checkpoint of Lightning's trainer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["salzoo"]["config"]["network"].update(hidden=[1 << 20, 1 << 20]), "hidden=.* is not accepted"),
        (lambda c: c["salzoo"]["config"]["network"].update(hidden=[3]), "does not fit the network"),
        (lambda c: c["salzoo"]["config"]["network"].update(dropout=float("nan")), "expected a finite number"),
        (lambda c: c["salzoo"]["training"].update(loss="{a: &a [x], b: *a}"), "criterion .* is not accepted"),
        (lambda c: c["salzoo"].update(training=3), "training"),
        (lambda c: c["state_dict"].update({"network.readout.0.weight": "x"}), "does not fit the network"),
        (
            lambda c: c["state_dict"]["network.readout.0.weight"].fill_(float("nan")),
            r"readout.0.weight is not finite\.",
        ),
        (lambda c: c["state_dict"]["network.readout.0.weight"].fill_(-float("inf")), "is not finite"),
        (cast(torch.int64), "readout.0.weight is of type I64, accepted is F16 or BF16 or F32 or F64"),
        (cast(torch.complex64), "readout.0.weight is of type complex64"),
        (lambda c: c["state_dict"].update({5: torch.zeros(1)}), "5 in its state_dict is not the name of a tensor"),
        (lambda c: c["salzoo"]["training"].update(lr="fast"), "training.lr: got 'fast'"),
        (lambda c: c["salzoo"]["training"].update(loss=nested()), "more than 1048576 bytes"),
        (lambda c: c["salzoo"]["config"].update(tag=nested()), "more than 1048576 bytes"),
        (lambda c: c["salzoo"]["config"]["network"].update(hidden=nested()), "more than 1048576 bytes"),
        (lambda c: c.update(state_dict=[1]), "is not a checkpoint of Lightning's trainer"),
    ],
)
def test_a_hostile_file_is_one_error(
    finished: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    content, path = state(finished), tmp_path / "other.ckpt"
    change(content)
    torch.save(content, path)
    with pytest.raises(WeightsError, match=words):
        salzoo.load(path)


def test_a_file_that_unpacks_to_more_than_it_holds_is_refused(finished: Path, tmp_path: Path) -> None:
    path = tmp_path / "bomb.ckpt"
    torch.save({**state(finished), "zeros": torch.zeros(1 << 22)}, tmp_path / "plain.ckpt")
    assert salzoo.load(tmp_path / "plain.ckpt").predict(IMAGE).shape == (20, 30)
    with zipfile.ZipFile(tmp_path / "plain.ckpt") as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    with pytest.raises(
        WeightsError, match=r"bomb.ckpt unpacks to 1.,...,... bytes from .*, which no archive of weights"
    ):
        salzoo.load(path)


def test_a_criterion_given_as_text_is_kept_as_its_weights(finished: Path) -> None:
    """Text is parsed where a user gives it; in a file of a stranger's it is refused."""
    model = salzoo.load(finished / "checkpoints/last.ckpt")
    assert model.training_config.loss == {"kl": 1.0, "cc": -0.5}
    assert salzoo.load(finished / "deepgaze2.lite").training_config.loss == {"kl": 1.0, "cc": -0.5}
    text = salzoo.load("deepgaze2", weights=None, pretrained_backbone=False, loss="{kl: 1.0}").training_config
    assert text.loss == {"kl": 1.0}
    assert model.predict(IMAGE).shape == (20, 30)
