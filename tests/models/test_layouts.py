"""What a model holds can be written by safetensors as it is, after any move."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import salzoo
from salzoo.checkpoint.config import WEIGHTS

IMAGE = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)

MOVES: dict[str, Callable[[nn.Module], object]] = {
    "as it is": lambda model: model,
    "channels last": lambda model: model.to(memory_format=torch.channels_last),
    "half": lambda model: model.half(),
    "bfloat16": lambda model: model.bfloat16().to(memory_format=torch.channels_last),
    "double": lambda model: model.double().to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("name", tiny_models.LEARNED)
@pytest.mark.parametrize("move", MOVES)
def test_a_state_is_written_by_safetensors(name: str, move: str, tmp_path: Path) -> None:
    model = tiny_models.build(name)
    MOVES[move](model)
    for part in (model, model.network):
        state = part.state_dict()
        save_file(state, tmp_path / WEIGHTS)
        stored = load_file(tmp_path / WEIGHTS)
        assert all(torch.equal(stored[key], tensor) for key, tensor in state.items())
        assert all(torch.equal(stored[key], tensor) for key, tensor in part.named_parameters())
        part.load_state_dict(stored)


@pytest.mark.parametrize("name", tiny_models.LEARNED)
def test_a_state_is_the_models_own(name: str) -> None:
    """As torch's: what is written into it is in the model, unless the user has laid it out otherwise."""
    model = tiny_models.build(name)
    own = {key: tensor.data_ptr() for key, tensor in model.named_parameters()}
    assert {key: model.state_dict()[key].data_ptr() for key in own} == own


@pytest.mark.parametrize("move", ["channels last", "bfloat16", "double"])
def test_a_moved_model_is_saved_and_loads(move: str, tmp_path: Path) -> None:
    model = tiny_models.build("deepgaze2")
    expected = salzoo.load(tiny_models.save(model, tmp_path / "before")).predict(IMAGE).density
    MOVES[move](model)
    loaded = salzoo.load(tiny_models.save(model, tmp_path / "after"))
    assert {tensor.dtype for tensor in loaded.network.parameters()} == {torch.float32}
    np.testing.assert_allclose(loaded.predict(IMAGE).density, expected, rtol=0.2 if move == "bfloat16" else 1e-6)
