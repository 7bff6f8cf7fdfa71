"""Checkpoint folders: find, verify, read, write. Laid out as a Hugging Face repository.

`model.safetensors` is `network.state_dict()`, `config.json` says how to build the network, `README.md` is the card.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from salzoo._io import hash_file, write_text
from salzoo._schema import from_mapping, shown
from salzoo._text import decode_text
from salzoo.checkpoint.config import CONFIG, FORMAT, WEIGHTS, Config
from salzoo.checkpoint.limits import CONFIG_BYTES, check_depth
from salzoo.errors import SpecError, WeightsError
from salzoo.registry import shipped, shipped_checkpoint

if TYPE_CHECKING:
    from torch import nn


USUAL_PREPROCESS = {"resample": "antialiased", "pad_value": 128}
"""Fields of `Preprocess` that only checkpoints of other tools' pipelines need, and what stands for them elsewhere."""


def own_checkpoints() -> Path:
    """Return the user's own folder of checkpoints, where `salzoo import` puts them; it need not exist.

    `$XDG_DATA_HOME/salzoo/hub`, and without that variable `~/.local/share/salzoo/hub`; on Windows in `%LOCALAPPDATA%`.
    """
    place = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA") or "~/.local/share"
    return Path(os.path.expanduser(place)) / "salzoo" / "hub"


def user_checkpoint(name: str, tag: str) -> Path | None:
    """Return the user's checkpoint folder of that name, in `$SALZOO_HUB` or in `own_checkpoints`, if there is one.

    Raises:
        WeightsError: If it cannot be looked for: others would be taken in its place without a word.
    """
    for place in _own_places():
        folder = place / f"{name}.{tag}"
        try:
            if stat.S_ISDIR(folder.stat().st_mode):
                return folder
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            hint = f" (SALZOO_HUB={os.environ['SALZOO_HUB']})" if place != own_checkpoints() else ""
            raise WeightsError(f"{folder} cannot be opened: {error.strerror}{hint}.") from error
    return None


def _own_places() -> list[Path]:
    place = os.environ.get("SALZOO_HUB")
    return [*([Path(os.path.expanduser(place))] if place else []), own_checkpoints()]


def find_checkpoint(name: str, tag: str) -> Path | None:
    """Return the folder of a checkpoint on this machine: the user's own, or the one shipped with salzoo."""
    return user_checkpoint(name, tag) or shipped_checkpoint(name, tag)


def searched() -> str:
    """Return the places that `find_checkpoint` searches, for a message."""
    own = f" (SALZOO_HUB={os.environ['SALZOO_HUB']})" if os.environ.get("SALZOO_HUB") else ""
    return f"{shipped('hub')}{own}, {own_checkpoints()}"


def read_config(folder: Path, model: str | None = None) -> Config:
    """Read and check `config.json`.

    Args:
        folder: The checkpoint.
        model: Model whose name the folder stands for; None for any.

    Raises:
        WeightsError: If the folder or the file is missing or cannot be read, the file is too large, not valid JSON, has
            an unknown key or a wrong type, does not say what the weights are, or is of another model.
    """
    path = folder / CONFIG
    try:
        if not path.is_file():
            raise WeightsError(
                f"{folder} is not a checkpoint folder: it has no {CONFIG}. It needs {WEIGHTS} and {CONFIG}."
            )
        with path.open("rb") as file:
            data = file.read(CONFIG_BYTES + 1)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > CONFIG_BYTES:
        raise WeightsError(f"{path} has more than {CONFIG_BYTES} bytes, which are the most that are read.")
    try:
        content = json.loads(decode_text(data, CONFIG))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not valid JSON: {error}. Copy the folder again.") from error
    if isinstance(content, dict) and isinstance(version := content.get("format", FORMAT), int) and version > FORMAT:
        raise WeightsError(
            f"{path}: format is {shown(version)}, this salzoo reads {FORMAT}: pip install --upgrade salzoo."
        )
    try:
        check_depth(content, str(path))
        config = from_mapping(Config, content, str(path))
        config = replace(config, preprocess={**config.preprocess, **(USUAL_PREPROCESS | config.preprocess)})
    except SpecError as error:
        raise WeightsError(str(error)) from error
    if config.sha256 is None or config.license is None:
        raise WeightsError(f"{path}: sha256 and license of the weights are missing.")
    if model is not None and config.model != model:
        raise WeightsError(
            f"{folder} holds {config.model}.{config.tag}, not a {model}: rename it, or load it by its path."
        )
    return config


def count_bytes(network: nn.Module, *, half: bool = False) -> int:
    """Return the size of all tensors of a network as they are in memory; or in a file with parameters as float16."""
    tensors = network.state_dict()
    parameters = {name for name, _ in network.named_parameters()} if half else set()
    return sum(t.numel() * (2 if name in parameters else t.element_size()) for name, t in tensors.items())


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
    """Write `config.json` in one step; the format comes first, and what only some checkpoints have only in these."""
    content = asdict(config)
    for name in ("trained_images", "imported"):
        if not content[name]:
            del content[name]
    for row in content["measured"]:
        for name in ("explained", "calibration"):
            if row[name] is None:
                del row[name]
    for name, usual in USUAL_PREPROCESS.items():
        if content["preprocess"].get(name) == usual:
            del content["preprocess"][name]
    write_text(folder / CONFIG, json.dumps({"format": content.pop("format"), **content}, indent=2) + "\n")
