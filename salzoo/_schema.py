"""Parsed YAML and JSON to dataclasses and arguments: every unknown key, missing key and wrong type is an error."""

from __future__ import annotations

import dataclasses
import inspect
import reprlib
import types
import typing
from difflib import get_close_matches
from typing import Any, Literal, TypeVar

from salzoo.errors import SpecError

T = TypeVar("T")

MOST_LISTED = 64
"""Most values that a list has which a constructor builds layers from."""

_short = reprlib.Repr()
_short.maxlist = _short.maxtuple = _short.maxdict = 12
_short.maxstring = _short.maxother = _short.maxlong = 100


def shown(value: object) -> str:
    """Return a value as errors show it: what is long or deep is cut, before it costs memory."""
    try:
        return _short.repr(value)
    except Exception:  # of a class of the user's own, or a number of more digits than Python writes
        return f"a {type(value).__name__}"


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
            raise SpecError(f"{where}: got {shown(value)}, expected nothing (null).")
        return None
    if origin is Literal:
        if (type(value), value) not in [(type(each), each) for each in args]:  # True is equal to 1
            raise SpecError(f"{where}: got {shown(value)}, accepted is one of {list(args)}.")
        return value
    if origin is tuple:
        item_types = args[:1] * len(value) if isinstance(value, list | tuple) and args[-1] is ... else args
        if not isinstance(value, list | tuple) or len(value) != len(item_types):
            raise SpecError(
                f"{where}: got {shown(value)}, expected a list{'' if args[-1] is ... else f' of {len(args)} values'}."
            )
        return tuple(_build(t, v, f"{where}[{i}]") for i, (t, v) in enumerate(zip(item_types, value, strict=True)))
    if origin is dict:
        if not isinstance(value, dict):
            raise SpecError(f"{where}: got {shown(value)}, expected a mapping.")
        return {str(k): _build(args[1], v, f"{where}.{str(k)[:60]}") for k, v in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise SpecError(f"{where}: got {shown(value)}, which is too large.") from error
    if kind is not Any and not (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
        raise SpecError(f"{where}: got {shown(value)} ({type(value).__name__}), expected {kind.__name__}.")
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
        raise SpecError(f"{where}: got {shown(value)} ({type(value).__name__}), expected {names}.")
    raise errors[0]


def _build_dataclass(kind: Any, value: object, where: str) -> object:
    if isinstance(value, kind):
        return value
    if not isinstance(value, dict):
        raise SpecError(f"{where}: got {shown(value)}, expected a mapping with the keys of {kind.__name__}.")
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
    accepted = parameters(function)
    if unknown := sorted(set(map(str, values)) - set(accepted)):
        near = get_close_matches(unknown[0], accepted, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join(sorted(accepted))
        raise SpecError(f"{where}: unknown key {shown(unknown[0])}; {hint}accepted keys are {known}.")
    if missing := [n for n, p in accepted.items() if p.default is p.empty and n not in values]:
        raise SpecError(f"{where}: missing key {missing[0]!r}.")
    return {k: _build(accepted[k].annotation, v, f"{where}.{k}") for k, v in values.items()}


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    """Return what a function or a class accepts, by name, with annotations resolved.

    A constructor that takes `**options` hands them on to its base class, one that takes `**network` to the class's
    `network_class`: what these accept is accepted, too.
    """
    found: dict[str, inspect.Parameter] = {}
    bases = inspect.getmro(function) if inspect.isclass(function) else ()
    classes = [kind for kind in bases if "__init__" in vars(kind)]
    for own in [vars(kind)["__init__"] for kind in classes] or [function]:
        # a dataclass's __init__ also has the annotations of its bases, which their own modules resolve
        hints, rest = typing.get_type_hints(function if dataclasses.is_dataclass(function) else own), None
        for name, parameter in inspect.signature(own).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                rest = name
            elif name != "self" and parameter.kind is not parameter.VAR_POSITIONAL:  # nn.Module's own has *args
                found.setdefault(name, parameter.replace(annotation=hints.get(name, Any)))
        if rest == "network" and function.network_class is not None:
            return {**found, **parameters(function.network_class)}
        if rest != "options":
            break
    return found


class JoinedSignature:
    """The `__signature__` of a class: with the arguments that it hands on, for `help` and notebooks."""

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        """Return what the class accepts; names in it are looked up when somebody asks."""
        accepted = [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in parameters(owner).values()]
        return inspect.Signature(accepted)


def check_range(low: float, high: float, **values: Any) -> None:
    """Check numbers that a constructor was given, before anything is built from them.

    Args:
        low: Lowest that is accepted.
        high: Highest.
        values: A number each, or a list of 1 to 64 of them, by the name of the argument; None is not looked at.

    Raises:
        SpecError: Naming the argument, the value and what is accepted; also if a number is not finite.
    """
    for name, value in values.items():
        several = isinstance(value, list | tuple)
        numbers = value if several else [] if value is None else [value]
        if several and not 1 <= len(numbers) <= MOST_LISTED:
            raise SpecError(f"{name}={shown(value)} is not accepted: 1 to {MOST_LISTED} values.")
        if not all(low <= number <= high for number in numbers):
            raise SpecError(
                f"{name}={shown(value)} is not accepted: {'each ' if several else ''}from {low:g} to {high:g}."
            )
