"""Caffe's binary networks (.caffemodel): a NetParameter of caffe.proto, in which each layer has its blobs."""

from __future__ import annotations

from math import prod
from pathlib import Path

from torch import Tensor

from salzoo.weight_files._tensors import mapped, tensor_of
from salzoo.weight_files.protobuf import BYTES, VARINT, Field, fields, numbers, text, varints

_LAYER, _OLD_LAYER = 100, 2  # of NetParameter: LayerParameter since 2014, V1LayerParameter before
_NAME, _TYPE, _BLOBS = {_LAYER: 1, _OLD_LAYER: 4}, {_LAYER: 2, _OLD_LAYER: 5}, {_LAYER: 7, _OLD_LAYER: 6}
_OLD_CONVOLUTIONS = (4, 39)  # of the enumeration in V1LayerParameter: CONVOLUTION, DECONVOLUTION
_DATA, _SHAPE, _DOUBLES = 5, 7, 8  # of BlobProto; 1 to 4 are the sizes before 2014


def recognises(path: Path) -> bool:
    """Say whether a file is a network of Caffe: a message with layers, one of which has a name."""
    try:
        for field in fields(mapped(path)):
            if field.number in (_LAYER, _OLD_LAYER) and field.kind == BYTES:
                inside = {each.number for each in fields(field.content) if each.kind == BYTES}
                return _NAME[field.number] in inside
    except ValueError:
        pass
    return False


def read(path: Path) -> dict[str, Tensor]:
    """Return the blobs as `layer.0`, `layer.1`, … in the order of the layers.

    Caffe of before 2014 stored every blob with four axes. Those of a convolution's kernel are kept; of all others the
    axes of size 1 at the front are dropped: (1, 1, 1, n) is a bias of n.

    Raises:
        ValueError: If it is damaged, or two layers of one name have blobs.
    """
    found: dict[str, Tensor] = {}
    for field in fields(mapped(path)):
        if field.number in (_LAYER, _OLD_LAYER) and field.kind == BYTES:
            for name, blob in _layer(field):
                if name in found:
                    raise ValueError(f"the layer of {name} is in it twice")
                found[name] = blob
    return found


def _layer(field: Field) -> list[tuple[str, Tensor]]:
    parts = list(fields(field.content))
    names = [text(part) for part in parts if part.number == _NAME[field.number] and part.kind == BYTES]
    kinds = [part for part in parts if part.number == _TYPE[field.number]]
    convolution = bool(kinds) and (
        kinds[-1].value in _OLD_CONVOLUTIONS
        if kinds[-1].kind == VARINT
        else bytes(kinds[-1].content) in (b"Convolution", b"Deconvolution")
    )
    blobs = [part.content for part in parts if part.number == _BLOBS[field.number] and part.kind == BYTES]
    if blobs and not names:
        raise ValueError("a layer with weights has no name")
    return [
        (f"{names[-1]}.{k}", _blob(content, f"{names[-1]}.{k}", convolution and k == 0))
        for k, content in enumerate(blobs)
    ]


def _blob(content: memoryview, name: str, is_kernel: bool) -> Tensor:
    parts: dict[int, list[Field]] = {}
    for field in fields(content):
        parts.setdefault(field.number, []).append(field)
    kind, data = ("<f8", parts.get(_DOUBLES)) if _DOUBLES in parts else ("<f4", parts.get(_DATA))
    values = numbers(data or [], kind)
    if _SHAPE in parts:
        sizes = varints([each for each in fields(parts[_SHAPE][-1].content) if each.number == 1])
    else:
        sizes = [parts[axis][-1].value if axis in parts else 0 for axis in range(1, 5)]
        while len(sizes) > 1 and sizes[0] == 1 and not is_kernel:
            del sizes[0]
    if len(sizes) > 32 or min(sizes, default=1) < 0 or prod(sizes) != values.size:
        raise ValueError(f"{name} has {values.size} numbers, its shape is {sizes[:8]}")
    return tensor_of(values.reshape(sizes))
