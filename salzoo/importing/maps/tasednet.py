"""TASED-Net's PyTorch file: S3D in four pieces, and the decoder."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.importing.rules import BATCH_NORM, s3d_names
from salzoo.importing.source import Files, Options

DECODER = {1: ((0, 1), (3, 4)), 2: ((0, 1),), 3: ((0, 1),), 4: ((0, 1), (3, 4), (6, 7), (9, 10))}
"""Places of each convolution and its normalisation, which are the same here as there."""


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors.

    Raises:
        WeightsError: If the file is not the authors' PyTorch file.
    """
    if files.format != "torch" or "convtsp4.13.weight" not in files.names:
        raise WeightsError(f"{files.path}: not TASED-Net's file of PyTorch, which has a tensor convtsp4.13.weight")
    for theirs, ours in names():
        yield ours, files.take(theirs)


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
