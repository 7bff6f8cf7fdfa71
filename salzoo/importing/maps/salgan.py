"""SalGAN: the generator's 54 arrays in the order of Lasagne's layers, weights and biases in turn."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from salzoo.importing.rules import SALGAN_DECODER, VGG16, rotate
from salzoo.importing.source import Files, Options


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Rotate the decoder's kernels: Lasagne flips what it convolves with, which the encoder alone is told not to do."""
    places = [
        *(f"backbone.trunk.features_{place}" for place in VGG16),
        *(f"decoder.{place}" for place in SALGAN_DECODER),
    ]
    for k, place in enumerate(places):
        kernel = files.take(f"arr_{2 * k}")
        yield f"{place}.weight", kernel if k < len(VGG16) else rotate(kernel)
        yield f"{place}.bias", files.take(f"arr_{2 * k + 1}")
