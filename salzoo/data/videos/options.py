"""How a user's own clips are read: the options of `study.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from salzoo.data.folder.options import StudyOptions, TimeUnit, Units, check_meanings
from salzoo.errors import SpecError

ROLES: dict[str, tuple[str, ...]] = {
    "video": ("video", "clip", "movie", "stimulus", "media", "image", "file"),
    "x": ("x",),
    "y": ("y",),
    "subject": ("subject", "observer", "participant", "user", "person"),
    "time": ("time", "t", "timestamp", "onset", "start", "frame"),
    "duration": ("duration",),
}
"""Headers that are known for each meaning, the preferred one first, also with a unit: `time_ms`, `duration_s`."""
TIME_UNITS: tuple[TimeUnit, ...] = ("s", "ms", "us", "ns")
_MEANS = {"video": "image", "subject": "observer", "time": "timestamp"}
"""What a meaning is called where images are read."""


@dataclass(frozen=True)
class VideoOptions:
    """How to read clips and gaze: what `study.json` holds; `salzoo.data.VideoFolder` tells what each option means."""

    gaze: str | None = None
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
    time_unit: TimeUnit | Literal["frames"] | None = None
    time_offset_s: float = 0.0
    fps: float | None = None
    sigma_px: float | None = None
    pixels_per_degree: float | None = None

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        check_meanings(self.columns, ROLES)
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise SpecError(f"fps={self.fps} is not accepted: frames a second of folders of frames, above 0")
        if not math.isfinite(self.time_offset_s):
            raise SpecError(f"time_offset_s={self.time_offset_s} is not accepted: seconds to take from all times")
        self.study({})  # the place on the screen

    def study(self, columns: Mapping[str, str]) -> StudyOptions:
        """Return the options by which a table of an image study is read, with these columns."""
        shared = (
            *("decimal", "ignore", "observers", "keep", "units", "origin", "y_from_bottom", "screen", "offset"),
            *("scale", "sigma_px", "pixels_per_degree"),
        )
        named = {_MEANS.get(role, role): name for role, name in columns.items()}
        return StudyOptions(columns=named, **{name: getattr(self, name) for name in shared})

    def __hash__(self) -> int:
        """Let what was read be kept by its options."""
        return hash(repr(self))
