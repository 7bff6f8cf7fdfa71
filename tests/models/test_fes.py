"""Fast and efficient saliency: probabilities checked by hand, and pixel by pixel."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from models import bms_program, fes_program

import salzoo
from salzoo.components import filters
from salzoo.errors import SpecError
from salzoo.images.samples import pop_out
from salzoo.models.fes import FESNetwork

NOISE = torch.from_numpy(np.random.default_rng(0).random((1, 3, 24, 31), dtype=np.float32))


def test_the_odd_pixel_is_certain() -> None:
    """By hand: nothing on its circle is like it; the flat rest is like its surround, 1 / (1 + 1 / 10)."""
    colours = torch.full((1, 3, 21, 21), 20.0)
    colours[..., 10, 10] = 100
    found = FESNetwork().posterior(colours, 5)[0, 0]
    assert found[10, 10].item() == pytest.approx(1)
    assert found[0, 0].item() == pytest.approx(1 / 1.1)
    assert found[10, 15].item() == pytest.approx(1 / (1 + 0.1 * 7 / 8)), "one of its eight samples is the odd pixel"
    assert found[14, 14].item() == pytest.approx(1 / (1 + 0.1 * 7 / 8)), "5 cos 45 degrees is 4 pixels, rounded"


@pytest.mark.parametrize("radius", [3, 13, 38])
def test_the_posterior_is_bayes_rule_over_kernels(radius: int) -> None:
    """Every pixel by itself, in float64; the larger circles leave the image everywhere."""
    colours = filters.lab(NOISE)
    ours = FESNetwork(surround_sigma=30.0).posterior(colours, radius)[0, 0]
    lab = colours[0].double().permute(1, 2, 0).numpy()
    height, width, _ = lab.shape
    expected = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            kernels = []
            for angle in np.arange(8) * math.pi / 4:
                there = (round(y + radius * math.sin(angle)), round(x + radius * math.cos(angle)))
                inside = lab[min(max(there[0], 0), height - 1), min(max(there[1], 0), width - 1)]
                kernels.append(math.exp(-(((inside - lab[y, x]) ** 2).sum()) / (2 * 30**2)) / 30)
            salient, surround = 1 / 1.0, float(np.mean(kernels))
            expected[y, x] = salient / (salient + surround)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_radii_are_averaged_after_the_power() -> None:
    colours = filters.lab(NOISE)
    network = FESNetwork(radii=(2, 4), blur=1.5, power=7.0)
    each = [filters.blur(network.posterior(colours, radius), 1.5) ** 7 for radius in (2, 4)]
    torch.testing.assert_close(network(NOISE), (each[0] + each[1]) / 2)


@pytest.mark.parametrize("options", [{"radii": [13, 25]}, {"samples": 16}, {"surround_sigma": 20.0}, {"power": 10.0}])
def test_options_change_the_map_and_nothing_else(options: dict[str, object]) -> None:
    image, (x, y) = pop_out("colour", 2)
    usual, other = salzoo.load("fes").predict(image), salzoo.load("fes", weights=None, **options).predict(image)
    assert not np.allclose(other.density, usual.density, rtol=1e-3)
    assert math.dist(np.unravel_index(other.density.argmax(), other.shape), (y, x)) < 34


def test_a_radius_of_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match="radii"):
        salzoo.load("fes", weights=None, radii=[0])


def test_the_map_is_that_of_the_authors_program() -> None:
    """Away from the borders, which the program darkens; `fes_program.py` wrote down what it says."""
    public = json.loads(fes_program.FILE.read_text(encoding="utf-8"))
    assert len(public) >= 9
    for name, image in fes_program.pictures().items():
        ours, theirs = bms_program.coarse(fes_program.ours(image)), np.array(public[name])
        inside = np.s_[2:-2, 2:-2]
        assert np.corrcoef(ours[inside].ravel(), theirs[inside].ravel())[0, 1] > 0.98, name
