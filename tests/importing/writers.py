"""Writers of the formats that published weights are in. They share no code with the readers."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


# Protocol Buffers


def varint(value: int) -> bytes:
    """Encode a number of at most 64 bits."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value % 0x80 + 0x80)
        value //= 0x80
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """Encode a field that is a varint."""
    return varint(field * 8) + varint(value)


def block(field: int, content: bytes | str) -> bytes:
    """Encode a field that is a text, bytes, a message or a packed array."""
    content = content.encode() if isinstance(content, str) else content
    return varint(field * 8 + 2) + varint(len(content)) + content


# Caffe

V1_TYPES = {"Convolution": 4, "InnerProduct": 14, "Deconvolution": 39, "ReLU": 18, "Pooling": 17, "LRN": 15}


def caffe_blob(array: Array, *, legacy: bool = False, double: bool = False, packed: bool = True) -> bytes:
    """Encode a BlobProto, with `shape`, or with num, channels, height and width as before 2014."""
    array = np.asarray(array)
    if legacy:
        sizes = (1,) * (4 - array.ndim) + array.shape
        shape = b"".join(number(k + 1, size) for k, size in enumerate(sizes))
    else:
        shape = block(7, block(1, b"".join(varint(size) for size in array.shape)))
    if double:
        return shape + block(8, array.astype("<f8").tobytes())
    flat = array.astype("<f4").ravel()
    if packed:
        return shape + block(5, flat.tobytes())
    return shape + b"".join(varint(5 * 8 + 5) + struct.pack("<f", value) for value in flat)


def caffemodel(
    layers: Sequence[tuple[str, str, Sequence[Array]]],
    *,
    name: str = "net",
    generation: int = 2,
    legacy: bool = False,
    double: bool = False,
    packed: bool = True,
) -> bytes:
    """Encode a NetParameter.

    Args:
        layers: Name, type (as `Convolution`) and blobs of each layer; layers without blobs, too.
        name: Of the network.
        generation: 2 for `layer` (LayerParameter), 1 for `layers` (V1LayerParameter).
        legacy: Write num, channels, height and width in place of `shape`.
        double: Write `double_data`.
        packed: Write the numbers as one block, as Caffe does.
    """
    out = block(1, name) if name else b""
    for layer, kind, blobs in layers:
        encoded = [caffe_blob(blob, legacy=legacy, double=double, packed=packed) for blob in blobs]
        if generation == 2:
            message = block(1, layer) + block(2, kind) + block(3, "bottom") + block(4, layer)
            message += b"".join(block(7, each) for each in encoded) + number(10, 1)
            out += block(100, message)
        else:
            message = block(2, "bottom") + block(3, layer) + block(4, layer) + number(5, V1_TYPES[kind])
            message += b"".join(block(6, each) for each in encoded)
            out += block(2, message)
    return out


# Keras

KerasLayers = Sequence[tuple[str, Sequence[tuple[str, Array]]]]
"""Name of each layer, and name and array of each of its weights; layers without weights, too."""


def keras_hdf5(path: Path, layers: KerasLayers, *, layout: str = "root", texts: str = "bytes", **options: Any) -> None:
    """Write a file of Keras 1, 2 or tf.keras.

    Args:
        path: The file.
        layers: In the model's order.
        layout: `root` as `save_weights` writes it, `model` as `save` does, `oldest` as Keras before 1.0 does.
        texts: Whether names are stored as `bytes` of a fixed length or as `str`.
        options: Of h5py's `create_dataset`, as `compression="gzip"`.
    """

    def stored(names: list[str]) -> Any:
        if texts == "str":
            return np.array(names, dtype=h5py.string_dtype())
        return np.array([name.encode() for name in names], dtype=f"S{max(map(len, names), default=0) or 1}")

    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if layout == "model" else file
        if layout == "model":
            file.attrs["keras_version"] = b"1.1.0"
            file.attrs["model_config"] = b"{}"
            moments = file.create_group("optimizer_weights")
            moments.attrs["weight_names"] = stored(["param_0"])
            moments["param_0"] = np.ones(3, "f4")
        if layout == "oldest":
            root.attrs["nb_layers"] = len(layers)
        else:
            root.attrs["layer_names"] = stored([name for name, _ in layers])
        for k, (name, weights) in enumerate(layers):
            group = root.create_group(f"layer_{k}" if layout == "oldest" else name)
            if layout == "oldest":
                group.attrs["nb_params"] = len(weights)
            else:
                group.attrs["weight_names"] = stored([weight for weight, _ in weights])
            for p, (weight, array) in enumerate(weights):
                group.create_dataset(f"param_{p}" if layout == "oldest" else weight, data=array, **options)


# eDN


def liblinear(weights: Array, *, labels: tuple[int, int] = (1, 0), bias: float | None = None) -> str:
    """Write a model of liblinear, as eDN's."""
    rows = [f"{value:.18f}" for value in weights] + ([] if bias is None else [f"{bias:.18f}"])
    head = ["solver_type L2R_L2LOSS_SVC_DUAL", "nr_class 2", f"label {labels[0]} {labels[1]}"]
    head += [f"nr_feature {len(weights)}", f"bias {-1 if bias is None else 1}", "w"]
    return "\n".join([*head, *rows]) + "\n"


def table(columns: Mapping[str, Array] | Sequence[Array]) -> str:
    """Write a table of numbers, one column an array, as eDN's whitening."""
    columns = list(columns.values()) if isinstance(columns, Mapping) else list(columns)
    return "".join(" ".join(f"{value:.14f}" for value in row) + "\n" for row in zip(*columns, strict=True))


# TensorFlow

DATA_TYPES = {"f4": 1, "f8": 2, "i4": 3, "u1": 4, "i8": 9, "b1": 10, "f2": 19}


def tensor_shape(shape: Sequence[int]) -> bytes:
    """Encode a TensorShapeProto."""
    return b"".join(block(2, number(1, size)) for size in shape)


def tensor_proto(array: Array, values: str = "content") -> bytes:
    """Encode a TensorProto.

    Args:
        array: Of floats or whole numbers.
        values: `content` for its bytes, `list` for numbers one by one, `splat` for those that repeat the last one left
            out.
    """
    array = np.asarray(array)
    kind = array.dtype.str[1:]
    out = number(1, DATA_TYPES[kind]) + block(2, tensor_shape(array.shape))
    if values == "content":
        return out + block(4, array.tobytes())
    flat = array.ravel()
    if values == "splat":
        different = np.flatnonzero(flat != flat[-1])
        flat = flat[: different[-1] + 2 if different.size else 1]
    if kind == "f2":
        return out + block(13, b"".join(varint(int(bits)) for bits in flat.view("u2")))
    return out + block({"f4": 5, "f8": 6}[kind], flat.tobytes())


def node_def(name: str, op: str, inputs: Sequence[str] = (), **attributes: bytes) -> bytes:
    """Encode a NodeDef; attributes are encoded AttrValues."""
    out = block(1, name) + block(2, op) + b"".join(block(3, each) for each in inputs)
    return out + b"".join(block(5, block(1, key) + block(2, value)) for key, value in sorted(attributes.items()))


def const_node(name: str, array: Array, values: str = "content") -> bytes:
    """Encode a node that is a constant."""
    kind = number(6, DATA_TYPES[np.asarray(array).dtype.str[1:]])
    return node_def(name, "Const", dtype=kind, value=block(8, tensor_proto(array, values)))


def _const_and_read(name: str, array: Array, values: str) -> list[bytes]:
    kind = number(6, DATA_TYPES[np.asarray(array).dtype.str[1:]])
    return [const_node(name, array, values), node_def(f"{name}/read", "Identity", [name], T=kind)]


def graph_def(tensors: Mapping[str, Array], *, values: str = "content", more: Sequence[bytes] = ()) -> bytes:
    """Encode a frozen GraphDef: each tensor a constant `name` with a node `name/read`.

    Args:
        tensors: By name.
        values: As in `tensor_proto`.
        more: Further encoded nodes.
    """
    nodes = [node for name, array in tensors.items() for node in _const_and_read(name, array, values)]
    placeholder = node_def("input", "Placeholder", dtype=number(6, 1))
    return b"".join(block(1, node) for node in [placeholder, *nodes, *more]) + block(4, number(1, 27))


def function_def(name: str, tensors: Mapping[str, Array], *, values: str = "content") -> bytes:
    """Encode a FunctionDef with constants."""
    nodes = [node for key, array in tensors.items() for node in _const_and_read(key, array, values)]
    return block(1, block(1, name)) + b"".join(block(3, node) for node in nodes)


def saved_model(
    functions: Mapping[str, Mapping[str, Array]], *, values: str = "content", nodes: Sequence[bytes] = ()
) -> bytes:
    """Encode a SavedModel whose constants are in functions, as the Hub's MSI-Net has them.

    Args:
        functions: Tensors by name, by the name of the function.
        values: As in `tensor_proto`.
        nodes: Further nodes, of the graph itself.
    """
    library = b"".join(block(1, function_def(name, each, values=values)) for name, each in functions.items())
    call = node_def("StatefulPartitionedCall", "StatefulPartitionedCall", ["input"])
    graph = b"".join(block(1, node) for node in [node_def("input", "Placeholder"), call, *nodes])
    graph += block(2, library) + block(4, number(1, 1075))
    info = block(4, "serve") + block(5, "2.5.0")
    collection = block(4, block(1, "saved_model_main_op") + block(2, b""))
    return number(1, 1) + block(2, block(1, info) + block(2, graph) + collection)


def _crc32c_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC32C = _crc32c_table()


def masked_crc32c(content: bytes) -> int:
    """Return the checksum that LevelDB and TensorFlow store."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = (crc >> 8) ^ _CRC32C[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _table_block(entries: Sequence[tuple[bytes, bytes]], restart: int = 16) -> bytes:
    out, starts, before = bytearray(), [], b""
    for k, (key, value) in enumerate(entries):
        shared = 0
        if k % restart == 0:
            starts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return bytes(out) + struct.pack(f"<{len(starts or [0]) + 1}I", *(starts or [0]), len(starts or [0]))


def sstable(entries: Sequence[tuple[bytes, bytes]], *, entries_a_block: int = 40) -> bytes:
    """Encode a table of LevelDB, whose keys are in order, without compression."""
    out = bytearray()

    def add(content: bytes) -> bytes:
        handle = varint(len(out)) + varint(len(content))
        out.extend(content + b"\0" + struct.pack("<I", masked_crc32c(content + b"\0")))
        return handle

    index = []
    for start in range(0, len(entries), entries_a_block):
        part = entries[start : start + entries_a_block]
        index.append((part[-1][0], add(_table_block(part))))
    filters = add(_table_block([]))
    footer = filters + add(_table_block(index, restart=1))
    return bytes(out) + footer.ljust(40, b"\0") + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"


def tensorflow_checkpoint(
    prefix: Path, tensors: Mapping[str, Array], *, checksums: bool = False, entries_a_block: int = 40
) -> None:
    """Write a checkpoint of one shard: `prefix.index`, `prefix.data-00000-of-00001` and an empty `prefix.meta`.

    Args:
        prefix: What the names of the files begin with.
        tensors: By name.
        checksums: Write those of the tensors too, which takes a second a megabyte.
        entries_a_block: Tensors in each block of the index.
    """
    data, entries = bytearray(), [(b"", number(1, 1) + block(3, number(1, 1)))]
    for name, array in sorted(tensors.items()):
        content = np.asarray(array).tobytes()
        entry = number(1, DATA_TYPES[np.asarray(array).dtype.str[1:]]) + block(2, tensor_shape(np.shape(array)))
        entry += number(4, len(data)) if data else b""
        entry += number(5, len(content)) + varint(6 * 8 + 5)
        entry += struct.pack("<I", masked_crc32c(content) if checksums else 0)
        entries.append((name.encode(), entry))
        data += content
    prefix.with_name(f"{prefix.name}.index").write_bytes(sstable(entries, entries_a_block=entries_a_block))
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
    prefix.with_name(f"{prefix.name}.meta").write_bytes(block(1, block(5, "1.12.0")))


# Pickles of Python 2


class Named:
    """A class or function, by its module and name: what a pickle calls, or has instances of."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Made:
    """An object: what is called, with what, and the state that it gets then, which is None if it gets none."""

    def __init__(self, function: Named, arguments: tuple[Any, ...] = (), state: Any = None) -> None:
        self.function, self.arguments, self.state = function, arguments, state


def instance(module: str, name: str, state: Any) -> Made:
    """Return an object of a class that derives from `object`, as `copy_reg` pickles it."""
    arguments = (Named(module, name), Named("__builtin__", "object"), None)
    return Made(Named("copy_reg", "_reconstructor"), arguments, state)


def python2_pickle(value: Any) -> bytes:
    """Encode as cPickle of Python 2 does by protocol 2: None, numbers, texts, containers, arrays, objects."""
    return b"\x80\x02" + _Python2(value).out + b"."


class _Python2:
    def __init__(self, value: Any) -> None:
        self.out, self.memo = bytearray(), dict[int, int]()
        self.kept: list[Any] = []  # or the id of one that is gone becomes that of another
        self.add(value)

    def remember(self, value: Any) -> None:
        key = len(self.memo)
        self.memo[id(value)] = key
        self.kept.append(value)
        self.out += b"q" + bytes([key]) if key < 256 else b"r" + struct.pack("<I", key)

    def add(self, value: Any) -> None:
        if id(value) in self.memo and not isinstance(value, int | float | str | bool | None):
            key = self.memo[id(value)]
            self.out += b"h" + bytes([key]) if key < 256 else b"j" + struct.pack("<I", key)
        elif value is None or isinstance(value, bool):
            self.out += {None: b"N", True: b"\x88", False: b"\x89"}[value]
        elif isinstance(value, int):
            self.out += b"K" + bytes([value]) if 0 <= value < 256 else b"J" + struct.pack("<i", value)
        elif isinstance(value, float):
            self.out += b"G" + struct.pack(">d", value)
        elif isinstance(value, str | bytes):
            raw = value.encode("latin-1") if isinstance(value, str) else value
            self.out += b"U" + bytes([len(raw)]) if len(raw) < 256 else b"T" + struct.pack("<i", len(raw))
            self.out += raw
            self.remember(raw)
        elif isinstance(value, tuple):
            self.add_all(b"(", value)
            self.out += b"t"
            self.remember(value)
        elif isinstance(value, list | dict):
            self.out += b"]" if isinstance(value, list) else b"}"
            self.remember(value)
            items = value if isinstance(value, list) else [part for pair in value.items() for part in pair]
            self.add_all(b"(", items)
            self.out += b"e" if isinstance(value, list) else b"u"
        elif isinstance(value, Named):
            self.out += f"c{value.module}\n{value.name}\n".encode()
            self.remember(value)
        elif isinstance(value, Made):
            self.call(value, value.function, value.arguments, value.state)
        else:
            self.array(value)

    def add_all(self, mark: bytes, values: Sequence[Any]) -> None:
        self.out += mark
        for value in values:
            self.add(value)

    def call(self, value: Any, function: Named, arguments: tuple[Any, ...], state: Any) -> None:
        self.add(function)
        self.add(arguments)
        self.out += b"R"
        self.remember(value)
        if state is not None:
            self.add(state)
            self.out += b"b"

    def array(self, value: Array) -> None:
        numbers = value.dtype.kind != "O"
        code = value.dtype.str[1:] if numbers else "O8"
        dtype = Made(Named("numpy", "dtype"), (code, 0, 1), (3, value.dtype.str[0], None, None, None, -1, -1, 0))
        is_fortran = value.flags.f_contiguous and not value.flags.c_contiguous
        content = value.tobytes("F" if is_fortran else "C") if numbers else list(value.ravel())
        function = Named("numpy.core.multiarray", "_reconstruct")
        arguments = (Named("numpy", "ndarray"), (0,), "b")
        self.call(value, function, arguments, (1, value.shape, dtype, is_fortran, content))
