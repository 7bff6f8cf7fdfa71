"""DeepFix: the location-biased convolution and the dilated backbone."""

from __future__ import annotations

import tiny_models
import torch
import torch.nn.functional as F

import salzoo
from salzoo.models.deepfix import BLOB_SIDES, LocationBiasedConvolution, blobs


def test_the_papers_network_has_the_described_size() -> None:
    with torch.device("meta"):
        model = salzoo.load("deepfix.paper", weights=None)
        assert model.network(torch.zeros(1, 3, 480, 640)).shape == (1, 1, 60, 80)
    assert sum(p.numel() for p in model.network.parameters()) == 29_221_505


def test_a_location_biased_convolution_is_one_of_the_concatenated_maps() -> None:
    layer = LocationBiasedConvolution(3, 4, dilation=6)
    maps = torch.rand(2, 3, 20, 30)
    whole = torch.cat([maps, blobs((20, 30), maps).expand(2, -1, -1, -1)], dim=1)
    weight = torch.cat([layer.features.weight, layer.location.weight], dim=1)
    expected = F.conv2d(whole, weight, layer.features.bias, padding=12, dilation=6).relu()
    torch.testing.assert_close(layer(maps), expected)


def test_blobs_are_gaussians_around_the_centre() -> None:
    maps = blobs((161, 81), torch.zeros(1))[0]
    assert maps.shape == (16, 161, 81)
    torch.testing.assert_close(maps, maps.flip(-1).flip(-2))
    torch.testing.assert_close(maps[:, 80, 40], torch.ones(16))
    for i, (vertical, horizontal) in enumerate((v, h) for v in BLOB_SIDES for h in BLOB_SIDES):
        for profile, side in ((maps[i, :, 40], vertical * 161), (maps[i, 80], horizontal * 81)):
            offset = torch.arange(len(profile)) - (len(profile) - 1) / 2
            torch.testing.assert_close(profile, torch.exp(-((offset / side) ** 2) / 2))


def test_every_density_is_positive_and_keeps_the_order_of_the_map() -> None:
    model = tiny_models.build("deepfix", power=1.0)
    values = torch.tensor([-3.0, -0.5, 0.0, 0.01, 0.02, 0.05, 0.5, 1.0])
    log_density = model.to_log_density(values.view(1, 1, 2, 4))
    assert float(log_density.exp().sum()) == 1.0
    steps = log_density.flatten().diff()
    assert (steps > 0).all()
    torch.testing.assert_close(steps[-2:].exp(), torch.tensor([10.0, 2.0]))  # above the floor it is the map itself
