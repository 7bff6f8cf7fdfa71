"""What is SALICON's own: two streams that share nothing, and a flat map to start from."""

from __future__ import annotations

import pytest
import tiny_models
import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d

import salzoo
from salzoo.images.resample import resize_image


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


@pytest.mark.parametrize(
    ("kind", "sizes"), [("nearest", [(60, 80), (77, 103), (31, 200)]), ("pillow_nearest", [(60, 80)])]
)
def test_half_of_the_fine_image_is_the_coarse_one_of_the_original(kind: str, sizes: list[tuple[int, int]]) -> None:
    for size in sizes:
        image = torch.rand(1, 3, *size)
        fine, coarse = (resize_image(image, new, kind) for new in ((60, 80), (30, 40)))
        network = tiny_models.build("salicon", coarse=kind).network
        assert torch.equal(network._half(fine), coarse)


def test_sigmoid_maps_are_stretched_and_blurred_for_prediction_only() -> None:
    model = tiny_models.build("salicon", density="sigmoid", blur_px=4.0).eval()
    logits = torch.full((1, 1, 40, 50), -2.0)
    logits[0, 0, 20, 25] = 2
    expected = gaussian_blur2d((logits > 0).float(), (13, 13), (4.0, 4.0), "reflect") + 0.02
    torch.testing.assert_close(model.to_log_density(logits).exp(), (expected / expected.sum())[:, 0])
    assert model.to_log_density(logits[..., :3, :5]).exp().sum().item() == pytest.approx(1)
    unblurred = model.train().to_log_density(logits).exp()[0]
    assert (unblurred[20, 25] / unblurred[0, 0]).item() == pytest.approx(1.02 / 0.02, rel=1e-4)


def test_first_map_is_flat() -> None:
    model = salzoo.load("salicon", weights=None, **salzoo.registry.read_spec("salicon").tiny)
    assert model.predict(torch.rand(3, 50, 70)).density.std() == pytest.approx(0, abs=1e-9)


def test_loss_is_0_for_the_truth() -> None:
    model = tiny_models.build("salicon", loss=None)
    density = torch.rand(2, 32, 48)
    density /= density.sum((-2, -1), keepdim=True)
    truth = F.avg_pool2d(density, 4)
    assert model.loss(truth[:, None].log() + 3, {"density": density}).item() == pytest.approx(0, abs=1e-6)
