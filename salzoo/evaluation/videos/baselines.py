"""What a table of videos is measured against, from chance to people; all of it is known without the video itself.

Points of other videos are those in `FRAMES` frames of each, evenly spread.

- `human`: the fixations of each observer in a frame under the gold standard of all others in that frame
  (`salzoo.evaluation.gold`, fitted to at most 300 frames of the split), averaged over observers: at most `PEOPLE` of
  them a frame, taking turns. It is scored by metrics of points alone.
- `centre_bias`: a kernel density of the fixations on all other videos of the split, as for images.
- `centre_bias_train`: the same for the training split; information gain is measured against it. Without a training
  split, or for the training split itself, that is `centre_bias`.
- `permutation`: the density of the fixations in one frame of another video, drawn once by a seed.
- `uniform`: chance.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from salzoo.components.layers import kernel_density
from salzoo.data import Fixations
from salzoo.data.videos.base import VideoDataset
from salzoo.errors import DatasetNotFoundError, SpecError
from salzoo.evaluation.gold import GoldStandard, Seen, fit_gold
from salzoo.images.geometry import Size
from salzoo.images.preprocess import resize_density

ROWS = ("human", "centre_bias", "centre_bias_train", "permutation", "uniform")
FRAMES, PEOPLE, GOLD_FRAMES = 32, 10, 300
_GRID, _BANDWIDTH, _UNIFORM = (60, 80), 0.03, 1e-3

Negatives = Literal["other_videos", "ten_frames", "same_video"]
NEGATIVES: dict[Negatives, str] = {
    "other_videos": f"fixations in {FRAMES} frames of every other video",
    "ten_frames": "fixations in 10 frames of other videos, drawn anew for each frame, as for DHF1K",
    "same_video": "fixations in all frames of the same video but the frame itself, as for audio-visual sets",
}


class VideoBaselines:
    """The baselines of one split of videos, and the negatives of shuffled AUC.

    Args:
        dataset: The split.
        wanted: Names from `ROWS`.
        seed: Seed of `permutation` and of negatives that are drawn.
        negatives: Which fixations are negatives, of `NEGATIVES`.

    Attributes:
        rows: Names of the wanted baselines that the split can have.
        absent: The reason for each of the others, by name.

    Raises:
        SpecError: If a name is unknown.
    """

    def __init__(
        self,
        dataset: VideoDataset,
        wanted: Sequence[str] = ROWS,
        seed: int = 0,
        negatives: Negatives = "other_videos",
    ) -> None:
        if unknown := [row for row in wanted if row not in ROWS]:
            raise SpecError(f"no baseline of videos is called {unknown[0]!r}; there are {', '.join(ROWS)}")
        if negatives not in get_args(Negatives):
            raise SpecError(f"negatives={negatives!r} is not accepted: {', '.join(NEGATIVES)}")
        self.dataset, self.seed, self.negatives = dataset, seed, negatives
        self._own = _Pool(dataset)
        train = None if dataset.split in ("train", "all") else _sibling(dataset)
        self._train = train if train is not None and set(train.names).isdisjoint(dataset.names) else None
        self._prior = self._own if self._train is None else _Pool(self._train)
        cycle = np.random.default_rng(seed).permutation(self._own.seen).tolist()
        self._other = dict(zip(cycle, [*cycle[1:], *cycle[:1]], strict=True)) if len(cycle) > 1 else {}
        missing = self._missing()
        self.absent = {row: missing[row] for row in ROWS if row in wanted and row in missing}
        self.rows = tuple(row for row in ROWS if row in wanted and row not in missing)
        self._same: tuple[int, Tensor] | None = None

    @property
    def baseline_name(self) -> str:
        """What information gain is measured against, in words."""
        if self._train is not None:
            return f"the centre bias of {self.dataset.name}:train"
        return "the centre bias of the other videos" if len(self._own.seen) > 1 else "uniform"

    @cached_property
    def prior_content(self) -> str:
        """Digest of the fixations that `prior` is made of: training splits of one name may differ."""
        points = (digest_of(each) for points in self._prior.points.values() for each in points)
        return sha256(repr(list(points)).encode()).hexdigest()

    @property
    def has_others(self) -> bool:
        """Whether there are negatives for every video: fixations on two videos, or in the same one."""
        return self.negatives == "same_video" or len(self._own.seen) > 1

    def prior(self, index: int, size: Size) -> Tensor:
        """Return the (H, W) density that information gain is measured against; it never knows the video itself."""
        return self._prior.density(None if self._train is not None else index, size)

    def maps(self, index: int, frame: int, size: Size) -> dict[str, Tensor]:
        """Return the (H, W) map of each row but `human`."""
        found = {}
        for row in self.rows:
            if row == "centre_bias":
                found[row] = self._own.density(index, size)
            elif row == "centre_bias_train":
                found[row] = self.prior(index, size)
            elif row == "permutation":
                found[row] = self._permutation(index, frame, size)
            elif row == "uniform":
                found[row] = _uniform(size)
        return found

    def other(self, index: int, frame: int, size: Size, own: Tensor) -> Tensor:
        """Return the (H, W) counts of the negatives of a frame.

        Args:
            index: Number of the video.
            frame: Number of the frame.
            size: Its (height, width).
            own: (H, W) counts of its own fixations.
        """
        if self.negatives == "same_video":
            return self._all_frames(index, size) - own
        if self.negatives == "other_videos":
            return self._own.counts(index, size)
        rng = np.random.default_rng((self.seed, index, frame))
        videos = rng.choice([i for i in self._own.seen if i != index], 10)
        drawn = [self._own.points[video][rng.integers(len(self._own.points[video]))] for video in videos]
        sizes = [self.dataset.clip(int(video)).size for video in videos]
        counts = sum(
            (p.resized(s, size).counts(size) for p, s in zip(drawn, sizes, strict=True)), torch.zeros_like(own)
        )
        return counts if counts.any() else self._own.counts(index, size)

    @cached_property
    def gold(self) -> GoldStandard:
        """How people predict each other in a frame; fitted to at most `GOLD_FRAMES` frames."""
        each = max(1, GOLD_FRAMES // max(len(self._own.seen), 1))
        return fit_gold(self._seen(each))

    def between(self, index: int, frame: int, size: Size, prior: Tensor) -> Iterator[tuple[Fixations, Tensor]]:
        """Yield the fixations of observers in a frame, and the (H, W) density that all others give."""
        points = self.dataset.fixations(index, frame)
        people = np.unique(points.observer)
        if len(people) < 2:
            return
        for observer in np.roll(people, -frame * PEOPLE % len(people))[:PEOPLE].tolist():
            others = points.without(observer)
            yield points.of(observer), self.gold.density(others, size, self.dataset.sigma(size), prior)

    def _seen(self, each: int) -> Iterator[Seen]:
        for index in self._own.seen:
            size = self.dataset.clip(index).size
            prior = self.prior(index, size)
            points = self._own.points[index]
            for number in np.unique(np.linspace(0, len(points) - 1, min(each, len(points))).round().astype(int)):
                yield points[number], size, self.dataset.sigma(size), prior

    def _all_frames(self, index: int, size: Size) -> Tensor:
        """Return the counts of all frames of a video; those of the last one are kept."""
        if self._same is None or self._same[0] != index:
            frames = range(len(self.dataset.clip(index)))
            counts = sum(
                (self.dataset.gaze(index)[f].counts(size) for f in frames), torch.zeros(size, dtype=torch.int32)
            )
            self._same = index, counts
        return self._same[1]

    def _permutation(self, index: int, frame: int, size: Size) -> Tensor:
        other = self._other.get(index, next(i for i in self._own.seen if i != index))
        points = self._own.points[other]
        start = frame % len(points)
        chosen = next(each for each in (*points[start:], *points[:start]) if len(each))
        return chosen.resized(self.dataset.clip(other).size, size).density(size, self.dataset.sigma(size))

    def _missing(self) -> dict[str, str]:
        """Return why rows cannot be made, by name."""
        missing: dict[str, str] = {}
        if len(self._own.seen) < 2:
            missing |= dict.fromkeys(("centre_bias", "permutation"), "there is no other video with fixations")
        if self._train is None:
            missing["centre_bias_train"] = "there is no other split 'train'"
        people = (points for each in self._own.points.values() for points in each)
        if not any(len(np.unique(points.observer)) > 1 for points in people):
            missing["human"] = "no frame has two observers who are told apart"
        return missing


def digest_of(points: Fixations) -> int:
    """Return a number that changes with the places of fixations, by a hundredth of a pixel or more."""
    return zlib.crc32(np.rint(100 * np.stack([points.x, points.y])).astype(np.int64).tobytes())


class _Pool:
    """The fixations in some frames of each video of a split."""

    def __init__(self, dataset: VideoDataset) -> None:
        self._dataset = dataset
        self.points = {index: dataset.sample_points(index, FRAMES) for index in range(len(dataset))}
        self.numbers = {index: sum(map(len, points)) for index, points in self.points.items()}
        self.seen = [index for index, count in self.numbers.items() if count]
        self._total = sum(self.numbers.values())
        self._together = kernel_density((pair for i in self.seen for pair in self._of(i)), _GRID, _BANDWIDTH, _UNIFORM)
        self._latest: dict[str, tuple[int | None, Size, Tensor]] = {}

    def _of(self, index: int) -> Iterator[tuple[Fixations, Size]]:
        size = self._dataset.clip(index).size
        return ((points, size) for points in self.points[index] if len(points))

    def density(self, without: int | None, size: Size) -> Tensor:
        """Return the (H, W) density of all fixations but those on one video; uniform if there are no others."""
        return self._kept("density", without, size, self._density)

    def counts(self, without: int, size: Size) -> Tensor:
        """Return the (H, W) counts of all fixations but those on one video."""
        return self._kept("counts", without, size, self._counts)

    def _kept(self, what: str, without: int | None, size: Size, make: Callable[[int | None, Size], Tensor]) -> Tensor:
        """Return what was made last: all frames of a video ask for it."""
        if what not in self._latest or self._latest[what][:2] != (without, size):
            self._latest[what] = without, size, make(without, size)
        return self._latest[what][2]

    def _density(self, without: int | None, size: Size) -> Tensor:
        count = self.numbers[without] if without is not None else 0
        if count == self._total:
            return _uniform(size)
        if not count or without is None:
            return resize_density(self._together, size)
        alone = kernel_density(self._of(without), _GRID, _BANDWIDTH, _UNIFORM).double()
        rest = (self._total * self._together.double() - count * alone) / (self._total - count)
        return resize_density(rest.clamp_min(_UNIFORM / rest.numel()).float(), size)

    def _counts(self, without: int | None, size: Size) -> Tensor:
        counts = torch.zeros(size, dtype=torch.int32)
        for index in self.seen:
            if index != without:
                for points, own in self._of(index):
                    counts += points.resized(own, size).counts(size)
        return counts


def _sibling(dataset: VideoDataset) -> VideoDataset | None:
    """Return the training split; None if there is none, or its fixations are not here."""
    try:
        train = dataset.sibling("train")
    except DatasetNotFoundError:
        return None
    return train if train.has_fixations else None


def _uniform(size: Size) -> Tensor:
    return torch.full(size, 1 / (size[0] * size[1]))
