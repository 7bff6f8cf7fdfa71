"""Checkpoint folders: find, verify, read, write. Laid out as a Hugging Face repository.

`model.safetensors` is `network.state_dict()`, `config.json` says how to build the network, `README.md` is the card.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from salzoo._io import hash_file, write_text
from salzoo._schema import from_mapping
from salzoo.checkpoint.config import CONFIG, FORMAT, WEIGHTS, Config
from salzoo.errors import SpecError, WeightsError
from salzoo.registry import shipped, shipped_checkpoint

if TYPE_CHECKING:
    from torch import Tensor, nn


def user_checkpoint(name: str, tag: str) -> Path | None:
    """Return the user's own checkpoint folder of that name in `$SALZOO_HUB`, if there is one."""
    place = os.environ.get("SALZOO_HUB")
    folder = Path(place).expanduser() / f"{name}.{tag}" if place else None
    return folder if folder is not None and folder.is_dir() else None


def find_checkpoint(name: str, tag: str) -> Path | None:
    """Return the folder of a checkpoint on this machine: the user's own, or the one shipped with salzoo."""
    return user_checkpoint(name, tag) or shipped_checkpoint(name, tag)


def searched() -> str:
    """Return the places that `find_checkpoint` searches, for a message."""
    own = f" (SALZOO_HUB={os.environ['SALZOO_HUB']})" if os.environ.get("SALZOO_HUB") else ""
    return f"{shipped('hub')}{own}"


def read_config(folder: Path) -> Config:
    """Read and check `config.json`.

    Raises:
        WeightsError: If the folder or the file is missing, the file is not valid JSON, has an unknown key or a wrong
            type, or does not say what the weights are.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise WeightsError(f"{folder} is not a checkpoint folder: it has no {CONFIG}. It needs {WEIGHTS} and {CONFIG}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not valid JSON: {error}. Copy the folder again.") from error
    if isinstance(content, dict) and isinstance(version := content.get("format", FORMAT), int) and version > FORMAT:
        raise WeightsError(f"{path}: format is {version}, this salzoo reads {FORMAT}: pip install --upgrade salzoo.")
    try:
        config = from_mapping(Config, content, str(path))
    except SpecError as error:
        raise WeightsError(str(error)) from error
    if config.sha256 is None or config.license is None:
        raise WeightsError(f"{path}: sha256 and license of the weights are missing.")
    return config


def load_weights(network: nn.Module, folder: Path, sha256: str) -> None:
    """Load `model.safetensors` into a network, every tensor and nothing else; half precision becomes float32.

    Args:
        network: Built as `config.json` says.
        folder: The checkpoint.
        sha256: Expected checksum of the file.

    Raises:
        WeightsError: If the file is missing or not the expected one, or a tensor is missing, unknown or misshapen.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise WeightsError(f"{folder} has no {WEIGHTS}. Copy the whole folder again.")
    if (got := hash_file(path)) != sha256:
        raise WeightsError(
            f"{path} is damaged or was replaced: its sha256 is {got}, expected {sha256}. Copy the folder again."
        )
    network.load_state_dict(read_tensors(network, path))


def read_tensors(network: nn.Module, path: Path) -> dict[str, Tensor]:
    """Read a safetensors file with the names and shapes of a network; its header is checked before memory is taken.

    Raises:
        WeightsError: If it is not such a file, or a tensor is missing, unknown or misshapen.
    """
    from safetensors import SafetensorError, safe_open

    own = network.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            missing, unknown = sorted(set(own) - set(shapes)), sorted(set(shapes) - set(own))
            misshapen = sorted(k for k in set(own) & set(shapes) if tuple(own[k].shape) != shapes[k])
            if missing or unknown or misshapen:
                raise WeightsError(
                    f"{path} does not fit the network that {CONFIG} describes: missing {missing[:3]} ({len(missing)}), "
                    f"unknown {unknown[:3]} ({len(unknown)}), misshapen {misshapen[:3]} ({len(misshapen)})."
                )
            return {name: file.get_tensor(name) for name in shapes}
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a safetensors file: {error}") from error


def count_bytes(network: nn.Module) -> int:
    """Return the size of all tensors of a network as they are in memory."""
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())


def save_checkpoint(network: nn.Module, config: Config, folder: Path, *, half: bool = True) -> Config:
    """Write `model.safetensors` and `config.json`; a failure leaves the folder as it was.

    Args:
        network: Its `state_dict` is what is stored.
        config: What `config.json` says, but for the checksum.
        folder: Created if it does not exist.
        half: Store floating-point parameters as float16; buffers (statistics, priors) stay float32.

    Returns:
        What was written to `config.json`.

    Raises:
        WeightsError: If a tensor is not finite, or does not survive half precision.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {}
    parameters = {name for name, _ in network.named_parameters()}
    for name, tensor in network.state_dict().items():
        small = half and name in parameters and tensor.is_floating_point()
        stored = tensor.detach().cpu().to(torch.float16 if small else tensor.dtype).contiguous()
        if not torch.isfinite(stored.float()).all():
            raise WeightsError(f"{name} is not finite{' in half precision' if small else ''}; nothing was written.")
        tensors[name] = stored
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        weights = Path(scratch) / WEIGHTS
        save_file(tensors, weights)
        weights.chmod(0o644)  # safetensors keeps its files to their owner
        config = replace(config, sha256=hash_file(weights))
        write_config(Path(scratch), config)
        for name in (WEIGHTS, CONFIG):
            os.replace(Path(scratch) / name, folder / name)
    return config


def write_config(folder: Path, config: Config) -> None:
    """Write `config.json` in one step; the format comes first."""
    content = asdict(config)
    write_text(folder / CONFIG, json.dumps({"format": content.pop("format"), **content}, indent=2) + "\n")
