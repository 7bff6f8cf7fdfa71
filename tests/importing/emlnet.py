"""What EML-NET's files hold: names and shapes as the authors' classes have them, and values by formula."""

from __future__ import annotations

from typing import Any

import numpy as np
from importing import formula
from importing.shapes import Shapes, batch_norm, resnet50
from numpy.typing import NDArray

CHANNELS = (64, 256, 512, 1024, 2048)
GAINS = {"combined.0.weight": 0.02}
"""Logits are to be about 1."""


def backbone() -> Shapes:
    """Return the tensors of a ResNet-50 and of its read-outs."""
    shapes = resnet50("conv1", "bn1", [f"layer{stage}" for stage in range(1, 5)])
    for i, channels in enumerate(CHANNELS):
        shapes |= _readout(f"output{i}", channels)
    return shapes | _readout("combined", 5)


def decoder() -> Shapes:
    """Return the tensors of what joins two backbones."""
    shapes: Shapes = {}
    for name in ("img_model", "pla_model"):
        for i in range(5):
            shapes |= _readout(f"{name}.{i}", 1)
    return shapes | _readout("combined", 10)


def _readout(name: str, channels: int) -> Shapes:
    return {f"{name}.0.weight": (1, channels, 3, 3), f"{name}.0.bias": (1,), **batch_norm(f"{name}.1", 1)}


def values(shapes: Shapes, seed: str) -> dict[str, NDArray[Any]]:
    """Return arrays that names alone decide: scales and variances around 1, all else around 0."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            arrays[name] = np.array(12500)
            continue
        around_1 = len(shape) == 1 and name.endswith(("weight", "var"))
        noise = formula.values(f"emlnet {seed} {name}", shape, GAINS.get(name, 1.0))
        arrays[name] = noise + np.float32(around_1)
    return arrays
