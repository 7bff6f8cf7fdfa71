"""EML-NET: the loss as printed, what a backbone more changes, and the blur. The network: `test_peers.py`."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_models
import torch
from scipy.ndimage import gaussian_filter

import salzoo
from salzoo.data.base import Batch
from salzoo.errors import SpecError


def batch(size: tuple[int, int]) -> Batch:
    rng = np.random.default_rng(0)
    fixations = torch.from_numpy(rng.random((2, *size)) < 0.05).int()
    density = torch.from_numpy(gaussian_filter(fixations.double().numpy(), (0, 2, 2))).float()
    density = density / density.sum((-2, -1), keepdim=True)
    return {"image": torch.zeros(2, 3, *size), "fixations": fixations, "density": density}  # type: ignore[typeddict-item]


def test_the_loss_is_the_published_one_but_for_its_constants() -> None:
    """KL + (1 - CC) + (NSS of the fixations themselves - NSS), of one image after the other."""
    truth = batch((24, 32))
    logits = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 1, 24, 32))).double()
    printed, constants = 0.0, 0.0
    for map_, fixations, density in zip(logits.sigmoid()[:, 0], truth["fixations"], truth["density"], strict=True):
        p, g, f = (one.double().numpy() for one in (map_, density, fixations))
        kl = (g * np.log(np.where(g > 0, g, 1) / (p / p.sum()))).sum()
        cc = np.corrcoef(p.ravel(), g.ravel())[0, 1]
        best, own = (((one - one.mean()) / one.std())[f > 0].mean() for one in (f, p))
        printed += (kl + (1 - cc) + (best - own)) / 2
        constants += (1 + best) / 2
    loss = tiny_models.build("emlnet").default_loss(logits.float(), truth)
    assert loss.item() + constants == pytest.approx(printed, rel=1e-4)


def test_several_backbones_are_read_out_twice() -> None:
    two, one = (
        salzoo.load("emlnet", weights=None, backbones=["test_efficientnet"] * n, feature_nodes=[[8, 16]] * n)
        for n in (2, 1)
    )
    assert {name.split(".")[0] for name, _ in two.network.named_parameters()} == {"levels", "again", "combine"}
    assert {name.split(".")[0] for name, _ in one.network.named_parameters()} == {"levels", "combine"}
    with pytest.raises(SpecError, match="1 and 2 are not accepted"):
        salzoo.load("emlnet", weights=None, backbones=["test_efficientnet"], feature_nodes=[[8], [8]])


def test_the_blurred_map_is_stretched() -> None:
    """Four standard deviations to each side, the border repeated."""
    model = tiny_models.build("emlnet", blur=2.0)
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 20, 30))).float()
    blurred = gaussian_filter(logits.sigmoid()[0, 0].double().numpy(), 2, mode="nearest", truncate=4)
    expected = (blurred - blurred.min()) / (blurred.max() - blurred.min())
    np.testing.assert_allclose(model.average_views([logits]).sigmoid()[0, 0], expected, atol=1e-5)
    flat = model.average_views([torch.zeros(1, 1, 20, 30)])
    assert torch.isfinite(model.to_log_density(flat)).all()
