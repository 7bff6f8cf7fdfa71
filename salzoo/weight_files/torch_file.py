"""PyTorch's files, zip or older, of which only tensors and plain containers are read (`weights_only=True`)."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from salzoo._arrays import check_archive
from salzoo.errors import WeightsError

WRAPPERS = ("state_dict", "student_model")
"""Keys under which authors put the state dict beside other things: the optimiser, the epoch."""


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a state dict by its keys, without the `module.` that `DataParallel` puts before each.

    A zip's tensors stay in the file until they are used.

    Raises:
        WeightsError: If it holds a whole module or another object, of which nothing is unpickled, or no state dict.
    """
    check_archive(path)
    zipped = zipfile.is_zipfile(path)
    if zipped:
        _check_no_program(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise WeightsError(
                f"{path} holds an object of {found[1]}, and only tensors are read from a stranger's pickle: load it "
                "with the authors' code, and save `state_dict()` alone"
            ) from error
        raise
    return _without_module(_tensors(path, _unwrapped(content)))


def _check_no_program(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise WeightsError(
                f"{path} is a program (TorchScript), which is not run: load it with the authors' code, and save "
                "`state_dict()` alone"
            )


def _unwrapped(content: Any) -> Any:
    if isinstance(content, Mapping):
        for key in WRAPPERS:
            if isinstance(content.get(key), Mapping):
                return content[key]
    return content


def _tensors(path: Path, content: Any) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a state dict: tensors by name")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"{path} is no state dict: under {str(key)[:60]!r} it has a {type(value).__name__}, not a tensor; a "
                f"state dict is looked for at the top, and under {' and '.join(WRAPPERS)}"
            )
        if value.layout != torch.strided or value.is_quantized or value.is_complex():
            raise WeightsError(f"{path}: {key} is not a plain tensor of real numbers")
        if value.nbytes > path.stat().st_size:
            raise WeightsError(f"{path}: {key} has {value.nbytes:,} bytes, more than the file: it repeats numbers")
    return dict(content)


def _without_module(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    if not all(name.startswith("module.") for name in tensors):
        return tensors
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
