"""No tensor of a model is left behind on the processor, whichever device it runs on.

Here without a GPU: tensors without data (torch's `FakeTensorMode`) that say they are on `cuda`, on which every operator
checks that all of its inputs are on one device, and gives outputs of the right shape. `tests/test_gpu.py` has the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import tiny_models
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
KNOWN = {
    aten._local_scalar_dense.default: lambda tensor: tensor.dtype.is_floating_point or 1,
    aten.equal.default: lambda *_: False,
    aten.bincount.default: lambda tensor, _=None, minlength=1: torch.empty(minlength, device=tensor.device),
}
"""What needs the values of a tensor, and an answer for one that has none."""
ON_THE_PROCESSOR = {"bms": "floods regions in numpy"}
NAMES = [name for name in tiny_models.NAMES if name not in ON_THE_PROCESSOR]


class Answered(TorchDispatchMode):
    """Answers for the tensors without data what only data can say, and counts it: there a GPU is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in KNOWN:
            self.waits += 1
            return KNOWN[func](*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


@contextmanager
def on_a_gpu(*networks: nn.Module) -> Iterator[Answered]:
    """Give networks tensors without data on `cuda`; all that is made meanwhile has none either."""
    with FakeTensorMode(), torch.backends.cudnn.flags(enabled=False), Answered() as answered:  # cuDNN asks the driver
        for module in (part for network in networks for part in network.modules()):
            for kind in (module._parameters, module._buffers):
                for name, tensor in kind.items():
                    if tensor is not None:
                        moved = torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")
                        kind[name] = nn.Parameter(moved, tensor.requires_grad) if kind is module._parameters else moved
        yield answered


def test_what_is_left_behind_is_found() -> None:
    class Wrong(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.ones(2)

    network = Wrong(2, 2)
    with on_a_gpu(network), pytest.raises(RuntimeError, match="two devices, cuda:0 and cpu"):
        network(torch.empty(1, 2, device="cuda"))


@pytest.mark.parametrize("name", NAMES)
def test_a_prediction_stays_on_the_device(name: str) -> None:
    model = tiny_models.build(name).eval()
    with on_a_gpu(model), torch.no_grad():
        images = [torch.empty(3, *size, dtype=torch.uint8, device="cuda") for size in ((96, 128), (96, 128), (80, 60))]
        found = model.infer(images)
    assert {each.device.type for each in found} == {"cuda"}
    assert [each.shape for each in found] == [(96, 128), (96, 128), (80, 60)]


@pytest.mark.parametrize("name", tiny_models.GRADIENT)
def test_what_is_trained_stays_on_the_device(name: str) -> None:
    model = tiny_models.build(name).train()
    with on_a_gpu(model):
        logits = model(model.preprocess.resize(torch.empty(2, 3, 96, 128, device="cuda")))
    assert logits.device.type == "cuda"
    assert logits.requires_grad
