"""TranSalNet's files: torchvision's ResNet-50 or DenseNet-161 without its last layers, numbered, and the decoder."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.importing.rules import BATCH_NORM
from salzoo.importing.source import Files, Options

RESNET50 = {"0.": "conv1.", "1.": "bn1.", **{f"{3 + i}.": f"layer{i}." for i in range(1, 5)}}
DENSENET161 = {
    **{"0.": "features.conv0.", "1.": "features.norm0."},
    **{f"{2 + 2 * i}.": f"features.denseblock{i}." for i in range(1, 5)},
    **{f"{3 + 2 * i}.": f"features.transition{i}." for i in range(1, 4)},
}
"""Beginnings of the trunk's names, theirs to ours."""

TRUNKS = {"resnet50": RESNET50, "densenet161": DENSENET161}
ENCODER = "encoder.encoder."
ONLY_IN = {"resnet50": f"{ENCODER}4.0.conv1.weight", "densenet161": f"{ENCODER}4.denselayer1.conv1.weight"}


def identify(files: Files) -> str:
    """Return which backbone it is."""
    for release, name in ONLY_IN.items():
        if name in files.names:
            return release
    raise WeightsError(
        f"{files.path} is no TranSalNet: it has neither {' nor '.join(ONLY_IN.values())}; its tensors begin with "
        f"{', '.join(files.names[:3])}."
    )


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Yield the trunk, the three transformers and the decoder."""
    trunk = TRUNKS[release]
    for name in files.names:
        number, _, rest = name.removeprefix(ENCODER).partition(".")
        if name.startswith(ENCODER) and f"{number}." in trunk:
            yield f"backbone.trunk.{trunk[f'{number}.']}{rest}", files.take(name)
    for i in range(3):
        yield from _transformer(files, f"encoders.{i}.", f"decoder.TransEncoder{i + 1}.")
    for i in range(6):
        for part in ("weight", "bias"):
            yield f"stages.{i}.0.{part}", files.take(f"decoder.conv{i + 1}.{part}")
        for part in BATCH_NORM:
            yield f"stages.{i}.1.{part}", files.take(f"decoder.batchnorm{i + 1}.{part}")
    for part in ("weight", "bias"):
        yield f"predict.{part}", files.take(f"decoder.conv7.{part}")


def _transformer(files: Files, ours: str, theirs: str) -> Iterator[tuple[str, Tensor]]:
    """Yield projection, positions, two layers, whose query, key and value are one tensor of ours, and the norm."""
    yield f"{ours}positions", files.take(f"{theirs}position_embeddings")
    for part in ("weight", "bias"):
        yield f"{ours}project.{part}", files.take(f"{theirs}patch_embeddings.{part}")
        yield f"{ours}layers.2.{part}", files.take(f"{theirs}transformer_encoder.encoder_norm.{part}")
        for i in range(2):
            layer, own = f"{theirs}transformer_encoder.layer.{i}.", f"{ours}layers.{i}."
            joined = [files.take(f"{layer}attn.{name}.{part}") for name in ("query", "key", "value")]
            yield f"{own}self_attn.in_proj_{part}", torch.cat(joined)
            yield f"{own}self_attn.out_proj.{part}", files.take(f"{layer}attn.out.{part}")
            yield f"{own}linear1.{part}", files.take(f"{layer}ffn.fc1.{part}")
            yield f"{own}linear2.{part}", files.take(f"{layer}ffn.fc2.{part}")
            yield f"{own}norm1.{part}", files.take(f"{layer}attention_norm.{part}")
            yield f"{own}norm2.{part}", files.take(f"{layer}ffn_norm.{part}")
