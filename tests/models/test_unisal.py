"""UNISAL: taps before sub-sampling, priors, domains, and the authors' optimiser."""

from __future__ import annotations

import math

import pytest
import torch

import salzoo
from salzoo.backbones import TimmBackbone
from salzoo.errors import SpecError
from salzoo.images.geometry import CELLS
from salzoo.models.unisal import GaussianPriors, Smoothing, UNISALNetwork, sub_sample_after

SMALL = {"widths": (16, 8, 8), "smoothing": 5}


def test_sub_sampling_after_a_block_changes_its_node_alone() -> None:
    plain, late = (TimmBackbone("mobilenetv2_050", ("blocks.3.0", "blocks.5.0", "bn2")) for _ in range(2))
    for block in ("blocks.3.0", "blocks.5.0"):
        sub_sample_after(late.trunk, block)  # type: ignore[arg-type]
    late.load_state_dict(plain.state_dict())
    image = torch.rand(1, 3, 64, 96)
    for mode in (False, True):
        torch.manual_seed(0)
        for backbone in (plain, late):
            backbone.train(mode)
        coarse, fine = plain(image), late(image)
        assert [tuple(m.shape[-2:]) for m in fine] == [(8, 12), (4, 6), (2, 3)]
        for one, other in zip(coarse[:2], fine[:2], strict=True):
            if not mode:  # in train mode batch statistics are those of the finer map
                torch.testing.assert_close(one, other[..., ::2, ::2], atol=1e-5, rtol=1e-4)
        if not mode:
            torch.testing.assert_close(coarse[2], fine[2], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("block", ["blocks.3.1", "blocks.9.0"])
def test_only_strided_blocks_are_sub_sampled_late(block: str) -> None:
    with pytest.raises(SpecError, match=f"unstrided.*{block}"):
        UNISALNetwork(unstrided=(block,), **SMALL)


def test_the_priors_at_the_start() -> None:
    with torch.inference_mode():
        maps = GaussianPriors()(torch.zeros(2, 3, 9, 17))
    assert maps.shape == (2, 19, 9, 17)
    assert not maps[:, :3].any()
    blob, column, row, wide = maps[0, 3], maps[0, 12], maps[0, 15], maps[0, 18]
    assert blob.max() == blob[2, 4] == 6, "a quarter of each side from the top and the left"
    assert blob[4, 4] == pytest.approx(6 * math.exp(-((0.25 / math.exp(-1.5)) ** 2) / 2))
    assert column[4, 4] == 6
    assert column[0, 4] == pytest.approx(6 * math.exp(-(0.5**2) / 2))
    assert row[2, 8] == 6
    assert wide[0, 0] == pytest.approx(6 * math.exp(-(0.5**2)))


def test_the_smoothing_at_the_start_keeps_a_constant() -> None:
    with torch.inference_mode():
        torch.testing.assert_close(Smoothing(41)(torch.full((1, 1, 20, 30), 3.0)), torch.full((1, 1, 20, 30), 3.0))


def test_each_domain_has_layers_of_its_own() -> None:
    network = UNISALNetwork(domains=("photographs", "films"), **SMALL).eval()
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        first = network(image)
        network.use("films")
        assert not torch.equal(network(image), first)
        network.use("photographs")
        assert torch.equal(network(image), first)
    with pytest.raises(SpecError, match="no domain 'paintings'; there are photographs, films"):
        network.use("paintings")


def test_frames_are_the_authors_grids() -> None:
    assert len(CELLS) == 11
    assert {(rows // 32) * (columns // 32) for rows, columns in CELLS} <= set(range(100, 121))


def test_the_authors_sgd_spares_the_backbone() -> None:
    model = salzoo.load("unisal.paper", weights=None, **SMALL)
    (sgd,) = [model.configure_sgd()["optimizer"]]
    assert [(g["lr"], g["weight_decay"]) for g in sgd.param_groups] == [(0.04, 1e-4), (pytest.approx(0.004), 1e-5)]
