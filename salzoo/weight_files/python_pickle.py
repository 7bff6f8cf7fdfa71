"""Arrays in a pickle of Python 2, as of a network of nolearn: found without unpickling anything.

A pickle is a program for a small machine with a stack. Python's own machine imports what the program names and calls
it; this one does neither. What would be an object is a note of its class and of what it was made from, and an array is
the place of its numbers in the file, where they stay until they are used.
"""

from __future__ import annotations

import pickletools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.weight_files._tensors import Mapped, tensor_at, tensor_of

MODULES = ("numpy", "nolearn", "lasagne", "theano", "sklearn", "collections", "copy_reg", "copyreg", "__main__")
"""Packages of which a pickle of a network may name anything. None is imported."""

_BYTES = ("bytes", "bytearray")
BUILTINS = ("object", "list", "dict", "tuple", "set", "frozenset", "slice", "xrange", "range", "complex", *_BYTES)

ENCODE = ("_codecs", "encode")
"""The function that Python 3 names where its protocols 0 to 2 have bytes: the text is that of their codes."""

LAYERS = "layers_"

_MOST_STEPS, _MOST_DEPTH, _LONGEST_TEXT = 2_000_000, 1_000, 4096

_OLD = re.compile(rb"c[\w.]+\n\w+\n|\(i[\w.]+\n\w+\n|\([dl]p\d+\n|[\]}]q\x00")
"""How a pickle of protocol 0 or 1 begins, which has no mark of its own."""


class _Text(str):
    """A text, or bytes that may be an array's numbers: where they stand in the file, and, if they are few, what.

    Python 3 has no operation for bytes in a pickle of protocol 2: those are decoded, and not in the file.
    """

    at: int | bytes
    size: int


@dataclass(slots=True)
class _Array:
    """Where an array is."""

    dtype: str
    shape: tuple[int, ...]
    fortran: bool
    at: int | bytes


@dataclass(slots=True)
class _Thing:
    """What would be an object: the name of its class or function, all that it was made from, and the array it is."""

    name: str
    parts: list[tuple[Any, Any]] = field(default_factory=list)
    array: _Array | None = None


_MARK = object()


def recognises(head: bytes) -> bool:
    """Say whether a file begins as a pickle, of any protocol that files of weights are in."""
    return (head[0] == 0x80 and 1 < head[1] < 6) if head[:1] == b"\x80" and len(head) > 1 else bool(_OLD.match(head))


def read(path: Path) -> dict[str, Tensor]:
    """Return every array of real numbers by its path inside: keys, attributes and places in lists, with dots between.

    An array that is reached by several paths has the shortest that begins with `layers_`, where a network of nolearn
    keeps its layers by name, or else the shortest of all. Arrays of the layers come first; among them and among the
    rest the order is that of the paths' lengths, and of the file within a length.

    Raises:
        WeightsError: If it names anything outside `MODULES` and `BUILTINS`.
        ValueError: If it is damaged, too long, or nested too deeply.
    """
    with path.open("rb") as file:
        root = _Machine(path).run(file)
    content = Mapped(path)
    found: dict[str, Tensor] = {}
    for name, array in _arrays(root):
        if name in found:
            raise ValueError(f"two arrays have the path {name}")
        shape = array.shape[::-1] if array.fortran else array.shape
        if isinstance(array.at, bytes):
            tensor = tensor_at(memoryview(bytearray(array.at)), 0, array.dtype, shape)
        else:
            tensor = content.tensor(array.at, array.dtype, shape)
        found[name] = tensor_of(tensor.numpy().T) if array.fortran else tensor
    return found


def _arrays(root: Any) -> Iterator[tuple[str, _Array]]:
    """Walk through the layers and then through everything, the nearest first, and yield the arrays."""
    seen = {id(root)}
    layers = [(part, (label, None), 1) for label, part in _parts(root) if label == LAYERS]
    yield from _walk(layers, seen)
    yield from _walk([(root, None, 0)], seen)


def _walk(start: Iterable[tuple[Any, tuple[Any, ...] | None, int]], seen: set[int]) -> Iterator[tuple[str, _Array]]:
    queue = deque(start)
    while queue:
        value, way, depth = queue.popleft()
        if isinstance(value, _Thing) and value.array:
            labels = []
            while way is not None:
                labels.append(str(way[0]))
                way = way[1]
            yield ".".join(reversed(labels)) or "array", value.array
            continue
        if depth > _MOST_DEPTH:
            raise ValueError(f"it is nested more than {_MOST_DEPTH} deep")
        for label, part in _parts(value):
            if isinstance(part, _Thing | list | tuple | dict) and id(part) not in seen:
                seen.add(id(part))
                queue.append((part, (label, way), depth + 1))


def _parts(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, _Thing):
        return value.parts
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value))


class _Machine:
    """The stack, and what each operation does to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._left = path.stat().st_size  # of bytes that are decoded, each of which stands in the file once

    def run(self, file: IO[bytes]) -> Any:
        """Return what the pickle is of, with notes in place of objects."""
        for step, (operation, argument, at) in enumerate(pickletools.genops(file)):
            if step > _MOST_STEPS:
                raise ValueError(f"it has more than {_MOST_STEPS:,} steps")
            name = operation.name
            if name == "STOP":
                return self._stack.pop()
            if do := _OPERATIONS.get(name):
                do(self, argument)
            elif name in _HEADS:
                self._stack.append(_text(argument, (at or 0) + _HEADS[name]))
            elif name in _PLAIN:
                self._stack.append(argument)
            else:
                raise ValueError(f"it has the operation {name}, which no pickle of a network has")
        raise ValueError("it has no end")

    def pop(self) -> Any:
        """Take what is on top."""
        if not self._stack or (top := self._stack.pop()) is _MARK:
            raise ValueError("its stack is empty")
        return top

    def top(self, kind: type | tuple[type, ...]) -> Any:
        """Return what is on top, which is of a kind."""
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise ValueError("it puts something into what is no container")
        return self._stack[-1]

    def since_mark(self) -> list[Any]:
        """Take all down to the last mark, and the mark."""
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                items = self._stack[place + 1 :]
                del self._stack[place:]
                return items
        raise ValueError("it has no mark")

    def push(self, value: Any) -> None:
        """Put something on top."""
        self._stack.append(value)

    def put(self, key: int | None) -> None:
        """Remember what is on top."""
        if not self._stack:
            raise ValueError("its stack is empty")
        self._memo[len(self._memo) if key is None else key] = self._stack[-1]

    def get(self, key: int) -> None:
        """Put on top what was remembered."""
        if key not in self._memo:
            raise ValueError(f"it has nothing under {key}")
        self._stack.append(self._memo[key])

    def named(self, module: str, name: str) -> _Thing:
        """Return the note of a class or function.

        Raises:
            WeightsError: If no network needs it.
        """
        package = module.split(".")[0]
        is_builtin = package in ("__builtin__", "builtins") and name in BUILTINS
        if package not in MODULES and not is_builtin and (module, name) != ENCODE:
            raise WeightsError(
                f"{self._path} is a pickle that asks for {module}.{name}, and none of a network does: it is not read"
            )
        return _Thing(f"{module}.{name}")

    def make(self, function: Any, arguments: Any) -> None:
        """Put on top the note of a call."""
        if not isinstance(function, _Thing) or not isinstance(arguments, tuple):
            raise ValueError("it calls what is no class or function")
        if function.name == ".".join(ENCODE) or (function.name.endswith(".bytes") and not arguments):
            self.push(self._encoded(*arguments[:1]))
            return
        parts = list(enumerate(arguments))
        if function.name == "collections.OrderedDict" and len(arguments) == 1 and _is_pairs(arguments[0]):
            parts = _pairs([part for pair in arguments[0] for part in pair])
        self.push(_Thing(function.name, parts))

    def _encoded(self, text: Any = "") -> _Text:
        if type(text) is not str or len(text) > self._left:
            raise ValueError("it encodes what is no text, or one text again and again")
        self._left -= len(text)
        return _text(text, text.encode("latin-1"))

    def extend(self, items: list[Any]) -> None:
        """Put items into the list on top, or into an object that is one."""
        target = self.top((list, _Thing))
        if isinstance(target, list):
            target.extend(items)
        else:
            target.parts.extend((len(target.parts) + k, item) for k, item in enumerate(items))

    def update(self, items: list[Any]) -> None:
        """Put keys and values into the dict on top, or into an object that is one."""
        target = self.top((dict, _Thing))
        if isinstance(target, dict):
            target.update(_pairs(items))
        else:
            target.parts.extend(_pairs(items))

    def build(self) -> None:
        """Give the object on top its state."""
        state, target = self.pop(), self.top(_Thing)
        if target.name.endswith("multiarray._reconstruct") and isinstance(state, tuple) and len(state) == 5:
            _, shape, dtype, fortran, numbers = state
            target.array = None if isinstance(numbers, list) else _array(shape, dtype, fortran, numbers)
            state = numbers if isinstance(numbers, list) else None  # its elements are objects
        for part in state if isinstance(state, tuple) and len(state) == 2 else (state,):  # attributes, and slots
            target.parts.extend(part.items() if isinstance(part, dict) else [("state", part)])


def _text(content: Any, at: int | bytes) -> _Text:
    text = content.decode("latin-1") if isinstance(content, bytes) else content
    found = _Text(text if len(text) <= _LONGEST_TEXT else "")
    found.at, found.size = at, len(text)
    return found


def _is_pairs(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value)


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    """Return keys with their values; what cannot be the key of a dict is no key that a network has."""
    if len(items) % 2 or not all(isinstance(key, str | int | float | tuple | _Thing | None) for key in items[::2]):
        raise ValueError("a dict has an odd number of things in it, or a key that is none")
    keys = (key if isinstance(key, str | int | float | None) else _label(key) for key in items[::2])
    return list(zip(keys, items[1::2], strict=True))


def _label(key: Any) -> str:
    return f"<{key.name}>" if isinstance(key, _Thing) else f"<{len(key)} keys>"


def _array(shape: Any, dtype: Any, fortran: Any, numbers: Any) -> _Array | None:
    """Return where an array is; None if it is not of numbers."""
    described = dict(dtype.parts) if isinstance(dtype, _Thing) else {}
    kind, state = described.get(0), described.get("state")
    if not isinstance(kind, str) or not isinstance(shape, tuple) or not all(type(size) is int for size in shape):
        raise ValueError("an array has no type or no shape")
    if np.dtype(kind).kind not in "biuf":
        return None
    is_big = isinstance(state, tuple) and len(state) > 1 and state[1] == ">"
    found = np.dtype(kind).newbyteorder(">" if is_big else "<")
    if not isinstance(numbers, _Text) or min(shape, default=0) < 0 or numbers.size != prod(shape) * found.itemsize:
        raise ValueError(f"an array of {kind} {shape} has other than its bytes")
    return _Array(found.str, shape, bool(fortran), numbers.at)


def _make_from(machine: _Machine, items: list[Any]) -> None:
    machine.make(items[0] if items else None, tuple(items[1:]))


def _take(machine: _Machine, count: int) -> list[Any]:
    return [machine.pop() for _ in range(count)][::-1]


def _global(machine: _Machine, argument: str) -> _Thing:
    module, _, name = argument.partition(" ")
    return machine.named(module, name)


def _stack_global(machine: _Machine) -> None:
    module, name = _take(machine, 2)
    machine.push(machine.named(str(module), str(name)))


_HEADS = {"BINSTRING": 5, "SHORT_BINSTRING": 2, "BINBYTES": 5, "SHORT_BINBYTES": 2, "BINBYTES8": 9}
"""Operations that bring bytes, and how far from them their bytes begin."""

_PLAIN = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
_PLAIN |= {"STRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}

_OPERATIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.push(_MARK),
    "POP": lambda machine, _: machine.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.push(machine.top(object)),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(_Thing("set")),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(_take(machine, 1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(_take(machine, 2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(_take(machine, 3))),
    "LIST": lambda machine, _: machine.push(machine.since_mark()),
    "DICT": lambda machine, _: machine.push(dict(_pairs(machine.since_mark()))),
    "FROZENSET": lambda machine, _: machine.push(_Thing("frozenset", list(enumerate(machine.since_mark())))),
    "APPEND": lambda machine, _: machine.extend(_take(machine, 1)),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.update(_take(machine, 2)),
    "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
    "PUT": lambda machine, key: machine.put(key),
    "BINPUT": lambda machine, key: machine.put(key),
    "LONG_BINPUT": lambda machine, key: machine.put(key),
    "MEMOIZE": lambda machine, _: machine.put(None),
    "GET": lambda machine, key: machine.get(key),
    "BINGET": lambda machine, key: machine.get(key),
    "LONG_BINGET": lambda machine, key: machine.get(key),
    "GLOBAL": lambda machine, argument: machine.push(_global(machine, argument)),
    "STACK_GLOBAL": lambda machine, _: _stack_global(machine),
    "REDUCE": lambda machine, _: machine.make(*_take(machine, 2)),
    "NEWOBJ": lambda machine, _: machine.make(*_take(machine, 2)),
    "NEWOBJ_EX": lambda machine, _: machine.make(*_take(machine, 3)[:2]),
    "INST": lambda machine, argument: machine.make(_global(machine, argument), tuple(machine.since_mark())),
    "OBJ": lambda machine, _: _make_from(machine, machine.since_mark()),
    "BUILD": lambda machine, _: machine.build(),
}
