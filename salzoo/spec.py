"""What the zoo knows of a model before any of its code is imported: `zoo_configs/<name>.yaml` as frozen dataclasses.

The directory is the registry; installed packages and `register` add to it. Nothing here imports torch, so that listing
the zoo takes milliseconds.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from salzoo.errors import SpecError

T = TypeVar("T")


@dataclass(frozen=True)
class Paper:
    """Where a model was published."""

    title: str
    authors: str
    year: int
    venue: str
    url: str | None = None
    code: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """Published weights of a variant.

    Args:
        sha256: Of `model.safetensors`, 64 hex digits.
        license: SPDX identifier; there is no default.
        repo: Hugging Face repository `ORG/REPO`, if it is published there.
        revision: Commit hash in that repository.
    """

    sha256: str
    license: str
    repo: str | None = None
    revision: str | None = None


@dataclass(frozen=True)
class Variant:
    """One face of a model: its arguments, how it is trained, and its weights if there are any.

    Args:
        summary: One line: backbone, data, what it is for.
        init_args: Arguments of the model's class.
        recipe: Lightning CLI configuration (`trainer`, `data`, `seed_everything`) that trains it.
        checkpoint: None if no weights are published.
    """

    summary: str
    init_args: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True)
class Reported:
    """A number that the authors printed, and where."""

    dataset: str
    metric: str
    value: float
    where: str


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
        tiny: `init_args` with which the tests build the model in milliseconds, offline.
        reported: Numbers of the paper.
    """

    name: str
    class_path: str
    summary: str
    training: Literal["gradient", "closed_form", "none"]
    default: str
    variants: dict[str, Variant]
    paper: Paper | None = None
    tiny: dict[str, Any] = field(default_factory=dict)
    reported: tuple[Reported, ...] = ()

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        if self.default not in self.variants:
            raise SpecError(f"{self.name}: default is {self.default!r}, but the variants are {sorted(self.variants)}.")

    @property
    def loadable(self) -> tuple[str, ...]:
        """Tags that `load` can take without training: those with weights, or all if there is nothing to learn."""
        return tuple(t for t, v in self.variants.items() if v.checkpoint is not None or self.training == "none")


def from_mapping(kind: type[T], value: object, where: str) -> T:
    """Build a dataclass from parsed YAML or JSON; every unknown key, missing key and wrong type is an error.

    Args:
        kind: A dataclass, or any type that its fields use.
        value: What the parser returned.
        where: Path inside the file, for the message.

    Raises:
        SpecError: Naming the key, the value and what is accepted.
    """
    return typing.cast("T", _build(kind, value, where))


def _build(kind: Any, value: object, where: str) -> object:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if origin in (types.UnionType, typing.Union):  # the latter is what `Literal[...] | None` gives before Python 3.14
        return _build_union(args, value, where)
    if kind is types.NoneType:
        if value is not None:
            raise SpecError(f"{where}: got {value!r}, expected nothing (null).")
        return None
    if origin is Literal:
        if (type(value), value) not in [(type(each), each) for each in args]:  # True is equal to 1
            raise SpecError(f"{where}: got {value!r}, accepted is one of {list(args)}.")
        return value
    if origin is tuple:
        item_types = args[:1] * len(value) if isinstance(value, list | tuple) and args[-1] is ... else args
        if not isinstance(value, list | tuple) or len(value) != len(item_types):
            raise SpecError(f"{where}: got {value!r}, expected a list of {len(args)} values.")
        return tuple(_build(t, v, f"{where}[{i}]") for i, (t, v) in enumerate(zip(item_types, value, strict=True)))
    if origin is dict:
        if not isinstance(value, dict):
            raise SpecError(f"{where}: got {value!r}, expected a mapping.")
        return {str(k): _build(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is not Any and not (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
        raise SpecError(f"{where}: got {value!r} ({type(value).__name__}), expected {kind.__name__}.")
    return value


def _build_union(kinds: tuple[Any, ...], value: object, where: str) -> object:
    errors = []
    for kind in kinds:
        try:
            return _build(kind, value, where)
        except SpecError as error:
            errors.append(error)
    if all(kind in (bool, int, float, str, types.NoneType) for kind in kinds):
        names = " or ".join("null" if kind is types.NoneType else kind.__name__ for kind in kinds)
        raise SpecError(f"{where}: got {value!r} ({type(value).__name__}), expected {names}.")
    raise errors[0]


def _build_dataclass(kind: Any, value: object, where: str) -> object:
    if isinstance(value, kind):
        return value
    if not isinstance(value, dict):
        raise SpecError(f"{where}: got {value!r}, expected a mapping with the keys of {kind.__name__}.")
    return kind(**arguments(kind, value, where))


def arguments(function: Any, values: dict[str, Any], where: str) -> dict[str, Any]:
    """Check parsed YAML or JSON against a signature and convert it (lists to tuples, mappings to dataclasses).

    Args:
        function: A class or a function with type hints.
        values: Argument name to parsed value.
        where: Path inside the file, for the message.

    Raises:
        SpecError: On an unknown or missing argument, or a value of the wrong type.
    """
    parameters = inspect.signature(function).parameters
    if unknown := sorted(set(map(str, values)) - set(parameters)):
        raise SpecError(f"{where}: unknown key {unknown[0]!r}; accepted keys are {', '.join(sorted(parameters))}.")
    if missing := [n for n, p in parameters.items() if p.default is p.empty and n not in values]:
        raise SpecError(f"{where}: missing key {missing[0]!r}.")
    hints = typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)
    return {k: _build(hints[k], v, f"{where}.{k}") for k, v in values.items()}


@functools.cache
def shipped(folder: str) -> Path:
    """Return a folder that ships with salzoo (`zoo_configs`, `hub`): inside an installed wheel, or the repository's."""
    package = Path(__file__).parent
    inside = package / f"_{folder}"
    return inside if inside.is_dir() else package.parent / folder


ENTRY_POINTS = "salzoo.models"
"""Group in which an installed package names its models: `mynet = "mypackage"` for `mypackage/mynet.yaml`."""

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
    path = Path(path).expanduser().resolve()
    before = _registered.get(path.stem)
    if path.stem in spec_files() and before is None:
        raise SpecError(
            f"{path}: there is a model {path.stem!r} already ({spec_files()[path.stem]}); choose another name."
        )
    _registered[path.stem] = path
    _forget()
    try:
        read_spec(path.stem)
    except (SpecError, OSError) as error:
        del _registered[path.stem]
        _forget()
        raise SpecError(str(error)) from error
    return path.stem


def _forget() -> None:
    for function in (spec_files, spec_names, read_spec):
        function.cache_clear()


@functools.cache
def spec_files() -> dict[str, Path]:
    """Return the YAML of each model by its name: those of the zoo, of installed packages, and registered ones."""
    import importlib.metadata  # slower than all the rest together
    import importlib.util

    found = {path.stem: path for path in shipped("zoo_configs").glob("*.yaml")}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        package = importlib.util.find_spec(entry.value)
        for place in (package.submodule_search_locations or []) if package else []:
            found.setdefault(entry.name, Path(place) / f"{entry.name}.yaml")
    return {**found, **_registered}


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
    path = spec_files()[name]
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), loader)
    except yaml.YAMLError as error:
        raise SpecError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise SpecError(f"{path}: expected a mapping, got {type(content).__name__}.")
    return from_mapping(ModelSpec, {"name": name, **content}, path.name)
