"""SalNet: the caffemodel, whose layers have our names."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from salzoo.importing.source import Files, Options


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Take blob 0 of a layer as its weight, blob 1 as its bias."""
    for i in range(1, 10):
        place = f"{'features' if i < 4 else 'column'}.conv{i}"
        yield f"{place}.weight", files.take(f"conv{i}.0")
        yield f"{place}.bias", files.take(f"conv{i}.1")
    yield "deconv1.weight", files.take("deconv1.0")
