"""From a reference to a model: a folder, its config, the network, its tensors; each step once."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, cast

from salzoo._schema import arguments, from_mapping, parameters, shown
from salzoo.checkpoint import hub
from salzoo.checkpoint.config import Config, as_json
from salzoo.checkpoint.folder import count_bytes, read_config, searched, user_checkpoint
from salzoo.checkpoint.hub import HubOptions, HubRef
from salzoo.checkpoint.limits import check_depth, from_pickle, limited
from salzoo.checkpoint.missing import no_variant, not_imported, not_in_the_wheel, not_published
from salzoo.checkpoint.reference import FolderRef, Reference, StateRef, ZooRef
from salzoo.checkpoint.weights import HEADER_BYTES, check_header, check_tensors, load_weights
from salzoo.errors import SalzooError, SpecError, WeightsError
from salzoo.registry import AUTHORS, ModelSpec, read_spec, shipped_checkpoint, shipped_weights, spec_names

Model = Any
"""A `SaliencyModel`: this room finds the class by its path, and does not import it."""

LIGHTNING_KEY = "salzoo"
"""Key in a Lightning checkpoint under which the model's config and training settings are kept."""


@dataclass(frozen=True)
class Source:
    """A checkpoint on this machine, or its `config.json` and where its weights are.

    Args:
        folder: Holds `config.json`.
        sha256: Checksum that the registry pins; None takes the one in the folder's `config.json`.
        trusted: Whether the checkpoint ships with salzoo; if not, the network is compared with the weights before
            memory is spent, and tried on an image.
        hub: Repository that the weights are still to be fetched from; None if they are in the folder.
        model: Model that the name stands for; None if no name was given.
    """

    folder: Path
    sha256: str | None = None
    trusted: bool = False
    hub: HubRef | None = None
    model: str | None = None


def load_reference(reference: Reference, weights: str | None, access: HubOptions, options: Mapping[str, Any]) -> Model:
    """Return the model that a reference means; see `salzoo.load`."""
    if isinstance(reference, ZooRef) and weights not in ("default", None):
        reference = replace(reference, tag=str(weights), tag_given=True)
    elif weights not in ("default", None):
        raise SpecError(f"weights={weights!r} is for a name of the zoo; accepted here is 'default'.")
    if weights is None:
        return _untrained(reference, options)
    if isinstance(reference, StateRef):
        return load_lightning(reference.path, None, options)
    source = _locate(reference, access)
    if source is None:
        return _untrained(reference, options)
    return _load_source(source, access, options)


def _locate(reference: ZooRef | FolderRef | HubRef, access: HubOptions) -> Source | None:
    """Find the checkpoint: `$SALZOO_HUB`, then what ships with salzoo, then the Hub. None: there is nothing to load."""
    if isinstance(reference, FolderRef):
        return Source(reference.path)
    if isinstance(reference, HubRef):
        return Source(hub.fetch_config(reference, access), hub=reference)
    spec, tag, revision = reference.spec, reference.tag, reference.revision
    if revision is None and (own := user_checkpoint(spec.name, tag)) is not None:
        return Source(own, model=spec.name)
    if tag not in spec.variants:
        raise not_imported(spec) if tag == AUTHORS and spec.authors else no_variant(spec, tag)
    if revision is None and (folder := shipped_weights(spec.name, tag)) is not None:
        return Source(folder, trusted=True, model=spec.name)
    if (pin := spec.variants[tag].hub) is not None:
        on_hub = HubRef(pin.repo, revision or pin.revision)
        sha256 = pin.sha256 if revision is None else None
        return Source(hub.fetch_config(on_hub, access), sha256, hub=on_hub, model=spec.name)
    if revision is not None:
        raise SpecError(f"{spec.name}.{tag} is not on the Hub, so it has no revision {revision!r}: leave it out.")
    if spec.training == "none":
        return None
    if (folder := shipped_checkpoint(spec.name, tag)) is not None:
        raise not_in_the_wheel(spec, tag, count_bytes(build_on_meta(read_config(folder), folder).network, half=True))
    if not reference.tag_given and (own := user_checkpoint(spec.name, AUTHORS)) is not None:
        return Source(own, model=spec.name)
    raise not_published(spec, tag, searched())


def _load_source(source: Source, access: HubOptions, options: Mapping[str, Any]) -> Model:
    """Build the network of `config.json` and load the weights; from the Hub only if their size fits the network."""
    import torch

    config, folder = read_config(source.folder, source.model), source.folder
    spec, sha256 = spec_of(config, folder), source.sha256 or str(config.sha256)
    network, preprocess, _ = split_options(spec, config.tag, options)
    if not source.trusted:
        described = build_on_meta(config, folder).network
    if network:
        _refuse_other_tensors(spec, config, network)
    if source.hub is not None:
        if options:  # what is wrong with them is told before weights are fetched
            with torch.device("meta"):
                _build_again(spec, config, _settings(config.training, config, folder), options)
        hub.fetch_weights(source.hub, folder, access, sha256, count_bytes(described) + HEADER_BYTES)
    if not source.trusted:
        check_header(described, folder, sha256)
    model = _build_again(spec, config, _settings(config.training, config, folder), options)
    load_weights(model.network, folder, sha256, finite=not source.trusted)
    model.statistics_fitted = True
    if not source.trusted:
        _try_out(model, folder)
    if network or preprocess:  # other views or another input, other numbers
        model.config = replace(model.config, measured=())
    return model


def _settings(recorded: Mapping[str, Any], config: Config, where: Path) -> dict[str, Any]:
    """Return the recorded training settings of a checkpoint; those that this version does not know are left out.

    Raises:
        WeightsError: If the criterion is a text to be parsed, which only a user may give.
    """
    known = {field.name for field in fields(import_class(spec_of(config, where)).training_class)}
    settings = {name: value for name, value in recorded.items() if name in known}
    if isinstance(loss := settings.get("loss"), str) and not re.fullmatch(r"\w{1,64}", loss):
        raise WeightsError(f"{where}: the criterion {shown(loss)} is not accepted: a name, or a mapping of weights.")
    return settings


def _build_again(spec: ModelSpec, config: Config, settings: Mapping[str, Any], options: Mapping[str, Any]) -> Model:
    """Return the untrained model of a config, and of what the user changes, that knows where it comes from."""
    network, preprocess, training = split_options(spec, config.tag, options)
    given = {**config.network, **network}
    model = build(spec, config.tag, given, _merged(config.preprocess, preprocess), {**settings, **training})
    recorded = cast("Config", model.config)
    model.config = replace(config, network=recorded.network, preprocess=recorded.preprocess)
    return model


def _try_out(model: Model, where: Path) -> None:
    """Predict one small image, so that what loads also predicts.

    Raises:
        WeightsError: If it does not.
    """
    import torch

    image = (torch.arange(3 * 48 * 64) % 251).to(torch.uint8).view(3, 48, 64)
    with _as_weights_error(f"{where} holds a network that does not predict"):
        model.predict(image)


@contextmanager
def _as_weights_error(what: str) -> Iterator[None]:
    """Turn whatever a network raises that a stranger described, too little memory among it, into a WeightsError."""
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0][:300]
        kind = "" if isinstance(error, SalzooError) else f"{type(error).__name__} "
        raise WeightsError(f"{what}: {kind}{reason}") from error


def _untrained(reference: Reference, options: Mapping[str, Any]) -> Model:
    """Return a new network of a variant; ImageNet weights are loaded if they are asked for."""
    if not isinstance(reference, ZooRef):
        raise SpecError("weights=None takes the name of a model, to give its untrained network.")
    spec, tag = reference.spec, reference.tag
    if "backbone" in options and not reference.tag_given:
        same = [t for t, v in spec.variants.items() if v.network.get("backbone") == options["backbone"]]
        tag = next(iter(same), tag)
    if tag not in spec.variants:
        raise no_variant(spec, tag)
    variant = spec.variants[tag]
    network, preprocess, training = split_options(spec, tag, options)
    settings = {**variant.recipe.get("training", {}), "pretrained_backbone": False, **training}
    model = build(spec, tag, {**variant.network, **network}, _merged(variant.preprocess, preprocess), settings)
    if model.training_config.pretrained_backbone:
        model.load_pretrained_backbone()
    return model


def load_lightning(path: Path, map_location: Any, options: Mapping[str, Any], model_class: Any = None) -> Model:
    """Return the model of a Lightning checkpoint, in eval mode.

    Args:
        path: The `.ckpt` file; it is read without executing anything that it holds.
        map_location: Device to load onto; None for the CPU.
        options: Arguments of the class and training options.
        model_class: What to build if the file does not name a model of the registry.

    Raises:
        WeightsError: If it is no such file, or another model's.
    """
    content, config = read_lightning(path, map_location)
    state = content["state_dict"]
    if config is not None:
        with _as_weights_error(f"{path}: training"):
            before = _settings(content[LIGHTNING_KEY].get("training") or {}, config, path)
        own = {name.removeprefix("network."): state[name] for name in state if name.startswith("network.")}
        described = build_on_meta(config, path, before).network
        with _as_weights_error(f"{path} does not fit the network"):
            check_tensors(described, own, path)
        model = _build_again(spec_of(config, path), config, before, options)
    elif model_class is not None:
        model = model_class(**options)
    else:
        raise WeightsError(
            f"{path} does not say which model it is of: call load_from_checkpoint on the model's own class, with the "
            "arguments of its constructor."
        )
    if not {name for name in state if not name.startswith("criterion.")} <= set(model.state_dict()):
        model.configure_model()  # what only training needs, as a discriminator
    model.on_load_checkpoint(content)
    try:
        model.load_state_dict(state)
    except Exception as error:  # torch raises what a state of odd types leads to
        raise WeightsError(f"{path} does not fit {type(model).__name__}: {' '.join(str(error).split())}") from error
    model.statistics_fitted = True
    if config is not None:
        _try_out(model.cpu().eval(), path)
    return model.to(map_location or "cpu").eval()


def read_lightning(path: Path, map_location: Any = None, *, mmap: bool = False) -> tuple[dict[str, Any], Config | None]:
    """Return what a Lightning checkpoint holds, read without executing anything, and the config in it, if it has one.

    Args:
        path: The `.ckpt` file.
        map_location: Device to load onto; None for the CPU.
        mmap: Leave the tensors on the disk until they are used.

    Raises:
        WeightsError: If it is no such file.
    """
    import torch

    from salzoo._arrays import check_archive

    if not os.path.isfile(path):
        raise WeightsError(f"there is no file {path}.")
    with _as_weights_error(f"{path} is not a checkpoint of Lightning's trainer"):
        check_archive(path)
        content = torch.load(path, map_location=map_location or "cpu", weights_only=True, mmap=mmap)
        if odd := [name for name, _ in content["state_dict"].items() if not isinstance(name, str)]:
            raise WeightsError(f"{path}: {shown(odd[0])} in its state_dict is not the name of a tensor.")
        content[LIGHTNING_KEY] = own = from_pickle(content.get(LIGHTNING_KEY) or {}, LIGHTNING_KEY)
        known = own.get("config")
        check_depth(known, "config")
        return content, None if known is None else from_mapping(Config, known, "config")


def build(
    spec: ModelSpec,
    tag: str,
    network: Mapping[str, Any],
    preprocess: Any = None,
    training: Mapping[str, Any] | None = None,
) -> Model:
    """Return an untrained model in eval mode.

    Args:
        spec: The model.
        tag: Tag that is recorded in its config.
        network: Arguments of the class but `preprocess`.
        preprocess: A `Preprocess` or its fields; None or empty for the model's own.
        training: Fields of the model's training config.

    Raises:
        SpecError: If an argument is unknown or of the wrong type.
    """
    cls, where = import_class(spec), f"{spec.name}.{tag}"
    fixed = "preprocess" not in parameters(cls)  # by a constructor of a user's own
    given = {**network, "preprocess": preprocess} if preprocess and not fixed else network
    model = cls(**arguments(cls, dict(given), where))
    if preprocess and fixed:
        model.preprocess = from_mapping(type(model.preprocess), preprocess, f"{where}.preprocess")
    model.training_config = from_mapping(cls.training_class, dict(training or {}), f"{where}: training")
    model.config = Config(spec.name, tag, as_json(dict(network)), as_json(asdict(model.preprocess)))
    return model.eval()


def build_on_meta(config: Config, where: Path, settings: Mapping[str, Any] | None = None) -> Model:
    """Return the model of a `config.json` without memory for its tensors, so that the arguments need not be trusted.

    Args:
        config: What the file holds.
        where: The file, for the message.
        settings: Training settings; None for the recorded ones.

    Raises:
        WeightsError: If they describe no network, or one that is too large.
    """
    import torch

    spec = spec_of(config, where)
    with _as_weights_error(f"{where}: config.json describes no network"), limited(where), torch.device("meta"):
        training = _settings(config.training, config, where) if settings is None else settings
        return build(spec, config.tag, config.network, config.preprocess, training)


def _refuse_other_tensors(spec: ModelSpec, config: Config, network: Mapping[str, Any]) -> None:
    """Refuse options that change names or shapes of tensors, or the backbone that they are of.

    Raises:
        SpecError: Naming them.
    """
    import torch

    def identity(options: Mapping[str, Any]) -> Any:
        with torch.device("meta"):
            model = build(spec, config.tag, {**config.network, **options}, config.preprocess)
        shapes = {name: tuple(tensor.shape) for name, tensor in model.network.state_dict().items()}
        return shapes, [(backbone.name, backbone.feature_nodes) for backbone in model.backbones()]

    published = identity({})
    if changing := [name for name, value in network.items() if identity({name: value}) != published]:
        raise SpecError(
            f"{config.model}.{config.tag}: {', '.join(changing)} changes the network's tensors, so its published "
            "weights do not fit: add weights=None for an untrained network."
        )


def split_options(spec: ModelSpec, tag: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """Split what users give in one list into arguments of the network, preprocessing and training settings.

    Raises:
        SpecError: On an unknown option; the message names the accepted ones.
    """
    if not options:
        return {}, None, {}
    cls = import_class(spec)
    of_class, of_training = set(parameters(cls)), {field.name for field in fields(cls.training_class)}
    if unknown := sorted(set(options) - of_class - of_training):
        raise SpecError(
            f"{spec.name}.{tag} has no option {unknown[0]!r}; accepted are, for the network, "
            f"{', '.join(sorted(of_class))}, for training {', '.join(sorted(of_training))}, and device, weights, "
            "revision, token, cache_dir and local_files_only."
        )
    network = {name: value for name, value in options.items() if name in of_class - {"preprocess"}}
    training = {name: value for name, value in options.items() if name in of_training}
    return network, options.get("preprocess"), training


def _merged(own: Mapping[str, Any], given: Any) -> Any:
    """Return the checkpoint's preprocessing with the given fields replaced; a whole `Preprocess` replaces all of it."""
    if is_dataclass(given):
        return given
    if not isinstance(given, Mapping | None):
        raise SpecError(
            f"preprocess: got {given!r}, accepted is a Preprocess or its fields, as in {{'size': (240, 320)}}."
        )
    return {**own, **(given or {})}


def spec_of(config: Config, where: Path) -> ModelSpec:
    """Return the registry's entry of a checkpoint's model.

    Raises:
        WeightsError: If the zoo has no such model.
    """
    if config.model not in spec_names():
        raise WeightsError(
            f"{where}: its config names the model {config.model!r}, which this zoo does not have. If it is "
            "a model of another package, install that package, or salzoo.register its YAML."
        )
    return read_spec(config.model)


def import_class(spec: ModelSpec) -> Any:
    """Return the class of a model.

    Raises:
        SpecError: If it cannot be imported.
    """
    module, _, name = spec.class_path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # a module of a user's own may raise anything
        raise SpecError(f"{spec.name}: class_path {spec.class_path!r} cannot be imported: {error}") from error
