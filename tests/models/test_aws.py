"""Adaptive whitening saliency: the bank and the whitening, and the whole against numpy's inverse covariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import salzoo
from salzoo.components.filters import rescale
from salzoo.errors import SpecError
from salzoo.images.samples import pop_out
from salzoo.models.aws import AWSNetwork, whiten

NOISE = torch.from_numpy(np.random.default_rng(0).random((1, 3, 40, 52), dtype=np.float32))


def test_whitened_variables_are_uncorrelated_and_of_variance_one() -> None:
    mixed = torch.tensor([[3.0, 1, 0], [1, 2, 0.1], [0, 4, 0.5]]) @ torch.randn(3, 4000, generator=torch.manual_seed(0))
    white = whiten(mixed + 7)
    torch.testing.assert_close(white.mean(1), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(white, correction=0), torch.eye(3), atol=1e-3, rtol=0)


def test_what_only_rounding_moves_is_left_out() -> None:
    """Two copies of one variable vary along one direction: one of variance 1, nothing else."""
    one = torch.randn(1, 500, generator=torch.manual_seed(1))
    white = whiten(torch.cat([one, one + 1e-6 * torch.randn(1, 500), torch.full((1, 500), 0.3)]))
    torch.testing.assert_close(white.square().mean(1).sort().values, torch.tensor([0.0, 0, 1]), atol=1e-3, rtol=0)
    assert whiten(torch.full((3, 9), 0.2)).abs().max() == 0


def bank(scales: int = 4, size: int = 192) -> list[torch.Tensor]:
    return list(AWSNetwork(scales=scales).banks(torch.zeros(3, size, size)))


def test_filters_are_two_octaves_wide_around_wavelengths_of_6_to_48_pixels() -> None:
    """Along the first orientation's axis: 1 at the middle, half an octave below and above it, 0 without a wave."""
    across = bank()[0][:, 0]
    for k, wavelength in enumerate((6, 12, 24, 48)):
        middle = 192 // wavelength
        assert across[k, middle].item() == pytest.approx(1)
        assert across[k, middle // 2].item() == pytest.approx(0.5, rel=1e-4)
        assert across[k, middle * 2].item() == pytest.approx(0.5, rel=1e-4)
        assert across[k, 0] == 0


def test_filters_have_their_orientation() -> None:
    """The standard deviation over orientation is 37.5 degrees; waves the other way round are left out."""
    filters = bank()
    for k, (v, u) in enumerate([(0, 32), (32, 32), (32, 0), (32, -32)]):
        responses = [each[0, v, u].item() for each in filters]
        assert int(np.argmax(responses)) == k
        neighbour = filters[(k + 1) % 4][0, v, u].item() if k < 3 else filters[2][0, v, u].item()
        assert neighbour / responses[k] == pytest.approx(math.exp(-((45 / 37.5) ** 2) / 2), rel=1e-3)
        assert filters[k][0, -v, -u] < 1e-4


def test_energy_does_not_depend_on_the_phase() -> None:
    x = torch.arange(192.0)
    waves = torch.stack([torch.sin(2 * math.pi * x / 12 + phase).expand(192, 192) for phase in (0.0, 0.8, 2.1)])
    energy = torch.fft.ifft2(torch.fft.fft2(waves) * bank()[0][1]).abs()
    torch.testing.assert_close(energy, torch.full_like(energy, 0.5), atol=1e-4, rtol=0)


def by_inverse_covariances(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """The formula with other means: numpy's transform, and quadratic forms instead of whitened axes."""
    height, width = image.shape[1:]
    pixels = image.reshape(3, -1)
    variances, axes = np.linalg.eigh(np.cov(pixels, bias=True))
    colours = axes.T @ (pixels - pixels.mean(1, keepdims=True)) / np.sqrt(variances)[:, None]
    v, u = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    total = np.zeros(height * width)
    for colour in colours.reshape(3, height, width):
        spectrum = np.fft.fft2(colour)
        for angle in np.arange(4) * math.pi / 4:
            off = np.angle(np.exp(1j * (np.arctan2(v, u) - angle)))
            energies = []
            for k in range(4):
                with np.errstate(divide="ignore"):
                    octaves = np.log2(np.hypot(v, u) * 6 * 2**k)
                gain = np.exp(-(octaves**2) * 4 * math.log(2) / 2**2 - (off / math.radians(37.5)) ** 2 / 2)
                energies.append(abs(np.fft.ifft2(spectrum * gain)).ravel())
            centred = np.stack(energies) - np.mean(energies, axis=1, keepdims=True)
            total += np.einsum("in,ij,jn->n", centred, np.linalg.inv(np.cov(centred, bias=True)), centred)
    return total.reshape(height, width)


def test_saliency_is_the_distance_from_the_mean() -> None:
    image = NOISE[0].double()
    ours = AWSNetwork(scales=4, blur=0.0).saliency(image)
    expected = by_inverse_covariances(image.numpy())
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    assert expected.mean() == pytest.approx(3 * 4 * 4), "each squared distance has the mean of its number of scales"


def test_contrast_and_brightness_of_the_image_are_adapted_to() -> None:
    """What whitening is for (Sec. 1): the map of a dim, flat version of the image is the same."""
    network = AWSNetwork()
    torch.testing.assert_close(rescale(network(NOISE)), rescale(network(0.3 + 0.4 * NOISE)), atol=2e-3, rtol=0)


@pytest.mark.parametrize("options", [{"scales": 5}, {"orientations": 6}, {"wavelength": 8.0}, {"bandwidth": 1.0}])
def test_options_change_the_map_and_nothing_else(options: dict[str, object]) -> None:
    image, (x, y) = pop_out("orientation", 2)
    usual, other = salzoo.load("aws").predict(image), salzoo.load("aws", weights=None, **options).predict(image)
    assert not np.allclose(other.density, usual.density, rtol=1e-3)
    assert math.dist(np.unravel_index(other.density.argmax(), other.shape), (y, x)) < 34


def test_waves_shorter_than_two_pixels_are_refused() -> None:
    with pytest.raises(SpecError, match=r"wavelength=1\.5 is not accepted"):
        salzoo.load("aws", weights=None, wavelength=1.5)
