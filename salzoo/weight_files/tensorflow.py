"""TensorFlow's frozen graphs (a GraphDef) and SavedModels, whose weights are constants of the graph."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.weight_files._tensors import LARGEST, mapped, tensor_of
from salzoo.weight_files.protobuf import BYTES, VARINT, Field, fields, numbers, text, varints

FLOATS = {1: "<f4", 2: "<f8", 19: "<f2"}
"""Floating types of DataType."""

_ONE_BY_ONE = {1: 5, 2: 6, 19: 13}
"""Field of TensorProto in which the numbers of such a type stand one by one; 4 has their bytes instead."""

_MOST_REPEATED = 1 << 28
"""Most bytes of tensors of which a file leaves out numbers, because they repeat the last one."""


def recognises(path: Path) -> bool:
    """Say whether a file is a GraphDef, which begins with a node, or a SavedModel, with the version of its schema."""
    try:
        first = next(fields(mapped(path)), None)
        if first is None or first.number != 1:
            return False
        if first.kind == VARINT:
            return any(True for _ in _graphs(mapped(path)))
        kinds = {part.number: part.kind for part in fields(first.content)}
    except ValueError:
        return False
    return kinds.get(1) == kinds.get(2) == BYTES


def read(path: Path) -> dict[str, Tensor]:
    """Return the constants of floating numbers by the names of their nodes, without `/read`.

    Those of functions, too; where two functions have different constants of one name, the later one has the name of
    its function before it.

    Raises:
        WeightsError: If a SavedModel has its weights as variables, which are in another file.
        ValueError: If it is damaged.
    """
    found: dict[str, Tensor] = {}
    stored: dict[str, tuple[NDArray[np.generic], list[int]]] = {}
    repeated, has_variables = 0, False
    for function, node in _nodes(mapped(path)):
        parts = list(fields(node))
        name, op = (next((text(part) for part in parts if part.number == number), "") for number in (1, 2))
        has_variables |= op in ("VarHandleOp", "VariableV2")
        constant = _constant(name, parts) if op == "Const" else None
        if constant is None:
            continue
        values, shape = constant
        if 1 < values.size < prod(shape):
            repeated += prod(shape) * values.itemsize
        if repeated > _MOST_REPEATED:
            raise ValueError(f"more than {_MOST_REPEATED} bytes of its constants are repetitions")
        name = name.removesuffix("/read")
        if function and name in stored and not _are_same(constant, stored[name]):
            name = f"{function}/{name}"
        if name not in stored:
            stored[name], found[name] = constant, _tensor(values, shape)
        elif not _are_same(constant, stored[name]):
            raise ValueError(f"the constant {name} is in it twice")
    if has_variables and not found:
        raise WeightsError(
            f"{path} has its weights as variables: give the file variables.index of its folder variables"
        )
    return found


def _are_same(one: tuple[NDArray[np.generic], list[int]], other: tuple[NDArray[np.generic], list[int]]) -> bool:
    """Compare what is stored, which takes no longer than the file is."""
    return one[1] == other[1] and one[0].dtype == other[0].dtype and np.array_equal(one[0], other[0], equal_nan=True)


def _graphs(content: memoryview) -> Iterator[memoryview]:
    """Yield the graphs of a SavedModel, or the one that the file is."""
    first = next(fields(content), None)
    if first is None or first.kind != VARINT:
        yield content
        return
    for meta in fields(content):
        if meta.number == 2 and meta.kind == BYTES:
            yield from (part.content for part in fields(meta.content) if part.number == 2 and part.kind == BYTES)


def _nodes(content: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Yield every node with the name of the function that it is in."""
    for graph in _graphs(content):
        for field in fields(graph):
            if field.number == 1 and field.kind == BYTES:
                yield "", field.content
            elif field.number == 2 and field.kind == BYTES:
                for function in fields(field.content):
                    if function.number == 1 and function.kind == BYTES:
                        yield from _nodes_of_function(function.content)


def _nodes_of_function(function: memoryview) -> Iterator[tuple[str, memoryview]]:
    name = ""
    for field in fields(function):
        if field.number == 1 and field.kind == BYTES:  # the signature
            name = next((text(part) for part in fields(field.content) if part.number == 1), "")
        elif field.number == 3 and field.kind == BYTES:
            yield name, field.content


def _constant(name: str, parts: list[Field]) -> tuple[NDArray[np.generic], list[int]] | None:
    """Return the numbers that a node has and the shape that they fill; None if they are not floating."""
    for attribute in parts:
        if attribute.number == 5 and attribute.kind == BYTES:
            entry = {field.number: field for field in fields(attribute.content)}
            if 1 in entry and 2 in entry and text(entry[1]) == "value":
                for value in fields(entry[2].content):
                    if value.number == 8:
                        return _numbers(name, value.content)
    return None


def _numbers(name: str, content: memoryview) -> tuple[NDArray[np.generic], list[int]] | None:
    parts: dict[int, list[Field]] = {}
    for field in fields(content):
        parts.setdefault(field.number, []).append(field)
    kind = parts[1][-1].value if 1 in parts else 0
    if kind not in FLOATS:
        return None
    shape = shape_of(parts[2][-1].content) if 2 in parts else []
    if 4 in parts:
        values = np.frombuffer(parts[4][-1].content, FLOATS[kind])
    elif kind == 19:
        values = np.array(varints(parts.get(13, [])), "<u2").view("<f2")
    else:
        values = numbers(parts.get(_ONE_BY_ONE[kind], []), FLOATS[kind])
    if values.size > prod(shape) or (4 in parts and values.size != prod(shape)):
        raise ValueError(f"{name} has {values.size} numbers, its shape is {shape[:8]}")
    return values, shape


def shape_of(content: memoryview) -> list[int]:
    """Return the sizes in a TensorShapeProto.

    Raises:
        ValueError: If one is unknown, or they are more than any tensor has.
    """
    axes = [field.content for field in fields(content) if field.number == 2 and field.kind == BYTES]
    shape = [sum(varints([size for size in fields(axis) if size.number == 1])) for axis in axes]
    if len(shape) > 32 or min(shape, default=0) < 0 or prod(shape) * 8 > LARGEST:
        raise ValueError(f"no tensor has the shape {shape[:8]}")
    return shape


def _tensor(values: NDArray[np.generic], shape: list[int]) -> Tensor:
    """Return the tensor; of numbers that are left out each is the last one, or zero."""
    count = prod(shape)
    if values.size == count:
        return tensor_of(values.reshape(shape))
    if values.size <= 1:
        one = values if values.size else np.zeros(1, values.dtype)
        return tensor_of(one).expand(count).reshape(shape)  # takes no memory
    return tensor_of(np.concatenate([values, np.full(count - values.size, values[-1])]).reshape(shape))
