"""A table of gaze on clips, and from its times to the frames of each clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from salzoo.data.fixations import Floats
from salzoo.data.folder import checks
from salzoo.data.folder.checks import SECOND, outside
from salzoo.data.folder.cleaning import drop_missing, drop_other_screens
from salzoo.data.folder.options import TimeUnit
from salzoo.data.folder.places import to_pixels
from salzoo.data.folder.tables import Rows, header_of, join, read_table
from salzoo.data.names import Names, split_folder
from salzoo.data.videos.clip import Clip
from salzoo.data.videos.gaze import GazeRows, frames_of_events, frames_of_samples
from salzoo.data.videos.options import ROLES, TIME_UNITS, VideoOptions
from salzoo.errors import DataError
from salzoo.video.frames import SUFFIXES as VIDEOS

_FEW = 0.5
"""Share of rows after the ends of the clips from which on times are refused."""


@dataclass(frozen=True, eq=False)
class GazeTable:
    """What a table holds.

    Args:
        gaze: By the clip's name.
        observers: Names of the observers.
        unit: Unit of the times.
        events: Whether rows are fixations with durations; else samples of gaze.
        dropped: Number of rows that were left out, by reason.
        doubts: What looks wrong and cannot be decided, one sentence each.
        tracker: What wrote the table, if it was recognised.
    """

    gaze: dict[str, GazeRows]
    observers: tuple[str, ...]
    unit: str
    events: bool
    dropped: dict[str, int]
    doubts: tuple[str, ...] = ()
    tracker: str | None = None


def read_gaze_table(
    source: Path, tables: Sequence[Path], clips: Mapping[str, Clip], options: VideoOptions
) -> GazeTable:
    """Read one table of all clips, or a table a clip that is called like it.

    Args:
        source: The table, or the folder of the tables; for messages.
        tables: The files.
        clips: The clips by their names without suffix.
        options: As the user gave them.

    Raises:
        DataError: If a file is damaged, names a clip that is not there, its numbers seem misread, or nothing is left.
        SpecError: If an option is wrong.
    """
    names = Names(clips)
    alone = len(tables) > 1 or source.is_dir()
    parts, units = [], set[str]()
    for path in tables:
        columns, unit = _columns(path, options)
        own = names.find(path.stem) if alone and "video" not in columns else None
        if alone and "video" not in columns and own is None:
            raise DataError(
                f"{path} has no column that names the clip, and is called like none of them{names.hint(path.stem)}"
            )
        parts.append(_read(path, options, columns, own))
        units.add(unit or "")
    if len(units) > 1:
        raise DataError(f"{source}: the tables have times in {', '.join(sorted(units))}: give all in one unit")
    rows = join(parts)
    if not len(rows):
        raise DataError(f"{source} has no rows")
    study = options.study({})
    rows = drop_missing(drop_other_screens(_named(rows, names, source), study, names), study)
    if rows.timestamp is None:
        raise DataError(f"{source} has no column of times; {_hint('time')}")
    rows = rows.without(~np.isfinite(rows.timestamp), "no time (NaN)")
    if rows.duration is not None:
        rows = rows.without(~((rows.duration > 0) & np.isfinite(rows.duration)), "no duration (blink)")
    if not len(rows):
        told = ", ".join(f"{count} {reason}" for reason, count in rows.dropped.items())
        raise DataError(f"{source}: no row is left that tells where somebody looked; left out were {told}")
    return _table(rows, clips, options, source, units.pop())


def _columns(path: Path, options: VideoOptions) -> tuple[dict[str, str], str | None]:
    """Return the columns by their meaning, and the unit of times if a header says it."""
    header = header_of(path, ("video", "subject", "time", "x", "y"))
    known = {name.strip().lower().replace(" ", "_"): name for name in header}
    found, units = dict(options.columns), dict[str, str]()
    for role, words in ROLES.items():
        endings = ("", *(f"_{unit}" for unit in TIME_UNITS)) if role in ("time", "duration") else ("",)
        spelled = [(word, ending) for word in words for ending in endings]
        spelled += [(f"{word}_id", "") for word in words if role == "subject"]
        for word, ending in spelled:
            if role not in found and f"{word}{ending}" in known:
                found[role] = known[f"{word}{ending}"]
                if ending or word == "frame":
                    units[role] = "frames" if word == "frame" else ending[1:]
    if len(set(units.values())) > 1:
        raise DataError(
            f"{path}: times are in {units['time']}, durations in {units['duration']}: give both in one unit"
        )
    eyes = [known.get(f"left_{axis}") for axis in "xy"]
    if not {"x", "y"} & set(found) and all(eyes):
        raise DataError(
            f"{path} has {eyes[0]} and {eyes[1]}, and no x and y: say which eye counts, as "
            f'"columns": {{"x": "{eyes[0]}", "y": "{eyes[1]}"}} in study.json'
        )
    if "time" not in found:
        raise DataError(f"{path} has no column of times, only {', '.join(header)}; {_hint('time')}")
    return found, options.time_unit or next(iter(units.values()), None)


def _hint(role: str) -> str:
    return f'call it {", ".join(ROLES[role])}, or name it as "columns": {{"{role}": "..."}} in study.json'


def _read(path: Path, options: VideoOptions, columns: Mapping[str, str], clip: str | None) -> Rows:
    """Read one table; where a clip is given, it is of that one alone."""
    if clip is None and "video" not in columns:
        raise DataError(f"{path} has no column that names the clip; {_hint('video')}")
    rows = read_table(path, options.study(columns), clip)
    return replace(rows, observer=np.full(len(rows), "")) if rows.observer is None else rows


def _named(rows: Rows, names: Names, source: Path) -> Rows:
    """Return the rows with the clips' own names; what is no clip stays, to be ignored or refused."""
    labels, label = np.unique(rows.image, return_inverse=True)
    own, strange = [], []
    for text in map(str, labels):
        name = split_folder(text)[1]
        stem, dot, suffix = name.rpartition(".")
        found = names.find(name) or (names.find(stem) if dot and f".{suffix}".lower() in VIDEOS else None)
        own.append(found or text)
        strange += [] if found else [text]
    rows = replace(rows, image=np.array(own, dtype=str)[label])
    return rows


def _table(rows: Rows, clips: Mapping[str, Clip], options: VideoOptions, source: Path, told: str) -> GazeTable:
    """Turn cleaned rows into the gaze on each clip."""
    seen, clip = np.unique(rows.image, return_inverse=True)
    if strange := [str(name) for name in seen if str(name) not in clips]:
        raise DataError(
            f"{source} has rows for {len(strange)} clips that are not there, the first is {strange[0]!r}"
            f"{Names(clips).hint(strange[0]) or ': add it, or name it under ignore in study.json'}"
        )
    own = [clips[str(name)] for name in seen]
    height, width = np.array([each.size for each in own], dtype=np.float64)[clip].T
    x, y = to_pixels(rows, width, height, options.study({}), source)
    assert rows.observer is not None
    assert rows.timestamp is not None
    place = checks.middle(x, y, width, height, clip.astype(np.int64))
    doubt = None if place is None or options.units is not None else checks.off_the_middle(place)
    people, observer = np.unique(rows.observer, return_inverse=True)
    told_apart = () if people.tolist() == [""] else tuple(map(str, people))
    length = np.array([each.seconds for each in own])
    ends = rows.timestamp + (0 if rows.duration is None else rows.duration)
    unit = told or _unit_of(ends, clip, length, options.time_offset_s, source)
    if options.time_unit is None and unit != "frames":
        _refuse_header(ends, clip, length, options.time_offset_s, unit, source)
    when, lasts = _seconds(rows, unit, own, clip)
    when = when - options.time_offset_s
    late, early = when >= length[clip], when + (0 if lasts is None else lasts) < 0
    _refuse_times(late | early, when, length[clip], unit, source)
    dropped = Counter(rows.dropped)
    dropped |= Counter({"after the clip's end": int(late.sum()), "before the clip's start": int(early.sum())})
    dropped |= Counter({"outside the frame": int(outside(x, y, width, height).sum())})
    gaze, further = {}, 0
    for number, each in enumerate(own):
        mine = clip == number
        if lasts is None:
            first, stop, again = frames_of_samples(when[mine], observer[mine], each.times, each.seconds)
            further += int(again.sum())
        else:
            first, stop = frames_of_events(when[mine], lasts[mine], each.times, each.seconds)
        gaze[str(seen[number])] = GazeRows(x[mine], y[mine], observer[mine], first, stop, told_apart)
    dropped |= Counter({"further samples of an observer in a frame": further})
    doubts = [doubt, _short(when if lasts is None else when + lasts, clip, length, unit)]
    tracker = None if rows.tracker is None else rows.tracker.name
    kept = {reason: count for reason, count in dropped.items() if count}
    return GazeTable(gaze, told_apart, unit, lasts is not None, kept, tuple(d for d in doubts if d), tracker)


def _unit_of(times: Floats, clip: NDArray[np.int64], length: Floats, offset_s: float, source: Path) -> str:
    """Return the unit in which the times reach the clips' ends: units differ by 1,000, so at most one can.

    Raises:
        DataError: If in none they do.
    """
    last = np.array([times[clip == number].max() for number in range(len(length))])
    for unit in TIME_UNITS:
        if 0.3 <= np.median(_shares(times, clip, length, offset_s, unit)) <= 1.5:
            return unit
    raise DataError(
        f"{source}: the last times of clips are {_some(last)}, and clips last {_some(length)} s: in no unit (s, ms, "
        'us, ns) do the two go together. Say "time_unit" in study.json ("frames" for numbers of frames from 0), and '
        '"time_offset_s" if times do not begin with the clip'
    )


def _refuse_header(
    times: Floats, clip: NDArray[np.int64], length: Floats, offset_s: float, unit: str, source: Path
) -> None:
    """Refuse a header's unit in which gaze ends before a fiftieth of each clip, where in another it fits all of them.

    Units differ by 1,000, so that no look at the beginning of clips alone is taken for one.
    """
    if _shares(times, clip, length, offset_s, unit).max() > 0.02:
        return
    for other in TIME_UNITS:
        shares = _shares(times, clip, length, offset_s, other)
        if shares.max() <= 1.02 and np.median(shares) >= 0.3:
            raise DataError(
                f"{source}: a header says that times are in {unit}, but then gaze ends before a fiftieth of each clip; "
                f'in {other} it ends at {np.median(shares):.0%}: say "time_unit": "{other}" in study.json; '
                f'"{unit}" if that is right'
            )


def _shares(times: Floats, clip: NDArray[np.int64], length: Floats, offset_s: float, unit: TimeUnit | str) -> Floats:
    """Return the share of each clip's length at which its last time lies."""
    last = np.array([times[clip == number].max() for number in range(len(length))])
    shares: Floats = (last * SECOND[cast("TimeUnit", unit)] / 1000 - offset_s) / length
    return shares


def _seconds(rows: Rows, unit: str, own: Sequence[Clip], clip: NDArray[np.int64]) -> tuple[Floats, Floats | None]:
    """Return times and durations in seconds."""
    assert rows.timestamp is not None
    if unit != "frames":
        factor = SECOND[unit] / 1000  # type: ignore[index]
        return rows.timestamp * factor, None if rows.duration is None else rows.duration * factor
    when = np.full(len(rows), np.nan)
    lasts = None if rows.duration is None else np.zeros(len(rows))
    for number, each in enumerate(own):
        mine = clip == number
        step = each.seconds / len(each)
        inner = np.interp(rows.timestamp[mine], np.arange(len(each)), each.times)
        beyond = rows.timestamp[mine] - np.clip(rows.timestamp[mine], 0, len(each) - 1)
        when[mine] = inner + beyond * step
        if lasts is not None and rows.duration is not None:
            lasts[mine] = rows.duration[mine] * step
    return when, lasts


def _refuse_times(wrong: NDArray[np.bool_], when: Floats, length: Floats, unit: str, source: Path) -> None:
    if wrong.mean() > _FEW:
        raise DataError(
            f"{source}: in {unit}, {wrong.mean():.0%} of the times lie beyond their clips: they go from {when.min():g} "
            f"to {when.max():g} s, and clips last {_some(length)} s. Say time_unit in study.json, time_offset_s if "
            "times do not begin with the clip, and the right fps for folders of frames"
        )


def _short(when: Floats, clip: NDArray[np.int64], length: Floats, unit: str) -> str | None:
    """Return a doubt if gaze ends long before the clips, or goes on long after."""
    share = float(np.median([when[clip == number].max() / each for number, each in enumerate(length)]))
    if 0.7 <= share <= 1.3:
        return None
    return (
        f"gaze ends at {share:.0%} of a clip's length in the median, with times in {unit}: is the unit right, and the "
        "frame rate of folders (fps)?"
    )


def _some(values: Floats) -> str:
    low, high = float(np.min(values)), float(np.max(values))
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
