"""google/attention-center: `center.tflite`, whose weights are in half precision.

Names are those that the converter gave. It shares one vector of zeros among all convolutions of a width that have no
bias, and calls it like one of them, whose kernel has a 1 after its name then. The scale of a normalisation is
`Reshape_1`, its shift `Reshape`: in the order in which they are used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.importing.source import Files, Options
from salzoo.models.attention_center import BLOCKS, EPSILON, READ_OUT, SIXTH

CONSTANTS = {
    "MobilenetV3/Conv/GroupNorm/add/y": EPSILON,
    "MobilenetV3/expanded_conv/squeeze_excite/Conv_1/mul/y": SIXTH,
    "truediv_1/x": 1.0,
}
"""Numbers that are part of our network's code."""

SHAPES = re.compile(r"/shape/\d$|reduction_indices$|GroupNorm/mul_1$|strided_slice|^Slice|^Const$|^einsum/")
"""Sizes and axes of the graph, and the coordinates of all pixels, which make its centre of mass."""


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Yield our tensors.

    Raises:
        WeightsError: If a number of the graph is another than that of our network.
    """
    for name, value in CONSTANTS.items():
        _require(files, name, value)
    files.skip(*filter(SHAPES.search, files.names))
    yield from _normalised(files, "MobilenetV3/Conv", "Conv2D", "stem")
    for i, block in enumerate(BLOCKS):
        theirs, ours = "MobilenetV3/expanded_conv" + (f"_{i}" if i else ""), f"blocks.{i}"
        if i:
            yield from _normalised(files, f"{theirs}/expand", "Conv2D", f"{ours}.expand")
        yield from _normalised(files, f"{theirs}/depthwise", "depthwise", f"{ours}.depthwise")
        if block.gate:
            for place, part in (("Conv", "squeeze"), ("Conv_1", "excite")):
                yield from _convolution(files, f"{theirs}/squeeze_excite/{place}", f"{ours}.gate.{part}")
        yield from _normalised(files, f"{theirs}/project", "Conv2D", f"{ours}.project")
    for head in range(len(READ_OUT)):
        for k, layer in ((2 * head, 1), (2 * head + 1, 3)):
            yield from _convolution(files, "saliency/conv2d" + (f"_{k}" if k else ""), f"heads.{head}.{layer}")
    for name in files.names:
        if len(files.shape(name)) == 1 and re.search(r"/(Conv2D|depthwise)$", name):
            _require(files, name, 0.0)


def _normalised(files: Files, theirs: str, kind: str, ours: str) -> Iterator[tuple[str, Tensor]]:
    yield f"{ours}.0.weight", _kernel(files, f"{theirs}/{kind}")
    yield f"{ours}.1.weight", files.take(f"{theirs}/GroupNorm/Reshape_1").flatten()
    yield f"{ours}.1.bias", files.take(f"{theirs}/GroupNorm/Reshape").flatten()


def _convolution(files: Files, theirs: str, ours: str) -> Iterator[tuple[str, Tensor]]:
    """Yield kernel and bias; the name of a bias lists all operations that the converter folded into it."""
    yield f"{ours}.weight", _kernel(files, f"{theirs}/Conv2D")
    bias = f"{theirs}/BiasAdd"
    folded = (name for name in files.names if bias in name.split(";") or name.startswith(f"{bias}/"))
    yield f"{ours}.bias", files.take(next(folded, bias))


def _kernel(files: Files, name: str) -> Tensor:
    """Return a kernel (out, in, h, w) of one (out, h, w, in), or (1, h, w, channels) of a depthwise convolution."""
    numbered = f"{name}1"
    kernel = files.take(numbered if numbered in files.names else name)
    if kernel.ndim != 4:
        raise WeightsError(f"{files.path}: {name} has the shape {list(kernel.shape)}, a kernel has four sides")
    return kernel.permute((3, 0, 1, 2) if name.endswith("depthwise") else (0, 3, 1, 2))


def _require(files: Files, name: str, value: float) -> None:
    """Take a tensor that must be one number.

    Raises:
        WeightsError: If it is another.
    """
    tensor = files.take(name).double()
    if not torch.equal(tensor, torch.full_like(tensor, value)):
        raise WeightsError(
            f"{files.path}: {name} is {tensor.flatten()[0]:g}, where the released graph has {value:g}: another graph"
        )
