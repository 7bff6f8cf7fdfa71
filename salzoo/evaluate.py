"""Models, baselines and other tools' maps by metrics on a data set: the job behind `salzoo evaluate`."""

from __future__ import annotations

import csv
import inspect
import io
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from salzoo.baselines import BETWEEN_PEOPLE, DENSITIES, ROWS, Baselines, apart
from salzoo.data import FixationDataset, Item
from salzoo.data.sets import pictures_of
from salzoo.errors import SpecError
from salzoo.hub import Measured
from salzoo.map_files import MapFolder
from salzoo.metrics import METRICS, FixationPool, metric_maps
from salzoo.model import SaliencyModel, evaluating
from salzoo.predict import load_on
from salzoo.processes import exchanged

T = TypeVar("T")
Convention = Literal["mit", "pysaliency"]
Predictor = Callable[[int, Item], Tensor]
"""Index and item of a picture to its (H, W) map: a density, or any non-negative map."""

TRUTH = {
    name: [p.name for p in inspect.signature(metric.score).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
    for name, metric in METRICS.items()
    if name != "emd" or find_spec("ot") is not None  # its solver is an extra: salzoo[emd]
}
"""Metric to what it compares a prediction with."""

GOLD_METRICS = ("auc_judd", "nss")
"""What the row `gold` has: the others are defined against all observers' fixations, not against one's."""


@dataclass(frozen=True)
class Table:
    """Result of an evaluation.

    Args:
        dataset: Name of the set.
        split: Of the set.
        images: Names of the pictures.
        convention: Of the metrics.
        baseline: What information gain is measured against.
        scores: Row to metric to one score a picture; NaN where the metric is not defined on it.
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
        """Row to metric to the mean over pictures."""
        return {row: {m: float(np.nanmean(v)) for m, v in scores.items()} for row, scores in self.scores.items()}

    def measured(self, row: str, commit: str) -> Measured:
        """Return one row as a checkpoint's `config.json` keeps it, with the commit that measured it."""
        scores = {name: round(value, 5) for name, value in self.rows[row].items()}
        return Measured(self.dataset, self.split, len(self.images), self.convention, commit, scores)

    def intervals(self, seed: int = 0, draws: int = 2000) -> dict[str, dict[str, tuple[float, float]]]:
        """Row to metric to the 95 % bootstrap interval of the mean over pictures.

        Args:
            seed: Of the draws.
            draws: Number of resampled sets of pictures; the same for every row, so that rows can be compared.
        """
        return {
            row: {m: _interval(np.asarray(v), seed, draws) for m, v in scores.items()}
            for row, scores in self.scores.items()
        }

    def gain(self, row: str, over: str, seed: int = 0, draws: int = 2000) -> dict[str, tuple[float, float, float]]:
        """Metric to the mean difference of two rows, and its 95 % bootstrap interval: mean, low, high.

        The differences are paired, picture by picture, so that how hard a picture is cancels out (Efron and
        Tibshirani 1993): an interval without 0 is a difference, even where the intervals of both rows overlap.

        Args:
            row: What is better if the difference is positive (of KL and EMD: negative).
            over: What it is compared with.
            seed: Of the draws.
            draws: Number of resampled sets of pictures.
        """
        both = {m: np.asarray(v) - self.scores[over][m] for m, v in self.scores[row].items() if m in self.scores[over]}
        return {m: (float(np.nanmean(v)), *_interval(v, seed, draws)) for m, v in both.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the table as JSON types, with the direction of each metric."""
        content = asdict(self)
        del content["scores"]
        content |= {"images": len(self.images), "rows": self.rows, "intervals": self.intervals()}
        return content | {"higher_is_better": {name: METRICS[name].higher_is_better for name in TRUTH}}

    def to_csv(self) -> str:
        """Return one line a row and picture."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("row", "image", *METRICS))
        for row, scores in self.scores.items():
            columns = [scores.get(name, [float("nan")] * len(self.images)) for name in METRICS]
            writer.writerows((row, *line) for line in zip(self.images, *columns, strict=True))
        return file.getvalue()

    def to_markdown(self, *, intervals: bool = False) -> str:
        """Return the table as Markdown, with half the 95 % interval behind each mean if asked."""
        spread, means = self.intervals() if intervals else {}, self.rows

        def cell(row: str, name: str) -> str:
            if name not in self.scores[row]:
                return "–"
            low, high = spread.get(row, {}).get(name, (0.0, 0.0))
            return f"{means[row][name]:z.3f}" + (f" ± {(high - low) / 2:.3f}" if intervals else "")

        columns = [name for name in METRICS if any(name in scores for scores in self.scores.values())]
        arrows = [f"{name} {'↑' if METRICS[name].higher_is_better else '↓'}" for name in columns]
        lines = [
            f"{self.dataset} {self.split}, {len(self.images)} pictures, convention {self.convention}"
            + (f", ig over {self.baseline}" if "ig" in columns else "")
            + (", each metric with its own best map" if self.metric_specific else ""),
            *self.notes,
            "",
            f"| {self.dataset} | {' | '.join(arrows)} |",
            "|---" * (len(columns) + 1) + "|",
            *(f"| {row} | {' | '.join(cell(row, name) for name in columns)} |" for row in self.scores),
        ]
        return "\n".join(lines)


def evaluate(
    predictors: dict[str, Predictor],
    dataset: FixationDataset,
    *,
    baselines: Sequence[str] = ROWS,
    convention: Convention = "mit",
    metric_specific: bool = False,
    seed: int = 0,
    notes: tuple[str, ...] = (),
    progress: bool | None = None,
    shared: bool = False,
) -> Table:
    """Score predictions beside the baselines of `salzoo.baselines` on every picture at its own size.

    Information gain is measured against the centre bias of the set's training split. The negatives of shuffled AUC are
    the fixations of all other pictures of the split. What the set cannot have (rows between observers that it does not
    tell apart, metrics of points where there are only maps) is left out with a note. A predictor named like a baseline
    takes its row.

    Args:
        predictors: Row name to predictor.
        dataset: One split of a set.
        baselines: Which, from `salzoo.baselines.ROWS`.
        convention: Of all metrics.
        metric_specific: Score, of each prediction taken as a density, the map that is best for each metric
            (`salzoo.metrics.metric_maps`; derived for the `mit` convention), as Kuemmerer et al. (ECCV 2018) propose.
        seed: Of the baseline `permutation`.
        notes: Warnings to print with the table.
        progress: Show a bar; None: if a person is watching.
        shared: Share the pictures among the processes that torchrun started; each returns the whole table.

    Raises:
        DataError: If the fixations of the split are not public.
        SpecError: If there is no such baseline, or `metric_specific` with another convention than `mit`.
    """
    if metric_specific and convention != "mit":
        raise SpecError(f"metric-specific maps are derived for the convention 'mit', not for {convention!r}.")
    dataset.require_fixations()
    beside = Baselines(dataset, [row for row in baselines if row not in predictors], seed)
    metrics, left_out = _metrics(dataset, beside)
    pool = _pool(dataset) if dataset.has_points else None

    def score(i: int) -> dict[str, dict[str, float]]:
        """Score every row on one picture."""
        item = dataset[i]
        size = (item["image"].shape[-2], item["image"].shape[-1])
        prior = beside.prior(i, size)
        truth = {"fixations": item["fixations"], "density": item["density"], "other": pool, "baseline": prior}
        predictions = {name: predict(i, item) for name, predict in predictors.items()}
        found = {}
        for name, prediction in (predictions | beside.maps(i, item)).items():
            best = dict.fromkeys(metrics, prediction)
            if metric_specific and name in (*predictions, *DENSITIES):
                sigma = dataset.sigma(size)
                best |= metric_maps(prediction, centre_bias=prior, sigma_px=sigma, n_fixations=beside.mean)
            found[name] = _score(best, truth, metrics, convention)
        return found | _between_people(dataset, i, truth, beside.rows, metrics, convention)

    pictures = _each(score, len(dataset), None if progress is None else not progress, shared=shared)
    scores: dict[str, dict[str, list[float]]] = {row: {} for row in (*predictors, *beside.rows)}
    for picture in pictures:
        for name, values in picture.items():
            _append(scores[name], values)
    return Table(
        dataset=dataset.name_of_set,
        split=dataset.split,
        images=tuple(dataset.names),
        convention=convention,
        baseline=beside.name_of_prior,
        scores=scores,
        metric_specific=metric_specific,
        notes=(*notes, *left_out),
    )


def _each(score: Callable[[int], T], count: int, disable: bool | None, *, shared: bool) -> list[T]:
    """Return the score of each picture in their order; of those of the other processes, what they found."""
    rank, world = (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])) if shared else (0, 1)
    own = tqdm(range(rank, count, world), unit="picture", disable=disable if rank == 0 else True)
    found = {i: score(i) for i in own}
    if shared:
        found = {i: one for part in exchanged(found) for i, one in part.items()}
    return [found[i] for i in range(count)]


def predictor(model: SaliencyModel) -> Predictor:
    """Return a model as a predictor of densities."""

    def predict(_: int, item: Item) -> Tensor:
        with evaluating(model), torch.inference_mode():
            return model.infer([item["image"].to(model.device)])[0].exp().cpu()

    return predict


def overlap(trained_on: tuple[str, ...], dataset: FixationDataset) -> list[str]:
    """Return those training sets and splits that hold pictures of the evaluated split.

    Names of the same pictures (`salzoo.data.sets.pictures_of`) count as the same set.
    """

    def same(name: str, split: str) -> bool:
        return pictures_of(name) == pictures_of(dataset.name_of_set) and (
            split == dataset.split or "all" in (split, dataset.split)
        )

    return [entry for entry in trained_on if same(*entry.split(":", 1))]


def load_predictors(
    names: Iterable[str], folders: Iterable[Path], dataset: FixationDataset, device: str = "auto"
) -> tuple[dict[str, Predictor], tuple[str, ...]]:
    """Load models and other tools' maps as predictors, with the warnings that belong to their numbers.

    Args:
        names: Models, model.tags or checkpoint folders.
        folders: Of maps, one for each picture of the set.
        dataset: That they are to be scored on.
        device: Of the models: `auto`, `cpu` or `cuda`.
    """
    predictors, notes = dict[str, Predictor](), []
    for folder in folders:
        maps = MapFolder(folder, dataset.names)
        predictors[str(folder)] = map_predictor(maps)
        if maps.eight_bit:
            notes.append(f"Warning: {folder} has 8-bit maps; their rounding changes kld, ig and the AUCs.")
    for name in names:
        model = load_on(name, device)
        predictors[name] = predictor(model)
        if seen := overlap(model.trained_on, dataset):
            notes.append(f"Warning: {name} was trained on {', '.join(seen)}: its row is no test.")
    return predictors, tuple(notes)


def map_predictor(folder: MapFolder) -> Predictor:
    """Return another tool's maps as a predictor."""
    return lambda index, item: folder.read(index, (item["image"].shape[-2], item["image"].shape[-1]))


def _metrics(dataset: FixationDataset, beside: Baselines) -> tuple[list[str], tuple[str, ...]]:
    """Return the metrics that the set allows, and notes on the others."""
    left_out = {}
    if "emd" not in TRUTH:
        left_out["emd"] = 'its solver comes with `pip install "salzoo[emd]"`'
    if not dataset.has_points:
        pointless = [name for name, truth in TRUTH.items() if "fixations" in truth]
        left_out[", ".join(pointless)] = "there are maps and no fixation points"
    elif len(beside.looked) < 2:
        left_out["sauc"] = "there is no other picture with fixations"
    gone = ", ".join(left_out).split(", ")
    notes = {**left_out, **beside.absent}
    return [name for name in TRUTH if name not in gone], tuple(f"Without {name}: {why}." for name, why in notes.items())


def _pool(dataset: FixationDataset) -> FixationPool:
    return FixationPool(dataset.fixations(i).counts(dataset.size(i)) for i in range(len(dataset)))


def _score(
    maps: dict[str, Tensor], truth: Mapping[str, Any], metrics: Iterable[str], convention: Convention
) -> dict[str, float]:
    """Score one picture; `maps` has the (H, W) prediction for each metric, `truth` what they are compared with."""
    batch = {name: each[None] if isinstance(each, Tensor) else each for name, each in truth.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*constant.*")  # the row `uniform` is
        return {
            name: float(
                METRICS[name].score(maps[name][None], **{k: batch[k] for k in TRUTH[name]}, convention=convention)
            )
            for name in metrics
        }


def _between_people(
    dataset: FixationDataset,
    index: int,
    truth: Mapping[str, Any],
    rows: Sequence[str],
    metrics: Sequence[str],
    convention: Convention,
) -> dict[str, dict[str, float]]:
    """Score each observer under all others, and all others under each; average over observers."""
    wanted = [row for row in BETWEEN_PEOPLE if row in rows]
    if not wanted:
        return {}
    size = dataset.size(index)
    sigma = dataset.sigma(size)
    scores: dict[str, list[dict[str, float]]] = {row: [] for row in wanted}
    rivals = truth["other"].counts(*size) - truth["fixations"]  # those of nobody on this picture
    for own, rest in apart(dataset.fixations(index)):
        density, one = rest.density(size, sigma), own.counts(size)
        if "gold" in scores:
            gold = [name for name in metrics if name in GOLD_METRICS]
            scores["gold"].append(_score(dict.fromkeys(gold, density), {**truth, "fixations": one}, gold, convention))
        if "one_human" in scores:
            seen = {**truth, "fixations": rest.counts(size), "density": density, "other": rivals}
            alone = dict.fromkeys(metrics, own.density(size, sigma))
            scores["one_human"].append(_score(alone, seen, metrics, convention))
    names = {"gold": GOLD_METRICS, "one_human": metrics}
    return {
        row: {name: float(np.mean([s[name] for s in each])) if each else float("nan") for name in names[row]}
        for row, each in scores.items()
    }


def _interval(values: NDArray[np.float64], seed: int, draws: int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean; draws depend on the seed and the number of values only."""
    chosen = np.random.default_rng(seed).integers(len(values), size=(draws, len(values)))
    low, high = np.percentile(np.nanmean(values[chosen], 1), (2.5, 97.5))
    return float(low), float(high)


def _append(row: dict[str, list[float]], scores: dict[str, float]) -> None:
    for name, value in scores.items():
        row.setdefault(name, []).append(value)
