"""ViNet's PyTorch files: S3D in four pieces, and the decoder, whose convolutions are grouped in ViNet-S."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from salzoo.importing.rules import renamed, require_torch, s3d_names
from salzoo.importing.source import Files, Options

MARK = "decoder.convtsp1.0.weight"
"""A tensor of the authors' files: the decoder's first convolution."""
WHOLE = 1024
"""Channels that the decoder's first convolution sees at once where it is not grouped."""


def identify(files: Files) -> str:
    """Return the release: groups make kernels thinner."""
    require_torch(files, MARK, "ViNet")
    return "dhf1k" if files.shape(MARK)[1] == WHOLE else "vinet_s"


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors.

    Raises:
        WeightsError: If the file is not the authors' PyTorch file.
    """
    require_torch(files, MARK, "ViNet")
    yield from renamed(files, names())


def names() -> Iterator[tuple[str, str]]:
    """Yield the authors' name and ours of every tensor."""
    yield from s3d_names("backbone.", "backbone.features")
    for k, theirs in enumerate(("convtsp1.0", "convtsp2.0", "convtsp3.0", "convtsp4.0", "convtsp4.3")):
        yield f"decoder.{theirs}.weight", f"decode.{k}.weight"
    yield "decoder.convtsp4.6.weight", "merge.weight"
    yield from ((f"decoder.convtsp4.8.{kind}", f"predict.{kind}") for kind in ("weight", "bias"))
