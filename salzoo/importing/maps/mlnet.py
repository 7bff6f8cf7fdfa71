"""ML-Net: HDF5 of Keras 1.1 on Theano, which its authors call .pkl, with names of layers that say nothing."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from salzoo.importing.rules import VGG16, in_order, require_keras1
from salzoo.importing.source import Files, Options

LAYERS = (*(f"features.backbone.trunk.features.{place}" for place in VGG16), "encode", "predict")
NAMES = (*(f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")), "prior.weight")
"""All names, in the order of the file."""


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor of the network."""
    require_keras1(files, "ML-Net")
    for ours, tensor in in_order(files, files.names, NAMES, "ML-Net"):
        yield ours, tensor[None, None] if ours == "prior.weight" else tensor
