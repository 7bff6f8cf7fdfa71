"""What is Quest's own: the map that training starts from."""

from __future__ import annotations

import pytest
import torch

import salzoo
from salzoo.models.quest import PRIOR
from salzoo.registry import read_spec


@pytest.mark.parametrize("seed", [0, 1])
def test_before_training_the_map_is_as_low_as_its_prior(seed: int) -> None:
    torch.manual_seed(seed)
    model = salzoo.load("quest", weights=None, **read_spec("quest").tiny)
    with torch.inference_mode():
        peaks = model(torch.rand(2, 3, 64, 96)).sigmoid().amax((1, 2, 3))
    assert (peaks > PRIOR / 2).all()
    assert (peaks < PRIOR * 2).all()
