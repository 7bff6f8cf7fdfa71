"""Two rows of a table on the same images: which is better, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from salzoo import _markdown
from salzoo.errors import SpecError
from salzoo.evaluation.statistics import ENOUGH, FEWEST, LEVEL, holm, interval, mean, sign_flip_p
from salzoo.metrics import METRICS

Scores = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Difference:
    """A mean difference in one metric, paired image by image, so that the difficulty of an image cancels out.

    Args:
        mean: Mean over the images where both rows have a score.
        low: Lower end of its 95 % interval (`salzoo.evaluation.statistics.interval`).
        high: Upper end.
        p: p-value of a permutation test that changes signs (`sign_flip_p`).
        p_holm: The same, adjusted for the number of metrics (`holm`).
        images: Number of those images.
    """

    mean: float
    low: float
    high: float
    p: float
    p_holm: float
    images: int

    @property
    def significant(self) -> bool:
        """Whether it is beyond chance: `p_holm` below 0.05 over at least 20 images."""
        return self.images >= ENOUGH and self.p_holm < LEVEL


@dataclass(frozen=True, repr=False)
class Comparison:
    """One row minus another, metric by metric; it prints as Markdown with a verdict in words.

    Args:
        row: The row that is better if the difference is positive (for KL and EMD: negative).
        over: The row it is compared with.
        images: Number of images.
        differences: By metric; those that both rows have.
        what: What is paired, in words.
        whole: Whether all splits were scored.
    """

    row: str
    over: str
    images: int
    differences: dict[str, Difference]
    what: str = "images"
    whole: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON types, with `better`, `worse` or None as the verdict of each metric."""
        verdicts = {name: self._verdict(name) or None for name in self.differences}
        found = {name: asdict(each) | {"verdict": verdicts[name]} for name, each in self.differences.items()}
        return {"row": self.row, "over": self.over, "images": self.images, "differences": found}

    def to_markdown(self) -> str:
        """Return the table and the verdict; from fewer than 5 images the refusal of one."""
        head = f"{self.row} - {self.over}, paired over {self.images} {self.what}"
        if self.images < FEWEST:
            lines = [
                f"{head}:",
                "",
                *_markdown.table(["metric", "difference"], self._means()),
                "",
                too_few(self.images, self.what, whole=self.whole),
            ]
            return "\n".join(lines)
        lines = [f"{head}; * is significant (Holm's p < {LEVEL:g} over {len(self.differences)} metrics):", ""]
        rows = ([METRICS[name].heading(), *self._cells(name)] for name in self.differences)
        lines += _markdown.table(["metric", "difference", "95 % interval", "p", "p (Holm)", "", self.what], rows)
        return "\n".join([*lines, "", self.verdict()])

    __repr__ = _repr_markdown_ = to_markdown

    def verdict(self) -> str:
        """Return in words what got better and what got worse."""
        if self.images < FEWEST:
            return too_few(self.images, self.what, whole=self.whole)
        found = {way: [n for n in self.differences if self._verdict(n) == way] for way in ("better", "worse")}
        said = []
        if found["worse"]:
            said.append(f"This got worse: {', '.join(found['worse'])}.")
        if found["better"]:
            said.append(f"Better: {', '.join(found['better'])}.")
        if said:
            return f"{self.row} against {self.over}: " + " ".join(said)
        lower = [name for name, each in self.differences.items() if self._gain(each.mean, name) < 0]
        worse = f" The means got worse: {', '.join(lower)}." if len(lower) > len(self.differences) / 2 else ""
        few = f" Fewer than {ENOUGH} {self.what} are never called significant." if self.images < ENOUGH else ""
        return f"{self.row} against {self.over}: no difference that chance does not explain.{worse}{few}"

    def _means(self) -> list[list[str]]:
        return [[METRICS[name].heading(), f"{each.mean:+.4f}"] for name, each in self.differences.items()]

    def _cells(self, name: str) -> list[str]:
        each = self.differences[name]
        mark = f"* {self._verdict(name)}" if each.significant else ""
        bounds = f"{each.low:+.4f} to {each.high:+.4f}"
        return [f"{each.mean:+.4f}", bounds, f"{each.p:.4f}", f"{each.p_holm:.4f}", mark, str(each.images)]

    def _verdict(self, name: str) -> str:
        each = self.differences[name]
        if not each.significant:
            return ""
        return "better" if self._gain(each.mean, name) > 0 else "worse"

    @staticmethod
    def _gain(difference: float, name: str) -> float:
        return difference if METRICS[name].higher_is_better else -difference


def compare(
    row: str,
    over: str,
    scores: Mapping[str, Scores],
    seed: int = 0,
    *,
    what: str = "images",
    whole: bool = False,
) -> Comparison:
    """Compare two rows of scores of the same images.

    Args:
        row: The row that is better if the difference is positive (for KL and EMD: negative).
        over: The row it is compared with.
        scores: One score an image, by row and metric, in the same order; NaN where a metric is not defined.
        seed: Seed of the resamples and permutations.
        what: What is scored, in words.
        whole: Whether all splits were scored.

    Raises:
        SpecError: If there is no such row, or the two have no metric in common.
    """
    for name in (row, over):
        if name not in scores:
            raise SpecError(f"there is no row {name!r} to compare; there are {', '.join(scores)}.")
    common = [name for name in METRICS if name in scores[row] and name in scores[over]]
    if not common or row == over:
        raise SpecError(f"nothing to compare in {row!r} and {over!r}: they need different scores in the same metrics.")
    pairs = {name: np.subtract(scores[row][name], scores[over][name]) for name in common}
    tested = {name: sign_flip_p(each, seed) for name, each in pairs.items()}
    adjusted = holm(tested)
    differences = {
        name: Difference(
            mean(each),
            *interval(each, seed),
            tested[name],
            adjusted[name],
            sum(not math.isnan(one) for one in each.tolist()),
        )
        for name, each in pairs.items()
    }
    return Comparison(row, over, max(each.images for each in differences.values()), differences, what, whole)


def too_few(images: int, what: str = "images", *, whole: bool = False) -> str:
    """Return the refusal to conclude from a handful of images, or of whatever they are; `whole`: of all splits."""
    all_of = "every image of a small study with `--folds 5`" if what == "images" else "all of them (--split all)"
    more = "" if whole else f", or {all_of}"
    return f"{images} {what} are too few to conclude anything: score at least {FEWEST}, better {ENOUGH}{more}."
