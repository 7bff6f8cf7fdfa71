"""What the zoo knows of a model before any of its code is imported: `zoo_configs/<name>.yaml` as frozen dataclasses.

The directory is the registry; installed packages and `register` add to it. Nothing here imports torch, so that listing
the zoo takes milliseconds.
"""

from __future__ import annotations

import difflib
import fnmatch
import functools
import os
import re
import shlex
import warnings
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from salzoo._io import write_text
from salzoo._schema import from_mapping, shown
from salzoo._text import read_text
from salzoo.errors import SpecError, UnknownModelError


@dataclass(frozen=True)
class Paper:
    """Where a model was published, and `added`: what it brought that those before it had not, in a few words."""

    title: str
    authors: str
    year: int
    venue: str
    url: str | None = None
    code: str | None = None
    added: str | None = None


@dataclass(frozen=True)
class HubPin:
    """Where on the Hugging Face Hub the weights of a variant are, pinned to their bytes.

    Args:
        repo: `ORG/REPO`.
        revision: Commit hash in that repository.
        sha256: Checksum of `model.safetensors`, 64 hex digits.
    """

    repo: str
    revision: str
    sha256: str


@dataclass(frozen=True)
class Variant:
    """One variant of a model: its network, how it is trained, and where its weights are if they are on the Hub.

    Args:
        summary: One line: backbone, data, what it is for.
        network: Arguments of the model's class but `preprocess`.
        preprocess: Fields of `Preprocess`; empty for the model's own.
        recipe: What trains it: `training` (fields of the model's `TrainingConfig`), and Lightning's `trainer`, `data`
            and `seed_everything`.
        hub: Weights on the Hub; None for those that ship with salzoo, and where there are none.
    """

    summary: str
    network: dict[str, Any] = field(default_factory=dict)
    preprocess: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    hub: HubPin | None = None


AUTHORS = "authors"
"""Tag of the checkpoint that `salzoo import` makes of the authors' own weights."""

CENTRE_BIAS = "https://github.com/matthias-k/DeepGaze/releases/download/v1.0.0/centerbias_mit1003.npy"
"""Where the authors of DeepGaze offer the centre bias that their networks add."""


@dataclass(frozen=True)
class ReleasedFile:
    """A file that the authors released, which salzoo neither ships nor fetches.

    Args:
        name: As the authors call it.
        where: Where they offer it, or where a copy is.
        bytes: Its size; None if it is not known.
        sha256: Its checksum; None if it is not known.
        git_blob: Its identifier in a git repository, likewise.
    """

    name: str
    where: str
    bytes: int | None = None
    sha256: str | None = None
    git_blob: str | None = None


@dataclass(frozen=True)
class Release:
    """Weights that the authors of a paper, or of a port of it, released: what `salzoo import` understands.

    Args:
        name: Unique in the model.
        summary: One line: which network, trained on what, by whom.
        files: Those that belong together.
        license: SPDX identifier under which the authors give them; `LicenseRef-none` if they state none.
        license_note: What they say and where, in one sentence.
        trained_on: Datasets and splits, as `salicon2015:train`.
        network: Arguments of the model's class but `preprocess`.
        preprocess: Fields of `Preprocess`, as the authors prepare images.
        proved: How the conversion was compared with an engine that is not ours, and with what result.
        known_answer: Image and map in the authors' repository; None if there are none.
    """

    name: str
    summary: str
    files: tuple[ReleasedFile, ...]
    license: str
    license_note: str
    trained_on: tuple[str, ...] = ()
    network: dict[str, Any] = field(default_factory=dict)
    preprocess: dict[str, Any] = field(default_factory=dict)
    proved: str | None = None
    known_answer: str | None = None

    @property
    def adds_centre_bias(self) -> bool:
        """Whether the network adds a centre bias that is a file of its own, `CENTRE_BIAS`."""
        return "template" in self.network

    def command(self, model: str) -> str:
        """Return the command that imports it."""
        bias = ["--centre-bias", Path(CENTRE_BIAS).name] if self.adds_centre_bias else []
        return shlex.join(["salzoo", "import", model, *(file.name for file in self.files), *bias])


@dataclass(frozen=True)
class Reported:
    """A number that the authors printed, and where."""

    dataset: str
    metric: str
    value: float
    where: str


@dataclass(frozen=True)
class ReportedTable:
    """The numbers that one source printed for one data set: an element of a list in `zoo_configs/reported/*.yaml`.

    Args:
        where: The source; a bare table number is one of the model's own paper.
        dataset: With its edition.
        models: Name of the model to metric to value.
    """

    where: str
    dataset: str
    models: dict[str, dict[str, float]]


@dataclass(frozen=True)
class ModelSpec:
    """One `zoo_configs/<name>.yaml`.

    Args:
        name: File stem; the name that users type.
        class_path: Import path of the `SaliencyModel` subclass.
        summary: One line.
        paper: None for a baseline that no paper claims.
        training: `gradient` (by `salzoo fit`), `closed_form` (fitted in one pass) or `none` (nothing to learn).
        default: Tag of the variant that `load(name)` takes.
        variants: Tag to variant.
        kind: `image` (where people look in an image), `video` (in a frame, after those before it, which is what it
            learns) or `scanpath` (where they look next, over a density of another model, which `predict` returns).
        tiny: Options with which the tests build the model in milliseconds, offline.
        reported: Numbers that authors printed: of `zoo_configs/reported/`, and those in the YAML itself.
        authors: Released weights that `salzoo import` understands; the first is what is assumed where several fit.
    """

    name: str
    class_path: str
    summary: str
    training: Literal["gradient", "closed_form", "none"]
    default: str
    variants: dict[str, Variant]
    kind: Literal["image", "video", "scanpath"] = "image"
    paper: Paper | None = None
    tiny: dict[str, Any] = field(default_factory=dict)
    reported: tuple[Reported, ...] = ()
    authors: tuple[Release, ...] = ()

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        if AUTHORS in self.variants:
            raise SpecError(f"{self.name}: {AUTHORS!r} is no name of a variant: imported weights are called so.")
        names = [release.name for release in self.authors]
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise SpecError(f"{self.name}: authors: {double[0]!r} is there twice.")
        if self.default not in self.variants:
            raise SpecError(f"{self.name}: default is {self.default!r}, but the variants are {sorted(self.variants)}.")

    @property
    def loadable(self) -> tuple[str, ...]:
        """Tags that `load` can take without training: those with weights, or all if there is nothing to learn."""
        return tuple(
            tag
            for tag, variant in self.variants.items()
            if variant.hub is not None or self.training == "none" or shipped_weights(self.name, tag) is not None
        )

    @property
    def left_out(self) -> tuple[str, ...]:
        """Tags of the zoo's checkpoints whose weights an installed wheel leaves out; empty in the repository."""
        tags = (tag for tag in self.variants if tag not in self.loadable)
        return tuple(tag for tag in tags if shipped_checkpoint(self.name, tag) is not None)


@functools.cache
def shipped(folder: str) -> Path:
    """Return a folder that ships with salzoo (`zoo_configs`, `hub`): inside an installed wheel, or the repository's."""
    package = Path(__file__).parent
    inside = package / f"_{folder}"
    return inside if inside.is_dir() else package.parent / folder


def shipped_checkpoint(name: str, tag: str) -> Path | None:
    """Return the checkpoint folder that ships with salzoo, maybe without its weights; None if none of that name does.

    A wheel has `config.json` and card of every checkpoint, and the weights of some: `pyproject.toml` says of which.
    """
    folder = shipped("hub") / f"{name}.{tag}"
    return folder if (folder / "config.json").is_file() else None


def shipped_weights(name: str, tag: str) -> Path | None:
    """Return the checkpoint folder that ships with salzoo if its weights are in it."""
    folder = shipped_checkpoint(name, tag)
    return folder if folder is not None and (folder / "model.safetensors").is_file() else None


RECOMMENDED = "deepgaze2e"
"""The model to start with, which `salzoo predict` takes if none is named."""

ENTRY_POINTS = "salzoo.models"
"""Group in which an installed package names its models: `mynet = "mypackage"` for `mypackage/mynet.yaml`."""

_NAME = r"[a-z0-9_]{1,64}"

_registered: dict[str, Path] = {}


def register(path: str | Path) -> str:
    """Add a model of your own to the zoo of this process: it loads, trains, is evaluated and published as any other.

    An installed package does the same for every process by an entry point of the group `salzoo.models`.

    Args:
        path: `<name>.yaml`, laid out as those in `zoo_configs/`; the prose of its card is `<name>.md` beside it.
            Its `class_path` must be importable.

    Returns:
        The name.

    Raises:
        SpecError: If the name is the zoo's, or the YAML is not a valid spec.
    """
    try:
        path = Path(os.path.realpath(Path(path).expanduser()))  # Path.resolve raises for links in a circle
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no such user
        raise SpecError(f"{path}: {error}") from error
    if not re.fullmatch(_NAME, path.stem):
        raise SpecError(f"{path}: {path.stem!r} is no name of a model: lower case letters, digits and _.")
    if path.stem in spec_files() and path.stem not in _registered:
        raise SpecError(
            f"{path}: there is a model {path.stem!r} already ({spec_files()[path.stem]}); choose another name."
        )
    _read_spec(path.stem, path)
    _registered[path.stem] = path
    _forget()
    return path.stem


def write_pin(name: str, tag: str, pin: HubPin) -> Path:
    """Write where a variant's weights are on the Hub into the model's YAML; every other line stays as it is.

    Args:
        name: Model.
        tag: Its variant.
        pin: Takes the place of the variant's `hub`, if it has one.

    Returns:
        The YAML.

    Raises:
        SpecError: If the YAML has no block of that variant that a line can be put into.
    """
    path = spec_files()[name]
    before = path.read_text(encoding="utf-8")
    line = f'    hub: {{repo: {pin.repo}, revision: "{pin.revision}", sha256: "{pin.sha256}"}}'
    lines, inside, done = list[str](), False, False
    for text in before.splitlines():
        if text.strip() and not text.startswith("   "):
            inside = text.rstrip() == f"  {tag}:"
        if not (inside and text.startswith("    hub:")):
            lines.append(text)
        if inside and text.startswith("    summary:"):
            lines.append(line)
            done = True
    if not done:
        raise SpecError(f"{path}: there is no block `{tag}:` with a summary; put this into the variant: {line.strip()}")
    write_text(path, "\n".join(lines) + "\n")
    _forget()
    try:
        written = read_spec(name).variants[tag].hub
    except SpecError:
        written = None
    if written != pin:
        write_text(path, before)
        _forget()
        raise SpecError(f"{path} has a layout of its own; put this into the variant: {line.strip()}")
    return path


def _forget() -> None:
    for function in (spec_files, spec_names, read_spec, reported_rows):
        function.cache_clear()


@functools.cache
def spec_files() -> dict[str, Path]:
    """Return the YAML of each model by its name: those of the zoo, of installed packages, and registered ones."""
    import importlib.metadata  # slower than all the rest together

    found = {path.stem: path for path in shipped("zoo_configs").glob("*.yaml")}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            found[entry.name] = _packaged(entry.name, entry.value, found)
        except SpecError as error:  # what is wrong with one package is no reason to lose the zoo
            why = " ".join(str(error).split()).rstrip(".")
            warnings.warn(f"The model {entry.name!r} of {entry.value!r} is left out: {why}.", stacklevel=2)
    return {**found, **_registered}


def foreign_models() -> list[str]:
    """Return the models of installed packages and those that were registered, whose code is not the zoo's."""
    return [name for name, path in spec_files().items() if path.parent != shipped("zoo_configs")]


def _packaged(name: str, package: str, others: Collection[str]) -> Path:
    """Return the YAML of a model that an installed package names.

    Raises:
        SpecError: If it is not there or not valid, or its name is not.
    """
    import importlib.util

    if name in others:
        raise SpecError("that name is taken")
    if not re.fullmatch(_NAME, name):
        raise SpecError("that is no name of a model: lower case letters, digits and _")
    why = ""
    try:
        spec = importlib.util.find_spec(package)
    except Exception as error:  # that of a subpackage imports its parent, which may raise anything
        spec, why = None, f" ({type(error).__name__}: {error})"
    places = (spec.submodule_search_locations or []) if spec else []
    path = next((path for place in places if os.path.isfile(path := Path(place) / f"{name}.yaml")), None)
    if path is None:
        raise SpecError(f"the package {package} has no {name}.yaml{why}")
    _read_spec(name, path)
    return path


@functools.cache
def spec_names() -> tuple[str, ...]:
    """Return the sorted names of all models."""
    return tuple(sorted(spec_files()))


def prose_file(name: str) -> Path:
    """Return where the hand-written part of a model's card is: in `hub/cards`, or beside a YAML of the user's own."""
    path = spec_files()[name]
    return shipped("hub") / "cards" / f"{name}.md" if path.parent == shipped("zoo_configs") else path.with_suffix(".md")


@functools.cache
def read_spec(name: str) -> ModelSpec:
    """Read one model's YAML.

    Args:
        name: An element of `spec_names()`.

    Raises:
        SpecError: If the file is not valid YAML, or not a valid spec.
    """
    spec = _read_spec(name, spec_files()[name])
    return replace(spec, reported=reported_rows().get(name, ()) + spec.reported)


def _read_spec(name: str, path: Path) -> ModelSpec:
    """Read a YAML, without what the zoo's tables say of the model."""
    content = _read_yaml(path)
    if not isinstance(content, dict):
        raise SpecError(f"{path}: expected a mapping, got {type(content).__name__}.")
    spec = from_mapping(ModelSpec, {"name": name, **content}, path.name)
    if spec.name != name:
        raise SpecError(f"{path}: name is {shown(spec.name)}, but that of the file is {name!r}.")
    return spec


@functools.cache
def reported_rows() -> dict[str, tuple[Reported, ...]]:
    """Return the rows of the tables in `zoo_configs/reported/` by name of the model, in the order of the tables.

    Raises:
        SpecError: If a file is not valid YAML, or not a list of tables.
    """
    rows: dict[str, tuple[Reported, ...]] = {}
    for path in sorted(shipped("zoo_configs").glob("reported/*.yaml")):
        for table in from_mapping(tuple[ReportedTable, ...], _read_yaml(path), f"reported/{path.name}"):
            for model, values in table.models.items():
                new = (Reported(table.dataset, metric, value, table.where) for metric, value in values.items())
                rows[model] = (*rows.get(model, ()), *new)
    return rows


def _read_yaml(path: Path) -> object:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(read_text(path), loader)
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SpecError(f"{path}: not valid YAML: {error}") from error


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


def resolve(name: str, *, imported: bool = False) -> tuple[ModelSpec, str]:
    """Return the spec and the tag that `model` or `model.tag` means.

    Args:
        name: As typed; case, "-" and spaces make no difference.
        imported: Whether the tag of imported weights, which is no variant, is accepted too.

    Raises:
        UnknownModelError: With the nearest names, or the model's tags.
    """
    spec, tag = split_name(name)
    if tag not in spec.variants and not (imported and tag == AUTHORS and spec.authors):
        raise UnknownModelError(f"{spec.name} has no variant {tag!r}; it has {', '.join(sorted(spec.variants))}.")
    return spec, tag


def split_name(name: str) -> tuple[ModelSpec, str]:
    """Return the spec and the tag that `model` or `model.tag` means; the tag need not exist."""
    model, _, tag = name.lower().replace("-", "_").replace(" ", "_").partition(".")
    names = spec_names()
    if model not in names:
        near = ", ".join(map(repr, difflib.get_close_matches(model, names, n=3, cutoff=0.5)))
        hint = f" Did you mean {near}?" if near else ""
        raise UnknownModelError(f"Unknown model {name!r}.{hint} `salzoo list` shows all {len(names)}.")
    spec = read_spec(model)
    return spec, tag or spec.default
