"""Your own clips: video files or folders of frames, and a table of who looked where and when."""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

from salzoo.data.base import Split, file_stamp, tells_refusals
from salzoo.data.folder.options import read_options
from salzoo.data.folder.tables import OTHER_TABLES, TABLES
from salzoo.data.folder.text_table import looks_like_a_table
from salzoo.data.names import Names
from salzoo.data.splits import SPLITS, draw, read_lists
from salzoo.data.videos.base import VideoDataset
from salzoo.data.videos.clip import Clip
from salzoo.data.videos.gaze import Gaze
from salzoo.data.videos.options import VideoOptions
from salzoo.data.videos.table import GazeTable, read_gaze_table
from salzoo.errors import DataError, DatasetNotFoundError, SalzooWarning, SpecError
from salzoo.images.formats import is_hidden, list_files
from salzoo.video.frames import SUFFIXES as VIDEOS

CLIP_FOLDERS = ("videos", "clips", "stimuli")


class VideoFolder(VideoDataset):
    """A user's own study of videos: clips in `videos/`, gaze in a table, options in `study.json`.

    The clips are those directly in `root/videos` (or `clips`, `stimuli`, or `root` itself): video files, and folders
    whose images, sorted by name, are frames. Where people looked is in a table in `root` (CSV, TSV, Parquet), or in
    `root/gaze/`, one table of all observers a clip, called like it. Columns, by any of the names in parentheses:

    - video (clip, movie, stimulus, media, image, file): file or folder name, with or without its suffix;
    - subject (observer, participant, user, person), if known: without it there is no row `human`;
    - time (t, timestamp, onset, start; frame for numbers of frames from 0), from the clip's first frame. A header may
      have its unit: `time_ms`. Else it is that one of s, ms, us and ns in which times reach the ends of the clips;
    - x and y, in pixels of the frame from 0 at its upper left corner;
    - duration, in the unit of the times, if rows are fixations. Such a row counts in every frame that is shown
      meanwhile. Without durations rows are samples of gaze, and each observer's sample nearest to the middle of a
      frame's time counts in it.

    Dropped and counted are rows without coordinates, time or duration, codes for a lost eye, rows before or after the
    clip, further samples of an observer in a frame, and points outside the frame. Clips without any row are left out.

    Splits are the lists of `root/splits.json`, else drawn by name: 70 % train, 10 % val and 20 % test.

    Args:
        root: The study's folder.
        split: See `VideoDataset`.
        **options: What follows. Every option can instead be in `root/study.json`, where the commands find it; arguments
            take precedence.

    The file:
        gaze: The table or folder of tables, relative to `root`, if there are several.
        columns: Names in the header by what they mean, as {"x": "FIX_X", "video": "trial"}: video, subject, time, x, y,
            duration.
        decimal: `.` or `,`.
        ignore: Names or patterns of what the column video names besides clips.
        observers: Names of the observers to keep; all by default.
        keep: Values or patterns to keep, by column, as {"event": ["fixation"], "eye": ["left"]}.

    The coordinates (as `FixationFolder` has them): units, origin, y_from_bottom, screen, offset, scale.

    The times:
        time_unit: `s`, `ms`, `us`, `ns`, or `frames`: numbers of frames from 0.
        time_offset_s: Seconds at which the clip begins in the times of the table; taken from all of them.
        fps: Frames a second of folders of frames; needed for those, unless times are numbers of frames.

    What is done with them:
        sigma_px: Standard deviation of the blur of the density, in pixels of the frames; by default 1/25 of the height.
        pixels_per_degree: Blurs by one degree of visual angle instead.

    Attributes:
        study: What was read, and what was dropped and why.

    Raises:
        DatasetNotFoundError: If clips or gaze are missing, or the split is empty.
        DataError: If a row's clip is missing, no row is left, or the numbers seem misread: other units of place or
            time, x and y swapped, both eyes counted twice.
        SpecError: If an option is wrong.
    """

    name = "videos"
    source = "A study of your own needs clips and a table of gaze with columns video, subject, time, x, y"

    @tells_refusals
    def __init__(self, root: str | Path, split: Split = "train", **options: Any) -> None:
        folder = self._find(Path(root).expanduser())
        self.options = read_options(folder, options, VideoOptions, "VideoFolder")
        self.study, self._clips = _cached(folder.absolute(), self.options, _stamp(folder, self.options))
        for doubt in self.study.doubts:
            warnings.warn(f"{folder}: {doubt}", SalzooWarning, stacklevel=3)
        super().__init__(
            folder, split, sigma_px=self.options.sigma_px, pixels_per_degree=self.options.pixels_per_degree
        )

    def read_clip(self, index: int) -> Clip:
        """Return a clip."""
        return self._clips[self.names[index]]

    def read_gaze(self, index: int) -> Gaze:
        """Return the rows of a clip."""
        return self.study.gaze[self.names[index]]

    @property
    def unseen(self) -> tuple[str, ...]:
        """Clips without any row, which are left out."""
        return tuple(sorted(set(self._clips) - set(self.study.gaze)))

    def split_of(self, name: str) -> Split | None:
        """Return the split of a clip; None if `splits.json` leaves it out."""
        return next((split for split, names in self._lists.items() if name in names), None)

    def _find(self, root: Path) -> Path:
        if not root.is_dir():
            raise DatasetNotFoundError(f"{self.name}: there is no folder {root}. {self.source}")
        return root

    def _list_names(self) -> list[str]:
        path, present = self.root / SPLITS, sorted(self.study.gaze)
        self._lists = read_lists(path, Names(present), "clips") if path.exists() else draw(present)
        if self.split == "all":
            return present
        names = list(self._lists[self.split])
        if absent := sorted(set(names) - set(present)):
            raise DatasetNotFoundError(
                f"{path}: {len(absent)} clips of split {self.split!r} have no file or no gaze, the first is "
                f"{absent[0]}{Names(present).hint(absent[0])}"
            )
        if not names:
            raise DatasetNotFoundError(
                f"{self.root}: split {self.split!r} has none of the {len(present)} clips; put clips there in {SPLITS}: "
                '{"train": [...], "val": [...], "test": [...]} with names'
            )
        return names


def find_clips(root: Path, fps: float | None) -> dict[str, Clip]:
    """Return the clips of a folder by their names without suffix.

    Raises:
        DatasetNotFoundError: If there is none.
        DataError: If two clips have one name.
    """
    inner = [root / name for name in CLIP_FOLDERS if (root / name).is_dir()]
    if len(inner) > 1:
        raise SpecError(f"{root} has {' and '.join(each.name for each in inner)}: keep the clips in one of them")
    folder = inner[0] if inner else root
    clips: dict[str, Clip] = {}
    for path in sorted(folder.iterdir()):
        frames = path.is_dir() and not is_hidden(path) and path.name != "gaze" and bool(list_files(path).found)
        if not frames and not (path.suffix.lower() in VIDEOS and path.is_file() and not is_hidden(path)):
            continue
        name = path.name if frames else path.stem
        if name in clips:
            raise DataError(f"{folder} has {clips[name].source.name} and {path.name}: clips must differ in their names")
        clips[name] = Clip(name, path, fps=fps or 25.0)
    if not clips:
        names = ", ".join(CLIP_FOLDERS)
        raise DatasetNotFoundError(f"no clips in {root}, nor in its folders {names}: video files or folders of frames")
    return clips


def find_tables(root: Path, chosen: str | None) -> tuple[Path, list[Path]]:
    """Return the table of gaze, or the folder `gaze/`, and the tables that are read.

    Raises:
        DatasetNotFoundError: If there is none.
        SpecError: If there are several.
    """
    if chosen is not None and not (root / chosen).exists():
        raise DatasetNotFoundError(f"there is no {root / chosen}, which the option gaze names")
    found = [root / chosen] if chosen is not None else list(list_files(root, TABLES).found)
    found += [root / "gaze"] if chosen is None and (root / "gaze").is_dir() else []
    if not found:
        found = [path for path in list_files(root, OTHER_TABLES).found if looks_like_a_table(path)]
    if len(found) > 1:
        raise SpecError(f'{root} has {", ".join(p.name for p in found)}: say which has the gaze, "gaze" in study.json')
    if not found:
        raise DatasetNotFoundError(
            f"no gaze in {root}: a table ({', '.join(TABLES)}) with columns video, subject, time, x, y, or a folder "
            "gaze/ with one table a clip"
        )
    if found[0].is_file():
        return found[0], found
    tables = list(list_files(found[0], (*TABLES, *OTHER_TABLES)).found)
    if not tables:
        raise DatasetNotFoundError(f"{found[0]} holds no table")
    return found[0], tables


_Stamp = tuple[tuple[str, int, int, int, int], ...]


@lru_cache(maxsize=4)
def _cached(root: Path, options: VideoOptions, _stamp: _Stamp) -> tuple[GazeTable, dict[str, Clip]]:
    """Read a study once a process, and again if a file changes."""
    clips = find_clips(root, options.fps)
    source, tables = find_tables(root, options.gaze)
    study = read_gaze_table(source, tables, clips, options)
    folders = [name for name in study.gaze if clips[name].source.is_dir()]
    if folders and options.fps is None and study.unit != "frames":
        raise SpecError(
            f"{clips[folders[0]].source} is a folder of frames, and nothing says how many there are a second: say "
            '"fps": 25, or what it is, in study.json'
        )
    return study, clips


def _stamp(root: Path, options: VideoOptions) -> _Stamp:
    """Return name, size and times of all files of a study, which tell whether it must be read again."""
    _, tables = find_tables(root, options.gaze)
    sources = [clip.source for clip in find_clips(root, options.fps).values()]
    return tuple((path.name, *file_stamp(path)) for path in (*tables, *sources))
