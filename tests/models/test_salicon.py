"""What is SALICON's own: two streams that share nothing, and a flat map to start from."""

from __future__ import annotations

import pytest
import tiny_models
import torch
import torch.nn.functional as F

import salzoo


def test_grid_of_the_papers_variant() -> None:
    with torch.device("meta"):
        network = salzoo.load("salicon.paper", weights=None).network
        fine, coarse = network.fine(torch.zeros(1, 3, 600, 800)), network.coarse(torch.zeros(1, 3, 300, 400))
    assert [tuple(m.shape) for m in (fine, coarse)] == [(1, 512, 37, 50), (1, 512, 18, 25)]


def test_streams_share_no_weights_and_see_two_sizes() -> None:
    network = tiny_models.build("salicon", upsampling="nearest").network
    shared = {id(p) for p in network.fine.parameters()} & {id(p) for p in network.coarse.parameters()}
    assert not shared
    image = torch.rand(1, 3, 64, 96)
    fine, coarse = network.fine(image), network.coarse(F.avg_pool2d(image, 2))
    assert (fine.shape[-1], coarse.shape[-1]) == (12, 6)
    levels = torch.cat([fine, F.interpolate(coarse, (8, 12), mode="nearest")], dim=1)
    torch.testing.assert_close(network(image), F.conv2d(levels, network.head.weight, network.head.bias))


def test_first_map_is_flat() -> None:
    model = salzoo.load("salicon", weights=None, **salzoo.registry.read_spec("salicon").tiny)
    assert model.predict(torch.rand(3, 50, 70)).density.std() == pytest.approx(0, abs=1e-9)


def test_loss_is_0_for_the_truth() -> None:
    model = tiny_models.build("salicon", loss=None)
    density = torch.rand(2, 32, 48)
    density /= density.sum((-2, -1), keepdim=True)
    truth = F.avg_pool2d(density, 4)
    assert model.loss(truth[:, None].log() + 3, {"density": density}).item() == pytest.approx(0, abs=1e-6)
