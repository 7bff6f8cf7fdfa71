"""`torch.jit.trace(model, x)`: the trace computes what the model does, on another image too."""

from __future__ import annotations

import pytest
import tiny_models
import torch
import torch.nn.functional as F

from salzoo.errors import SpecError

pytestmark = [
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*is deprecated"),
]


@pytest.mark.parametrize(
    "name",
    [
        "attention_center", "centre_bias", "deepgaze2", "deepgaze2e", "dva", "edn", "emlnet", "fastsal", "gbvs", "icf",
        "itti", "judd", "msinet", "salgan", "sam", "unisal",
    ],
)  # fmt: skip
def test_a_trace_is_the_model(name: str) -> None:
    """The old code raised "not attached to a Trainer"."""
    model = tiny_models.build(name)
    generator = torch.Generator().manual_seed(0)
    one, other = (F.interpolate(torch.rand(1, 3, 9, 12, generator=generator), model.preprocess.size) for _ in range(2))
    traced = torch.jit.trace(model, one)
    torch.testing.assert_close(traced(other), model(other), rtol=1e-4, atol=1e-5)
    if name in ("dva", "emlnet", "fastsal", "msinet", "sam", "unisal"):
        both = torch.cat([one, other])
        torch.testing.assert_close(traced(both), model(both), rtol=1e-4, atol=1e-4)


def test_numpy_cannot_be_traced() -> None:
    """The old network gave the first image's map for every image."""
    model = tiny_models.build("bms")
    with pytest.raises(SpecError, match=r"torch\.jit\.trace cannot follow"):
        torch.jit.trace(model, torch.rand(1, 3, *model.preprocess.size))
