"""SUN: self-information patch by patch, its distributions against SciPy, and the statistics that a fit writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import tiny_models
import torch

import salzoo
from salzoo.cli import main
from salzoo.models.sun import SUNNetwork, contrast, fit_generalised_gaussian


def test_against_numpy_patch_by_patch() -> None:
    """The paper's sum of (|response| / scale) ** shape over all filters, which is divided by their number here."""
    rng = np.random.default_rng(0)
    network = SUNNetwork(side=3, blur=0).double()
    image, basis = rng.random((3, 9, 12)), rng.normal(size=(26, 3, 3, 3))
    basis -= basis.mean((1, 2, 3), keepdims=True)
    scale, shape = rng.uniform(0.5, 2, 26), rng.uniform(0.7, 1.5, 26)
    for buffer, values in zip((network.basis, network.scale, network.shape), (basis, scale, shape), strict=True):
        buffer.copy_(torch.from_numpy(values))
    padded = np.pad(image / image.std(), ((0, 0), (1, 1), (1, 1)), mode="edge")
    expected = np.empty((9, 12))
    for y in range(9):
        for x in range(12):
            responses = (padded[:, y : y + 3, x : x + 3] * basis).sum((1, 2, 3))
            expected[y, x] = ((np.abs(responses) / scale) ** shape).mean()
    np.testing.assert_allclose(network(torch.from_numpy(image)[None])[0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [0.7, 1.0, 2.0])
def test_the_distribution_is_found(shape: float) -> None:
    values = scipy.stats.gennorm.rvs(shape, scale=2.5, size=40_000, random_state=0)
    scale, found = fit_generalised_gaussian(torch.from_numpy(values))
    assert found.item() == pytest.approx(shape, rel=0.03)
    assert scale.item() == pytest.approx(2.5, rel=0.05)
    likeliest, _, width = scipy.stats.gennorm.fit(values, floc=0)
    assert (found.item(), scale.item()) == pytest.approx((likeliest, width), rel=0.03)


def test_contrast_and_brightness_make_no_difference() -> None:
    image = torch.rand(2, 3, 30, 40, generator=torch.Generator().manual_seed(0))
    network = tiny_models.build("sun").network
    network.basis -= network.basis.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(network(image / 4 + 0.5), network(image), rtol=1e-4, atol=1e-4)
    assert contrast(image).std(dim=(1, 2, 3)).tolist() == pytest.approx([1, 1], abs=1e-3)


def test_the_shipped_statistics_are_natural() -> None:
    """Filters that sum to zero, and distributions with heavier tails than a Gaussian's, as the paper has them."""
    network = salzoo.load("sun").network
    assert network.basis.shape == (362, 3, 11, 11)
    assert (network.basis.sum((1, 2, 3)).abs() < 1e-3 * network.basis.abs().sum((1, 2, 3))).all()
    assert network.shape.max() < 2
    assert 0.3 < network.shape.median() < 1


def test_a_fit_learns_filters_and_distributions(tiny_data: Path, tmp_path: Path) -> None:
    assert main(tiny_models.fit_words("sun", tiny_data, tmp_path)) == 0
    network = salzoo.load(tmp_path / "sun.lite").network
    assert network.basis.sum((1, 2, 3)).abs().max() < 1e-3 * network.basis.abs().sum((1, 2, 3)).max()
    assert network.shape.unique().numel() == len(network.shape) == 26
    assert (network.scale > 0).all()
