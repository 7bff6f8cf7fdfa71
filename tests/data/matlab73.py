"""Writes MATLAB files of version 7.3 as MATLAB does, which SciPy cannot."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy import sparse

from salzoo.data._matlab import open_mat

HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jun  5 12:00:00 2017 HDF5 schema 1.00 ."
NUMBER = itertools.count()
CLASSES = {"f8": "double", "f4": "single", "b1": "logical"}


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Write variables: arrays, texts, dicts or structured arrays as structs, arrays of objects as cells."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in content.items():
            write(file, name, value)
    with path.open("r+b") as raw:
        raw.write(HEADER.ljust(116) + bytes(8) + b"\x00\x02IM")


def save_map(path: Path, variable: str, content: Mapping[str, Any]) -> None:
    """Write one variable, a `containers.Map` from texts to arrays."""
    keys, values = np.empty((1, len(content)), object), np.empty((1, len(content)), object)
    keys[0], values[0, :] = list(content), list(content.values())
    properties = {"keys": keys, "values": values, "uniformity": np.array(0.0), "keyType": "char", "valueType": "any"}
    wrapped = np.empty((3, 1), object)
    wrapped[:, 0] = [np.array([[4, 0, 0, 0]], np.uint8), np.empty((0, 0)), properties]
    save(path, {variable: np.array([[0xDD000000, 2, 1, 1, 1, 1]], np.uint32)})
    with h5py.File(path, "r+") as file:
        file[variable].attrs.update({"MATLAB_class": np.bytes_("containers.Map"), "MATLAB_object_decode": np.int32(3)})
        objects = file.create_group("#subsystem#").create_dataset("MCOS", data=_refer(file, wrapped))
        _named(objects, "FileWrapper__").attrs["MATLAB_object_decode"] = np.int32(3)


def convert(path: Path) -> None:
    """Write an older file again as version 7.3."""
    save(path, {name: each.read() for name, each in open_mat(path).items()})


def write(parent: h5py.Group, name: str, value: Any) -> Any:
    """Write one value under a name."""
    if isinstance(value, dict):
        node = _named(parent.create_group(name), "struct")
        for key, each in value.items():
            write(node, key, each)
        return node
    if sparse.issparse(value):
        node = _named(parent.create_group(name), "double")
        node.attrs["MATLAB_sparse"] = np.uint64(value.shape[0])
        for key, each in (("data", value.data), ("ir", value.indices), ("jc", value.indptr)):
            node.create_dataset(key, data=each if key == "data" else each.astype(np.uint64))
        return node
    if isinstance(value, str):
        value = np.array([value])
    value = np.asarray(value)
    if value.dtype.names:
        if value.size == 1:
            return write(parent, name, {key: value.ravel()[0][key] for key in value.dtype.names})
        node = _named(parent.create_group(name), "struct")
        for key in value.dtype.names:
            node.create_dataset(key, data=_refer(parent.file, value[key]))
        return node
    if value.dtype.kind == "U":
        letters = np.array([[ord(letter) for letter in text] for text in value.ravel()], np.uint16)
        node = parent.create_dataset(name, data=letters.T)
        node.attrs["MATLAB_int_decode"] = np.int32(2)
        return _named(node, "char")
    value = np.atleast_2d(value)
    kind = "cell" if value.dtype == object else CLASSES.get(value.dtype.str[1:], value.dtype.name)
    if not value.size:
        node = parent.create_dataset(name, data=np.array(value.shape, np.uint64))
        node.attrs["MATLAB_empty"] = np.uint8(1)
    elif kind == "cell":
        node = parent.create_dataset(name, data=_refer(parent.file, value))
    else:
        node = parent.create_dataset(name, data=(value.astype(np.uint8) if kind == "logical" else value).T)
    return _named(node, kind)


def _refer(file: h5py.File, values: Any) -> Any:
    """Write elements apart, and return the references to them."""
    apart = file.require_group("#refs#")
    found = np.empty(values.T.shape, h5py.ref_dtype)
    for place, each in np.ndenumerate(values.T):
        found[place] = write(apart, f"r{next(NUMBER)}", each).ref
    return found


def _named(node: Any, kind: str) -> Any:
    node.attrs["MATLAB_class"] = np.bytes_(kind)
    return node
