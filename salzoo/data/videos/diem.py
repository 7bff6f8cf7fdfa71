"""DIEM: gaze of both eyes at every frame, one text file an observer and clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salzoo._text import read_text
from salzoo.data.base import Split
from salzoo.data.fixations import Floats
from salzoo.data.names import Names
from salzoo.data.splits import draw, read_lists
from salzoo.data.videos.base import VideoDataset
from salzoo.data.videos.clip import Clip
from salzoo.data.videos.gaze import Gaze, GazeRows
from salzoo.errors import DataError, DatasetNotFoundError
from salzoo.images.formats import list_files
from salzoo.video.frames import SUFFIXES as VIDEOS

_COLUMNS = 9
_FIXATION = 1.0
_SCREEN = (1280, 960)


class DIEM(VideoDataset):
    """DIEM: 84 clips of films, advertisements and sports; about 50 observers each (Mital et al., 2011).

    `<clip>/video/<clip>.mp4` and `<clip>/event_data/*.txt`, one file an observer, a row a frame of 1/30 s: number of
    the frame from 1, then x, y, pupil and event of the left eye, then of the right one, separated by tabs. Events are
    -1 (lost), 0 (blink), 1 (fixation) and 2 (saccade). Where both eyes fixate, their mean counts, once; where one does,
    that one. x and y are places on a screen of 1280 x 960 pixels, in whose middle the clip was shown.

    The dataset has no splits of its own: they are the lists of `splits.json`, else drawn by name, 70 % train, 10 % val
    and 20 % test. The usual blur is 1/25 of the frames' height.

    Args:
        root: See `VideoDataset`.
        split: See `VideoDataset`.
        screen: (width, height) of the screen in pixels.
        eyes: `both`, or the one eye that counts: `left` or `right`.
        sigma_px: See `VideoDataset`.
        pixels_per_degree: See `VideoDataset`.

    Raises:
        DataError: When a clip's gaze is read: if a file has other columns, or unknown events.
    """

    name = "diem"
    source = (
        "DIEM is the data of Mital et al., 'Clustering of Gaze During Dynamic Scene Viewing', 2011: a folder a clip"
    )

    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        screen: tuple[int, int] = _SCREEN,
        eyes: str = "both",
        sigma_px: float | None = None,
        pixels_per_degree: float | None = None,
    ) -> None:
        if eyes not in ("both", "left", "right"):
            raise DataError(f"{self.name}: eyes={eyes!r} is not accepted: both, left or right")
        self.screen, self.eyes = screen, eyes
        super().__init__(root, split, sigma_px=sigma_px, pixels_per_degree=pixels_per_degree)

    def read_clip(self, index: int) -> Clip:
        """Return the video file of a clip."""
        folder = self.root / self.names[index] / "video"
        files = [path for path in list_files(folder, VIDEOS).found] if folder.is_dir() else []
        if len(files) != 1:
            found = f"{len(files)} videos" if files else "no video"
            raise DatasetNotFoundError(f"{self.name}: {found} in {folder}, where there must be one. {self.source}")
        return Clip(self.names[index], files[0])

    def read_gaze(self, index: int) -> Gaze:
        """Read the files of all observers of a clip."""
        clip, name = self.clip(index), self.names[index]
        height, width = clip.size
        files = list_files(self.root / name / "event_data", (".txt",)).found
        if not files:
            raise DatasetNotFoundError(f"{self.name}: no event_data/*.txt of clip {name} in {self.root}. {self.source}")
        left, top = (self.screen[0] - width) / 2, (self.screen[1] - height) / 2
        parts, dropped = [], 0
        for number, path in enumerate(files):
            frame, x, y = _read(path, self.eyes)
            inside = (frame >= 0) & (frame < len(clip))
            dropped += int((~inside).sum())
            parts.append((frame[inside], x[inside] - left, y[inside] - top, np.full(int(inside.sum()), number)))
        first, x, y, observer = (np.concatenate(each) for each in zip(*parts, strict=True))
        observers = [path.stem.removesuffix(f"_{name}") for path in files]
        return GazeRows(x, y, observer, first, first + 1, observers, {"after the clip's end": dropped})

    def _find(self, root: Path) -> Path:
        if not root.is_dir():
            raise DatasetNotFoundError(f"{self.name}: there is no folder {root}. {self.source}")
        inner = [child for child in sorted(root.iterdir()) if child.is_dir() and child.name.lower() == self.name]
        for folder in (root, *inner):
            if any(folder.glob("*/event_data")):
                return folder
        raise DatasetNotFoundError(f"{self.name}: no <clip>/event_data in {root}. {self.source}")

    def _list_names(self) -> list[str]:
        present = sorted(path.parent.name for path in self.root.glob("*/event_data") if path.is_dir())
        if self.split == "all":
            return present
        path = self.root / "splits.json"
        lists = read_lists(path, Names(present)) if path.exists() else draw(present)
        names = sorted(lists[self.split])
        if absent := sorted(set(names) - set(present)):
            raise DatasetNotFoundError(f"{path}: {len(absent)} clips of split {self.split!r} are not here: {absent[0]}")
        if not names:
            raise DatasetNotFoundError(f"{self.name}: split {self.split!r} of {self.root} is empty: list it in {path}")
        return names


def _read(path: Path, eyes: str) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return frame (0-based), x and y on the screen of the frames in which an observer fixates."""
    try:
        lines = [line.split() for line in read_text(path).splitlines() if line.strip()]
        lines = lines[1:] if lines and not _is_number(lines[0][0]) else lines
        table = np.array(lines, dtype=np.float64)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is no table of numbers in {_COLUMNS} columns: {error}") from error
    if not len(table):
        return np.zeros(0, np.int64), np.zeros(0), np.zeros(0)
    if table.ndim != 2 or table.shape[1] != _COLUMNS:
        raise DataError(
            f"{path} has {table.shape[-1]} columns; DIEM's have {_COLUMNS}: frame, then x, y, pupil, event of each eye"
        )
    events = table[:, (4, 8)]
    if not np.isin(events, (-1, 0, 1, 2)).all():
        raise DataError(
            f"{path}: events are -1, 0, 1 and 2, but there is {events[~np.isin(events, (-1, 0, 1, 2))][0]:g}"
        )
    frame, places = table[:, 0] - 1, np.stack([table[:, (1, 2)], table[:, (5, 6)]], 1)  # (rows, eyes, 2)
    counts = (events == _FIXATION) & np.isfinite(places).all(2)
    if eyes != "both":
        counts[:, 1 if eyes == "left" else 0] = False
    seen = counts.any(1) & np.isfinite(frame)
    weight = counts[seen][..., None].astype(np.float64)
    x, y = (np.where(weight > 0, places[seen], 0) * weight).sum(1).T / weight.sum(1).T
    return frame[seen].astype(np.int64), x, y


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
