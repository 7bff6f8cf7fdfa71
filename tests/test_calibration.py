"""Reliability of densities, on fixations that were drawn from them, or were not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from salzoo.data import FixationDataset, Item, load_dataset
from salzoo.evaluation import calibration
from salzoo.evaluation.calibration import LEVELS, reliability


@pytest.fixture(scope="module")
def osie(tiny_data: Path) -> FixationDataset:
    return load_dataset("osie", tiny_data, "test")


def density(power: float = 1.0) -> Tensor:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 60), torch.linspace(-1, 1, 80), indexing="ij")
    hill = torch.exp(-4 * (x**2 + y**2)).double() ** power
    return hill / hill.sum()


def drawn(like: Tensor, count: int) -> Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.multinomial(count, like.flatten().numpy()).reshape(like.shape))


def test_samples_of_a_density_are_within_its_regions() -> None:
    fixations = drawn(density(), 20_000)
    np.testing.assert_allclose(calibration._within(density(), fixations), LEVELS, atol=0.01)
    assert (calibration._within(density(2.0), fixations) < np.array(LEVELS) - 0.01).all(), "too sure of itself"
    assert (calibration._within(density(0.5), fixations) > np.array(LEVELS) + 0.01).all(), "not sure enough"


def test_equal_densities_share_their_fixations() -> None:
    corner = torch.zeros(60, 80, dtype=torch.int32)
    corner[0, 0] = 5
    np.testing.assert_allclose(calibration._within(torch.full((60, 80), 1 / 4800).double(), corner), LEVELS)


def test_a_split(osie: FixationDataset) -> None:
    def own(_: int, item: Item) -> Tensor:
        return item["density"]

    def uniform(_: int, item: Item) -> Tensor:
        return torch.ones_like(item["density"])

    found = reliability(own, osie)
    assert found.error > 0.05, "the kernels of a few fixations lie on the fixations themselves"
    assert len(found.expected_bits) == len(found.measured_bits) == len(osie)
    assert min(found.measured_bits) > 0
    chance = reliability(uniform, osie)
    assert chance.error == pytest.approx(0, abs=1e-6)
    assert chance.expected_bits == pytest.approx([0] * len(osie), abs=1e-6)
    assert chance.measured_bits == pytest.approx([0] * len(osie), abs=1e-6)
