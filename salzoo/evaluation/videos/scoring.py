"""Scores of models on videos, frame by frame: the job behind `salzoo evaluate --data videos`."""

from __future__ import annotations

import itertools
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from salzoo._progress import counted
from salzoo._schema import check_range
from salzoo.components.load import load
from salzoo.components.saliency_model import SaliencyModel
from salzoo.data.map_folder import SUFFIXES, read_stored, to_map
from salzoo.data.videos.base import VideoDataset
from salzoo.data.videos.clip import Clip
from salzoo.errors import DatasetNotFoundError, ImageError, SpecError
from salzoo.evaluation.comparison import too_few
from salzoo.evaluation.scoring import Convention, overlap
from salzoo.evaluation.statistics import FEWEST
from salzoo.evaluation.table import TRUTH
from salzoo.evaluation.videos.baselines import ROWS, Negatives, VideoBaselines, digest_of
from salzoo.evaluation.videos.table import Scores, VideoTable
from salzoo.images.formats import list_frames
from salzoo.images.geometry import Size
from salzoo.metrics import METRICS
from salzoo.video.smoothing import smoothing

VideoPredictor: TypeAlias = Callable[[Clip, int], Iterator[tuple[int, dict[str, Any]]]]
"""A clip and every how manyth frame, to numbers of frames and the maps of some rows: (h, w), none negative."""

METRICS_OF_FRAMES = tuple(name for name in TRUTH if name != "emd")
"""All metrics of images but the earth mover's distance, which takes seconds a frame."""
OF_PEOPLE = tuple(name for name in METRICS_OF_FRAMES if "fixations" in TRUTH[name])


def evaluate_videos(
    predictors: Mapping[str, VideoPredictor],
    dataset: VideoDataset,
    *,
    every: int = 1,
    baselines: Sequence[str] = ROWS,
    convention: Convention = "mit",
    negatives: Negatives = "other_videos",
    seed: int = 0,
    part_of: int | None = None,
    notes: tuple[str, ...] = (),
    progress: bool | None = None,
) -> VideoTable:
    """Score predictions and baselines on every frame, or every so manyth, at its own size.

    Each metric is that of images, on one frame. A frame in which nobody fixates is predicted, not scored, and counted.
    Two means are made: over videos of the means over their frames, each video alike (UNISAL's), and over all frames
    (most others'). Where the dataset comes with maps, CC, SIM and KL compare with these, as the field does.

    Conventions: `mit` is that of DHF1K's code for AUC-Judd, NSS, CC and SIM (whose maps are scaled to a range from 0
    first); `pysaliency` has SIM of maps divided by their sum, as UNISAL's code and the MSU benchmark.

    Args:
        predictors: By any name; each names its own rows.
        dataset: One split of a dataset of videos.
        every: Score frames 0, `every`, 2 `every`, ... of each video.
        baselines: Names from `salzoo.evaluation.videos.baselines.ROWS`.
        convention: Convention of all metrics.
        negatives: Which fixations are negatives of shuffled AUC, of `salzoo.evaluation.videos.baselines.NEGATIVES`.
        seed: Seed of whatever is drawn.
        part_of: Number of videos of the whole split, if the dataset is a part of it (`salzoo.evaluation.part`).
        notes: Warnings to print with the table.
        progress: Whether to show a progress bar; None shows it on a terminal, and a line now and then elsewhere.

    Raises:
        DataError: If the fixations of the split are not public, or files of a clip do not go together.
        ImageError: If a map is none, or one is missing.
        SpecError: If there is no such baseline, or a row is called as one is.
    """
    dataset.require_fixations()
    check_range(1, 2**31, every=every)
    beside = VideoBaselines(dataset, baselines, seed, negatives)
    metrics = [name for name in METRICS_OF_FRAMES if name != "sauc" or beside.has_others]
    found = _Sums(len(dataset))
    empty, frames, truth = [0] * len(dataset), [0] * len(dataset), [""] * len(dataset)
    each = f", {len(beside.rows)} baselines beside {len(predictors)} predictors"
    for index in counted(range(len(dataset)), len(dataset), "video", shown=progress, each=each):
        clip, seen = dataset.clip(index), list[int]()
        for frame, maps in _together(predictors, clip, every):
            frames[index] += 1
            seen.append(digest_of(points := dataset.fixations(index, frame)))
            if not len(points):
                empty[index] += 1
                continue
            _score_frame(found, beside, index, frame, maps, metrics, convention)
        blur = "maps" if dataset.has_maps else f"{dataset.sigma(clip.size):.6g}"
        truth[index] = f"{zlib.crc32(repr((clip.size, seen, blur, beside.prior_content)).encode()):08x}"
    order = [*found.predicted, *beside.rows]
    return VideoTable(
        dataset=dataset.name,
        split=dataset.split,
        videos=tuple(dataset.names),
        every=every,
        convention=convention,
        negatives=negatives,
        baseline=beside.baseline_name,
        scores={row: found.means(row) for row in order},
        counts={row: found.counts(row) for row in order},
        frames=tuple(frames),
        empty=tuple(empty),
        notes=(*notes, *_notes(dataset, beside)),
        truth=tuple(truth),
        part_of=part_of,
    )


def _notes(dataset: VideoDataset, beside: VideoBaselines) -> tuple[str, ...]:
    """Return what belongs to all scores on a split."""
    left = {} if beside.has_others else {"sauc": "there is no other video with fixations"}
    few = (
        (f"Warning: {too_few(len(dataset), 'videos', whole=dataset.split == 'all')}",) if len(dataset) < FEWEST else ()
    )
    rounded = ("Warning: the truth are 8-bit maps; their rounding changes kld.",) if dataset.has_maps else ()
    people = (f"human: {beside.gold}",) if "human" in beside.rows else ()
    absent = (f"Without {name}: {why}." for name, why in (left | beside.absent).items())
    return (*few, *rounded, *absent, *people)


def model_predictor(
    row: str, model: SaliencyModel, smooth: Sequence[str] = (), *, frame_by_frame: bool = False, batch_size: int = 4
) -> VideoPredictor:
    """Return a predictor of a model's maps, with a further row for each smoothing, and one without memory.

    The network sees each frame once, whatever the number of smoothings.

    Args:
        row: Name of the row of the model as `predict_video` has it; the others are called after it.
        model: The model.
        smooth: Names of smoothings, as `predict_video` takes them; rows `ROW average:2`.
        frame_by_frame: For a model that remembers: also each frame as an image by itself, in the row
            `ROW frame by frame`.
        batch_size: Frames that go through the network at once.

    Raises:
        SpecError: If there is no such smoothing.
    """
    smoothers = {f"{row} {name}": smoothing(name) for name in smooth}
    alone = frame_by_frame and model.remembers

    def predict(clip: Clip, every: int) -> Iterator[tuple[int, dict[str, Any]]]:
        def maps() -> Iterator[tuple[float, Tensor, dict[str, Tensor]]]:
            frames = ((frame.time_s, frame.image) for frame in clip.frames(every=every))
            for frame in model.predict_video(frames, batch_size=batch_size):
                more = {}
                if alone:
                    more[f"{row} frame by frame"] = model.log_densities([frame.image])[0].exp().cpu()
                yield frame.time_s, torch.from_numpy(frame.saliency_map.log_density), more

        plain, *copies = itertools.tee(maps(), 1 + len(smoothers))
        runs = [
            smoother.run(((time_s, log_density) for time_s, log_density, _ in copy), None)
            for smoother, copy in zip(smoothers.values(), copies, strict=True)
        ]
        for number, ((_, log_density, more), *smooth_maps) in enumerate(zip(plain, *runs, strict=True)):
            found = {row: log_density.exp()} | more
            found |= {name: each.exp() for name, (each, _) in zip(smoothers, smooth_maps, strict=True)}
            yield number * every, found

    return predict


def map_predictor(row: str, folder: Path) -> VideoPredictor:
    """Return a predictor that reads maps that any tool wrote: a folder a clip, a file a frame.

    The folder of a clip is called like it, without suffix. As many files as the clip has frames are those of its
    frames, in the order of their names; else the number at the end of a file's name is that of the frame, from 0, as
    `salzoo predict --format npy --every N` writes them.

    Args:
        row: Name of the row.
        folder: Holds the folders of the clips.

    Raises:
        ImageError: If the folder is not there; when it is read, if a clip's or a frame's map is missing.
    """
    if not folder.is_dir():
        raise ImageError(f"there is no folder {folder} with maps")

    def predict(clip: Clip, every: int) -> Iterator[tuple[int, dict[str, Any]]]:
        own = folder / clip.name
        files = list_frames(own, SUFFIXES).found if own.is_dir() else ()
        if not files:
            raise ImageError(f"{folder} has no maps of clip {clip.name!r}: they are files in {own}, one a frame")
        numbered = len(files) != len(clip)
        known = {_number(path): path for path in files} if numbered else dict(enumerate(files))
        for frame in range(0, len(clip), every):
            if frame not in known:
                raise ImageError(
                    f"{own} has {len(files)} maps and none of frame {frame}: the clip has {len(clip)} frames; the "
                    "number at the end of a file's name is that of its frame, from 0"
                )
            yield frame, {row: read_stored(known[frame])}

    return predict


def load_predictors(
    models: Mapping[str, str],
    folders: Mapping[str, Path],
    dataset: VideoDataset,
    *,
    smooth: Sequence[str] = (),
    frame_by_frame: bool = False,
    device: str = "auto",
) -> tuple[dict[str, VideoPredictor], tuple[str, ...]]:
    """Return predictors of models and of other tools' maps, and the warnings that belong to their scores.

    Args:
        models: Models, model.tags or checkpoint folders, by the name of the row.
        folders: Folders of maps, by the name of the row; see `map_predictor`.
        dataset: The split that they are to be scored on.
        smooth: As `model_predictor` takes them.
        frame_by_frame: Likewise.
        device: Device of the models.
    """
    for name in smooth:
        smoothing(name)  # a typo is told before a model is loaded
    predictors = {row: map_predictor(row, folder) for row, folder in folders.items()}
    notes: list[str] = []
    for row, name in models.items():
        model = load(name, device=device)
        predictors[row] = model_predictor(row, model, smooth, frame_by_frame=frame_by_frame)
        notes += overlap(model, dataset, row, "videos")
    return predictors, tuple(notes)


def left_out(dataset: VideoDataset) -> tuple[str, ...]:
    """Return a note on how many clips of the dataset are in other splits; none if the split has all of them."""
    try:
        total = len(dataset.sibling("all"))
    except (DatasetNotFoundError, SpecError):
        return ()
    return (f"Split {dataset.split}: {len(dataset)} of {total} videos.",) if total > len(dataset) else ()


class _Sums:
    """Sums and numbers of scores, by row, metric and video."""

    def __init__(self, videos: int) -> None:
        self._videos = videos
        self._sums: dict[str, dict[str, np.ndarray[Any, Any]]] = {}
        self._counts: dict[str, dict[str, np.ndarray[Any, Any]]] = {}
        self.predicted: dict[str, None] = {}

    def add(self, row: str, index: int, scores: Mapping[str, float]) -> None:
        """Add the scores of one frame."""
        sums, counts = self._sums.setdefault(row, {}), self._counts.setdefault(row, {})
        for name, score in scores.items():
            total = sums.setdefault(name, np.zeros(self._videos))
            number = counts.setdefault(name, np.zeros(self._videos, dtype=np.int64))
            if not np.isnan(score):
                total[index] += score
                number[index] += 1

    def means(self, row: str) -> Scores:
        """Return the mean over frames, by metric and video; NaN without one."""
        with np.errstate(invalid="ignore"):
            return {
                name: np.where(count > 0, self._sums[row][name] / np.maximum(count, 1), np.nan).tolist()
                for name, count in self._counts.get(row, {}).items()
            }

    def counts(self, row: str) -> dict[str, list[int]]:
        """Return the number of frames with a score, by metric and video."""
        return {name: count.tolist() for name, count in self._counts.get(row, {}).items()}


def _together(predictors: Mapping[str, VideoPredictor], clip: Clip, every: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and maps of each frame, of all predictors."""
    if not predictors:
        yield from ((frame, {}) for frame in range(0, len(clip), every))
        return
    for parts in zip(*(predict(clip, every) for predict in predictors.values()), strict=True):
        frame, maps = parts[0][0], dict[str, Any]()
        for _, part in parts:
            if taken := sorted((set(maps) | set(ROWS)) & set(part)):
                raise SpecError(f"two rows would be called {taken[0]!r}: write NEW=SOURCE.")
            maps |= part
        yield frame, maps


def _score_frame(
    found: _Sums,
    beside: VideoBaselines,
    index: int,
    frame: int,
    maps: Mapping[str, Any],
    metrics: Sequence[str],
    convention: Convention,
) -> None:
    """Score all rows on one frame."""
    dataset = beside.dataset
    size = dataset.clip(index).size
    prior = beside.prior(index, size)
    counts = dataset.fixations(index, frame).counts(size)
    truth = {"fixations": counts, "density": dataset.density(index, frame), "baseline": prior}
    if "sauc" in metrics:
        truth["other"] = beside.other(index, frame, size, counts)
    if not truth["density"].any():  # a black map of the dataset's
        metrics = [name for name in metrics if "density" not in TRUTH[name]]
    for row, values in maps.items():
        found.predicted.setdefault(row)
        given = to_map(values, size, f"the map of {row!r} for frame {frame} of {dataset.names[index]}")
        found.add(row, index, _score(given, truth, metrics, convention))
    for row, given in beside.maps(index, frame, size).items():
        found.add(row, index, _score(given, truth, metrics, convention))
    if "human" in beside.rows:
        found.add("human", index, _of_people(beside, index, frame, size, truth, metrics, convention))


def _of_people(
    beside: VideoBaselines,
    index: int,
    frame: int,
    size: Size,
    truth: Mapping[str, Tensor],
    metrics: Sequence[str],
    convention: Convention,
) -> dict[str, float]:
    """Score observers under all others, and average over them."""
    wanted = [name for name in metrics if name in OF_PEOPLE]
    each = [
        _score(density, {**truth, "fixations": own.counts(size)}, wanted, convention)
        for own, density in beside.between(index, frame, size, truth["baseline"])
    ]
    return {name: float(np.mean([scores[name] for scores in each])) if each else float("nan") for name in wanted}


def _score(
    given: Tensor, truth: Mapping[str, Tensor], metrics: Sequence[str], convention: Convention
) -> dict[str, float]:
    """Score an (H, W) map."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*constant.*")  # the row `uniform` is
        return {
            name: float(
                METRICS[name].score(
                    given[None], **{key: truth[key][None] for key in TRUTH[name]}, convention=convention
                )
            )
            for name in metrics
        }


def _number(path: Path) -> int:
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else -1
