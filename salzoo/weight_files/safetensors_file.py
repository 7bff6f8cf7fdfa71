"""safetensors: plain numbers behind a header of JSON."""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open
from torch import Tensor


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors in the order in which they lie in the file.

    Raises:
        SafetensorError: If it is damaged.
    """
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.offset_keys()}
