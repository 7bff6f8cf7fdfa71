"""What is JuntingNet's own: the figure's layers, maxout, the target's scale and the released schedule."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import lightning.pytorch as pl
import pytest
import tiny_models
import torch
from torch import nn

import salzoo
from salzoo.components.layers import kernel_density
from salzoo.data import SaliencyDataModule
from salzoo.errors import SpecError
from salzoo.models.juntingnet import (
    BANDWIDTH,
    JuntingNet,
    JuntingNetTraining,
    JuntingNetwork,
    Maxout,
    SharedReadout,
    bumps,
)


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


@pytest.mark.parametrize("shared", [False, True])
def test_target_goes_from_minus_one_to_one(shared: bool) -> None:
    model = tiny_models.build("juntingnet", shared=shared)
    density = torch.rand(1, 96, 96) + 0.1
    cells = nn.functional.avg_pool2d(density, 2)
    scaled = cells / cells.amax()
    truth = scaled.log() + 7 if shared else 2 * scaled - 1
    assert model.default_loss(truth[:, None], {"density": density}).item() == pytest.approx(0, abs=1e-10)
    other = (scaled / 2 + 0.5).log() if shared else truth + 0.5
    expected = (1 - scaled).square().mean().item() if shared else 0.25
    assert model.default_loss(other[:, None], {"density": density}).item() == pytest.approx(expected, rel=1e-5)


def test_a_shared_readout_starts_as_a_convolution() -> None:
    torch.manual_seed(0)  # under some seeds no unit is alive
    readout = SharedReadout(3, 400)
    features = torch.zeros(1, 3, 10, 10)
    features[..., 2:5, 3:6] = torch.rand(1, 3, 3, 3)
    there, moved = readout(features), readout(features.roll((2, 1), (2, 3)))
    assert there.std() > 0
    torch.testing.assert_close(moved, there.roll((8, 4), (2, 3)))


def test_a_place_lights_what_its_features_see() -> None:
    features = JuntingNetwork((1, 1, 1), 400, shared=True).features
    for parameter in features.parameters():
        nn.init.constant_(parameter, float(parameter.ndim > 1))
    columns = torch.eye(96)[:, None, None].expand(96, 3, 96, 96)
    seen = features(columns)[:, 0, 4] > 0  # by place from left to right
    middles = [(x.nonzero().double().mean() + 0.5) / 2 for x in seen.T[1:9]]
    lit = bumps().view(10, 10, 48, 48)[4, 1:9].sum(1)
    pixels = torch.arange(48) + 0.5
    assert [(x @ pixels / x.sum()).item() for x in lit] == pytest.approx([x.item() for x in middles])


def test_a_shared_readout_starts_from_the_centre_bias(tiny_data: Path) -> None:
    model = JuntingNet(channels=(2, 2, 2), hidden=400, shared=True)
    data = SaliencyDataModule("osie", tiny_data)
    with torch.no_grad():
        model.fit_statistics(data)
    flat = torch.zeros(1, 2, 10, 10)
    maps = model.to_log_density(cast("SharedReadout", model.network.readout)(flat))
    expected = kernel_density(data.train_points(), (48, 48), BANDWIDTH)
    torch.testing.assert_close(maps[0].exp(), expected, rtol=1e-4, atol=1e-9)


def test_own_weights_of_a_shared_readout_learn_slowly() -> None:
    model = JuntingNet(channels=(2, 2, 2), hidden=400, shared=True)
    model.training_config = JuntingNetTraining(lr=1.0, own_lr_scale=0.25)
    rates = {id(p): group["lr"] for group in model.parameter_groups() for p in group["params"]}
    slow = {name for name, p in model.named_parameters() if rates[id(p)] == 0.25}
    assert slow == {f"network.readout.{name}" for name in ("own.weight", "own.bias", "map.weight")}
    assert set(rates.values()) == {0.25, 1.0}


@pytest.mark.parametrize("hidden", [200, 384, 600])
def test_units_of_a_shared_readout_fill_the_grid(hidden: int) -> None:
    with pytest.raises(SpecError, match=f"hidden={hidden} is not accepted.*multiple of 400"):
        JuntingNet(hidden=hidden, shared=True)


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
