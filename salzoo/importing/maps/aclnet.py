"""ACLNet: HDF5 of Keras 2 on TensorFlow (ACL.h5), of which only the order and the shapes of arrays count.

Names of layers depend on the process that wrote the file, and we have not seen one.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.importing.rules import VGG16, hwio
from salzoo.importing.source import Files, Options

ATTENTION = (1, 3, 6, 8, 10)
"""Places of its convolutions."""
OURS = (
    *(f"backbone.trunk.features.{place}.{part}" for place in VGG16 for part in ("weight", "bias")),
    *(f"attention.{place}.{part}" for place in ATTENTION for part in ("weight", "bias")),
    *("lstm.of_input.weight", "lstm.of_state.weight", "lstm.of_input.bias"),
    *("predict.weight", "predict.bias"),
)
"""Our names, in the order of Keras's layers; gates are in the same order there: input, forget, cell, output."""


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Take arrays by their order, kernels in torch's order of axes.

    Raises:
        WeightsError: If the file is not of Keras, or has another number of arrays.
    """
    if files.format != "keras":
        raise WeightsError(
            f"{files.path} is a {files.format} file, but ACLNet was released as HDF5 of Keras 2 (ACL.h5). Another port "
            "of the model? Such are other networks."
        )
    if len(files.names) != len(OURS):
        raise WeightsError(
            f"{files.path}: {len(files.names)} arrays where ACLNet has {len(OURS)}; it begins with "
            f"{', '.join(files.names[:2]) or 'nothing'}. Another port, variant or version of the model?"
        )
    for theirs, ours in zip(files.names, OURS, strict=True):
        tensor = files.take(theirs)
        yield ours, hwio(tensor) if tensor.ndim == 4 else tensor
