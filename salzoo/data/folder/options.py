"""How a user's own study is read: the options of `study.json`."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, TypeVar, get_args

from salzoo._schema import from_mapping
from salzoo._text import read_json
from salzoo.errors import SpecError

OPTIONS = "study.json"
NEEDED, OPTIONAL = ("image", "x", "y"), ("observer", "duration", "timestamp", "event")

Units = Literal["pixels", "fractions", "percent", "norm", "height", "centred"]
TimeUnit = Literal["ms", "s", "us", "ns"]


@dataclass(frozen=True)
class StudyOptions:
    """How to read a study: what `study.json` holds, so that every command reads it alike.

    What each option means is told by `salzoo.data.FixationFolder`.
    """

    fixations: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    decimal: Literal[".", ","] | None = None
    ignore: tuple[str, ...] = ()
    observers: tuple[str | int, ...] | None = None
    keep: dict[str, tuple[str | int | float, ...]] = field(default_factory=dict)
    units: Units | None = None
    origin: Literal[0, 1] | None = None
    y_from_bottom: bool | None = None
    screen: tuple[float, float] | None = None
    offset: tuple[float, float] | None = None
    scale: float | Literal["fit"] | None = None
    time_unit: TimeUnit | None = None
    skip_first: int = 0
    first: int | None = None
    weight: Literal["count", "duration"] = "count"
    sigma_px: float | None = None
    pixels_per_degree: float | None = None

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        if self.skip_first < 0 or (self.first is not None and self.first < 1):
            raise SpecError(f"skip_first is at least 0 and first at least 1, got {self.skip_first} and {self.first}")
        check_meanings(self.columns, (*NEEDED, *OPTIONAL, "fixations"))
        self._check_place()

    def _check_place(self) -> None:
        """Check where the image was on the screen."""
        scale = 1.0 if self.scale in (None, "fit") else self.scale
        numbers = [*(self.screen or ()), *(self.offset or ()), scale]
        if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
            raise SpecError(f"screen, offset and scale must be finite, got {self.screen}, {self.offset}, {self.scale}")
        if min(*(self.screen or (1, 1)), float(scale or 0)) <= 0:
            raise SpecError(
                f"screen is [width, height] in pixels and scale a factor, above 0, got {self.screen} and {self.scale}"
            )
        if self.screen is None and self.scale == "fit":
            raise SpecError('scale "fit" enlarges the image until it fills the screen: say "screen": [width, height]')
        if self.screen is None and self.units not in (None, "pixels") and (self.offset or self.scale):
            raise SpecError(
                f'offset and scale place the image on the screen, of which {self.units} are meant: say "screen": '
                "[width, height]"
            )

    @property
    def placed(self) -> bool:
        """Whether it is said where the image was on the screen."""
        return not (self.screen is None and self.offset is None and self.scale is None)

    def __hash__(self) -> int:
        """Let what was read be kept by its options."""
        return hash(repr(self))


Options = TypeVar("Options")


def read_options(root: Path, given: Mapping[str, object], kind: type[Options], reader: str) -> Options:
    """Return the options of `study.json`, if there is one, replaced by those given.

    Args:
        root: Folder of the study.
        given: Options that were given, None for those that were not.
        kind: What they are: `StudyOptions`, or those of another reader.
        reader: What messages call the reader.

    Raises:
        SpecError: If one is unknown, or of the wrong type.
    """
    path = root / OPTIONS
    stored: object = {}
    if path.exists():
        try:
            stored = read_json(path)
        except (ValueError, OSError) as error:
            raise SpecError(str(error)) from error
    options = from_mapping(kind, stored, str(path))
    chosen = {name: value for name, value in given.items() if value is not None}
    if chosen.keys() & {"sigma_px", "pixels_per_degree"}:
        chosen = {"sigma_px": None, "pixels_per_degree": None} | chosen
    return from_mapping(kind, vars(options) | chosen, reader)


def check_meanings(columns: Iterable[str], known: Collection[str]) -> None:
    """Refuse what `columns` says of a meaning that a reader does not know.

    Raises:
        SpecError: If it does; the message names what comes close.
    """
    if unknown := sorted(set(columns) - set(known)):
        near = get_close_matches(unknown[0], known, 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise SpecError(f"columns: unknown {unknown[0]!r}{hint}; accepted: {', '.join(known)}")


def accepted_units() -> str:
    """Return the names of all units, for error messages."""
    return ", ".join(f'"{unit}"' for unit in get_args(Units))
