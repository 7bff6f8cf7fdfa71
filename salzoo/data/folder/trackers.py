"""Exports of eye trackers and their software, recognised by the columns that only they have.

Column names are those of the makers' exports: EyeLink Data Viewer's fixation report, Tobii Pro Lab and Tobii Studio
(data export), Pupil Player (`fixations.csv`, `fixations_on_surface_*.csv`) and Pupil Cloud, SMI BeGaze (event
statistics), Gazepoint Analysis, PsychoPy's ioHub (fixation end events) and pymovements (events).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from unicodedata import normalize

from salzoo.data.folder.options import TimeUnit, Units

_IMAGE = (
    "image", "image name", "image file", "img", "stimulus", "stimulus name", "stimulus file", "stim", "picture",
    "picture name", "media", "media name", "file", "file name", "presented stimulus name", "trial image",
)  # fmt: skip
_PERSON = ("observer", "subject", "participant", "participant name", "subject id", "participant id", "user", "session")


@dataclass(frozen=True)
class Tracker:
    """One kind of export.

    Args:
        name: What wrote it.
        columns: Header names by what they mean, the preferred one first; without regard to case, spaces, `_` and `-`.
        marks: Which of these meanings must be there for the table to be such an export.
        units: Units of x and y; None if they depend on the experiment.
        y_from_bottom: Whether y counts upwards.
        time_unit: Unit of the durations; None if it depends on the experiment.
        keep: Values that rows with a fixation have, by column; a column that is missing excludes nothing.
    """

    name: str
    columns: Mapping[str, tuple[str, ...]]
    marks: tuple[str, ...] = ("x", "y")
    units: Units | None = "pixels"
    y_from_bottom: bool | None = None
    time_unit: TimeUnit | None = "ms"
    keep: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def find(self, role: str, header: Sequence[str]) -> str | None:
        """Return the column of the header with that meaning."""
        return find_column(self.columns.get(role, ()), header)

    def kept(self, header: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return `keep` for the columns that are there, by their names in the header."""
        found = ((find_column((column,), header), values) for column, values in self.keep.items())
        return {column: values for column, values in found if column is not None}


def _tobii(suffix: str, units: Units) -> Tracker:
    return Tracker(
        "Tobii Pro Lab",
        {
            "image": ("Presented Stimulus name", "Presented Media name"),
            "x": (f"Fixation point X{suffix}",),
            "y": (f"Fixation point Y{suffix}",),
            "observer": ("Participant name", "Recording name"),
            "duration": tuple(
                f"{start} event duration{unit}" for start in ("Gaze", "Eye movement") for unit in (" [ms]", "")
            ),
            "timestamp": tuple(f"Recording timestamp{unit}" for unit in (" [μs]", " [ms]", "")),
            "event": ("Eye movement type index",),
        },
        units=units,
        keep={"Eye movement type": ("Fixation",)},
    )


_CLOUD: tuple[tuple[str, Units], ...] = (("normalized", "fractions"), ("px", "pixels"))

TRACKERS = (
    Tracker(
        "EyeLink Data Viewer",
        {
            "image": _IMAGE,
            "x": ("CURRENT_FIX_X",),
            "y": ("CURRENT_FIX_Y",),
            "observer": ("RECORDING_SESSION_LABEL", "Session_Name_", *_PERSON),
            "duration": ("CURRENT_FIX_DURATION",),
            "timestamp": ("CURRENT_FIX_START", "CURRENT_FIX_INDEX"),
        },
    ),
    _tobii(" [MCS px]", "pixels"),
    _tobii(" [DACS px]", "pixels"),
    _tobii(" [MCS norm]", "fractions"),
    _tobii(" [DACS norm]", "fractions"),
    _tobii("", "pixels"),
    Tracker(
        "Tobii Studio",
        {
            "image": ("MediaName",),
            "x": ("FixationPointX (MCSpx)", "FixationPointX"),
            "y": ("FixationPointY (MCSpx)", "FixationPointY"),
            "observer": ("ParticipantName", "RecordingName"),
            "duration": ("GazeEventDuration", "GazeEventDuration(mS)"),
            "timestamp": ("RecordingTimestamp",),
            "event": ("FixationIndex",),
        },
        keep={"GazeEventType": ("Fixation",)},
    ),
    Tracker(
        "SMI BeGaze",
        {
            "image": ("Stimulus",),
            "x": ("Fixation Position X [px]", "Position X [px]", "Position X"),
            "y": ("Fixation Position Y [px]", "Position Y [px]", "Position Y"),
            "observer": ("Participant", "Subject"),
            "duration": ("Event Duration [ms]", "Fixation Duration [ms]", "Duration [ms]"),
            "timestamp": ("Event Start Trial Time [ms]", "Fixation Start [ms]", "Start [ms]"),
        },
        marks=("image", "x", "y", "duration"),
        keep={"Category": ("Fixation", "Visual Intake"), "Event Type": ("Fixation*", "Visual Intake*")},
    ),
    Tracker(
        "Gazepoint Analysis",
        {
            "image": ("MEDIA_NAME",),
            "x": ("FPOGX",),
            "y": ("FPOGY",),
            "observer": ("USER_NAME", "USERID", *_PERSON),
            "duration": ("FPOGD",),
            "timestamp": ("FPOGS", "CNT"),
            "event": ("FPOGID",),
        },
        units="fractions",
        time_unit="s",
        keep={"FPOGV": ("1", "1.0")},
    ),
    Tracker(
        "Pupil Labs (Player)",
        {
            "image": (*_IMAGE, "surface", "surface name"),
            "x": ("norm_pos_x",),
            "y": ("norm_pos_y",),
            "observer": ("recording", "recording id", *_PERSON),
            "duration": ("duration",),
            "timestamp": ("start_timestamp", "world_timestamp"),
            "event": ("fixation_id", "id"),
        },
        marks=("x", "y", "duration"),
        units="fractions",
        y_from_bottom=True,
        keep={"on_surf": ("True", "1")},
    ),
    *(
        Tracker(
            "Pupil Labs (Cloud)",
            {
                "image": (*_IMAGE, "surface name", "enrichment name"),
                "x": (f"fixation x [{unit}]",),
                "y": (f"fixation y [{unit}]",),
                "observer": (*_PERSON, "wearer name", "recording id"),
                "duration": ("duration [ms]",),
                "timestamp": ("start timestamp [ns]",),
                "event": ("fixation id",),
            },
            units=units,
            keep={
                "fixation detected on surface": ("True", "1"),
                "fixation detected in reference image": ("True", "1"),
            },
        )
        for unit, units in _CLOUD
    ),
    Tracker(
        "PsychoPy ioHub",
        {
            "image": _IMAGE,
            "x": ("average_gaze_x",),
            "y": ("average_gaze_y",),
            "observer": (*_PERSON, "session_id"),
            "duration": ("duration",),
            "timestamp": ("start_time", "time"),
        },
        marks=("x", "y", "duration"),
        units=None,
        time_unit="s",
    ),
    Tracker(
        "pymovements",
        {
            "image": _IMAGE,
            "x": ("location_x", "location_0"),
            "y": ("location_y", "location_1"),
            "observer": _PERSON,
            "duration": ("duration",),
            "timestamp": ("onset",),
        },
        marks=("x", "y", "duration", "timestamp"),
        units=None,
        keep={"name": ("fixation*",)},
    ),
)


def recognise(header: Sequence[str]) -> Tracker | None:
    """Return the kind of export that has such a header, if it is a known one."""
    return next((t for t in TRACKERS if all(t.find(role, header) is not None for role in t.marks)), None)


def find_column(wanted: Sequence[str], header: Sequence[str]) -> str | None:
    """Return the first of the wanted names that the header has, as it is written there."""
    names = {_plain(name): name for name in reversed(header)}
    return next((names[_plain(name)] for name in wanted if _plain(name) in names), None)


def _plain(name: str) -> str:
    """Return a column's name without what differs between versions of one program."""
    return re.sub(r"[\s_-]+", "", normalize("NFKC", name)).casefold()
