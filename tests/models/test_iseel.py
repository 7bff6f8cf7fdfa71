"""iSEEL: its closed forms against their definitions, and that similar images are asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch

import salzoo
from salzoo.checkpoint.folder import read_config
from salzoo.cli import main
from salzoo.data import SaliencyDataModule, load_dataset
from salzoo.errors import SpecError
from salzoo.models.iseel import ISEEL, fit_machine


def test_a_machine_is_the_ridge_regression_of_its_image() -> None:
    rng = np.random.default_rng(0)
    hidden, target = rng.normal(size=(7, 4, 5)), rng.uniform(size=(4, 5))
    rows = hidden.reshape(7, 20)
    expected = np.linalg.solve(rows @ rows.T + 0.3 * np.eye(7), rows @ (target / target.max()).ravel())
    weights = fit_machine(torch.from_numpy(hidden), torch.from_numpy(target), 0.3)
    np.testing.assert_allclose(weights, expected, rtol=1e-9)


def test_only_the_nearest_machines_are_asked() -> None:
    model = tiny_models.build("iseel", neighbours=0.5)
    network = model.network
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scene, _ = network.describe(image)
        network.scenes.copy_(scene + torch.arange(1, 7)[:, None])  # the first three are the nearest
        before = network(image)
        network.machines[3:] = 100
        assert torch.equal(network(image), before)
        network.machines[2] = 1
        assert not torch.equal(network(image), before)


def test_answers_are_summed_raised_and_weighted_by_the_prior() -> None:
    network = tiny_models.build("iseel", alpha=2.0, uniform=1e-6).network
    total = torch.zeros(1, 1, 8, 12)
    total[..., 2, 3], total[..., 6, 9] = 1.0, 0.5
    with torch.no_grad():
        network.prior.log_density.zero_()
        density = network._to_log_density(total, (8, 12)).exp()[0, 0]
        assert density[2, 3] / density[6, 9] == pytest.approx(4, rel=1e-3)
        network.prior.log_density[..., 36:, :] = np.log(8) / network.prior.weight.item()
        density = network._to_log_density(total, (8, 12)).exp()[0, 0]
        assert density[2, 3] / density[6, 9] == pytest.approx(0.5, rel=1e-3)


def test_no_answer_at_all_is_the_uniform_density() -> None:
    model = tiny_models.build("iseel")
    with torch.no_grad():
        model.network.machines.zero_()
    density = model.predict(np.zeros((30, 40, 3), np.uint8)).density
    np.testing.assert_allclose(density, 1 / 1200, rtol=1e-4)


def test_fit_finds_where_the_training_images_were_looked_at(tiny_data: Path, tmp_path: Path) -> None:
    assert main([*tiny_models.fit_words("iseel", tiny_data, tmp_path), "--training.ridge=0.001"]) == 0
    folder = tmp_path / "iseel.lite"
    model = salzoo.load(folder)
    assert isinstance(model, ISEEL)
    config = read_config(folder)
    assert config.provenance is not None
    assert config.provenance.data == ("osie:train",)
    assert (model.network.machines != 0).any(1).all()
    train = load_dataset("osie", tiny_data, "train")
    ahead = [
        (item["density"].numpy() * model.predict(item["image"]).density).sum() * item["density"].numel()
        for item in (train[i] for i in range(len(train)))
    ]
    assert np.mean(ahead) > 1.02, "on average denser where people looked than elsewhere"


def test_more_machines_than_images(tiny_data: Path) -> None:
    model = tiny_models.build("iseel", machines=2000)
    data = SaliencyDataModule("osie", tiny_data)
    count = len(load_dataset("osie", tiny_data, "train"))
    with torch.no_grad(), pytest.raises(SpecError, match=f"machines=2000 .* give --model.machines={count}"):
        model.fit_statistics(data)
