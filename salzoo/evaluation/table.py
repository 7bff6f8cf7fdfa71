"""The result of an evaluation, as Markdown, CSV, JSON and a pandas table."""

from __future__ import annotations

import csv
import inspect
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import numpy as np

from salzoo import _markdown
from salzoo._text import to_cell
from salzoo._version import commit
from salzoo.checkpoint.config import Explained, Measured
from salzoo.errors import SpecError
from salzoo.evaluation.comparison import Comparison, compare
from salzoo.evaluation.part import how_many, require_whole
from salzoo.evaluation.statistics import finite, interval, mean, plus_minus
from salzoo.metrics import METRICS

TRUTH = {
    name: [p.name for p in inspect.signature(metric.score).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
    for name, metric in METRICS.items()
    if name != "emd" or find_spec("ot") is not None  # its solver is an extra: salzoo[emd]
}
"""What each metric compares a prediction with: the arguments of its function, by key of the metric."""

SETTINGS = ("dataset", "split", "part_of", "convention", "metric_specific", "baseline")
"""What scores must have in common to stand in one table: fields of `Table`, and columns of its CSV."""
COLUMNS = ("row", "image", *METRICS, *SETTINGS, "fold", "truth", "notes")
"""Header of its CSV."""


@dataclass(frozen=True, repr=False)
class Table:
    """The result of an evaluation; it prints as Markdown.

    Args:
        dataset: Name of the dataset.
        split: Its split.
        images: Names of the images.
        convention: Convention of the metrics.
        baseline: What information gain is measured against, in words.
        scores: One score an image, by row and metric; NaN where the metric is not defined on the image.
        metric_specific: Whether each metric scored the map that is best for it.
        notes: Warnings that belong to the numbers.
        truth: Digest of the fixations, the blur and the baseline that each image was scored against, or empty.
        folds: Fold of each image, from 1, in a cross-validation; else empty.
        part_of: Number of images of the whole split, if a part of it was scored; else None.
    """

    dataset: str
    split: str
    images: tuple[str, ...]
    convention: str
    baseline: str
    scores: dict[str, dict[str, list[float]]]
    metric_specific: bool = False
    notes: tuple[str, ...] = field(default=())
    truth: tuple[str, ...] = ()
    folds: tuple[int, ...] = ()
    part_of: int | None = None

    @property
    def rows(self) -> dict[str, dict[str, float]]:
        """Mean over images, by row and metric."""
        return {row: {m: mean(v) for m, v in scores.items()} for row, scores in self.scores.items()}

    def measured(self, row: str, at: str) -> Measured:
        """Return one row as a checkpoint's `config.json` records it, with the commit of the code, `at`.

        Raises:
            SpecError: If a part of the split was scored.
        """
        require_whole(len(self.images), self.part_of)
        scores = {name: round(value, 5) for name, value in self.rows[row].items()}
        found = self.explained().get(row)
        explained = None if found is None or not np.isfinite(found).all() else Explained(*np.round(found, 5).tolist())
        return Measured(self.dataset, self.split, len(self.images), self.convention, at, scores, explained)

    def intervals(self, seed: int = 0) -> dict[str, dict[str, tuple[float, float]]]:
        """Return the 95 % interval (low, high) of the mean over images, by row and metric.

        See `salzoo.evaluation.statistics.interval`.

        Args:
            seed: Seed of its draws; they are the same for every row.
        """
        return {row: {m: interval(v, seed) for m, v in scores.items()} for row, scores in self.scores.items()}

    def explained(self, seed: int = 0) -> dict[str, tuple[float, float, float]]:
        """Return the explained information of each row, and its 95 % interval: (share, low, high).

        That is its mean information gain over that of the row `gold`, which is what people tell of each other
        (Kuemmerer et al. 2015, PNAS). The interval is of the mean over images of what a row gains more or less than
        that share of `gold`, over the mean of `gold`: as sure as the ratio is for these images' gold standard.

        Args:
            seed: Seed of the interval's draws.

        Returns:
            Nothing where there is no row `gold`, its information gain is unknown, or people tell nothing of each other.
        """
        gold = np.array(self.scores.get("gold", {}).get("ig", ()))
        if not len(gold) or not mean(gold) > 0:
            return {}
        found = {}
        for row, scores in self.scores.items():
            if "ig" not in scores:
                continue
            gain = np.where(np.isnan(gold), np.nan, scores["ig"])
            limit = mean(np.where(np.isnan(gain), np.nan, gold))
            share = mean(gain) / limit
            low, high = interval(gain - share * gold, seed)
            found[row] = (share, share + low / limit, share + high / limit)
        return found

    def compare(self, row: str, over: str, seed: int = 0) -> Comparison:
        """Return the paired differences of two rows, with intervals and p-values; see `Comparison`.

        Args:
            row: The row that is better if the difference is positive (for KL and EMD: negative).
            over: The row it is compared with.
            seed: Seed of the draws.

        Raises:
            SpecError: If there is no such row, or the two have no metric in common.
        """
        return compare(row, over, self.scores, seed, whole=self.split == "all")

    def take(self, order: Sequence[int]) -> Table:
        """Return the table of some of its images, by their indices, in this order."""
        scores = {row: {m: [v[i] for i in order] for m, v in each.items()} for row, each in self.scores.items()}
        images, truth = tuple(self.images[i] for i in order), tuple(self.truth[i] for i in order if self.truth)
        folds = tuple(self.folds[i] for i in order if self.folds)
        return replace(self, images=images, truth=truth, folds=folds, scores=scores)

    def extremes(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return the images of the highest and the lowest NSS, `best` and `worst`, by row; nothing without NSS."""
        found = {}
        for row, scores in self.scores.items():
            known = [(value, i) for i, value in enumerate(scores.get("nss", ())) if math.isfinite(value)]
            if known:
                ends = {"best": max(known), "worst": min(known)}
                found[row] = {end: {"image": self.images[i], "score": value} for end, (value, i) in ends.items()}
        return found

    def to_json(self) -> dict[str, Any]:
        """Return means, intervals, extremes, commit, and which side of each metric is better; None for no number."""
        content = asdict(self)
        del content["scores"], content["truth"]
        folds = {"folds": dict(zip(self.images, self.folds, strict=True))} if self.folds else {"folds": None}
        content |= {"images": len(self.images), "rows": self.rows, "intervals": self.intervals(), **folds}
        explained = {
            row: dict(zip(("share", "low", "high"), each, strict=True)) for row, each in self.explained().items()
        }
        content |= {"explained": explained} if explained else {}
        content |= {"extremes": self.extremes(), "commit": commit()}
        content["higher_is_better"] = {name: METRICS[name].higher_is_better for name in TRUTH}
        return cast("dict[str, Any]", finite(content))

    def to_csv(self) -> str:
        """Return one line for each row and image: scores and settings; `read_table` reads it back.

        Names are cells of `salzoo._text.to_cell`.
        """
        file = io.StringIO()
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row, scores in self.scores.items():
            for i, image in enumerate(self.images):
                line = {"row": to_cell(row), "image": to_cell(image)} | {
                    name: scores[name][i] if name in scores else "" for name in METRICS
                }
                line |= {name: getattr(self, name) for name in SETTINGS}
                line["fold"] = self.folds[i] if self.folds else ""
                line["truth"] = self.truth[i] if self.truth else ""
                line["notes"] = "" if i else to_cell("\n".join(self.notes))
                writer.writerow(line)
        return file.getvalue()

    def to_markdown(self, *, intervals: bool = False) -> str:
        """Return the table as Markdown.

        Args:
            intervals: Add half of the 95 % interval to each mean.
        """
        spread, means = self.intervals() if intervals else {}, self.rows

        def cell(row: str, name: str) -> str:
            if math.isnan(value := means[row].get(name, math.nan)):
                return "–"
            return f"{value:z.3f}" + (plus_minus(spread[row][name]) if intervals else "")

        explained = self.explained()

        def share(row: str) -> list[str]:
            value, low, high = explained.get(row, (math.nan,) * 3)
            half = plus_minus((low, high), ".1%") if intervals else ""
            return [] if not explained else ["–" if math.isnan(value) else f"{value:z.1%}{half}"]

        columns = [name for name in METRICS if any(name in scores for scores in self.scores.values())]
        header = [self.dataset, *(METRICS[name].heading() for name in columns), *(["explained"] if explained else [])]
        lines = [
            f"{self.dataset} {self.split}, {how_many(len(self.images), self.part_of)} images"
            + f", convention {self.convention}"
            + (f", in {max(self.folds)} folds" if self.folds else "")
            + (f", ig over {self.baseline}" if "ig" in columns else "")
            + (", each metric with its own best map" if self.metric_specific else ""),
            *self.notes,
            "",
            *_markdown.table(
                header, ([row, *(cell(row, name) for name in columns), *share(row)] for row in self.scores)
            ),
        ]
        return "\n".join(lines)

    __repr__ = _repr_markdown_ = to_markdown

    def to_pandas(self, *, by_image: bool = False) -> Any:
        """Return the table as a `pandas.DataFrame`, one column a metric.

        Args:
            by_image: Return the score of each image, indexed by row and image, instead of the means, indexed by row.

        Raises:
            SpecError: If pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise SpecError("to_pandas needs pandas: pip install pandas, or take to_csv().") from error
        if not by_image:
            return pandas.DataFrame.from_dict(self.rows, orient="index")
        frames = {row: pandas.DataFrame(scores, index=self.images) for row, scores in self.scores.items()}
        return pandas.concat(frames, names=["row", "image"])
