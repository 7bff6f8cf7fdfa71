"""Half precision in the network, and leaving it for a while."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, get_args

import torch
from torch import nn

from salzoo._modules import tensors_of
from salzoo.errors import SpecError

Precision = Literal["32-true", "bf16-mixed"]
"""What a network computes in, in Lightning's words: float32, or bfloat16 where `torch.autocast` takes it."""


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context without autocast on a device of any kind: only networks run in half precision, densities not."""
    known = torch.amp.is_autocast_available(device.type)  # `meta` has none, and says so with an error
    return torch.autocast(device.type, enabled=False) if known else nullcontext()


def network_precision(network: nn.Module, device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return a context for a network; at `32-true` an autocast of the caller's own, as Lightning's trainer's, stays.

    A network in float16 stays so, which autocast does not mix with bfloat16, and one that only has shapes (`meta`).
    """
    if precision == "32-true" or not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    half = any(tensor.dtype == torch.float16 for tensor in tensors_of(network))
    return nullcontext() if half else torch.autocast(device.type, torch.bfloat16)


def check_precision(precision: str) -> None:
    """Check the name of a precision.

    Raises:
        SpecError: If it is none of `Precision`.
    """
    if precision not in get_args(Precision):
        raise SpecError(f"precision={precision!r} is not accepted: {' or '.join(get_args(Precision))}.")
