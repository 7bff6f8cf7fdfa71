"""The result of an evaluation of scanpath models, as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from salzoo import _markdown
from salzoo._text import to_cell
from salzoo._version import commit
from salzoo.checkpoint.config import OF_SCANPATHS, Measured
from salzoo.evaluation.part import how_many, require_whole
from salzoo.evaluation.statistics import Floats, interval, mean, of_ratio, plus_minus
from salzoo.metrics.scanpaths import CONDITIONAL, DIRECTIONS, METRICS, SIMILARITIES, Column

_WEIGHTED_BY = {name: "far" if name == "ll_far" else "fixations" for name in CONDITIONAL}
_SETTINGS = ("dataset", "split", "part_of", "seed", "pixels_per_degree")
_SHARES = (*DIRECTIONS, "forward", "return", "refixation")


@dataclass(frozen=True, repr=False)
class ScanpathTable:
    """The result of an evaluation of scanpath models; it prints as Markdown.

    Args:
        dataset: Name of the dataset.
        split: Its split.
        images: Names of the images.
        seed: Seed of the paths that were drawn.
        pixels_per_degree: Pixels of a degree of visual angle, if it is known.
        scores: One score an image, by row and metric of `METRICS`; NaN where it is not defined.
        fixations: Number of fixations on each image whose likelihood was scored.
        far: Number of those that are a degree or more from the one before.
        saccades: `salzoo.metrics.scanpaths.saccade_statistics` of all paths of a row.
        notes: Warnings that belong to the numbers.
        part_of: Number of images of the whole split, if a part of it was scored; else None.
    """

    dataset: str
    split: str
    images: tuple[str, ...]
    seed: int
    pixels_per_degree: float | None
    scores: dict[str, dict[str, list[float]]]
    fixations: tuple[int, ...]
    far: tuple[int, ...]
    saccades: dict[str, dict[str, float]]
    notes: tuple[str, ...] = ()
    part_of: int | None = None

    @property
    def rows(self) -> dict[str, dict[str, float]]:
        """Mean by row and metric: over fixations for those of `CONDITIONAL`, over images for the others."""
        return {row: {m: mean(self._values(row, m)) for m in scores} for row, scores in self.scores.items()}

    def measured(self, row: str, at: str) -> Measured:
        """Return what ranks one row as a checkpoint's `config.json` records it, with the commit of the code, `at`.

        Raises:
            SpecError: If a part of the split was scored.
        """
        require_whole(len(self.images), self.part_of)
        found = self.rows[row]
        scores = {name: round(found[name], 5) for name in CONDITIONAL if math.isfinite(found.get(name, math.nan))}
        return Measured(self.dataset, self.split, len(self.images), OF_SCANPATHS, at, scores)

    def intervals(self, seed: int = 0) -> dict[str, dict[str, tuple[float, float]]]:
        """Return the 95 % interval (low, high) of each mean, over images (`salzoo.evaluation.statistics`).

        Fixations on one image are not independent; means over fixations are taken as ratios of sums over images.

        Args:
            seed: Seed of its draws; they are the same for every row.
        """
        return {row: {m: interval(self._values(row, m), seed) for m in scores} for row, scores in self.scores.items()}

    def to_json(self) -> dict[str, Any]:
        """Return means, intervals, statistics of saccades, settings and commit; None for no number."""
        means, spread = self.rows, self.intervals()
        content = {name: getattr(self, name) for name in _SETTINGS}
        content |= {"images": len(self.images), "fixations": sum(self.fixations), "commit": commit()}
        content |= {"notes": list(self.notes), "rows": _each(means, _number)}
        content["intervals"] = _each(spread, lambda ends: [_number(end) for end in ends])
        content["saccades"], content["apart"] = _each(self.saccades, _number), _each(apart(self.saccades), _number)
        return content

    def to_csv(self) -> str:
        """Return one line for each row and image: scores, how many fixations they are of, and settings."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "image", "fixations", "far", *METRICS, *_SETTINGS])
        settings = ["" if (value := getattr(self, name)) is None else value for name in _SETTINGS]
        for row, scores in self.scores.items():
            for i, image in enumerate(self.images):
                values = [scores[name][i] if name in scores else "" for name in METRICS]
                head = [to_cell(row), to_cell(image), self.fixations[i], self.far[i]]
                writer.writerow([*head, *values, *settings])
        return file.getvalue()

    def to_markdown(self, *, intervals: bool = False) -> str:
        """Return three tables as Markdown: the likelihood, similarities of paths, statistics of saccades.

        Args:
            intervals: Add half of the 95 % interval to each mean.
        """
        count = f"{how_many(len(self.images), self.part_of)} images, {sum(self.fixations)} fixations from the second on"
        lines = [f"{self.dataset} {self.split}, {count}, seed {self.seed}", *self.notes]
        lines += ["", "The next fixation, given those before it. The likelihood ranks models:", ""]
        lines += self._table(CONDITIONAL, intervals=intervals)
        if not self.saccades:
            return "\n".join(lines)
        lines += ["", "Drawn paths beside people's. These describe models, and do not rank them:", ""]
        lines += self._table(SIMILARITIES, intervals=intervals)
        unit = "px" if self.pixels_per_degree is None else "degrees"
        told = ", and how far the first two are from people's" if "human" in self.saccades else ""
        lines += ["", f"Saccades: quartiles of amplitude in {unit}, shares of directions and turns{told}:", ""]
        return "\n".join([*lines, *self._saccades()])

    __repr__ = _repr_markdown_ = to_markdown

    def _values(self, row: str, metric: str) -> Floats:
        """Return one value an image, whose mean and interval are those of the row."""
        weights = getattr(self, _WEIGHTED_BY[metric]) if metric in _WEIGHTED_BY else [1.0] * len(self.images)
        return of_ratio(self.scores[row][metric], weights)

    def _table(self, columns: dict[str, Column], *, intervals: bool) -> list[str]:
        spread, means = self.intervals() if intervals else {}, self.rows

        def cell(row: str, name: str) -> str:
            if not math.isfinite(value := means[row].get(name, math.nan)):
                return "–"
            form = f".{columns[name].digits}f"
            return f"{value:z{form}}" + (plus_minus(spread[row][name], form) if intervals else "")

        shown = [name for name in columns if any(name in scores for scores in self.scores.values())]
        rows = [row for row, scores in self.scores.items() if not scores.keys().isdisjoint(shown)]
        header = [self.dataset, *(columns[name].heading for name in shown)]
        return _markdown.table(header, ([row, *(cell(row, name) for name in shown)] for row in rows))

    def _saccades(self) -> Iterable[str]:
        shares = [name for name in _SHARES if any(name in found for found in self.saccades.values())]
        digits = 0 if self.pixels_per_degree is None else 2
        far = apart(self.saccades)
        rows = (
            [
                row,
                *(f"{found[f'amplitude_q{q}']:.{digits}f}" for q in (25, 50, 75)),
                *(f"{found[name]:.3f}" for name in shares),
                *([f"{far[row]['amplitude']:.0%}", f"{far[row]['direction']:.3f}"] if far else []),
            ]
            for row, found in self.saccades.items()
        )
        ends = ["quartiles apart", "directions apart"] if far else []
        return _markdown.table([self.dataset, "25 %", "median", "75 %", *shares, *ends], rows)


def apart(saccades: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return how far statistics of saccades are from people's, by row; empty without people.

    Args:
        saccades: As in a `ScanpathTable`.

    Returns:
        `amplitude`, the largest difference of a quartile as a share of people's, and `direction`, the largest
        difference of the share of one of the eight directions.
    """
    if not (people := saccades.get("human")):
        return {}
    return {row: _apart(found, people) for row, found in saccades.items()}


def _apart(found: dict[str, float], people: dict[str, float]) -> dict[str, float]:
    quartiles = (f"amplitude_q{q}" for q in (25, 50, 75))
    amplitude = [abs(found[name] / people[name] - 1) if people[name] else math.nan for name in quartiles]
    return {"amplitude": max(amplitude), "direction": max(abs(found[name] - people[name]) for name in DIRECTIONS)}


def _each(rows: dict[str, dict[str, Any]], change: Callable[[Any], Any]) -> dict[str, dict[str, Any]]:
    return {row: {name: change(value) for name, value in values.items()} for row, values in rows.items()}


def _number(value: float) -> float | None:
    """Return None for what JSON has no number for."""
    return value if math.isfinite(value) else None
