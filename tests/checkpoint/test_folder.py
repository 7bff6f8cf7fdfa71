"""Checkpoint folders are written whole and read strictly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from salzoo._io import hash_file
from salzoo.checkpoint.config import CONFIG, WEIGHTS, Config, Provenance
from salzoo.checkpoint.folder import USUAL_PREPROCESS, read_config, save_checkpoint
from salzoo.checkpoint.weights import load_weights
from salzoo.errors import WeightsError

PROVENANCE = Provenance("salzoo fit toy", "0" * 40, 7, ("osie:train",), {"trainer": {"max_epochs": 3}}, {"torch": "2"})


WHO = '"model": "a", "tag": "b", "network": {}, "preprocess": {}'


def network(seed: int = 0) -> nn.Module:
    """Return parameters, and buffers of both kinds."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def write(module: nn.Module, folder: Path, *, half: bool = True) -> Config:
    config = Config("toy", "lite", {"size": [2, 3]}, {"size": [8, 8]}, license="mit", provenance=PROVENANCE)
    return save_checkpoint(module, config, folder, half=half)


def test_round_trip(tmp_path: Path) -> None:
    module, other = network(0), network(1)
    config = write(module, tmp_path, half=False)
    assert read_config(tmp_path) == replace(config, preprocess={"size": [8, 8], **USUAL_PREPROCESS})
    assert config == Config("toy", "lite", {"size": [2, 3]}, {"size": [8, 8]}, config.sha256, "mit", PROVENANCE)
    assert json.loads((tmp_path / CONFIG).read_text())["format"] == 1
    assert config.sha256 == hash_file(tmp_path / WEIGHTS)
    load_weights(other, tmp_path, config.sha256)
    assert all(torch.equal(tensor, other.state_dict()[key]) for key, tensor in module.state_dict().items())


def test_half_precision_halves_parameters_and_leaves_statistics(tmp_path: Path) -> None:
    module, other = network(0), network(1)
    module[1].running_var += 1e-4
    write(module, tmp_path)
    kinds = {key: tensor.dtype for key, tensor in load_file(tmp_path / WEIGHTS).items()}
    assert kinds["0.weight"] == kinds["1.bias"] == torch.float16
    assert kinds["1.running_var"] == torch.float32
    assert kinds["1.num_batches_tracked"] == torch.int64
    load_weights(other, tmp_path, read_config(tmp_path).sha256)
    assert torch.equal(other[0].weight, module[0].weight.half().float())
    assert other[0].weight.dtype == torch.float32
    assert torch.equal(other[1].running_var, module[1].running_var)


def test_the_same_weights_give_the_same_file(tmp_path: Path) -> None:
    assert write(network(), tmp_path / "a").sha256 == write(network(), tmp_path / "b").sha256


def test_another_sha256_is_refused(tmp_path: Path) -> None:
    write(network(), tmp_path)
    with pytest.raises(
        WeightsError, match=r"model.safetensors is damaged or was replaced: its sha256 is [0-9a-f]{64}, expected 0000"
    ):
        load_weights(network(), tmp_path, "0" * 64)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="is not a safetensors file"):
        load_weights(network(), tmp_path, hash_file(tmp_path / WEIGHTS))


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere is not a checkpoint folder: it has no config.json"):
        read_config(tmp_path / "nowhere")
    config = write(network(), tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(WeightsError, match=r"has no model.safetensors"):
        load_weights(network(), tmp_path, config.sha256)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "config.json: not valid JSON"),
        ("[]", r"config.json: got \[\], expected a mapping"),
        ('{"model": "a"}', "config.json: missing key 'tag'"),
        (
            '{"model": "a", "tag": "b", "network": {}, "preprocess": {}}',
            "sha256 and license of the weights are missing",
        ),
        (
            '{"format": 2, "model": "a", "tag": "b", "network": {}, "preprocess": {}}',
            "format is 2, this salzoo reads 1",
        ),
        ('{"weights": "b"}', "config.json: unknown key 'weights'; accepted keys are format, imported, license"),
    ],
)
def test_bad_config(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / CONFIG).write_text(text)
    with pytest.raises(WeightsError, match=words):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("value", "half", "words"),
    [
        (float("nan"), False, "0.bias is not finite;"),
        (float("inf"), True, "0.bias is not finite"),
        (1e5, True, "0.bias is not finite in half precision"),
    ],
)
def test_what_is_not_finite_is_not_written(tmp_path: Path, value: float, half: bool, words: str) -> None:
    module = network()
    module[0].bias.data[1] = value
    with pytest.raises(WeightsError, match=words):
        write(module, tmp_path / "new", half=half)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("stage", ["save_file", "write_config"])
def test_a_failed_save_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    write(network(0), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*args: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(
        {"save_file": "safetensors.torch.save_file", "write_config": "salzoo.checkpoint.folder.write_config"}[stage],
        full,
    )
    with pytest.raises(OSError, match="no space left"):
        write(network(1), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
