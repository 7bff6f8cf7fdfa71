"""Names to models: `list_models`, `info`, `load`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from salzoo._schema import arguments
from salzoo.checkpoint.folder import (
    MOST_BYTES,
    count_bytes,
    find_checkpoint,
    load_weights,
    read_config,
    searched,
    user_checkpoint,
)
from salzoo.checkpoint.hub import SCHEME, HubOptions, HubRef, fetch_config, fetch_weights, parse
from salzoo.errors import SpecError, UnknownModelError, WeightsError
from salzoo.registry import ModelSpec, read_spec, resolve, spec_names, split_name

if TYPE_CHECKING:
    from salzoo.components.saliency_model import SaliencyModel


HEADER_BYTES = 1 << 20
"""Of a safetensors file, beside its tensors."""


def load(
    name: str | Path,
    *,
    weights: str | None = "default",
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    **init_args: Any,
) -> SaliencyModel:
    """Return a model in eval mode.

    Args:
        name: `model`, `model.tag`, the path of a checkpoint folder (`model.safetensors` and `config.json`), or
            `hf://ORG/REPO@REVISION` for the same layout on the Hugging Face Hub.
        weights: `default` for the published ones; None for an untrained network, the only way to random weights.
        revision: Branch, tag or commit on the Hub, instead of the one that the zoo pins or `@REVISION`.
        token: For private and gated repositories; None takes HF_TOKEN or the client's login.
        cache_dir: Where downloads are kept; None takes HF_HOME.
        local_files_only: Do not ask the Hub; as HF_HUB_OFFLINE=1.
        init_args: Arguments of the model's class that replace the variant's, with `weights=None` only. With a
            `backbone` and no tag, the variant of that backbone is taken if there is one.

    Returns:
        A LightningModule. Its `predict` takes any picture.

    Raises:
        UnknownModelError: If there is no such model or tag; the message suggests near ones.
        WeightsError: If weights are missing or damaged, do not fit, or cannot be fetched.
        SpecError: If an argument is unknown or of the wrong type.
    """
    if weights not in ("default", None):
        raise SpecError(f"weights={weights!r} is not accepted: 'default' loads the published weights, None loads none.")
    if weights is not None and init_args:
        raise SpecError(f"{', '.join(init_args)} changes the network, so no published weights fit: add weights=None.")
    access = HubOptions(token, cache_dir, local_files_only)
    if str(name).startswith(SCHEME):
        address = parse(str(name))
        if weights is None or (revision and address.revision):
            raise SpecError(f"{name}: give one revision, and no weights=None, which takes the name of a model.")
        return _load_remote(HubRef(address.repo, revision or address.revision), access)
    if _is_folder(name):
        if weights is None:
            raise SpecError(f"{name} is a checkpoint folder; load a name with weights=None for an untrained network.")
        if revision is not None:
            raise SpecError(f"{name} is a checkpoint folder, which has no revision {revision!r}.")
        return _load_folder(Path(name).expanduser())
    if weights is not None:
        return _load_published(str(name), revision, access)
    spec, tag = resolve(str(name))
    if "backbone" in init_args and "." not in str(name):
        same = [t for t, v in spec.variants.items() if v.init_args.get("backbone") == init_args["backbone"]]
        tag = next(iter(same), tag)
    return build(spec, tag, {**_offline(spec, spec.variants[tag].init_args), **init_args})


def build(spec: ModelSpec, tag: str, init_args: dict[str, Any]) -> SaliencyModel:
    """Return an untrained model in eval mode.

    Raises:
        SpecError: If an argument is unknown or of the wrong type.
    """
    from salzoo.components.saliency_model import Identity

    cls = _model_class(spec)
    model = cast("SaliencyModel", cls(**arguments(cls, init_args, f"{spec.name}.{tag}")))
    model.identity = Identity(spec.name, tag, init_args)
    return model.eval()


def _model_class(spec: ModelSpec) -> Any:
    module, _, name = spec.class_path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _is_folder(name: str | Path) -> bool:
    """A name of the registry is never a folder, whatever lies in the working directory."""
    if isinstance(name, Path) or "/" in name or "\\" in name:
        return True
    try:
        split_name(name)
    except UnknownModelError:
        return Path(name).is_dir()
    return False


def _load_published(name: str, revision: str | None, access: HubOptions) -> SaliencyModel:
    """Load from `$SALZOO_HUB`, whose folders are the user's own word, else what the registry pins."""
    spec, tag = split_name(name)
    if revision is None and (own := user_checkpoint(spec.name, tag)) is not None:
        return _load_folder(own)
    spec, tag = resolve(name)
    checkpoint = spec.variants[tag].checkpoint
    if checkpoint is None:
        if spec.training == "none" and revision is None:
            return build(spec, tag, spec.variants[tag].init_args)
        there = f"weights exist for {', '.join(spec.loadable)}" if spec.loadable else "no weights are published for it"
        raise WeightsError(
            f"{spec.name}.{tag} has no published weights ({there}); weights=None gives the untrained network, "
            f"`salzoo fit {spec.name}.{tag}` trains it."
        )
    if revision is None and (folder := find_checkpoint(spec.name, tag)) is not None:
        return _load_folder(folder, checkpoint.sha256)
    if checkpoint.repo is None:
        raise WeightsError(
            f"The checkpoint {spec.name}.{tag} is not in {searched()}, and it is not on the Hub. "
            f"Get a complete clone or wheel of salzoo, point $SALZOO_HUB at a folder that holds {spec.name}.{tag}/ "
            f"(sha256 {checkpoint.sha256[:12]}...), or pass weights=None for an untrained one."
        )
    address = HubRef(checkpoint.repo, revision or checkpoint.revision)
    return _load_remote(address, access, checkpoint.sha256 if revision is None else None)


def _load_remote(address: HubRef, access: HubOptions, sha256: str | None = None) -> SaliencyModel:
    """Load from the Hub: `config.json` first, and the weights only if the network that it describes takes them."""
    folder = fetch_config(address, access)

    def fetch(expected: str, most: int) -> None:
        fetch_weights(address, folder, access, expected, most)

    return _load_folder(folder, sha256, fetch)


def _load_folder(
    folder: Path, sha256: str | None = None, fetch: Callable[[str, int], None] | None = None
) -> SaliencyModel:
    """Build what `config.json` says and load the weights.

    Args:
        folder: The checkpoint.
        sha256: That the registry pins; None takes the folder's own word, for weights and architecture: its size is
            then measured before memory is spent.
        fetch: Brings the weights, given their sha256 and the bytes that the network can fill.
    """
    config = read_config(folder)
    if config.model not in spec_names():
        raise WeightsError(
            f"{folder}: config.json names the model {config.model!r}, which this zoo does not have. If it is "
            "somebody's own, install the package that has it, or salzoo.register its YAML."
        )
    spec = read_spec(config.model)
    if sha256 is None:
        build_on_meta(spec, config.tag, config.init_args, folder)
    model = build(spec, config.tag, _offline(spec, config.init_args))
    if fetch is not None:
        fetch(sha256 or config.sha256, count_bytes(model.network) + HEADER_BYTES)
    load_weights(model.network, folder, sha256 or config.sha256)
    model.calibrated = True
    model.trained_on = () if config.provenance is None else config.provenance.data
    model.origin = config
    return model


def build_on_meta(spec: ModelSpec, tag: str, init_args: dict[str, Any], folder: Path) -> SaliencyModel:
    """Return the model of a `config.json` without memory for its tensors; nobody has to vouch for the arguments.

    Raises:
        WeightsError: If they describe no network, or one that is too large.
    """
    import torch

    try:
        with torch.device("meta"):
            model = build(spec, tag, _offline(spec, init_args))
    except SpecError as error:
        raise WeightsError(f"{folder}: {error}") from error
    except (RuntimeError, OverflowError, ValueError, TypeError) as error:  # torch's, of sizes that no tensor can have
        raise WeightsError(f"{folder}: config.json describes no network: {str(error).splitlines()[0]}") from error
    if (size := count_bytes(model.network)) > MOST_BYTES:
        raise WeightsError(
            f"{folder}: config.json describes a network of {size:,} bytes; at most {MOST_BYTES:,} are accepted."
        )
    return model


def _offline(spec: ModelSpec, init_args: dict[str, Any]) -> dict[str, Any]:
    """Never fetch a backbone's weights: a checkpoint holds them, and an untrained network has none unless asked."""
    takes = "pretrained_backbone" in inspect.signature(_model_class(spec)).parameters
    return {**init_args, "pretrained_backbone": False} if takes else init_args
