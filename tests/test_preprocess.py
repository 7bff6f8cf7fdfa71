"""Any size and aspect through the network's input and back."""

import pytest
import torch

import salzoo
from salzoo.errors import SpecError
from salzoo.images.geometry import frame_size
from salzoo.images.preprocess import Preprocess


@pytest.mark.parametrize("fit", ["squash", "pad", "aspect", "longest"])
@pytest.mark.parametrize("size", [(60, 80), (80, 60), (64, 64), (7, 90)])
def test_a_ramp_comes_back(fit, size):
    preprocess = Preprocess((96, 128), fit=fit)
    ramp = torch.linspace(0, 1, size[1]).expand(1, 1, *size)
    resized = preprocess.resize(ramp.expand(1, 3, *size))
    back = preprocess.restore(resized[:, :1], size)
    assert back.shape == ramp.shape
    assert (back - ramp).abs().mean() < 0.02


def test_aspect_frames():
    assert frame_size((600, 800), (480, 640), "aspect") == (480, 640)
    height, width = frame_size((300, 900), (480, 640), "aspect")
    assert width / height == pytest.approx(3, rel=0.1)
    assert height * width == pytest.approx(480 * 640, rel=0.1)
    assert frame_size((1, 5000), (480, 640), "aspect") == frame_size((1, 4), (480, 640), "aspect")
    assert frame_size((9, 9), (480, 640), "squash") == (480, 640)


def test_longest_frames():
    assert frame_size((600, 800), (48, 64), "longest") == (48, 64)
    assert frame_size((800, 600), (48, 64), "longest") == (64, 48)
    assert frame_size((5, 7), (48, 64), "longest") == (46, 64)
    assert frame_size((1, 5000), (48, 64), "longest") == (16, 64)


def test_half_a_normalisation_is_refused():
    with pytest.raises(SpecError, match="mean and std"):
        Preprocess(mean=(0.5, 0.5, 0.5))


def test_log_densities_of_huge_maps_sum_to_one():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 4000), torch.linspace(-1, 1, 4000), indexing="ij")
    log_density = salzoo.load("uniform").to_log_density(-3 * (x.abs() + y.abs())[None, None])
    assert log_density.double().exp().sum().item() == pytest.approx(1, abs=1e-4)
