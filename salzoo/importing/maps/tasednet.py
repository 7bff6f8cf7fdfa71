"""TASED-Net's PyTorch file: S3D in four pieces, and the decoder."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from salzoo.importing.rules import BATCH_NORM, renamed, require_torch, s3d_names
from salzoo.importing.source import Files, Options

DECODER = {1: ((0, 1), (3, 4)), 2: ((0, 1),), 3: ((0, 1),), 4: ((0, 1), (3, 4), (6, 7), (9, 10))}
"""Places of each convolution and its normalisation, which are the same here as there."""


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors.

    Raises:
        WeightsError: If the file is not the authors' PyTorch file.
    """
    require_torch(files, "convtsp4.13.weight", "TASED-Net")
    yield from renamed(files, names())


def names() -> Iterator[tuple[str, str]]:
    """Yield the authors' name and ours of every tensor."""
    yield from s3d_names("", "backbone.features")
    for part, pairs in DECODER.items():
        for convolution, norm in pairs:
            yield f"convtsp{part}.{convolution}.weight", f"decode{part}.{convolution}.weight"
            for kind in BATCH_NORM:
                yield f"convtsp{part}.{norm}.{kind}", f"decode{part}.{norm}.{kind}"
    yield "convtsp4.12.weight", "decode4.12.weight"
    yield from ((f"convtsp4.13.{kind}", f"decode4.13.{kind}") for kind in ("weight", "bias"))
