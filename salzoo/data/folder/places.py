"""From the coordinates of a table to 0-based pixels of the images, and refusal of what cannot be such coordinates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salzoo.data.fixations import Floats
from salzoo.data.folder import checks
from salzoo.data.folder.options import StudyOptions, Units, accepted_units
from salzoo.data.folder.tables import Rows
from salzoo.errors import DataError

_UPWARDS = ("norm", "height", "centred")
"""Units of PsychoPy, in which y is 0 in the middle and counts upwards."""

_SETTLE = 'say "units" in study.json (one of {units}); "pixels" if that is right'


def to_pixels(rows: Rows, width: Floats, height: Floats, options: StudyOptions, source: Path) -> tuple[Floats, Floats]:
    """Return x and y in 0-based pixels of the images, or raise if the numbers cannot be what the options say.

    Args:
        rows: No coordinate is NaN.
        width: Of each row's image.
        height: Likewise.
        options: `units`, `origin`, `y_from_bottom`, `screen`, `offset` and `scale`; what is said there is believed.
        source: For error messages.

    Raises:
        DataError: If the numbers seem to be in other units, to count from 1, to be swapped, or to be elsewhere.
    """
    x, y = rows.x, rows.y
    screen = options.screen and (np.full_like(x, options.screen[0]), np.full_like(y, options.screen[1]))
    wide, high = screen or (width, height)
    units = options.units or (rows.tracker.units if rows.tracker else None)
    if options.units is None and units in (None, "pixels"):
        _refuse_other_units(x, y, wide, high, source)
    elif units not in (None, "pixels"):
        _refuse_large(x, y, units, source)
    if units in (None, "pixels") and options.origin is None and checks.one_based(x, y, wide, high):
        raise DataError(
            f"{source}: x and y are whole numbers from 1 up to an image's width or height, as if the first pixel were "
            '1: say "origin": 1 in study.json, or "origin": 0 if it is not'
        )
    if units in (None, "pixels"):
        x, y = x - (options.origin or 0), y - (options.origin or 0)
    upwards = options.y_from_bottom
    if upwards is None:
        upwards = bool(rows.tracker and rows.tracker.y_from_bottom) or units in _UPWARDS
    x, y = _on_frame(x, y, wide, high, units or "pixels", upwards)
    if options.units is None:
        _refuse_swapped(x, y, wide, high, rows, options, source)
    x, y = _on_image(x, y, width, height, options)
    outside = float(checks.outside(x, y, width, height).mean()) if len(x) else 0.0
    if outside > 0.5 and options.units is None and not options.placed:
        raise DataError(
            f"{source}: {outside:.0%} of the points lie outside their images; x and y must count from the image's "
            "upper left corner, in its own pixels: if they are those of the screen, say its size and, unless the image "
            'was in its middle, the place of the image\'s corner on it, as "screen": [width, height] and "offset": '
            '[x, y] in study.json; "units": "pixels" if they are right'
        )
    return x, y


def refuse_far_from_middle(
    x: Floats, y: Floats, width: Floats, height: Floats, image: NDArray[np.int64], options: StudyOptions, source: Path
) -> str | None:
    """Return a doubt if people looked away from the middle on average, or raise if that cannot be.

    Raises:
        DataError: If the mean is more than a fifth of the image off its middle, and nothing is said about the place.
    """
    place = checks.middle(x, y, width, height, image)
    if place is None or options.units == "pixels" or options.offset is not None or options.y_from_bottom is not None:
        return None
    text = checks.off_the_middle(place)
    if max(abs(at - 0.5) for at in place) > 0.2 and options.units is None:
        raise DataError(f'{source}: {text} Say so, or "units": "pixels" if the points are right')
    return text


def _refuse_other_units(x: Floats, y: Floats, width: Floats, height: Floats, source: Path) -> None:
    found = checks.other_units(x, y, width, height)
    if found is None:
        return
    seen = f"most x are {_range(x)} and most y {_range(y)}, on {np.median(width):g} x {np.median(height):g} pixels"
    if found == "degrees":
        raise DataError(
            f"{source}: {seen}: these seem to be degrees, centimetres or the like; convert them to pixels, or "
            + _SETTLE.format(units=accepted_units())
        )
    upwards = "; y then counts upwards from the middle, unless y_from_bottom is false" if found in _UPWARDS else ""
    named = '"units": "norm" (-1 to 1 from border to border) or "height"' if found == "norm" else f'"units": "{found}"'
    raise DataError(
        f"{source}: {seen}: say {named} if that is what they are{upwards}; else "
        + _SETTLE.format(units=accepted_units())
    )


def _refuse_large(x: Floats, y: Floats, units: Units, source: Path) -> None:
    """Raise if most numbers are too large for units that are relative to the image."""
    limit = {"fractions": 2.0, "percent": 200.0, "norm": 3.0, "height": 3.0}.get(units)
    reach = max((float(np.quantile(np.abs(values), 0.9)) for values in (x, y) if len(values)), default=0.0)
    if limit is not None and reach > limit:
        what = {"fractions": "fractions of the image", "percent": "percent of the image"}.get(units, units)
        raise DataError(f"{source}: units are {what}, but coordinates go up to {np.abs(np.r_[x, y]).max():g}")


def _on_frame(
    x: Floats, y: Floats, width: Floats, height: Floats, units: Units, upwards: bool
) -> tuple[Floats, Floats]:
    """Return 0-based pixels of the frame: of the screen if its size is known, else of the image."""
    if units == "pixels":
        return x, (height - 1 - y if upwards else y)
    if units in ("fractions", "percent"):
        part = 100.0 if units == "percent" else 1.0
        x, y = x / part * width, y / part * height
    elif units == "norm":
        x, y = (x + 1) / 2 * width, (y + 1) / 2 * height
    else:
        unit = height if units == "height" else 1.0
        x, y = width / 2 + x * unit, height / 2 + y * unit
    return x - 0.5, (height - y if upwards else y) - 0.5


def _on_image(x: Floats, y: Floats, width: Floats, height: Floats, options: StudyOptions) -> tuple[Floats, Floats]:
    """Return pixels of the image that was shown on the screen."""
    if not options.placed:
        return x, y
    scale: Floats | float = 1.0
    if options.scale == "fit" and options.screen:
        scale = np.minimum(options.screen[0] / width, options.screen[1] / height)
    elif isinstance(options.scale, int | float):
        scale = options.scale
    left: Floats | float
    top: Floats | float
    left, top = options.offset or (0.0, 0.0)
    if options.offset is None and options.screen:
        left, top = (options.screen[0] - width * scale) / 2, (options.screen[1] - height * scale) / 2
    return (x + 0.5 - left) / scale - 0.5, (y + 0.5 - top) / scale - 0.5


def _refuse_swapped(
    x: Floats, y: Floats, width: Floats, height: Floats, rows: Rows, options: StudyOptions, source: Path
) -> None:
    if rows.tracker is None and checks.swapped(x, y, width, height):
        raise DataError(
            f"{source}: {checks.outside(x, y, width, height).mean():.0%} of the points lie outside their images, and "
            "far fewer if x and y are swapped: "
            f'say "columns": {{"x": "{options.columns.get("y", "y")}", "y": "{options.columns.get("x", "x")}"}} in '
            "study.json"
        )


def _range(values: Floats) -> str:
    low, high = np.quantile(values, (0.1, 0.9), method="nearest")
    return f"from {low:.3g} to {high:.3g}"
