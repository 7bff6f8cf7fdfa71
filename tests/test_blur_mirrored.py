"""The Gaussian of SciPy, which the authors of the older networks blur with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from salzoo.components.layers import blur_mirrored


@pytest.mark.parametrize("sigma", [0.05, 0.7, 3.0, 30.0])
@pytest.mark.parametrize("size", [(48, 48), (7, 130), (1, 1)])
def test_it_is_scipys(sigma: float, size: tuple[int, int]) -> None:
    """With 30 pixels the kernel reaches over a small map several times."""
    maps = np.random.default_rng(0).normal(size=(2, 3, *size))
    expected = gaussian_filter(maps, (0, 0, sigma, sigma))
    np.testing.assert_allclose(blur_mirrored(torch.from_numpy(maps), sigma), expected, atol=1e-12)


def test_a_constant_map_stays_constant() -> None:
    assert torch.allclose(blur_mirrored(torch.full((1, 1, 5, 9), 2.0), 4.0), torch.tensor(2.0))
