"""SalEMA's checkpoint of PyTorch; tests/models/test_salema.py shows that the network is the authors'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from importing import faults, formula

import salzoo
from salzoo.importing.maps.salema import names
from salzoo.models.salema import SalEMANetwork


def tensors() -> faults.Tensors:
    with torch.device("meta"):
        own = SalEMANetwork().state_dict()
    return {theirs: formula.values(theirs, tuple(own[ours].shape)) for theirs, ours in names()}


def write(arrays: faults.Tensors, folder: Path) -> list[Path]:
    """Write a checkpoint as `DataParallel` makes it, beside the optimiser's state."""
    state = {f"module.{name}": torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    torch.save({"epoch": 7, "state_dict": state, "optimizer": {"step": 3}}, folder / "SalEMA30.pt")
    return [folder / "SalEMA30.pt"]


@pytest.mark.slow
def test_every_tensor_finds_its_place(tmp_path: Path) -> None:
    arrays = tensors()
    assert len(arrays) == 54
    model = salzoo.load(salzoo.import_weights("salema", write(arrays, tmp_path), output=tmp_path / "out"))
    state = model.network.state_dict()
    assert set(state) == {ours for _, ours in names()}
    for theirs, ours in names():
        np.testing.assert_array_equal(state[ours].numpy(), arrays[theirs])
    assert isinstance(model.network, SalEMANetwork)
    assert model.network.weight == 0.525


@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    victim = "salgan.60.weight"
    faults.check(kind, "salema", tensors(), write, tmp_path, victim=victim)


@pytest.mark.slow
def test_a_learned_weight_is_a_release_of_its_own(tmp_path: Path) -> None:
    arrays = {**tensors(), "alpha": np.float32([0.3])}
    model = salzoo.load(salzoo.import_weights("salema", write(arrays, tmp_path), output=tmp_path / "out"))
    assert isinstance(model.network, SalEMANetwork)
    weight = torch.as_tensor(model.network.weight).item()
    assert weight == pytest.approx(1 / (1 + np.exp(-0.3)), abs=1e-6)
