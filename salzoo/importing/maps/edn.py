"""eDN: the text files of the release, a linear SVM of liblinear and a table of means and deviations."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.importing.source import Files, Options

FEATURES = 832
"""Channels of the six descriptors; the distance to the centre comes before them, in one of the two releases."""


def identify(files: Files) -> str:
    """Tell by the number of features whether the distance to the centre is one of them."""
    found = files.shape("svm")
    if found not in ((FEATURES,), (FEATURES + 1,)):
        raise WeightsError(
            f"{files.path}: the SVM has {found[0]:,} weights, those of the release {FEATURES} or, with the distance to "
            f"the centre, {FEATURES + 1}"
        )
    return "mit1003" if found == (FEATURES + 1,) else "mit1003_without_centre"


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Take both files; without the distance to the centre its place gets no weight."""
    for ours, theirs, neutral in (("weights", "svm", 0.0), ("mean", "column.0", 0.0), ("std", "column.1", 1.0)):
        tensor = files.take(theirs)
        yield ours, tensor if release == "mit1003" else torch.cat([tensor.new_tensor([neutral]), tensor])
    yield "scale", torch.ones(())
