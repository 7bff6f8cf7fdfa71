"""SalEMA: the 54 tensors of the authors' checkpoint of PyTorch, and the weight of the new frame if it is learned."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from salzoo.importing.rules import SALGAN_DECODER, VGG16, renamed, require_torch
from salzoo.importing.source import Files, Options

ALPHA = "alpha"
"""Whose sigmoid is the weight of the new frame: a tensor where it is learned, a constant otherwise."""
AFTER = 30
"""Place of the decoder's first convolution; those before it are the encoder's."""


def identify(files: Files) -> str:
    """Return the release: with a learned weight of the new frame or without."""
    return "learned" if ALPHA in files.names else "fixed"


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors.

    Raises:
        WeightsError: If the file is not the authors' PyTorch file.
    """
    require_torch(files, "salgan.60.weight", "SalEMA")
    yield from renamed(files, names())
    if release == "learned":
        yield ALPHA, files.take(ALPHA).reshape(())


def names() -> Iterator[tuple[str, str]]:
    """Yield the authors' name and ours of every tensor."""
    places = [*((place, f"backbone.trunk.features_{place}") for place in VGG16)]
    places += [(AFTER + place, f"decoder.{place}") for place in SALGAN_DECODER]
    for place, ours in places:
        yield from ((f"salgan.{place}.{part}", f"{ours}.{part}") for part in ("weight", "bias"))
