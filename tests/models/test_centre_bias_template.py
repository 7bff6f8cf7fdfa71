"""The template of the DeepGazes against the call of SciPy in their authors' README."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom

from salzoo.components.layers import CentreBiasTemplate


@pytest.mark.parametrize("size", [(768, 1024), (64, 96), (75, 117), (1031, 640), (1, 5)])
@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_template_is_looked_up_as_scipy_zooms_it(size: tuple[int, int], step: int) -> None:
    grid = (96, 128)
    values = np.random.default_rng(0).normal(size=grid).astype(np.float32)
    template = CentreBiasTemplate(grid)
    template.log_density.copy_(torch.from_numpy(values))
    zoomed = torch.from_numpy(zoom(values, (size[0] / grid[0], size[1] / grid[1]), order=0, mode="nearest"))
    expected = zoomed[: size[0] // step * step : step, : size[1] // step * step : step]
    torch.testing.assert_close(template(size, step)[0, 0], expected, atol=0, rtol=0)
