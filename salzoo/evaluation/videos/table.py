"""The result of an evaluation on videos, as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import Any, TypeAlias

from salzoo import _markdown
from salzoo._text import to_cell
from salzoo._version import commit
from salzoo.evaluation.comparison import Comparison, compare
from salzoo.evaluation.part import how_many
from salzoo.evaluation.statistics import finite, interval, mean, of_ratio, plus_minus
from salzoo.evaluation.videos.baselines import NEGATIVES, Negatives
from salzoo.metrics import METRICS

Scores: TypeAlias = dict[str, list[float]]
Means: TypeAlias = dict[str, dict[str, float]]

SETTINGS = ("dataset", "split", "part_of", "every", "convention", "negatives", "baseline")
"""What scores must have in common to stand in one table: fields of `VideoTable`, and columns of its CSV."""
COLUMNS = ("row", "video", "frames", "frames_without_fixations", *SETTINGS, "truth", "notes")
"""Header of its CSV, but for the metrics, and the number of frames that each score of a metric is of."""
SCORED = "{}_frames"
"""Column of that number."""


@dataclass(frozen=True, repr=False)
class VideoTable:
    """The result of an evaluation on videos; it prints as Markdown.

    Args:
        dataset: Name of the dataset.
        split: Its split.
        videos: Names of the videos.
        every: Every how manyth frame was scored.
        convention: Convention of the metrics.
        negatives: Which fixations are negatives of shuffled AUC.
        baseline: What information gain is measured against, in words.
        scores: Mean over the frames of each video, by row and metric; NaN where no frame has a score.
        counts: Number of frames that each of those is the mean of.
        frames: Number of frames of each video that were looked at.
        empty: Number of those in which nobody fixates, which were not scored.
        notes: Warnings that belong to the numbers.
        truth: Digest of the fixations, the blur and the baseline that each video was scored against, or empty.
        part_of: Number of videos of the whole split, if a part of it was scored; else None.
    """

    dataset: str
    split: str
    videos: tuple[str, ...]
    every: int
    convention: str
    negatives: Negatives
    baseline: str
    scores: dict[str, Scores]
    counts: dict[str, dict[str, list[int]]]
    frames: tuple[int, ...]
    empty: tuple[int, ...]
    notes: tuple[str, ...] = ()
    truth: tuple[str, ...] = ()
    part_of: int | None = None

    @property
    def rows(self) -> Means:
        """Mean over videos of their means over frames, by row and metric: each video weighs alike."""
        return {row: {m: mean(v) for m, v in scores.items()} for row, scores in self.scores.items()}

    @property
    def rows_per_frame(self) -> Means:
        """Mean over all frames, by row and metric: long videos weigh more."""
        return {row: {m: mean(self._per_frame(row, m)) for m in scores} for row, scores in self.scores.items()}

    def intervals(self, seed: int = 0, *, per_frame: bool = False) -> dict[str, dict[str, tuple[float, float]]]:
        """Return the 95 % interval (low, high) of each mean, over videos (`salzoo.evaluation.statistics`).

        Frames of one video are not independent, so that videos are what is drawn; means over frames are ratios of sums.

        Args:
            seed: Seed of its draws; they are the same for every row.
            per_frame: Those of `rows_per_frame`.
        """
        return {
            row: {m: interval(self._per_frame(row, m) if per_frame else v, seed) for m, v in scores.items()}
            for row, scores in self.scores.items()
        }

    def compare(self, row: str, over: str, seed: int = 0) -> Comparison:
        """Return the differences of two rows, paired by video, with intervals and p-values; see `Comparison`.

        Raises:
            SpecError: If there is no such row, or the two have no metric in common.
        """
        return compare(row, over, self.scores, seed, what="videos", whole=self.split == "all")

    def to_json(self) -> dict[str, Any]:
        """Return means, intervals, scores of each video, settings and commit; None for no number."""
        content: dict[str, Any] = {name: getattr(self, name) for name in SETTINGS}
        content |= {"videos": len(self.videos), "frames": sum(self.frames), "commit": commit()}
        content |= {"frames_without_fixations": sum(self.empty), "notes": list(self.notes)}
        content |= {"rows": self.rows, "rows_per_frame": self.rows_per_frame}
        content |= {"intervals": self.intervals(), "intervals_per_frame": self.intervals(per_frame=True)}
        content["by_video"] = {
            row: {m: dict(zip(self.videos, v, strict=True)) for m, v in scores.items()}
            for row, scores in self.scores.items()
        }
        content["higher_is_better"] = {name: METRICS[name].higher_is_better for name in self._columns}
        found: dict[str, Any] = finite(content)
        return found

    def to_csv(self) -> str:
        """Return one line for each row and video: mean scores, how many frames they are of, and settings.

        `salzoo.evaluation.saved.read_table` reads it back. Names are cells of `salzoo._text.to_cell`.
        """
        file, settings = io.StringIO(), {name: getattr(self, name) for name in SETTINGS}
        scored = [SCORED.format(name) for name in self._columns]
        writer = csv.DictWriter(file, [*COLUMNS[:4], *self._columns, *scored, *COLUMNS[4:]], lineterminator="\n")
        writer.writeheader()
        for row, scores in self.scores.items():
            for i, video in enumerate(self.videos):
                line = {"row": to_cell(row), "video": to_cell(video), **settings}
                line |= {"frames": self.frames[i], "frames_without_fixations": self.empty[i]}
                line |= {name: values[i] for name, values in scores.items()}
                line |= {SCORED.format(name): values[i] for name, values in self.counts[row].items()}
                line["truth"] = self.truth[i] if self.truth else ""
                line["notes"] = "" if i else to_cell("\n".join(self.notes))
                writer.writerow(line)
        return file.getvalue()

    def to_markdown(self, *, intervals: bool = False) -> str:
        """Return two tables as Markdown: means over videos, and over frames.

        Args:
            intervals: Add half of the 95 % interval to each mean.
        """
        rate = "every frame" if self.every == 1 else f"one frame of {self.every}"
        scored = sum(self.frames) - sum(self.empty)
        videos = how_many(len(self.videos), self.part_of)
        lines = [
            f"{self.dataset} {self.split}, {videos} videos, {scored} frames scored ({rate}), "
            f"{sum(self.empty)} without fixations left out, convention {self.convention}, ig over {self.baseline}",
            f"sAUC: negatives {self.negatives}, {NEGATIVES[self.negatives]}.",
            *self.notes,
            "",
            "Means over videos, each video alike:",
            "",
            *self._table(self.rows, self.intervals() if intervals else {}),
            "",
            "Means over frames, long videos weigh more:",
            "",
            *self._table(self.rows_per_frame, self.intervals(per_frame=True) if intervals else {}),
        ]
        return "\n".join(lines)

    __repr__ = _repr_markdown_ = to_markdown

    @property
    def _columns(self) -> list[str]:
        return [name for name in METRICS if any(name in scores for scores in self.scores.values())]

    def _per_frame(self, row: str, metric: str) -> Any:
        return of_ratio(self.scores[row][metric], self.counts[row][metric])

    def _table(self, means: Means, spread: dict[str, dict[str, tuple[float, float]]]) -> list[str]:
        def cell(row: str, name: str) -> str:
            if not math.isfinite(value := means[row].get(name, math.nan)):
                return "–"
            return f"{value:z.3f}" + (plus_minus(spread[row][name]) if spread else "")

        header = [self.dataset, *(METRICS[name].heading() for name in self._columns)]
        return list(_markdown.table(header, ([row, *(cell(row, name) for name in self._columns)] for row in means)))
