"""The blur of the networks is kornia's, which takes longer to import than a map takes."""

from __future__ import annotations

import pytest
import torch
from kornia.filters import gaussian_blur2d

from salzoo.images.gaussian import gaussian_blur


@pytest.mark.parametrize("border", ["reflect", "replicate", "constant"])
@pytest.mark.parametrize(("sides", "sigma"), [((5, 5), 1.1), ((1, 7), 2.0), ((13, 9), 0.3), ((27, 5), 4.0)])
@pytest.mark.parametrize("predicts", [False, True])
def test_it_is_kornias(border: str, sides: tuple[int, int], sigma: float, predicts: bool) -> None:
    maps = torch.rand(2, 3, 20, 17, generator=torch.Generator().manual_seed(0))
    expected = gaussian_blur2d(maps, sides, (sigma, sigma), border)
    with torch.inference_mode(predicts):  # then it is no convolution
        torch.testing.assert_close(gaussian_blur(maps, sides, sigma, border), expected, atol=1e-6, rtol=0)


def test_a_gradient_goes_through_its_width() -> None:
    maps = torch.rand(1, 1, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda width: gaussian_blur(maps, (5, 5), width), sigma)
