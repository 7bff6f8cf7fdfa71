"""What is JuntingNet's own: the figure's layers, maxout, the target's scale and the released schedule."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import lightning.pytorch as pl
import pytest
import tiny_models
import torch
from torch import nn

import salzoo
from salzoo.models.juntingnet import JuntingNet, Maxout


def test_layers_of_the_papers_figure() -> None:
    with torch.device("meta"):
        network = salzoo.load("juntingnet.paper", weights=None).network
        features = network.features(torch.zeros(1, 3, 96, 96))
    assert features.shape == (1, 128, 10, 10)  # poolings round up
    assert [m.out_features for m in network.modules() if isinstance(m, nn.Linear)] == [4608, 2304]


def test_maxout_compares_the_two_halves() -> None:
    assert Maxout()(torch.tensor([[1.0, 5.0, 3.0, 2.0]])).tolist() == [[3, 5]]


def test_prediction_is_blurred_but_training_is_not() -> None:
    sharp, blurred = (tiny_models.build("juntingnet", sigma_px=s).network for s in (0.0, 3.0))
    image = torch.rand(1, 3, 96, 96)
    assert blurred(image).std() < sharp(image).std()
    torch.testing.assert_close(blurred.train()(image), sharp(image))


def test_target_goes_from_minus_one_to_one() -> None:
    model = tiny_models.build("juntingnet", root=1.0)
    density = torch.rand(1, 96, 96)
    cells = nn.functional.avg_pool2d(density, 2)
    truth = 2 * cells / cells.amax() - 1
    assert model.loss(truth[:, None], {"density": density}).item() == pytest.approx(0, abs=1e-10)
    assert model.loss(truth[:, None] + 0.5, {"density": density}).item() == pytest.approx(0.25, rel=1e-5)


def test_rate_falls_and_momentum_rises_in_a_line() -> None:
    model = JuntingNet(channels=(2, 2, 2), hidden=4)
    model.trainer = cast("pl.Trainer", SimpleNamespace(estimated_stepping_batches=100))
    parts = model.configure_optimizers()
    optimizer, schedule = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
    seen = []
    for _ in range(99):
        seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        schedule.step()
    seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
    assert seen[0] == pytest.approx((0.05, 0.9), rel=0.01)
    assert seen[49] == pytest.approx((0.025, 0.9495), rel=0.01)
    assert seen[-1] == pytest.approx((1e-4, 0.999), rel=1e-6)
