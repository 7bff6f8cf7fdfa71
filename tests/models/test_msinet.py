"""MSI-Net: TensorFlow's padding and up-sampling, and the map that it ends in."""

from __future__ import annotations

import torch

import salzoo
from salzoo.components.layers import upsample_tensorflow1
from salzoo.models.msinet import ASPP, SamePool


def test_up_sampling_repeats_the_last_row_and_column() -> None:
    maps = torch.tensor([[0.0, 2.0], [4.0, 8.0]])[None, None]
    wanted = [[0, 1, 2, 2], [2, 3.5, 5, 5], [4, 6, 8, 8], [4, 6, 8, 8]]
    torch.testing.assert_close(upsample_tensorflow1(maps)[0, 0], torch.tensor(wanted))


def test_a_pool_of_stride_1_looks_down_and_right() -> None:
    maps = torch.zeros(1, 1, 3, 4)
    maps[..., 1, 2] = 1
    assert SamePool()(maps)[0, 0].nonzero().tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]


def test_the_aspp_sees_the_whole_image() -> None:
    torch.manual_seed(0)
    aspp, maps = ASPP(4, 8, (1, 2)), torch.rand(1, 4, 20, 20)
    changed = maps.clone()
    changed[..., -1, -1] += 5
    with torch.no_grad():
        assert not torch.equal(aspp(maps)[..., 0, 0], aspp(changed)[..., 0, 0])


def test_every_map_goes_from_0_to_1() -> None:
    model = salzoo.load("msinet", weights=None, backbone="test_efficientnet", feature_nodes=(8, 16))
    with torch.no_grad():
        maps = model.network(torch.rand(2, 3, 64, 96))
    assert maps.shape == (2, 1, 16, 24)
    torch.testing.assert_close(maps.amin((1, 2, 3)), torch.zeros(2))
    torch.testing.assert_close(maps.amax((1, 2, 3)), torch.ones(2), atol=1e-4, rtol=0)


def test_a_constant_map_is_a_uniform_density() -> None:
    model = salzoo.load("msinet", weights=None, backbone="test_efficientnet", feature_nodes=(8, 16))
    density = model.to_log_density(torch.zeros(1, 1, 4, 5)).exp()
    torch.testing.assert_close(density, torch.full((1, 4, 5), 0.05))
