"""How far and in which directions the eyes go: statistics of the saccades of any number of scanpaths."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from salzoo.metrics.scanpaths._paths import Floats, Paths, check_argument, listed

DIRECTIONS: Final = ("E", "NE", "N", "NW", "W", "SW", "S", "SE")
"""Sectors of 45 degrees, each about its direction; north is up."""


class Saccades(NamedTuple):
    """Saccades of scanpaths, one after the other; those from or to a fixation that is not known are left out.

    Args:
        amplitude: (n,) in the unit of the coordinates.
        direction: (n,) in degrees from 0 to 360, counter-clockwise from the right, up is 90; NaN for amplitude 0.
        turn: (n,) degrees from 0 to 180 between a saccade and the one before it, 0 is straight on; NaN for the first.
        returning: (n,) distance of its end from the start of the one before it; NaN for the first.
    """

    amplitude: Floats
    direction: Floats
    turn: Floats
    returning: Floats


def saccades(paths: Paths, *, pixels_per_unit: float = 1.0) -> Saccades:
    """Return the saccades of scanpaths.

    The y axis of an image points down, so a saccade's direction is atan2(-dy, dx).

    Args:
        paths: One scanpath or several: `Scanpath`s, or arrays (n, 2) of x and y in pixels; NaN where the eye was lost.
        pixels_per_unit: Pixels per degree of visual angle gives amplitudes in degrees.

    Raises:
        DataError: If a path is no such array.
        SpecError: If `pixels_per_unit` is out of range.

    Example:
        >>> found = saccades([[0, 50], [40, 50], [40, 20]])
        >>> found.amplitude.tolist(), found.direction.tolist()
        ([40.0, 30.0], [0.0, 90.0])
    """
    check_argument("pixels_per_unit", pixels_per_unit, 1e-3, 1e6, "pixels of a degree of visual angle; 1 gives pixels")
    each = [_of_path(path[:, :2] / pixels_per_unit) for path in listed(paths, "paths", gaps=True)]
    together = np.concatenate([np.zeros((0, 4)), *each])
    return Saccades(*together[np.isfinite(together[:, 0])].T)


def saccade_statistics(paths: Paths, *, pixels_per_degree: float | None = None) -> dict[str, float]:
    """Return what is characteristic of the saccades of a person, a group or a model.

    Args:
        paths: One scanpath or several: `Scanpath`s, or arrays (n, 2) of x and y in pixels; NaN where the eye was lost.
        pixels_per_degree: If given, amplitudes are in degrees and there is `refixation`; else they are in pixels.

    Returns:
        - `saccades`: their number.
        - `amplitude_q25`, `amplitude_q50`, `amplitude_q75`: quartiles of the amplitude.
        - `E`, `NE`, ... `SE`: shares of the eight directions, among saccades that have one.
        - `forward`, `return`: shares of turns below 30 and above 150 degrees.
        - `refixation`: share of saccades that end within one degree of the fixation before the last.

        NaN where there is nothing to take a share of.

    Raises:
        DataError: If a path is no such array.
        SpecError: If `pixels_per_degree` is out of range.

    Example:
        >>> statistics = saccade_statistics([[0, 50], [40, 50], [40, 20], [40, 50]])
        >>> statistics["amplitude_q50"], round(statistics["N"], 2), statistics["return"]
        (30.0, 0.33, 0.5)
    """
    if pixels_per_degree is not None:
        check_argument("pixels_per_degree", pixels_per_degree, 1e-3, 1e6, "None gives pixels")
    found = saccades(paths, pixels_per_unit=1.0 if pixels_per_degree is None else pixels_per_degree)
    quartiles = np.quantile(found.amplitude, (0.25, 0.5, 0.75)) if len(found.amplitude) else [np.nan] * 3
    turn = found.turn[np.isfinite(found.turn)]
    statistics = {"saccades": float(len(found.amplitude))}
    statistics |= {f"amplitude_q{q}": float(value) for q, value in zip((25, 50, 75), quartiles, strict=True)}
    statistics |= dict(zip(DIRECTIONS, direction_shares(found.direction).tolist(), strict=True))
    statistics |= {"forward": _share(turn < 30), "return": _share(turn > 150)}
    if pixels_per_degree is not None:
        statistics["refixation"] = _share(found.returning[np.isfinite(found.returning)] <= 1)
    return statistics


def direction_shares(direction: Floats) -> Floats:
    """Return the shares (8,) of `DIRECTIONS` among directions (n,) in degrees; NaN are left out, NaN if none is left.

    Example:
        >>> direction_shares(np.array([0.0, 350.0, 90.0, np.nan])).round(2).tolist()
        [0.67, 0.0, 0.33, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    known = direction[np.isfinite(direction)]
    sector = np.floor((known + 22.5) / 45).astype(np.int64) % 8
    return np.bincount(sector, minlength=8) / len(known) if len(known) else np.full(8, np.nan)


def _of_path(xy: Floats) -> Floats:
    """Return the columns of `Saccades` of one path, (n - 1, 4)."""
    step = np.diff(xy, axis=0)
    amplitude = np.hypot(step[:, 0], step[:, 1])
    direction = np.where(amplitude > 0, np.degrees(np.arctan2(-step[:, 1], step[:, 0])) % 360, np.nan)
    turn, returning = np.full(len(step), np.nan), np.full(len(step), np.nan)
    turn[1:] = np.abs((np.diff(direction) + 180) % 360 - 180)
    back = xy[2:] - xy[:-2]
    returning[1:] = np.hypot(back[:, 0], back[:, 1])
    return np.stack([amplitude, direction, turn, returning], axis=1)


def _share(true: np.typing.NDArray[np.bool_]) -> float:
    return float(true.mean()) if len(true) else float("nan")
