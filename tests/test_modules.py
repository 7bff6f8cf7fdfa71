"""The fast walks over a module pass what torch's own do."""

import pytest
import torch
from torch import nn

import salzoo
from salzoo._modules import modules_of, tensors_of
from salzoo.components.saliency_model import evaluating


@pytest.mark.parametrize("name", ["unisal", "salgan", "deepgaze2e.small", "itti"])
def test_walks_pass_what_torchs_do(name: str) -> None:
    network = salzoo.load(name).network
    assert {id(m) for m in modules_of(network)} == {id(m) for m in network.modules()}
    assert {id(t) for t in tensors_of(network)} == {id(t) for t in (*network.parameters(), *network.buffers())}


def test_walks_pass_by_what_is_not_there() -> None:
    layer = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2, track_running_stats=False))
    layer.register_module("later", None)
    assert len(list(modules_of(layer))) == 3
    assert len(list(tensors_of(layer))) == 3


def test_a_part_in_train_mode_is_in_eval_mode_for_a_while() -> None:
    model = salzoo.load("salgan")
    dropout = nn.Dropout(0.5)
    model.network.dropout = dropout
    assert not model.training
    assert dropout.training
    with evaluating(model):
        assert not dropout.training
    assert dropout.training
    assert not any(module.training for module in model.modules() if module is not dropout)


def test_prediction_in_eval_mode_sets_no_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take milliseconds for large networks."""
    model = salzoo.load("unisal")

    def train(self: nn.Module, mode: bool = True) -> nn.Module:
        raise AssertionError(f"{type(self).__name__}.train({mode})")

    monkeypatch.setattr(nn.Module, "train", train)
    model.predict(torch.zeros(3, 48, 64))
