"""DeepGaze IIE: the published size, and a mixture that is one."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import tiny_models
import torch
import torch.nn.functional as F
from torch import nn

import salzoo
from salzoo.components.layers import GaussianBlur
from salzoo.errors import SpecError
from salzoo.models.deepgaze2e import Frame


def test_the_paper_variant_has_the_published_read_outs() -> None:
    """The sizes are those of the released weights, but for the backbones' parts that nothing reads."""
    with torch.device("meta"):
        network = salzoo.load("deepgaze2e.paper", weights=None).network
    assert [sum(member.backbone.channels) for member in network.members] == [2048, 2416, 2048, 2560]
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == 3_059_160


def test_the_prediction_is_the_mean_of_the_densities_of_all_components() -> None:
    model = tiny_models.build("deepgaze2e", tta=((1.0, False),))
    image = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    mixture = model(image).exp()
    model.train()
    model.apply(lambda m: m.eval() if isinstance(m, torch.nn.Dropout2d) else None)
    components = model(image).exp()
    assert components.shape == (2, 4, 8, 12)
    assert components.std(1).max() > 1e-3
    torch.testing.assert_close(components.sum((2, 3)), torch.ones(2, 4))
    torch.testing.assert_close(mixture, components.mean(1, keepdim=True))


def test_views_are_averaged_where_they_show_the_same() -> None:
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    plain, mirrored, larger, both = (
        tiny_models.build("deepgaze2e", tta=views)(image).exp()
        for views in (((1.0, False),), ((1.0, True),), ((1.5, False),), ((1.0, False), (1.0, True)))
    )
    assert plain.shape == mirrored.shape == both.shape == (1, 1, 8, 12)
    assert larger.shape == (1, 1, 12, 16)  # of an image of 96 x 128
    assert (plain - mirrored).abs().max() > 1e-4
    torch.testing.assert_close(both, (plain + mirrored) / 2)
    symmetric = tiny_models.build("deepgaze2e", tta=((1.0, False), (1.0, True)))
    torch.testing.assert_close(symmetric(image.flip(-1)).exp(), both.flip(-1))


def test_maps_are_read_at_their_own_size_as_if_they_were_standardised_and_stacked() -> None:
    member = tiny_models.build("deepgaze2e", hidden=(6, 2)).eval().network.members[0]
    generator = torch.Generator().manual_seed(0)
    for known in member.standardise:
        known.mean.copy_(torch.rand(known.mean.shape, generator=generator))
        known.std.copy_(torch.rand(known.std.shape, generator=generator) + 0.5)
    maps = [
        torch.rand(2, len(known.mean), *size, generator=generator)
        for known, size in zip(member.standardise, itertools.cycle([(12, 16), (6, 8)]), strict=False)
    ]
    frame = Frame((12, 16), (12, 16), None, None)
    grown = [
        F.interpolate(known(m), (12, 16), mode="bilinear") for known, m in zip(member.standardise, maps, strict=True)
    ]
    stacked = torch.cat(grown, dim=1)
    expected = torch.cat([component(component.layers[0](stacked), frame) for component in member.components], dim=1)
    torch.testing.assert_close(member.read(maps, frame), expected)


def test_later_blocks_are_trained_at_a_rate_of_their_own() -> None:
    """Batch norms keep their statistics; with nothing named, the whole backbone is frozen."""
    frozen = tiny_models.build("deepgaze2e", frozen=("conv_stem", "blocks.0"), backbones=("test_efficientnet",) * 2)
    whole = tiny_models.build("deepgaze2e", backbones=("test_efficientnet",) * 2)
    frozen.training_config = replace(frozen.training_config, lr=1e-3, backbone_lr_scale=0.1)
    assert [group["lr"] for group in whole.parameter_groups()] == [whole.training_config.lr]
    assert [group["lr"] for group in frozen.parameter_groups()] == [1e-3, 1e-4]
    trained = {name for name, p in frozen.network.members[0].backbone.trunk.named_parameters() if p.requires_grad}
    assert "blocks.1.0.conv_exp.weight" in trained
    assert not [name for name in trained if name.startswith(("conv_stem", "blocks.0")) or "bn" in name]
    assert not any(norm.training for norm in frozen.train().network.modules() if isinstance(norm, nn.BatchNorm2d))


def test_backbones_that_want_other_pixels_are_refused() -> None:
    with pytest.raises(SpecError, match="normalised alike"):
        tiny_models.build("deepgaze2e", backbones=("test_efficientnet", "test_resnet"))


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_a_blur_without_a_limit_reaches_three_of_its_width(sigma: float) -> None:
    impulse = torch.zeros(1, 1, 31, 31)
    impulse[..., 15, 15] = 1
    profile = GaussianBlur(sigma, max_sigma_px=None)(impulse)[0, 0].sum(0).detach()
    x = torch.arange(31) - 15.0
    assert profile.nonzero().flatten().tolist() == x[x.abs() <= 3 * sigma + 0.5].add(15).int().tolist()
    assert (profile * x.square()).sum().sqrt() == pytest.approx(sigma, rel=0.03)


def test_the_network_halves_and_enlarges_by_itself() -> None:
    """It is the network of every other pixel, whose log density each of 2 x 2 pixels gets: a quarter of the mass."""
    options = {"resize": "nearest", "stride": 1, "tta": ((1.0, False),)}
    halving, plain = (
        tiny_models.build("deepgaze2e", halve=halve, familiarity=False, **options) for halve in (True, False)
    )
    image = torch.rand(1, 3, 128, 192, generator=torch.Generator().manual_seed(0))
    expected = plain(image[..., ::2, ::2]).repeat_interleave(2, -1).repeat_interleave(2, -2) - math.log(4)
    torch.testing.assert_close(halving(image), expected)
    halving.train()
    assert halving(image).shape == (1, 4, 64, 96), "components are trained at the size of their maps"


def test_odd_sides_are_whole_densities_too() -> None:
    model = tiny_models.build(
        "deepgaze2e", halve=True, familiarity=False, template=(32, 32), resize="nearest", stride=1
    )
    log_density = model(torch.rand(1, 3, 129, 191, generator=torch.Generator().manual_seed(0)))
    assert log_density.shape == (1, 1, 129, 191)
    assert log_density.exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_components_of_a_template_share_it() -> None:
    shared, own = (tiny_models.build("deepgaze2e", template=t, familiarity=False).network for t in ((32, 32), None))
    grids = [[k for k in network.state_dict() if k.endswith("log_density")] for network in (shared, own)]
    assert grids[0] == ["template.log_density"]
    assert len(grids[1]) == 4
