"""MSI-Net: the frozen graphs of the authors' repository, their SavedModel, or a checkpoint of their training script.

All hold the same 23 convolutions; before their names there may be those of functions. Kernels are (h, w, in, out).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.importing.rules import VGG16, hwio
from salzoo.importing.source import Files, Options

FORMATS = ("tensorflow", "tensorflow-checkpoint")
CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Of the blocks of VGG-16."""
SLOTS = ("/Adam", "/Adam_1")
"""What the optimiser of an unfinished training kept of each tensor."""


SETS = ("salicon", "mit1003", "cat2000", "dutomron", "pascals", "osie", "fiwi")


def identify(files: Files) -> str:
    """Return the release by the name of its file, `model_SET_DEVICE.pb`: all hold the same tensors."""
    if files.path.name == "saved_model.pb":
        return "hub"
    return next((name for name in SETS if f"_{name}_" in files.path.name), SETS[0])


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of the network.

    Raises:
        WeightsError: If the file is none of TensorFlow, or has two tensors of one name.
    """
    if files.format not in FORMATS:
        raise WeightsError(f"{files.path}: not a graph or a checkpoint of TensorFlow but of the format {files.format}")
    for theirs, ours in _layers():
        yield f"{ours}.weight", hwio(files.take(_full_name(files, f"{theirs}/kernel")))
        yield f"{ours}.bias", files.take(_full_name(files, f"{theirs}/bias"))
    for name in files.names:
        if name.endswith(SLOTS) or math.prod(files.shape(name)) in (1, 3):  # the mean of the pixels and small numbers
            files.skip(name)


def _full_name(files: Files, name: str) -> str:
    """Return the one name in the file that ends so; as it is if there is none.

    Raises:
        WeightsError: If there are several.
    """
    found = [full for full in files.names if full == name or full.endswith(f"/{name}")]
    if len(found) > 1:
        raise WeightsError(f"{files.path} has {len(found)} tensors that end in {name}: {', '.join(found[:3])}")
    return found[0] if found else name


def _layers() -> Iterator[tuple[str, str]]:
    """Yield the name of each convolution over there and here."""
    vgg16 = [f"conv{block}/conv{block}_{k + 1}" for block, count in enumerate(CONVOLUTIONS, 1) for k in range(count)]
    for theirs, place in zip(vgg16, VGG16, strict=True):
        yield theirs, f"features.backbone.trunk.features.{place}"
    for branch in range(4):
        yield f"aspp/conv1_{branch + 1}", f"aspp.branches.{branch}"
    yield "aspp/conv1_5", "aspp.scene"
    yield "aspp/conv2", "aspp.fuse"
    for step in range(3):
        yield f"decoder/conv{step + 1}", f"decoder.{step}"
    yield "decoder/conv4", "predict"
