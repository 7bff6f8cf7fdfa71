"""Leaving half precision for a while."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context without autocast on a device of any kind: only networks run in half precision, densities not."""
    known = torch.amp.is_autocast_available(device.type)  # `meta` has none, and says so with an error
    return torch.autocast(device.type, enabled=False) if known else nullcontext()
