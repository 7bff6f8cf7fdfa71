"""Constrained Levy exploration: the geometry of its jumps, what is accepted, the fit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from torch import Tensor, nn

import salzoo
from salzoo.cli import main
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.stimulus import DEGREES
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess
from salzoo.models.cle import ConstrainedLevy, LevyNetwork

IMAGE = np.zeros((60, 80, 3), np.uint8)


class Halves(nn.Module):
    """Twice as likely on the right as on the left."""

    def forward(self, image: Tensor) -> Tensor:
        ramp = torch.where(torch.arange(80) < 40, 0.0, math.log(2))
        return ramp.expand(len(image), 1, 60, 80)


class HalvesModel(SaliencyModel):
    network_class = Halves
    default_preprocess = Preprocess((60, 80))


def cle(name: str = "cle", *, start: SaliencyModel | None = None, **options: Any) -> ConstrainedLevy:
    model = salzoo.load(name, weights=None, density="uniform", **options)
    assert isinstance(model, ConstrainedLevy)
    if start is not None:
        model.start_from(start)
    return model


def test_jumps_are_cauchy_in_amplitude_and_even_around() -> None:
    """The mass of a ring is that of the amplitudes, so the density of a cell has the Jacobian 1 / distance."""
    network, side = LevyNetwork(dispersion=3.0), 0.1
    y, x = torch.meshgrid(*[torch.arange(-400, 401) * side] * 2, indexing="ij")
    distance = torch.hypot(x, y).double()
    mass = network.double().jumps(distance, side / math.sqrt(math.pi)).exp()
    for upto in (0.5, 3.0, 10.0, 30.0):
        expected = 2 / math.pi * math.atan(upto / 3)
        assert mass[distance <= upto].sum().item() == pytest.approx(expected, rel=0.02)
    near, far = (network.jumps(torch.tensor([at]).double(), 0.01).exp().item() for at in (1.0, 6.0))
    assert near / far == pytest.approx((6 * (9 + 36)) / (1 * (9 + 1)), rel=1e-2)


@pytest.mark.parametrize("name", ["cle", "cle.paper"])
@pytest.mark.parametrize("size", [(41, 67), (1, 40), (301, 203)])
def test_probabilities_sum_to_one_after_any_history(name: str, size: tuple[int, int]) -> None:
    model, nan = cle(name, cells=20), float("nan")
    model.network.log["temperature"].data.fill_(-3)
    history: list[tuple[float, float, float]] = []
    for place in [(0, 0, 200), (66, 40, nan), (-500, 3, 0), (nan, nan, nan), (30, 20, 1e9)]:
        history.append(place)
        m = model.conditional(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8), history)
        assert m.density.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
        assert np.isfinite(m.log_density).all()


def test_what_is_less_salient_is_reached_as_rarely_as_the_temperature_says() -> None:
    """From the right half, a jump to the left loses log 2 (nearly, by the footprint) and is accepted so often."""
    for temperature in (0.5, 2.0):
        model = cle(start=HalvesModel(), cells=80, footprint=0.05, weighted=False)
        model.network.log["temperature"].data.fill_(math.log(temperature))
        density, lost = model.conditional(IMAGE, [(50, 30)]).density, 2 ** (-1 / temperature)
        # A jump by 29 pixels to the left is as likely as one to the right.
        assert density[30, 21] / density[30, 79] == pytest.approx(lost, rel=1e-3)
        share = model.rejected(IMAGE, (50, 30))
        tried = density[:, :40].sum(dtype=np.float64) * (1 - share) / lost
        assert share == pytest.approx(tried * (1 - lost), rel=1e-4), "only jumps to the left are rejected"
        assert model.rejected(IMAGE, (19, 30)) == pytest.approx(0, abs=1e-6), "from there, nothing is less salient"


def test_of_many_tries_one_on_the_right_is_enough() -> None:
    one, many = (
        cle("cle.paper", start=HalvesModel(), candidates=n).conditional(IMAGE, [(5, 30)]).density for n in (1, 50)
    )
    right = one[:, 40:].sum()
    assert 0.001 < right < 0.1
    assert many[:, 40:].sum() == pytest.approx(1 - (1 - right) ** 50, rel=1e-3)


def test_the_weight_is_an_exponent_of_the_density() -> None:
    model, plain = (cle(start=HalvesModel(), cells=80, footprint=0.05, weighted=on) for on in (True, False))
    model.network.log["weight"].data.fill_(math.log(3))
    ratio = model.conditional(IMAGE, [(10, 30)]).density / plain.conditional(IMAGE, [(10, 30)]).density
    assert ratio[0, 70] / ratio[0, 5] == pytest.approx(8, rel=1e-3)


def test_a_fit_estimates_the_dispersion_and_makes_scanpaths_likelier(tiny_data: Path, tmp_path: Path) -> None:
    words = tiny_models.fit_words("cle", tiny_data, tmp_path)
    assert main([*words, "--training.epochs=6", "--training.batch=2"]) == 0
    fitted = salzoo.load(tmp_path / "cle.lite")
    assert isinstance(fitted, ConstrainedLevy)
    dataset = salzoo.data.OSIE(tiny_data / "osie", "train")
    paths = [(i, path) for i in range(len(dataset)) for path in dataset.scanpaths(i)]

    def likelihood(model: ConstrainedLevy) -> float:
        found = [model.step_log_likelihoods(model.prepare(dataset.image(i)), path) for i, path in paths]
        return float(np.nanmean(np.concatenate(found)))

    before = salzoo.load("cle", weights=None, **fitted.config.network)
    assert isinstance(before, ConstrainedLevy)
    assert likelihood(fitted) > likelihood(before) + 0.01
    folder = main(
        ["fit", "cle.paper", "--data", "osie", "--root", str(tiny_data), "-o", str(tmp_path), "--model.density=uniform"]
    )
    assert folder == 0
    steps = [np.hypot(np.diff(path.x), np.diff(path.y)) / (max(dataset.size(i)) / DEGREES) for i, path in paths]
    median = np.nanmedian(np.concatenate(steps))
    found = salzoo.load(tmp_path / "cle.paper").network.value("dispersion").item()
    assert found == pytest.approx(median, rel=2e-3)


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(SpecError, match=r"cle.lite.saliency: got 'x', accepted is one of"):
        cle(saliency="x")
    with pytest.raises(SpecError, match="candidates=0 is not accepted: from 1 to 1000"):
        cle(candidates=0)
    with pytest.raises(SpecError, match="cle is fitted to scanpaths: give it a SaliencyDataModule"):
        cle().fit_statistics([])
    for place in [(1,), ("a", 2), (float("nan"), 2), (80, 3)]:
        with pytest.raises(SpecError, match=r"is not \(x, y\) in the image, which is 80 x 60 pixels"):
            cle(start=HalvesModel()).rejected(IMAGE, place)  # type: ignore[arg-type]
    far = cle(start=HalvesModel()).conditional(IMAGE, [(1e30, -1e30)])
    assert far.density.sum() == pytest.approx(1, abs=1e-5)
