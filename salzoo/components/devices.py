"""Where a model runs."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from salzoo._distributed import local_rank
from salzoo.errors import SpecError

M = TypeVar("M", bound=nn.Module)


def place(model: M, device: str | torch.device | None) -> M:
    """Move a model; of several GPUs, each process of torchrun takes its own.

    Any device that torch finds here will do: `cpu`, `cuda:1`, `mps`, `xpu`, ...

    Raises:
        SpecError: If there is no such device here; the model is where it was.
    """
    if device is None:
        return model
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    before = next((tensor.device for tensor in model.state_dict().values()), torch.device("cpu"))
    try:
        target = torch.device(device)
        if target.type == "cuda" and target.index is None:
            target = torch.device("cuda", local_rank() % max(torch.cuda.device_count(), 1))
        torch.empty(0, device=target).cpu()  # a model without tensors moves anywhere; nothing comes back from `meta`
        return model.to(target)
    except (RuntimeError, AssertionError, ImportError, TypeError) as error:  # the last two: hpu, float64 on mps
        model.to(before)  # what has moved before a full memory, too
        raise SpecError(
            f"device={str(device)!r} is not available here ({str(error).splitlines()[0]}); 'auto' takes what there is."
        ) from error
