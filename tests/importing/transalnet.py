"""What TranSalNet's files hold: names and shapes as the authors' classes have them, and values by formula."""

from __future__ import annotations

from typing import Any

import numpy as np
from importing import formula
from importing.shapes import Shapes, batch_norm, resnet50
from numpy.typing import NDArray

TRUNK = "encoder.encoder."
DECODER = (768, 768, 512, 256, 128, 64, 32)


def with_resnet50() -> Shapes:
    """Return the tensors of the network with ResNet-50."""
    trunk = resnet50(f"{TRUNK}0", f"{TRUNK}1", [f"{TRUNK}{stage}" for stage in range(4, 8)])
    return trunk | _decoder((2048, 1024, 512))


def densenet161() -> Shapes:
    """Return the tensors of the network with DenseNet-161."""
    shapes: Shapes = {f"{TRUNK}0.weight": (96, 3, 7, 7), **batch_norm(f"{TRUNK}1", 96)}
    channels = 96
    for block, layers in enumerate((6, 12, 36, 24)):
        for i in range(1, layers + 1):
            name = f"{TRUNK}{4 + 2 * block}.denselayer{i}"
            shapes |= {**batch_norm(f"{name}.norm1", channels), f"{name}.conv1.weight": (192, channels, 1, 1)}
            shapes |= {**batch_norm(f"{name}.norm2", 192), f"{name}.conv2.weight": (48, 192, 3, 3)}
            channels += 48
        if block < 3:
            name = f"{TRUNK}{5 + 2 * block}"
            shapes |= {**batch_norm(f"{name}.norm", channels), f"{name}.conv.weight": (channels // 2, channels, 1, 1)}
            channels //= 2
    return shapes | _decoder((2208, 2112, 768))


def _decoder(maps: tuple[int, ...]) -> Shapes:
    shapes: Shapes = {}
    for i, (after, before) in enumerate(zip((*DECODER[1:], 1), DECODER, strict=True), start=1):
        shapes |= _layer(f"decoder.conv{i}", after, before, 3, 3)
        shapes |= batch_norm(f"decoder.batchnorm{i}", after) if i < 7 else {}
    for i, (channels, width, tokens) in enumerate(zip(maps, (768, 768, 512), (108, 432, 1728), strict=True), start=1):
        name = f"decoder.TransEncoder{i}"
        shapes |= {f"{name}.position_embeddings": (1, tokens, width)}
        shapes |= _layer(f"{name}.patch_embeddings", width, channels, 1, 1)
        for layer in (f"{name}.transformer_encoder.layer.0", f"{name}.transformer_encoder.layer.1"):
            for norm in ("ffn_norm", "attention_norm"):
                shapes |= _layer(f"{layer}.{norm}", width)
            shapes |= {**_layer(f"{layer}.ffn.fc1", 4 * width, width), **_layer(f"{layer}.ffn.fc2", width, 4 * width)}
            for part in ("query", "key", "value", "out"):
                shapes |= _layer(f"{layer}.attn.{part}", width, width)
        shapes |= _layer(f"{name}.transformer_encoder.encoder_norm", width)
    return shapes


def _layer(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def values(shapes: Shapes) -> dict[str, NDArray[Any]]:
    """Return arrays that names alone decide: scales and variances around 1, all else around 0."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            arrays[name] = np.array(2500)
            continue
        around_1 = len(shape) == 1 and name.endswith(("weight", "var"))
        fan_in = 24 if name.endswith("position_embeddings") else None  # half as large as the tokens
        arrays[name] = formula.values(f"transalnet {name}", shape, fan_in=fan_in) + np.float32(around_1)
    return arrays
