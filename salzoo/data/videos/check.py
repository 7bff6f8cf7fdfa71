"""What salzoo read from a dataset of videos, to be looked at before anything is trained: `salzoo data check`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from salzoo.data.check import Report
from salzoo.data.fixations import Fixations
from salzoo.data.videos.base import VideoDataset
from salzoo.data.videos.folder import VideoFolder
from salzoo.images.geometry import Size

_FRAMES = 32
"""Frames of each clip that are looked at, evenly spread."""


def check_videos(dataset: VideoDataset) -> Report:
    """Look through some frames of each clip for what seems wrong; pictures are not decoded but for the first frames.

    Raises:
        DataError: If something cannot be read.
    """
    clips = [dataset.clip(i) for i in range(len(dataset))]
    sizes = Counter(f"{clip.size[1]} x {clip.size[0]}" for clip in clips)
    seconds, counts = [clip.seconds for clip in clips], [len(clip) for clip in clips]
    rates = sorted({round(len(clip) / clip.seconds, 2) for clip in clips})
    facts = {
        "dataset": f"{dataset.name} in {dataset.root}",
        "clips": f"{len(clips)} in split {dataset.split}, {sum(counts)} frames, {sum(seconds):.1f} s",
        "width x height": ", ".join(f"{size} ({count})" for size, count in sizes.most_common(4)),
        "frames": f"{_spread(counts)} a clip, {_spread(rates)} a second",
    }
    if not dataset.has_fixations:
        return Report({**facts, "truth": "not public: nothing can be trained or scored on this split"}, {}, ())
    dropped: Counter[str] = Counter()
    warnings: list[str] = []
    if isinstance(dataset, VideoFolder):
        study = dataset.study
        kind = "fixations that last" if study.events else "samples of gaze"
        facts["gaze in"] = f"{kind}, times in {study.unit}" + (
            f", an export of {study.tracker}" if study.tracker else ""
        )
        splits = Counter(dataset.split_of(name) for name in study.gaze)
        facts["splits"] = ", ".join(f"{split} {splits[split]}" for split in ("train", "val", "test"))
        dropped |= Counter(study.dropped)
        warnings += study.doubts
        if dataset.unseen:
            warnings.append(
                f"{len(dataset.unseen)} clips have no row and are left out, the first is {dataset.unseen[0]}"
            )
    people: set[str] = set()
    found, empty, looked = [], 0, 0
    for index in range(len(clips)):
        points = dataset.sample_points(index, _FRAMES)
        looked += len(points)
        empty += sum(not len(each) for each in points)
        found += [len(each) for each in points]
        people |= set(dataset.gaze(index).observers)
        if not isinstance(dataset, VideoFolder):
            dropped |= Counter(dataset.gaze(index).dropped)
        if not any(map(len, points)):
            warnings.append(f"clip {dataset.names[index]} has no fixation in {len(points)} frames")
    facts["fixations"] = f"{_spread(found)} a frame, in {looked} frames that were looked at, {empty} of them without"
    facts["observers"] = f"{len(people)}" if people else "not told apart"
    blur = sorted({round(dataset.sigma(clip.size), 1) for clip in clips})
    facts["density"] = "maps that come with it" if dataset.has_maps else f"blur of {_spread(blur)} px"
    return Report(facts, {reason: count for reason, count in dropped.items() if count}, tuple(warnings))


@dataclass(frozen=True)
class Stills:
    """Frames spread over the clips of a dataset, as `salzoo.data.check.contact_sheet` draws images.

    Args:
        dataset: The clips.
        most: Number of frames.
    """

    dataset: VideoDataset
    most: int = 24

    @property
    def _places(self) -> list[tuple[int, int]]:
        clips = np.linspace(0, len(self.dataset) - 1, self.most).round().astype(int).tolist()
        seen: Counter[int] = Counter(clips)
        found, number = [], Counter[int]()
        for clip in clips:
            number[clip] += 1
            found.append((clip, (len(self.dataset.clip(clip)) - 1) * number[clip] // (seen[clip] + 1)))
        return found

    @property
    def names(self) -> list[str]:
        """Clip and number of each frame."""
        return [f"{self.dataset.names[clip]} {frame}" for clip, frame in self._places]

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.most

    def image(self, index: int) -> Tensor:
        """Return a frame, (3, H, W) uint8 RGB."""
        clip, frame = self._places[index]
        (found,) = self.dataset.clip(clip).frames(frame, frame + 1)
        return found.image

    def size(self, index: int) -> Size:
        """Return its (height, width)."""
        return self.dataset.clip(self._places[index][0]).size

    def fixations(self, index: int) -> Fixations:
        """Return the fixations in it."""
        clip, frame = self._places[index]
        return self.dataset.fixations(clip, frame)


def _spread(numbers: list[int] | list[float]) -> str:
    low, high = min(numbers, default=0), max(numbers, default=0)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}, mean {np.mean(numbers):.1f}"
