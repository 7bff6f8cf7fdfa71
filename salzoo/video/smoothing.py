"""Smoothing of maps over time: a causal exponential average, and a centred running median."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from salzoo.errors import SpecError

Timed: TypeAlias = "tuple[float, Tensor]"
"""Seconds of a frame and its (H, W) log density."""


@dataclass(frozen=True)
class Average:
    """A causal average whose past fades by 1 / e in so many seconds, whatever the frame rate.

    The first frame is itself; of a frame dt after the one before it, the weight is 1 - exp(-dt / seconds).

    Args:
        seconds: Time constant.
        of: What is averaged: `log_density`, or `density`, which lets a peak that others do not share stand longer.
    """

    seconds: float = 2.0
    of: str = "log_density"

    def __post_init__(self) -> None:
        """Check both."""
        if not (math.isfinite(self.seconds) and self.seconds > 0) or self.of not in ("log_density", "density"):
            raise SpecError(
                f"Average({self.seconds}, {self.of!r}) is not accepted: seconds above 0, of 'log_density' or 'density'."
            )

    def run(self, maps: Iterator[Timed], past: Any) -> Iterator[tuple[Tensor, Any]]:
        """Yield each map smoothed, and what `past` has to be for the maps after it; None at the beginning."""
        for time_s, log_density in maps:
            if past is None:
                smooth = log_density
            else:
                fade = math.exp((past[0] - time_s) / self.seconds)
                smooth = _normal(self._mixed(past[1], fade, log_density))
            past = (time_s, smooth)
            yield smooth, past

    def _mixed(self, before: Tensor, fade: float, now: Tensor) -> Tensor:
        if self.of == "log_density":
            return fade * before + (1 - fade) * now
        return torch.logaddexp(before + math.log(fade), now + math.log1p(-fade))


@dataclass(frozen=True)
class Median:
    """A running median of log densities around each frame, as UNISAL's authors offer; shorter at both ends.

    Each map waits for the frames after it.

    Args:
        frames: Odd number of predicted frames in the window.
    """

    frames: int = 5

    def __post_init__(self) -> None:
        """Check the window."""
        if self.frames < 3 or self.frames % 2 == 0 or self.frames > 999:
            raise SpecError(f"Median({self.frames}) is not accepted: an odd number of frames from 3 to 999.")

    def run(self, maps: Iterator[Timed], past: Any) -> Iterator[tuple[Tensor, Any]]:
        """As `Average.run`."""
        half = self.frames // 2
        window = deque[Tensor](past or ())
        behind = len(window)  # of those, the maps that were yielded

        def middle() -> tuple[Tensor, Any]:
            nonlocal behind
            smooth = _normal(_median(torch.stack(list(window))))
            behind += 1
            if behind > half:
                window.popleft()
                behind -= 1
            return smooth, tuple(list(window)[:behind])

        for _, log_density in maps:
            window.append(log_density)
            if len(window) > behind + half:
                yield middle()
        while len(window) > behind:
            yield middle()


@dataclass(frozen=True)
class Nothing:
    """Each map as it is."""

    def run(self, maps: Iterator[Timed], past: Any) -> Iterator[tuple[Tensor, Any]]:
        """As `Average.run`."""
        for _, log_density in maps:
            yield log_density, None


Smoothing: TypeAlias = Average | Median | Nothing


def smoothing(given: str | Average | Median | None) -> Smoothing:
    """Return a smoothing by its name: `average:2` (seconds), `density:2` (an average of densities) or `median:5`.

    Args:
        given: A name, with its number or without: 2 seconds, 5 frames; a smoothing; None for none.

    Raises:
        SpecError: If there is none of this name, or its number is out of range.

    Examples:
        >>> smoothing("average:0.5")
        Average(seconds=0.5, of='log_density')
    """
    if given is None:
        return Nothing()
    if isinstance(given, Average | Median):
        return given
    name, colon, number = str(given).partition(":")
    try:
        if name == "average":
            return Average(float(number) if colon else Average.seconds)
        if name == "density":
            return Average(float(number) if colon else Average.seconds, "density")
        if name == "median":
            return Median(int(number) if colon else Median.frames)
    except SpecError:
        raise
    except ValueError:
        pass
    raise SpecError(
        f"smooth={given!r} is not accepted: 'average:2' or 'density:2' (seconds), or 'median:5' (frames); without a "
        "colon it is these numbers."
    )


def _normal(log_density: Tensor) -> Tensor:
    return log_density - log_density.flatten().logsumexp(0)


def _median(maps: Tensor) -> Tensor:
    """Median of (T, H, W) over T; of an even number, the mean of the two in the middle."""
    ordered, count = maps.sort(0).values, len(maps)
    return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
