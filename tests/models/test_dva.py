"""DVA: where its branches look, what they are trained on. The released network: `tests/importing/test_dva.py`."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_models
import torch
import torch.nn.functional as F
from torch import nn

import salzoo
from salzoo.data.base import Batch
from salzoo.errors import SpecError
from salzoo.models.dva import Branch, DVANetwork


@pytest.mark.parametrize("doublings", [1, 2, 3, 4])
def test_a_branch_keeps_things_in_their_place(doublings: int) -> None:
    """With kernels that interpolate, a ramp of the features is a ramp of the map, where the class says it is."""
    factor = 2**doublings
    branch = Branch(1, doublings, 1).requires_grad_(False)
    for layer in branch:
        if isinstance(layer, nn.ConvTranspose2d):
            tent = torch.tensor([0.25, 0.75, 0.75, 0.25])
            layer.weight.zero_()
            layer.weight[0, 0] = tent[:, None] * tent
            layer.weight[1:] = 0
            layer.bias.zero_()  # type: ignore[union-attr]  # it has one
        if isinstance(layer, nn.Conv2d):
            layer.weight.zero_()
            layer.weight[0, 0, 1, 1] = 1
            layer.bias.zero_()  # type: ignore[union-attr]
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    found = branch(ramp)[0, 0, factor * 8]
    places = torch.arange(4 * factor, 12 * factor)  # in the middle, where nothing comes from outside
    torch.testing.assert_close(found[places + factor - 2], (places + 0.5) / factor - 0.5, rtol=0, atol=1e-5)


def test_the_loss_is_that_of_all_four_maps_against_the_truth_of_maximum_1() -> None:
    """By hand, of one pixel that is looked at and three that are not."""
    density = torch.tensor([[[0.5, 0.25], [0.25, 0.0]]])
    batch: Batch = {"image": torch.zeros(1, 3, 2, 2), "fixations": torch.zeros(1, 2, 2).int(), "density": density}  # type: ignore[typeddict-item]
    logits = torch.linspace(-2, 2, 16).view(1, 4, 2, 2)
    truth, p = np.array([[1, 0.5], [0.5, 0]]), 1 / (1 + np.exp(-logits[0].double().numpy()))
    expected = -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean((1, 2)).sum()
    assert tiny_models.build("dva").default_loss(logits, batch).item() == pytest.approx(expected, rel=1e-6)


def test_every_branch_is_supervised_by_itself() -> None:
    """The gradient of a branch's own map reaches this branch alone; the first map is the combination of the others."""
    model = tiny_models.build("dva").train()
    network = model.network
    assert isinstance(network, DVANetwork)
    maps = model(torch.rand(1, 3, *model.preprocess.size))
    assert maps.shape[1] == 1 + len(network.branches)
    for k in range(len(network.branches)):
        model.zero_grad()
        maps[:, k + 1].sum().backward(retain_graph=True)
        reached = [any(p.grad is not None and bool(p.grad.any()) for p in part.parameters())
                   for part in (*network.branches, network.fuse)]  # fmt: skip
        assert reached == [j == k for j in range(len(reached))]
    fused = F.conv2d(maps[:, 1:], network.fuse.weight, network.fuse.bias, padding=1)
    torch.testing.assert_close(maps[:, :1], fused)


@pytest.mark.parametrize(
    ("options", "what"),
    [({"stride": 8}, "stride=8 and border=0 are not accepted with a feature node of stride 8"),
     ({"stride": 3}, "stride=3"), ({"border": 6}, "border=6")],
)  # fmt: skip
def test_refuses_what_doubling_cannot_reach(options: dict[str, int], what: str) -> None:
    with pytest.raises(SpecError, match=what):
        tiny_models.build("dva", **options)


def test_new_layers_begin_as_in_the_training_file() -> None:
    """Weights of N(0, 0.01), biases of 0.1; the backbone's are its own."""
    network = salzoo.load("dva", weights=None, backbone="test_efficientnet", feature_nodes=[8, 16], stride=4,
                          border=0, width=32, std=0.01).network  # fmt: skip
    assert isinstance(network, DVANetwork)
    layers = [m for m in network.branches.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert all(bool((layer.bias == 0.1).all()) for layer in layers if layer.bias is not None)
    weights = torch.cat([layer.weight.flatten() for layer in layers])
    assert weights.std().item() == pytest.approx(0.01, rel=0.05)
