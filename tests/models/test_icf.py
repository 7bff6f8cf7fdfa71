"""ICF: its features against SciPy and by their properties, its colour space, its read-out."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_models
import torch
from scipy.ndimage import gaussian_filter

import salzoo
from salzoo.cli import main
from salzoo.models.icf import LEAST_VARIANCE, ICFNetwork

NOISE = torch.rand(1, 3, 33, 45, generator=torch.Generator().manual_seed(0))


def test_means_and_deviations_in_gaussian_windows_are_scipys() -> None:
    """Windows are cut off at the borders: SciPy's with zeros outside, over the same of ones."""
    network = ICFNetwork((1.5, 4.0), stride=3).double()
    found = network.features(NOISE.double())[0].numpy()
    pixels = NOISE[0].double().numpy() - 0.5
    for i, sigma in enumerate((1.5, 4.0)):
        share = gaussian_filter(np.ones((33, 45)), sigma, mode="constant", truncate=12)
        means, squares = (
            np.stack([gaussian_filter(c, sigma, mode="constant", truncate=12) / share for c in each])
            for each in (pixels, pixels**2)
        )
        np.testing.assert_allclose(found[6 * i : 6 * i + 3], means[:, 1::3, 1::3], atol=1e-6)
        deviations = np.sqrt(squares - means**2)
        np.testing.assert_allclose(found[6 * i + 3 : 6 * i + 6], deviations[:, 1::3, 1::3], atol=1e-6)


def test_contrast_is_of_no_direction_and_of_no_sign() -> None:
    network = ICFNetwork((2.0,), stride=1)
    usual = network.features(NOISE)
    torch.testing.assert_close(network.features(NOISE.transpose(-2, -1)).transpose(-2, -1), usual)
    torch.testing.assert_close(network.features(NOISE.flip(-1)).flip(-1), usual)
    negative = network.features(1 - NOISE)
    torch.testing.assert_close(negative[:, 3:], usual[:, 3:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(negative[:, :3], -usual[:, :3], rtol=1e-4, atol=1e-5)


def test_an_image_without_contrast_has_the_centre_bias_alone() -> None:
    network = ICFNetwork()
    flat = torch.full((1, 3, 32, 48), 0.3)
    features = network.features(flat).unflatten(1, (5, 2, 3))
    torch.testing.assert_close(features[:, :, 1], torch.full_like(features[:, :, 1], LEAST_VARIANCE**0.5))
    network.centre_bias.log_density.copy_(torch.randn(1, 1, 48, 64, generator=torch.Generator().manual_seed(0)))
    difference = network(flat) - network.centre_bias((16, 24))
    assert difference.std().item() == pytest.approx(0, abs=1e-5)


def test_the_colour_space_decorrelates_the_pixels() -> None:
    """By hand: channels that are mixed of independent ones by a rotation are told apart again."""
    random = torch.Generator().manual_seed(0)
    independent = torch.randn(4, 3, 40, 50, generator=random) * torch.tensor([0.2, 0.1, 0.03])[:, None, None]
    mixing = torch.linalg.qr(torch.randn(3, 3, generator=random)).Q
    images = torch.einsum("kc,nkhw->nchw", mixing, independent) + 0.4
    network = ICFNetwork()
    network.fit_colours(images.split(3))
    torch.testing.assert_close(network.grey, torch.full((3,), 0.4), rtol=0, atol=5e-3)
    torch.testing.assert_close(network.colours @ network.colours.T, torch.eye(3), rtol=0, atol=1e-5)
    torch.testing.assert_close((network.colours @ mixing.T).abs(), torch.eye(3), rtol=0, atol=0.05)
    pixels = torch.einsum("kc,nchw->knhw", network.colours, images - network.grey[:, None, None]).flatten(1)
    torch.testing.assert_close(torch.corrcoef(pixels), torch.eye(3), rtol=0, atol=1e-4)
    assert (network.colours.gather(1, network.colours.abs().argmax(1, keepdim=True)) > 0).all()


def test_the_papers_read_out_has_1109_weights() -> None:
    """30 channels to 16, 32, 2 and 1, with biases; the blur's width and the centre bias's weight beside."""
    weights = {name: p.numel() for name, p in salzoo.load("icf.paper", weights=None).network.named_parameters()}
    assert sum(n for name, n in weights.items() if name.startswith("readout.")) == 496 + 544 + 66 + 3
    assert set(weights) - {name for name in weights if name.startswith("readout.")} == {
        "blur.log_sigma",
        "centre_bias.weight",
    }


def test_fit_measures_colours_and_channels(tiny_data: object, tmp_path: object) -> None:
    assert main(tiny_models.fit_words("icf", tiny_data, tmp_path)) == 0  # type: ignore[arg-type]
    network = salzoo.load(tmp_path / "icf.lite").network  # type: ignore[operator]
    assert not torch.equal(network.colours, torch.eye(3))
    torch.testing.assert_close(network.colours @ network.colours.T, torch.eye(3), rtol=0, atol=1e-3)
    assert (network.standardise.std > 0).all()
    assert (network.standardise.std != 1).all()
