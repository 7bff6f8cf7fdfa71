"""Names to models: `list_models`, `info`, `load`."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import inspect
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from salzoo import hub, remote
from salzoo.errors import SpecError, UnknownModelError, WeightsError
from salzoo.spec import ModelSpec, arguments, read_spec, spec_names

if TYPE_CHECKING:
    from salzoo.model import SaliencyModel


HEADER_BYTES = 1 << 20
"""Of a safetensors file, beside its tensors."""


def list_models(pattern: str = "*", *, trained: bool = False) -> list[str]:
    """Return the sorted names of the zoo's models. Imports no torch.

    Args:
        pattern: Glob that the name must match.
        trained: Only models that `load` takes without training: with published weights, or with nothing to learn.

    Example:
        >>> list_models("deepgaze2")
        ['deepgaze2']
    """
    names = [name for name in spec_names() if fnmatch.fnmatchcase(name, pattern)]
    return [name for name in names if read_spec(name).loadable] if trained else names


def resolve(name: str) -> tuple[ModelSpec, str]:
    """Return the spec and the tag that `model` or `model.tag` means.

    Args:
        name: As typed; case, "-" and spaces make no difference.

    Raises:
        UnknownModelError: With the nearest names, or the model's tags.
    """
    spec, tag = _split(name)
    if tag not in spec.variants:
        raise UnknownModelError(f"{spec.name} has no variant {tag!r}; it has {', '.join(sorted(spec.variants))}.")
    return spec, tag


def _split(name: str) -> tuple[ModelSpec, str]:
    model, _, tag = name.lower().replace("-", "_").replace(" ", "_").partition(".")
    names = spec_names()
    if model not in names:
        near = ", ".join(map(repr, difflib.get_close_matches(model, names, n=3, cutoff=0.5)))
        hint = f" Did you mean {near}?" if near else ""
        raise UnknownModelError(f"Unknown model {name!r}.{hint} `salzoo list` shows all {len(names)}.")
    spec = read_spec(model)
    return spec, tag or spec.default


def info(name: str) -> dict[str, Any]:
    """Return what is known of a model, as JSON types: paper, variants, checkpoints, licence, numbers.

    Args:
        name: `model` or `model.tag`.

    Raises:
        UnknownModelError: If there is none.
    """
    spec, tag = resolve(name)
    content = asdict(spec) | {"reported": [asdict(row) for row in spec.reported]}
    del content["tiny"]
    variant = spec.variants[tag]
    preprocess, backbone = variant.init_args.get("preprocess"), variant.init_args.get("backbone")
    content |= {"tag": tag, "backbone": backbone, "preprocess": preprocess, "license": None, "measured": []}
    content["checkpoints"] = {t: asdict(v.checkpoint) for t, v in spec.variants.items() if v.checkpoint is not None}
    if variant.checkpoint is not None and (folder := hub.find(spec.name, tag)) is not None:
        config = hub.read_config(folder)
        content |= {"license": config.license, "preprocess": config.init_args.get("preprocess")}
        content["measured"] = [asdict(row) for row in config.measured]
    return content


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
    access = remote.Access(token, cache_dir, local_files_only)
    if str(name).startswith(remote.SCHEME):
        address = remote.parse(str(name))
        if weights is None or (revision and address.revision):
            raise SpecError(f"{name}: give one revision, and no weights=None, which takes the name of a model.")
        return _load_remote(remote.Address(address.repo, revision or address.revision), access)
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
    from salzoo.model import Identity

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
        _split(name)
    except UnknownModelError:
        return Path(name).is_dir()
    return False


def _load_published(name: str, revision: str | None, access: remote.Access) -> SaliencyModel:
    """Load from `$SALZOO_HUB`, whose folders are the user's own word, else what the registry pins."""
    spec, tag = _split(name)
    if revision is None and (own := hub.own_folder(spec.name, tag)) is not None:
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
    if revision is None and (folder := hub.find(spec.name, tag)) is not None:
        return _load_folder(folder, checkpoint.sha256)
    if checkpoint.repo is None:
        raise WeightsError(
            f"The checkpoint {spec.name}.{tag} is not in {hub.searched()}, and it is not on the Hub. "
            f"Get a complete clone or wheel of salzoo, point $SALZOO_HUB at a folder that holds {spec.name}.{tag}/ "
            f"(sha256 {checkpoint.sha256[:12]}...), or pass weights=None for an untrained one."
        )
    address = remote.Address(checkpoint.repo, revision or checkpoint.revision)
    return _load_remote(address, access, checkpoint.sha256 if revision is None else None)


def _load_remote(address: remote.Address, access: remote.Access, sha256: str | None = None) -> SaliencyModel:
    """Load from the Hub: `config.json` first, and the weights only if the network that it describes takes them."""
    folder = remote.fetch_config(address, access)

    def fetch(expected: str, most: int) -> None:
        remote.fetch_weights(address, folder, access, expected, most)

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
    config = hub.read_config(folder)
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
        fetch(sha256 or config.sha256, hub.count_bytes(model.network) + HEADER_BYTES)
    hub.load_weights(model.network, folder, sha256 or config.sha256)
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
    if (size := hub.count_bytes(model.network)) > hub.MOST_BYTES:
        raise WeightsError(
            f"{folder}: config.json describes a network of {size:,} bytes; at most {hub.MOST_BYTES:,} are accepted."
        )
    return model


def _offline(spec: ModelSpec, init_args: dict[str, Any]) -> dict[str, Any]:
    """Never fetch a backbone's weights: a checkpoint holds them, and an untrained network has none unless asked."""
    takes = "pretrained_backbone" in inspect.signature(_model_class(spec)).parameters
    return {**init_args, "pretrained_backbone": False} if takes else init_args
