"""Rows that are no fixations on an image: left out, and counted by the reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzoo.data.fixations import Floats, missing_codes
from salzoo.data.folder import checks
from salzoo.data.folder.options import StudyOptions
from salzoo.data.folder.tables import Rows
from salzoo.data.folder.text_table import MISSING
from salzoo.data.names import Names, split_folder
from salzoo.errors import DataError, SpecError

_BETWEEN = re.compile(
    "cross|crosses|fix|fixation|fixationcross|fixcross|fixdot|fixpoint|blank|calibration|calib|drift|driftcheck|"
    "driftcorrection|instruction|instructions|pause|break"
)
"""Words by which a screen between the images is called, with `_ALSO` or without."""
_ALSO = re.compile("screen|image|point|dot|check")


def drop_other_screens(rows: Rows, options: StudyOptions, names: Names) -> Rows:
    """Leave out rows on no image: without a name, on what `ignore` names, or on screens between the images.

    Args:
        rows: As read.
        options: `ignore` and `observers` are used here.
        names: The images that there are; none of them is a screen between the others.

    Raises:
        SpecError: If `observers` names somebody who is not there.
    """
    labels, label = np.unique(rows.image, return_inverse=True)
    texts = [str(text).strip() for text in labels]
    nameless = np.array([text.lower() in MISSING and names.find(text) is None for text in texts], dtype=np.bool_)
    ignored = np.array([_matches(text, options.ignore) for text in texts], dtype=np.bool_)
    between = np.array([_is_between(text) and names.find(text) is None for text in texts], dtype=np.bool_)
    ignored |= between & ~nameless
    rows = rows.without(nameless[label] & ~ignored[label], "without an image's name")
    told = ", ".join(text for text, mask in zip(texts, ignored, strict=True) if mask)
    rows = rows.without(np.isin(rows.image, labels[ignored]), f"on {told if len(told) < 80 else told[:77] + '...'}")
    return _of_observers(rows, options.observers)


def _matches(label: str, patterns: Sequence[str]) -> bool:
    name = split_folder(label)[1]
    texts = {text.casefold() for text in (label, name, PurePosixPath(name).stem)}
    return any(
        text == pattern.casefold() or fnmatchcase(text, pattern.casefold()) for pattern in patterns for text in texts
    )


def _is_between(label: str) -> bool:
    """Return whether each word of a name, but for numbers, is one for a screen between the images."""
    words = re.findall(r"[^\W\d_]+", PurePosixPath(split_folder(label)[1]).stem.casefold())
    told = [word for word in words if not _ALSO.fullmatch(word)]
    return label == "+" or (bool(told) and all(_BETWEEN.fullmatch(word) for word in told))


def _of_observers(rows: Rows, wanted: Sequence[str | int] | None) -> Rows:
    if wanted is None:
        return rows
    if rows.observer is None:
        raise SpecError("observers are to be kept, but the study does not say who looked: give the column observer")
    known, names = sorted(set(rows.observer.tolist())), [str(name) for name in wanted]
    if unknown := [name for name in names if name not in known]:
        near = get_close_matches(unknown[0], known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f", only {', '.join(known[:8])}"
        raise SpecError(f"observers: nobody is called {unknown[0]!r}{hint}")
    return rows.without(~np.isin(rows.observer, names), "of other observers")


def drop_missing(rows: Rows, options: StudyOptions) -> Rows:
    """Leave out rows whose coordinates are missing, or codes for that; see `missing_codes` and `recurring_corner`."""
    rows = rows.without(~(np.isfinite(rows.x) & np.isfinite(rows.y)), "no coordinates (NaN)")
    centred = options.units in ("norm", "height", "centred")  # (0, 0) is the middle
    if not centred:
        reason = "code for missing data, such as (0, 0)"
        rows = rows.without(missing_codes(rows.x, rows.y), reason)
        return rows.without(checks.recurring_corner(rows.x, rows.y), reason)
    return rows.without(missing_codes(rows.x, rows.y, zero=False), "code for missing data, such as -32768")


def in_milliseconds(rows: Rows, options: StudyOptions, source: Path) -> Rows:
    """Leave out rows without a duration, which are blinks, and return the others with durations in milliseconds.

    Raises:
        DataError: If the durations cannot be in milliseconds, and nothing else is said.
    """
    if rows.duration is None:
        return rows
    rows = rows.without(~((rows.duration > 0) & np.isfinite(rows.duration)), "no duration (blink)")
    assert rows.duration is not None
    unit = options.time_unit or (rows.tracker.time_unit if rows.tracker else None)
    duration = rows.duration * checks.SECOND[unit or "ms"]
    if options.time_unit is None and (wrong := checks.wrong_time(duration)) is not None:
        hint = "raw samples of gaze, from which salzoo.data.events makes fixations"
        guess = hint if wrong == "samples" else f'"{wrong}", or {hint}'
        raise DataError(
            f"{source}: the median duration is {np.median(duration):g} ms, which no fixation lasts: say time_unit in "
            f'study.json: {guess}; "ms" if it is right'
        )
    return replace(rows, duration=duration)


def onsets(rows: Rows, group: NDArray[np.int64]) -> Floats | None:
    """Return when each fixation began, in milliseconds; None if the timestamps may be something else, as numbers.

    Args:
        rows: In the order of time within each group, durations in milliseconds.
        group: Number of the observer and the image of each row.
    """
    if rows.timestamp is None or rows.duration is None:
        return None
    unit = checks.onset_unit(rows.timestamp, rows.duration, group)
    return None if unit is None else rows.timestamp * checks.SECOND[unit]


def doubtful_durations(duration: Floats) -> str | None:
    """Return a doubt if durations are no fixations' in the unit that was said."""
    if checks.wrong_time(duration) is None:
        return None
    return (
        f"the median duration is {np.median(duration):g} ms, which no fixation lasts: is time_unit in study.json right?"
    )


def merge_samples(rows: Rows, group: NDArray[np.int64], source: Path, size: float) -> tuple[Rows, NDArray[np.int64]]:
    """Make one row of rows in a row that are samples of one fixation.

    These are of one observer on one image and have the same `event`; without that, the same place and duration, or
    without durations the same place at different times, or without either in a table that has a fifth such rows.

    Args:
        rows: No coordinate is NaN; in the order of the file.
        group: Number of each row's observer on an image.
        source: For error messages.
        size: Usual width of an image.

    Returns:
        The rows, in the order of time, and for each its place in the file.

    Raises:
        DataError: If the rows seem to be samples of gaze from which no fixations were made.
    """
    times = [group] if rows.timestamp is None else [rows.timestamp, group]
    order = np.lexsort((np.arange(len(rows)), *times))
    rows, group = rows.take(order), group[order]
    told: list[NDArray[Any]] = [rows.event] if rows.event is not None else [rows.x, rows.y]
    if rows.event is None and rows.duration is not None:
        told.append(rows.duration)
    same = np.ones(max(len(rows) - 1, 0), dtype=np.bool_)
    for column in (group, *told):
        same &= column[1:] == column[:-1]
    if rows.event is None and rows.timestamp is not None:
        same &= rows.timestamp[1:] != rows.timestamp[:-1]  # an exact repetition is a duplicate
    known = rows.event is not None or rows.timestamp is not None
    if not known and same.sum() < max(5, 0.2 * len(rows)):
        same[:] = False  # two looks at one pixel are no error
    again = np.concatenate([[False], same]) if len(rows) else np.empty(0, dtype=np.bool_)
    if rows.event is not None and rows.duration is not None:  # it may grow from sample to sample: the last has it all
        again = np.concatenate([same, [False]]) if len(rows) else again
    began = None if rows.timestamp is None or not len(rows) else rows.timestamp[np.concatenate([[True], ~same])]
    kept, order, group = rows.without(again, "further samples of a fixation"), order[~again], group[~again]
    kept = kept if began is None else replace(kept, timestamp=began)
    if kept.duration is None and checks.raw_samples(kept.x, kept.y, group, size):
        raise DataError(
            f"{source}: each row lies close to the one before, with {np.bincount(group).max()} rows of one observer on "
            "an image: these are samples of gaze; salzoo.data.events makes fixations of them"
        )
    return kept, order


def drop_duplicates(rows: Rows, group: NDArray[np.int64]) -> tuple[Rows, NDArray[np.bool_], int]:
    """Leave out rows that repeat another, if there are times to recognise that by.

    Returns:
        The rows, a mask of those that were kept, and the number of repeated ones that were kept for want of times.
    """
    times: list[Floats] = [column for column in (rows.duration, rows.timestamp) if column is not None]
    _, first = np.unique(np.stack([group, rows.x, rows.y, *times]), axis=1, return_index=True)
    again = np.ones(len(rows), dtype=np.bool_)
    again[first] = False
    if not times:  # two looks at one pixel are no error
        return rows, np.ones_like(again), int(again.sum())
    return rows.without(again, "duplicate"), ~again, 0
