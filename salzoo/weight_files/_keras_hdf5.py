"""Weights of Keras in HDF5, as the program of a process of its own, which `keras` asks.

It imports nothing of salzoo. Where an array lies in the file in one piece it answers with the place, and the array is
not read at all; else its content is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

LIMIT = 1 << 30
_MOST = 20_000


def answer(path: str) -> tuple[dict[str, Any], bytes]:
    """Return name, type, shape and place of each array; a place from 0 on in the file, or, negative, in the bytes."""
    with h5py.File(path, "r") as file:
        if file.userblock_size:
            raise ValueError("something stands before HDF5's header")
        arrays: list[tuple[str, str, list[int], int]] = []
        contents: list[bytes] = []
        size = 0
        for name, node in _arrays(file):
            if len(arrays) == _MOST:
                raise ValueError(f"it has more than {_MOST} arrays")
            dtype, place = node.dtype, node.id.get_offset()
            if dtype.kind not in "biuf":
                raise ValueError(f"{name} is of {dtype}, not of numbers")
            if place is None:  # in chunks, packed, or never written
                if (size := size + node.size * dtype.itemsize) > LIMIT:
                    raise ValueError(f"its packed arrays have more than {LIMIT} bytes")
                contents.append(np.ascontiguousarray(node[()]).tobytes())
                place = sum(map(len, contents[:-1])) - LIMIT
            arrays.append((name, dtype.str, list(node.shape), place))
        return {"arrays": arrays, "limit": LIMIT}, b"".join(contents)


def _arrays(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield the arrays in the order of layers, as each of the layouts says it."""
    root = file
    if "model_weights" in file and not _texts(file, "layer_names"):
        root = _inside(file, "model_weights", h5py.Group)  # `model.save`, beside the optimiser's
    if "nb_layers" in root.attrs:  # Keras before 1.0
        for k in range(min(int(root.attrs["nb_layers"]), _MOST)):
            layer = _inside(root, f"layer_{k}", h5py.Group)
            for p in range(min(int(layer.attrs.get("nb_params", len(layer))), _MOST)):
                yield f"layer_{k}/param_{p}", _inside(layer, f"param_{p}", h5py.Dataset)
        return
    names = _texts(root, "layer_names")
    if not names:
        raise ValueError("it is HDF5, but not of Keras: there is no attribute layer_names")
    for name in names:
        layer = _inside(root, name, h5py.Group)
        for weight in _texts(layer, "weight_names"):
            yield f"{name}/{weight}", _inside(layer, weight, h5py.Dataset)


def _texts(node: Any, attribute: str) -> list[str]:
    """Return a list of texts; Keras cuts one that is too long into `layer_names0`, `layer_names1` and so on."""
    parts, k = [node.attrs[attribute]] if attribute in node.attrs else [], 0
    while f"{attribute}{k}" in node.attrs and k < _MOST:
        parts.append(node.attrs[f"{attribute}{k}"])
        k += 1
    found = [each for part in parts for each in np.ravel(part).tolist()]
    return [each.decode() if isinstance(each, bytes) else str(each) for each in found]


def _inside(parent: Any, path: str, kind: type) -> Any:
    """Return what has a path inside a group, and lies in this very file."""
    node = parent
    for part in path.split("/"):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) and part not in ("", ".") else None
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"there is no {path} in {parent.name}")
        node = node[part]
    if not isinstance(node, kind) or (isinstance(node, h5py.Dataset) and (node.external or node.is_virtual)):
        raise ValueError(f"{path} in {parent.name} is no {kind.__name__.lower()} of this file")
    return node
