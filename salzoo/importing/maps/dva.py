"""DVA: the caffemodel, whose file has no suffix."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from salzoo.importing.rules import VGG16, VGG16_NAMES
from salzoo.importing.source import Files, Options

BRANCHES = ((5, 4), (4, 3), (3, 2))
"""Block of VGG-16 and number of transposed convolutions of each branch, in the order of their maps."""


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Take blob 0 of a layer as its weight, blob 1 as its bias."""
    for theirs, ours in layers():
        yield f"{ours}.weight", files.take(f"{theirs}.0")
        yield f"{ours}.bias", files.take(f"{theirs}.1")


def layers() -> Iterator[tuple[str, str]]:
    """Yield the names of each layer: in the file, in our network."""
    for place, name in zip(VGG16, VGG16_NAMES, strict=True):
        yield f"conv{name}", f"backbone.trunk.features.{place}"
    for k, (block, doublings) in enumerate(BRANCHES):
        for i in range(doublings):
            yield f"deconv{block}_{i + 1}", f"branches.{k}.{2 * i}"
        yield f"attention{k + 1}_pred", f"branches.{k}.{2 * doublings}"
    yield "final_attention_pred", "fuse"
