"""AIM: self-information by hand and patch by patch, and the basis that a fit writes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import tiny_models
import torch

import salzoo
from salzoo.cli import main
from salzoo.components.independent import draw_patches
from salzoo.data import SaliencyDataModule
from salzoo.models.aim import AIMNetwork


def test_one_pixel_of_many_by_hand() -> None:
    """A filter that sees one channel of one pixel: one odd pixel of 48 has -log(1/48), all others -log(47/48)."""
    network = AIMNetwork(side=3, components=1, bins=10, blur=0)
    network.basis[0, 1, 1, 1] = -2
    image = torch.full((1, 3, 6, 8), 0.25)
    image[:, 1, 2, 5] = 0.75
    image[:, 0, 4, 4] = 1  # another channel, which the filter does not see
    expected = torch.full((1, 1, 6, 8), -math.log(47 / 48 + 1e-6))
    expected[..., 2, 5] = -math.log(1 / 48 + 1e-6)
    torch.testing.assert_close(network(image), expected)


def test_against_numpy_patch_by_patch() -> None:
    """Each patch as a vector, each histogram by NumPy: cells of equal width around the first and the last value."""
    rng = np.random.default_rng(0)
    image, basis = rng.random((3, 17, 22)), rng.normal(size=(4, 3, 5, 5))
    padded = np.pad(image, ((0, 0), (2, 2), (2, 2)), mode="edge")
    expected = np.zeros((17, 22))
    for one in basis:
        values = np.array([[(padded[:, y : y + 5, x : x + 5] * one).sum() for x in range(22)] for y in range(17)])
        half = np.ptp(values) / (2 * 49)
        counts, edges = np.histogram(values, 50, (values.min() - half, values.max() + half))
        cell = (np.digitize(values, edges) - 1).clip(0, 49)
        expected -= np.log(counts[cell] / values.size + 1e-6)
    network = AIMNetwork(side=5, components=4, bins=50, blur=0).double()
    network.basis.copy_(torch.from_numpy(basis))
    np.testing.assert_allclose(network(torch.from_numpy(image)[None])[0, 0], expected, rtol=1e-6)


def test_contrast_makes_no_difference() -> None:
    """Histograms reach from the least to the largest coefficient of the image."""
    network = tiny_models.build("aim").network
    image = torch.rand(1, 3, 30, 40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(image / 4), network(image))


def test_what_is_there_often_is_not_salient() -> None:
    """The same disc, alone and among forty: the image itself says what is rare."""
    alone = np.full((240, 320, 3), 128, np.uint8)
    y, x = np.mgrid[:240, :320]
    many = alone.copy()
    many[np.hypot(y % 40 - 20, x % 40 - 20) < 8] = (220, 60, 40)
    here = np.hypot(y - 100, x - 140) < 12
    alone[here] = many[here]
    model = salzoo.load("aim")
    assert model.predict(alone).density[here].sum() > 3 * model.predict(many).density[here].sum()


def test_a_fit_learns_a_white_basis_from_images_alone(tiny_data: Path, tmp_path: Path) -> None:
    assert main(tiny_models.fit_words("aim", tiny_data, tmp_path)) == 0
    model = salzoo.load(tmp_path / "aim.lite")
    data = SaliencyDataModule("osie", tiny_data)
    images = (model.preprocess.resize(item["image"][None]) for item in data.train_items(8))
    responses = draw_patches(images, 5, 20) @ model.network.basis.flatten(1).T
    torch.testing.assert_close(torch.cov(responses.T, correction=0), torch.eye(4), atol=1e-3, rtol=0)
    again = tmp_path / "again"
    assert main(tiny_models.fit_words("aim", tiny_data, again)) == 0
    assert torch.equal(salzoo.load(again / "aim.lite").network.basis, model.network.basis)
