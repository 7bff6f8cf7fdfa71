"""Models, baselines and other tools' maps by metrics on a data set: the job behind `salzoo evaluate`."""

from __future__ import annotations

import csv
import inspect
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from salzoo.data import FixationDataset, Item
from salzoo.errors import SpecError
from salzoo.layers import kernel_density
from salzoo.map_files import MapFolder
from salzoo.metrics import METRICS, FixationPool, functional, metric_maps
from salzoo.model import SaliencyModel, evaluating
from salzoo.preprocess import resize_density

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

    def intervals(self, seed: int = 0, draws: int = 2000) -> dict[str, dict[str, tuple[float, float]]]:
        """Row to metric to the 95 % bootstrap interval of the mean over pictures.

        Args:
            seed: Of the draws.
            draws: Number of resampled sets of pictures; the same for every row, so that rows can be compared.
        """
        chosen = np.random.default_rng(seed).integers(len(self.images), size=(draws, len(self.images)))

        def interval(values: list[float]) -> tuple[float, float]:
            low, high = np.percentile(np.nanmean(np.asarray(values)[chosen], 1), (2.5, 97.5))
            return float(low), float(high)

        return {row: {m: interval(v) for m, v in scores.items()} for row, scores in self.scores.items()}

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
            return f"{means[row][name]:.3f}" + (f" ± {(high - low) / 2:.3f}" if intervals else "")

        arrows = [f"{name} {'↑' if METRICS[name].higher_is_better else '↓'}" for name in METRICS]
        lines = [
            f"{self.dataset} {self.split}, {len(self.images)} pictures, convention {self.convention}, "
            f"ig over {self.baseline}" + (", each metric with its own best map" if self.metric_specific else ""),
            *self.notes,
            "",
            f"| {self.dataset} | {' | '.join(arrows)} |",
            "|---" * (len(METRICS) + 1) + "|",
            *(f"| {row} | {' | '.join(cell(row, name) for name in METRICS)} |" for row in self.scores),
        ]
        return "\n".join(lines)


def evaluate(
    predictors: dict[str, Predictor],
    dataset: FixationDataset,
    *,
    convention: Convention = "mit",
    metric_specific: bool = False,
    notes: tuple[str, ...] = (),
    progress: bool | None = None,
) -> Table:
    """Score predictions beside the baselines `gold`, `centre_bias` and `uniform` on every picture at its own size.

    `centre_bias` is the density of all fixations of the set's training split, and the baseline of information gain.
    `gold` is what people reach on each other: each observer is predicted by the blurred fixations of all others,
    averaged over observers, then over pictures. A predictor named like a baseline takes its row. The negatives of
    shuffled AUC are the fixations of all other pictures of the split.

    Args:
        predictors: Row name to predictor.
        dataset: One split of a set.
        convention: Of all metrics.
        metric_specific: Score, of each prediction taken as a density, the map that is best for each metric
            (`salzoo.metrics.metric_maps`; derived for the `mit` convention), as Kuemmerer et al. (ECCV 2018) propose.
        notes: Warnings to print with the table.
        progress: Show a bar; None: if a person is watching.
    """
    if metric_specific and convention != "mit":
        raise SpecError(f"metric-specific maps are derived for the convention 'mit', not for {convention!r}.")
    dataset.require_fixations()
    centre, fixations = _centre_bias(dataset)
    pool = FixationPool(dataset.fixations(i).counts(dataset.size(i)) for i in range(len(dataset)))
    rows = [*predictors, *(row for row in ("gold", "centre_bias", "uniform") if row not in predictors)]
    scores: dict[str, dict[str, list[float]]] = {row: {} for row in rows}
    for i in tqdm(range(len(dataset)), unit="picture", disable=None if progress is None else not progress):
        item = dataset[i]
        size = (item["image"].shape[-2], item["image"].shape[-1])
        baseline = resize_density(centre, size)
        maps = {"uniform": torch.full(size, 1 / (size[0] * size[1])), "centre_bias": baseline}
        maps |= {name: predict(i, item) for name, predict in predictors.items()}
        for name, prediction in maps.items():
            best = dict.fromkeys(METRICS, prediction)
            if metric_specific and name != "uniform":
                sigma = dataset.sigma(size)
                best = metric_maps(prediction, centre_bias=baseline, sigma_px=sigma, n_fixations=fixations)
            _append(scores[name], _score(best, item, baseline, pool, convention))
        if "gold" not in predictors:
            _append(scores["gold"], _gold(dataset, i, size, convention))
    return Table(
        dataset=dataset.name_of_set,
        split=dataset.split,
        images=tuple(dataset.names),
        convention=convention,
        baseline=f"the centre bias of {dataset.name_of_set}:train",
        scores=scores,
        metric_specific=metric_specific,
        notes=notes if "emd" in TRUTH else (*notes, 'Without emd: its solver comes with `pip install "salzoo[emd]"`.'),
    )


def predictor(model: SaliencyModel) -> Predictor:
    """Return a model as a predictor of densities."""

    def predict(_: int, item: Item) -> Tensor:
        with evaluating(model), torch.inference_mode():
            return model.infer([item["image"].to(model.device)])[0].exp().cpu()

    return predict


def overlap(trained_on: tuple[str, ...], dataset: FixationDataset) -> list[str]:
    """Return those training sets and splits that hold pictures of the evaluated split.

    Editions of a set (salicon2015, salicon2017) count as the same pictures.
    """

    def pictures(name: str) -> str:
        return name.rstrip("0123456789")

    def same(name: str, split: str) -> bool:
        return pictures(name) == pictures(dataset.name_of_set) and (
            split == dataset.split or "all" in (split, dataset.split)
        )

    return [entry for entry in trained_on if same(*entry.split(":", 1))]


def map_predictor(folder: MapFolder) -> Predictor:
    """Return another tool's maps as a predictor."""
    return lambda index, item: folder.read(index, (item["image"].shape[-2], item["image"].shape[-1]))


def _centre_bias(dataset: FixationDataset) -> tuple[Tensor, int]:
    """Return the density of the training split's fixations, and their mean number a picture."""
    train = dataset.sibling("train")
    points = [(train.fixations(i), train.size(i)) for i in range(len(train))]
    mean = round(sum(len(seen) for seen, _ in points) / len(points))
    return kernel_density(points, (60, 80), bandwidth=0.03), max(mean, 1)


def _score(
    maps: dict[str, Tensor], item: Item, baseline: Tensor, pool: FixationPool, convention: Convention
) -> dict[str, float]:
    """Score one picture; `maps` has the prediction for each metric."""
    truth: dict[str, Any] = {
        "fixations": item["fixations"][None],
        "density": item["density"][None],
        "other": pool,
        "baseline": baseline[None],
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*constant.*")  # the row `uniform` is
        return {
            name: float(METRICS[name].score(one[None], **{k: truth[k] for k in TRUTH[name]}, convention=convention))
            for name, one in maps.items()
            if name in TRUTH
        }


def _gold(dataset: FixationDataset, index: int, size: tuple[int, int], convention: Convention) -> dict[str, float]:
    """Score each observer's fixations under the density of all the others', and average over observers."""
    scores = list(_left_out(dataset, index, size, convention))
    return {name: float(np.mean([s[name] for s in scores])) if scores else float("nan") for name in GOLD_METRICS}


def _left_out(
    dataset: FixationDataset, index: int, size: tuple[int, int], convention: Convention
) -> Iterator[dict[str, float]]:
    points, sigma = dataset.fixations(index), dataset.sigma(size)
    own = {observer: points.of(observer) for observer in sorted(set(points.observer.tolist()))}
    mass = {observer: len(seen) * seen.density(size, sigma) for observer, seen in own.items()}
    for observer, seen in own.items():
        if len(seen) < len(points):
            others = torch.stack([m for k, m in mass.items() if k != observer]).sum(0)[None]
            counts = seen.counts(size)[None]
            yield {
                "auc_judd": float(functional.auc_judd(others, counts, convention=convention)),
                "nss": float(functional.nss(others, counts, convention=convention)),
            }


def _append(row: dict[str, list[float]], scores: dict[str, float]) -> None:
    for name, value in scores.items():
        row.setdefault(name, []).append(value)
