"""TranSalNet: the table of positions at other sizes, and what is refused. The network: `test_peers.py`."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import salzoo
from salzoo.errors import SpecError
from salzoo.models.transalnet import TransEncoder


def test_every_place_takes_part_and_has_a_position() -> None:
    torch.manual_seed(0)
    encoder = TransEncoder(3, 8, (4, 6), heads=2, layers=1).eval()
    maps = torch.randn(1, 3, 4, 6)
    changed = maps.clone()
    changed[..., 0, 0] += 1
    far = (encoder(changed) - encoder(maps))[0, :, 3, 5]
    assert far.abs().max() > 1e-4
    torch.testing.assert_close(encoder(maps.flip(-1)), encoder(maps).flip(-1))  # a table of zeros: no order
    torch.nn.init.normal_(encoder.positions)
    assert (encoder(maps.flip(-1)) - encoder(maps).flip(-1)).abs().max() > 0.1
    alone = TransEncoder(3, 8, (4, 6), heads=2, layers=0)
    torch.testing.assert_close(alone(changed)[..., 3, 5], alone(maps)[..., 3, 5], rtol=0, atol=0)


def test_positions_are_interpolated_for_other_sizes() -> None:
    encoder = TransEncoder(3, 8, (4, 6), heads=2, layers=0)
    torch.nn.init.normal_(encoder.positions)
    table = encoder.positions.view(4, 6, 8).permute(2, 0, 1)[None]
    larger = F.interpolate(table, (8, 12), mode="bilinear")
    maps = torch.randn(1, 3, 8, 12)
    expected = encoder.layers((encoder.project(maps) + larger).flatten(2).mT).mT.view(1, 8, 8, 12)
    torch.testing.assert_close(encoder(maps), expected)


@pytest.mark.parametrize("options", [{"heads": [3, 2, 2]}, {"feature_nodes": [8, 16]}])
def test_refuses(options: dict[str, list[int]]) -> None:
    tiny = {"backbone": "test_efficientnet", "feature_nodes": [8, 16, 32], "widths": [8, 8, 4], "heads": [2, 2, 2]}
    with pytest.raises(SpecError, match="three nodes, and widths that their heads divide"):
        salzoo.load("transalnet", weights=None, **{**tiny, **options})
