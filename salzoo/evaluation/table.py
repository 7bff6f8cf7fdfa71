"""The result of an evaluation, as Markdown, CSV, JSON and a pandas table."""

from __future__ import annotations

import csv
import inspect
import io
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzoo import _markdown
from salzoo.checkpoint.config import Measured
from salzoo.errors import SpecError
from salzoo.metrics import METRICS

TRUTH = {
    name: [p.name for p in inspect.signature(metric.score).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
    for name, metric in METRICS.items()
    if name != "emd" or find_spec("ot") is not None  # its solver is an extra: salzoo[emd]
}
"""What each metric compares a prediction with: the arguments of its function, by key of the metric."""


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
    """

    dataset: str
    split: str
    images: tuple[str, ...]
    convention: str
    baseline: str
    scores: dict[str, dict[str, list[float]]]
    metric_specific: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def rows(self) -> dict[str, dict[str, float]]:
        """Mean over images, by row and metric."""
        return {row: {m: float(np.nanmean(v)) for m, v in scores.items()} for row, scores in self.scores.items()}

    def measured(self, row: str, commit: str) -> Measured:
        """Return one row as a checkpoint's `config.json` records it, with the commit of the code."""
        scores = {name: round(value, 5) for name, value in self.rows[row].items()}
        return Measured(self.dataset, self.split, len(self.images), self.convention, commit, scores)

    def intervals(self, seed: int = 0, draws: int = 2000) -> dict[str, dict[str, tuple[float, float]]]:
        """Return the 95 % bootstrap interval (low, high) of the mean over images, by row and metric.

        Args:
            seed: Seed of the draws.
            draws: Number of resamples of the images; they are the same for every row, so that rows can be compared.
        """
        return {
            row: {m: _interval(np.asarray(v), seed, draws) for m, v in scores.items()}
            for row, scores in self.scores.items()
        }

    def gain(self, row: str, over: str, seed: int = 0, draws: int = 2000) -> dict[str, tuple[float, float, float]]:
        """Return the mean difference of two rows and its 95 % bootstrap interval (mean, low, high), by metric.

        The differences are paired, image by image, so that the difficulty of an image cancels out (Efron and
        Tibshirani 1993): an interval without 0 is a difference, even where the intervals of both rows overlap.

        Args:
            row: The row that is better if the difference is positive (for KL and EMD: negative).
            over: The row it is compared with.
            seed: Seed of the draws.
            draws: Number of resamples of the images.
        """
        both = {m: np.asarray(v) - self.scores[over][m] for m, v in self.scores[row].items() if m in self.scores[over]}
        return {m: (float(np.nanmean(v)), *_interval(v, seed, draws)) for m, v in both.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the means, intervals and the direction of each metric as JSON types."""
        content = asdict(self)
        del content["scores"]
        content |= {"images": len(self.images), "rows": self.rows, "intervals": self.intervals()}
        return content | {"higher_is_better": {name: METRICS[name].higher_is_better for name in TRUTH}}

    def to_csv(self) -> str:
        """Return one line for each row and image."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("row", "image", *METRICS))
        for row, scores in self.scores.items():
            columns = [scores.get(name, [float("nan")] * len(self.images)) for name in METRICS]
            writer.writerows((row, *line) for line in zip(self.images, *columns, strict=True))
        return file.getvalue()

    def to_markdown(self, *, intervals: bool = False) -> str:
        """Return the table as Markdown.

        Args:
            intervals: Add half of the 95 % interval to each mean.
        """
        spread, means = self.intervals() if intervals else {}, self.rows

        def cell(row: str, name: str) -> str:
            if name not in self.scores[row]:
                return "–"
            low, high = spread.get(row, {}).get(name, (0.0, 0.0))
            return f"{means[row][name]:z.3f}" + (f" ± {(high - low) / 2:.3f}" if intervals else "")

        columns = [name for name in METRICS if any(name in scores for scores in self.scores.values())]
        header = [self.dataset, *(METRICS[name].heading() for name in columns)]
        lines = [
            f"{self.dataset} {self.split}, {len(self.images)} images, convention {self.convention}"
            + (f", ig over {self.baseline}" if "ig" in columns else "")
            + (", each metric with its own best map" if self.metric_specific else ""),
            *self.notes,
            "",
            *_markdown.table(header, ([row, *(cell(row, name) for name in columns)] for row in self.scores)),
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


def _interval(values: NDArray[np.float64], seed: int, draws: int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean; draws depend on the seed and the number of values only."""
    chosen = np.random.default_rng(seed).integers(len(values), size=(draws, len(values)))
    low, high = np.percentile(np.nanmean(values[chosen], 1), (2.5, 97.5))
    return float(low), float(high)
