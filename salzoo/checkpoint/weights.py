"""`model.safetensors`: its header is compared with the network first, and what is hashed is what is parsed.

A file is opened once, and never again by its name: what lies there may have been replaced in between. Its tensors are
those of the network, by name, shape and type, and are read one by one, so that no second copy is ever in memory.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salzoo.checkpoint.config import CONFIG, WEIGHTS
from salzoo.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADER_BYTES = 1 << 20
"""Most bytes of the header of a safetensors file; those of the zoo have up to 100 KB."""

FLOATS = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
"""Floating types in which a tensor may be stored, whatever that of the network, and their bytes a number."""

_NAMES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64", "int64": "I64", "int32": "I32"}
_NAMES |= {"int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL"}

Described = Mapping[str, tuple[str, tuple[int, ...]]]
"""Type and shape of each tensor by its name."""


def check_header(network: nn.Module, folder: Path, sha256: str) -> None:
    """Compare the header of `model.safetensors` with a network that may be on the meta device; no tensor is read.

    Args:
        network: Built as `config.json` says.
        folder: The checkpoint.
        sha256: Expected checksum, by which a damaged file is told from one of another network.

    Raises:
        WeightsError: If the file is missing or not the expected one, or a tensor is missing, unknown, misshapen or of
            another type.
    """
    path = folder / WEIGHTS
    with _open(path) as file:
        _check_header(network, path, file, sha256)


def load_weights(network: nn.Module, folder: Path, sha256: str, *, finite: bool = True) -> None:
    """Load `model.safetensors` into a network, every tensor and nothing else; half precision becomes float32.

    Args:
        network: Built as `config.json` says; what it holds after an error is of no use.
        folder: The checkpoint.
        sha256: Expected checksum of the file.
        finite: Look whether every number is finite.

    Raises:
        WeightsError: If the file is missing or not the expected one, or a tensor is missing, unknown, misshapen, of
            another type or not finite.
    """
    own = network.state_dict()
    for name, tensor in _stream(network, folder / WEIGHTS, sha256, finite=finite):
        own[name].copy_(tensor)


def read_tensors(network: nn.Module, path: Path, sha256: str, *, finite: bool = True) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, which are those of a network.

    Raises:
        WeightsError: As `load_weights`.
    """
    return dict(_stream(network, path, sha256, finite=finite))


def _stream(network: nn.Module, path: Path, sha256: str, *, finite: bool) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a safetensors file, each in memory of its own; what is wrong is told at the end at latest.

    Raises:
        WeightsError: As `load_weights`.
    """
    import torch

    odd, digest = list[str](), hashlib.sha256()
    with _open(path) as file:
        _check_header(network, path, file, sha256)
        file.seek(0)
        for name, tensor in _read(network, path, file, digest):
            if finite and tensor.is_floating_point() and not torch.isfinite(tensor).all():
                odd.append(name)
            yield name, tensor
        digest.update(file.read(1))  # nothing, or it is another file
    _check_sum(path, digest.hexdigest(), sha256)
    if odd:
        raise _not_finite(path, odd[0])


def _read(network: nn.Module, path: Path, file: BufferedReader, digest: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in the order of the file, and hash all that is read.

    Raises:
        WeightsError: If they do not lie one after the other, or are not those of the network.
    """
    import torch

    head = file.read(8)
    text = file.read(int.from_bytes(head, "little"))
    digest.update(head + text)
    header = _parse(path, text)
    _compare(network.state_dict(), {name: one[:2] for name, one in header.items()}, path)
    kinds = {kind: getattr(torch, name) for name, kind in _NAMES.items()}
    position = 0
    for name, (kind, shape, place) in sorted(header.items(), key=lambda one: one[1][2]):
        size = math.prod(shape) * kinds[kind].itemsize
        raw = torch.empty(size, dtype=torch.uint8)
        if place != (position, position + size) or file.readinto(raw.numpy().data) != size:
            raise WeightsError(f"{path} is not a safetensors file: {name} is not where its header says.")
        digest.update(raw.numpy().data)
        yield name, raw.view(kinds[kind]).view(shape)
        position += size


def check_tensors(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, *, finite: bool = True) -> None:
    """Compare tensors with those of a network, which may be on the meta device.

    Args:
        network: Built as the checkpoint's config says.
        tensors: By the names of `network.state_dict()`.
        path: Where they were found, for the message.
        finite: Look whether every number is finite.

    Raises:
        WeightsError: If a tensor is missing, unknown, misshapen, of another type or not finite.
    """
    import torch

    described = {name: (_kind(tensor), tuple(tensor.shape)) for name, tensor in tensors.items()}
    _compare(network.state_dict(), described, path)
    for name, tensor in tensors.items():
        if finite and tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise _not_finite(path, name)


def _not_finite(path: Path, name: str) -> WeightsError:
    return WeightsError(f"{path}: {name} is not finite. Train again, with a lower learning rate.")


def _open(path: Path) -> BufferedReader:
    try:
        if not path.is_file():
            raise WeightsError(f"{path.parent} has no {path.name}. Copy the whole folder again.")
        return path.open("rb")
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error


def _check_sum(path: Path, got: str, sha256: str) -> None:
    if got != sha256:
        raise WeightsError(
            f"{path} is damaged or was replaced: its sha256 is {got}, expected {sha256}. Copy the folder again."
        )


def _check_header(network: nn.Module, path: Path, file: BufferedReader, sha256: str) -> None:
    try:
        _match(network, path, file)
    except WeightsError:
        file.seek(0)  # perhaps it is only damaged; it may be of any size, so it is not read into memory
        _check_sum(path, hashlib.file_digest(file, "sha256").hexdigest(), sha256)
        raise


def _match(network: nn.Module, path: Path, file: BufferedReader) -> None:
    """Compare names, types, shapes and the size of the file, which then is that of the network."""
    described, size = _describe(path, file), os.fstat(file.fileno()).st_size
    own = network.state_dict()
    _compare(own, described, path)
    kinds = {name: FLOATS.get(kind) or own[name].element_size() for name, (kind, _) in described.items()}
    expected = file.tell() + sum(own[name].numel() * width for name, width in kinds.items())
    if size != expected:
        raise WeightsError(
            f"{path} is not a safetensors file: it has {size:,} bytes, but its header describes {expected:,}."
        )


def _describe(path: Path, file: BufferedReader) -> Described:
    """Read the header of a safetensors file; the file is left at its end."""
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= HEADER_BYTES:
        raise WeightsError(f"{path} is not a safetensors file: at most {HEADER_BYTES:,} bytes of header are read.")
    return {name: one[:2] for name, one in _parse(path, file.read(length)).items()}


def _parse(path: Path, text: bytes) -> dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Return type, shape, and first and last byte of each tensor of a header."""
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        return {
            name: (str(one["dtype"]), tuple(one["shape"]), tuple(map(int, one["data_offsets"])))
            for name, one in header.items()
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path} is not a safetensors file: its header cannot be read.") from error


def metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file, whose header is valid."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    found: dict[str, str] = header.get("__metadata__") or {}
    return found


def _compare(own: Mapping[str, Tensor], described: Described, path: Path) -> None:
    missing, unknown = sorted(set(own) - set(described)), sorted(set(described) - set(own))
    both = sorted(set(own) & set(described))
    misshapen = [name for name in both if tuple(own[name].shape) != described[name][1]]
    if missing or unknown or misshapen:
        raise WeightsError(
            f"{path} does not fit the network that {CONFIG} describes: missing {missing[:3]} ({len(missing)}), "
            f"unknown {_cut(unknown)} ({len(unknown)}), misshapen {misshapen[:3]} ({len(misshapen)})."
        )
    for name in both:
        kind, wanted = described[name][0], _kind(own[name])
        if kind != wanted and not (wanted in FLOATS and kind in FLOATS):
            accepted = " or ".join(FLOATS) if wanted in FLOATS else wanted
            raise WeightsError(
                f"{path} does not fit the network that {CONFIG} describes: {name} is of type {kind[:20]}, accepted is "
                f"{accepted}."
            )


def _cut(names: list[str]) -> list[str]:
    return [name if len(name) <= 100 else f"{name[:100]}..." for name in names[:3]]


def _kind(tensor: Tensor) -> str:
    """Return the type of a tensor as safetensors writes it."""
    name = str(tensor.dtype).removeprefix("torch.")
    return _NAMES.get(name, name)
