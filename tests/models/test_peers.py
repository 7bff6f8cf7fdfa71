"""Our networks against public implementations, with the same weights: the cases of `peers/`."""

from __future__ import annotations

import pytest
import torch
from models import peers


@pytest.mark.parametrize("name", peers.NAMES)
def test_our_network_says_what_the_public_one_says(name: str) -> None:
    """Every value agrees to 1e-4 of the output's spread or of itself."""
    case = peers.read(name)
    model, _, kept = peers.build(case)
    assert sorted(kept) == case["kept"]
    output = peers.run(model, case)
    assert list(output.shape) == case["output_shape"]
    expected = torch.tensor(case["output"])
    torch.testing.assert_close(
        torch.tensor(peers.sample(output)), expected, atol=1e-4 * float(expected.std()), rtol=1e-4
    )
