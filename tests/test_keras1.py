"""Operations of Keras 1 on Theano."""

from __future__ import annotations

import pytest
import torch

from salzoo.components.keras1 import upsample

LINE = torch.tensor([0.0, 1.0, 3.0])


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [  # of Theano's `bilinear_upsampling` (aesara 2.9.4)
        (1, [0, 1, 3]),
        (2, [0, 0.5, 1, 2, 3, 3]),
        (3, [0, 0, 1 / 3, 2 / 3, 1, 5 / 3, 7 / 3, 3, 3]),
        (4, [0, 0, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3, 3]),
    ],
)
def test_upsamples_as_theano(ratio: int, expected: list[float]) -> None:
    assert upsample(LINE.view(1, 1, 1, 3), ratio)[0, 0].tolist() == [pytest.approx(expected)] * ratio
    assert upsample(LINE.view(1, 1, 3, 1), ratio)[0, 0].T.tolist() == [pytest.approx(expected)] * ratio
