"""Judd et al.: each feature by its formula or by another engine, the SVM against scikit-learn, the fit as a whole."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from numpy.typing import NDArray

import salzoo
from salzoo.cli import main
from salzoo.components import filters
from salzoo.data import load_dataset
from salzoo.images.read import to_tensor
from salzoo.images.samples import pop_out
from salzoo.models.judd import (
    FEATURES,
    LEVELS,
    ORIENTATIONS,
    SCALES,
    JuddNetwork,
    colour_rarity,
    energy,
    fit_svm,
    median,
    rarity,
    steerable_bank,
    torralba,
)

NOISE = torch.from_numpy(np.random.default_rng(0).random((1, 3, 60, 80), dtype=np.float32))


def test_the_steerable_pyramid_keeps_all_energy() -> None:
    """With the low-pass residual, by its own formula, squares of the filters add up to 1 at each frequency."""
    side = 48
    radius = 2 * math.pi * np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    with np.errstate(divide="ignore"):
        low = np.cos(math.pi / 2 * np.clip(np.log2(2 ** (SCALES + 1) * radius / math.pi), 0, 1))
    total = steerable_bank(side, SCALES).square().sum(0).numpy() + low**2
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize(("scale", "cycles"), [(0, 30), (1, 15), (2, 8), (3, 4)])
@pytest.mark.parametrize("vertical", [True, False])
def test_a_grating_comes_out_in_its_own_band(scale: int, cycles: int, vertical: bool) -> None:
    """A half-sample cosine is what mirrored borders continue; odd filters turn it into a sine of the bank's height."""
    grid = 80
    phase = math.pi * cycles / grid * (torch.arange(grid) + 0.5)
    grating = phase.cos().expand(grid, grid)
    network = JuddNetwork(grid)
    bands = network.subbands((grating if vertical else grating.T)[None, None])[0]
    height = network.bank[:, 0, cycles] if vertical else network.bank[:, cycles, 0]
    expected = phase.sin().expand(grid, grid)
    for band, gain in zip(bands[1:], height[1:], strict=True):
        torch.testing.assert_close(band.abs(), (gain * (expected if vertical else expected.T)).abs(), atol=1e-4, rtol=0)
    strongest = int(bands.square().mean((-2, -1)).argmax())
    assert strongest == 1 + scale * ORIENTATIONS + (0 if vertical else ORIENTATIONS // 2)


def test_energy_is_relative_to_the_mean_of_a_band() -> None:
    bands = torch.randn(1, 13, 40, 40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(energy(bands).mean((-2, -1)), torch.ones(1, 13))
    torch.testing.assert_close(energy(7 * bands), energy(bands))
    assert (energy(bands)[0, 0].std() > energy(bands)[0, 12].std()).item()  # coarse bands are blurred more
    assert energy(torch.zeros(1, 13, 40, 40)).abs().max() == 0


def test_rarity_by_hand() -> None:
    """Two bins: three pixels in the lower, one in the upper, one more in each; a value between is read between."""
    low, high = -math.log(4 / 6), -math.log(2 / 6)
    found = rarity(torch.tensor([5.0, 5.0, 5.0, 9.0]).view(1, 1, 2, 2), bins=2).flatten()
    np.testing.assert_allclose(found, [low, low, low, high], rtol=1e-6)
    low, high = -math.log(2 / 5), -math.log(3 / 5)  # the middle belongs to the upper bin
    found = rarity(torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3), bins=2).flatten()
    np.testing.assert_allclose(found, [low, (low + high) / 2, high], rtol=1e-6)
    flat = rarity(torch.ones(1, 2, 3, 3))
    assert float(flat.max() - flat.min()) == 0


@pytest.mark.parametrize("side", [1, 2, 3, 4, 8, 16])
def test_medians_are_numpys(side: int) -> None:
    levels = np.random.default_rng(side).integers(0, LEVELS, (3, 20, 31))
    before, after = (side - 1) // 2, side // 2
    padded = np.pad(levels, ((0, 0), (before, after), (before, after)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (1, 2)).reshape(3, 20, 31, -1)
    expected = np.sort(windows, -1)[..., (side * side - 1) // 2]
    np.testing.assert_array_equal(median(torch.from_numpy(levels)[None].float(), side)[0], expected)


def test_rare_colours_by_hand() -> None:
    """Seven pixels of one colour and two of another, of a thousand bins with one more in each."""
    image = torch.full((1, 3, 3, 3), 0.2)  # on an edge: 2 of 10
    image[0, 0, 2, 1:] = 0.95
    found = colour_rarity(image, 1)[0, 0]
    np.testing.assert_allclose(found[0, 0], math.log(1009 / 8), rtol=1e-6)
    np.testing.assert_allclose(found[2, 1:], math.log(1009 / 3), rtol=1e-6)
    filtered = colour_rarity(image, 3)[0, 0]  # around the corner six of nine pixels are rare, beside it four
    np.testing.assert_allclose(filtered[2], np.log([1009 / 9, 1009 / 9, 1009 / 2]), rtol=1e-6)


def test_torralbas_saliency_finds_the_one_bar_that_is_turned() -> None:
    image, (x, y) = pop_out("orientation", 1)
    network = JuddNetwork()
    grey = filters.intensity(to_tensor(image)[None] / 255)
    saliency = torralba(network.subbands(filters.resize(grey, (200, 200)))[:, 1:])
    blurred = filters.blur(saliency, 4)[0, 0]
    row, column = divmod(int(blurred.argmax()), 200)
    assert math.dist((row / 200 * image.height, column / 200 * image.width), (y, x)) < 34


def test_features_are_in_the_order_that_is_told() -> None:
    features = JuddNetwork(40).features(NOISE)[0]
    assert features.shape == (FEATURES, 40, 40)
    torch.testing.assert_close(features[16:19], filters.resize(NOISE, (40, 40))[0])
    assert float(features[19:22].max()) == 1
    torch.testing.assert_close(features[22], colour_rarity(filters.resize(NOISE, (40, 40)), 1)[0, 0])
    centre = features[28].flatten().argmin()
    assert divmod(int(centre), 40) == (20, 20)


def gap(weights: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], penalty: float) -> float:
    """Return the norm of the cost's gradient at the best offset, found by bisection."""
    low, high = -10.0, 10.0
    for _ in range(100):
        offset = (low + high) / 2
        slope = -float((y * np.maximum(0, 1 - y * (x @ weights + offset))).sum())
        low, high = (low, offset) if slope > 0 else (offset, high)
    short = np.maximum(0, 1 - y * (x @ weights + offset))
    return float(np.linalg.norm(weights - 2 * penalty * x.T @ (y * short)))


@pytest.mark.parametrize("penalty", [1e-3, 1.0])
def test_the_svm_is_at_its_optimum(penalty: float) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 5))
    labels = (x @ [1, -2, 0, 0.5, 0] + random.normal(size=400) > 0.7).astype(int)
    weights = fit_svm(torch.from_numpy(x), torch.from_numpy(labels), penalty).numpy()
    start = gap(np.zeros(5), x, 2.0 * labels - 1, penalty)
    assert gap(weights, x, 2.0 * labels - 1, penalty) < 1e-4 * start


def test_the_svm_is_scikit_learns() -> None:
    svm = pytest.importorskip("sklearn.svm", reason="pip install salzoo[shallow]")
    random = np.random.default_rng(1)
    x = random.normal(size=(300, 4))
    labels = (x @ [2, -1, 0, 0.5] + random.normal(size=300) > 0).astype(int)
    theirs = svm.LinearSVC(loss="squared_hinge", dual=False, C=0.5, intercept_scaling=1e3, tol=1e-10).fit(x, labels)
    ours = fit_svm(torch.from_numpy(x), torch.from_numpy(labels), 0.5)
    np.testing.assert_allclose(ours, theirs.coef_[0], rtol=1e-3)


def test_fit_tells_places_apart(tiny_data: Path, tmp_path: Path) -> None:
    assert main(tiny_models.fit_words("judd", tiny_data, tmp_path)) == 0
    model = salzoo.load(tmp_path / "judd.lite")
    network = model.network
    assert network.weights.abs().min() > 0
    assert 0.01 <= float(network.scale) <= 100
    fixated, other = [], []
    dataset = load_dataset("osie", tiny_data, "train")
    for item in (dataset[i] for i in range(len(dataset))):
        saliency = torch.from_numpy(model.predict(item["image"]).saliency)
        order = item["density"].flatten().argsort()
        fixated.append(saliency.flatten()[order[-len(order) // 5 :]].mean())
        other.append(saliency.flatten()[order[: 7 * len(order) // 10]].mean())
    assert np.mean(fixated) > np.mean(other)
