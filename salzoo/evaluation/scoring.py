"""Models, baselines and other tools' maps by metrics on a data set: the job behind `salzoo evaluate`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from tqdm import tqdm

from salzoo._distributed import all_gather_object
from salzoo.components.saliency_model import SaliencyModel, evaluating
from salzoo.data import FixationDataset, Item
from salzoo.data.map_folder import MapFolder, to_map
from salzoo.data.registry import pictures_of
from salzoo.errors import SpecError
from salzoo.evaluation.baselines import BETWEEN_PEOPLE, DENSITIES, ROWS, Baselines, leave_one_out
from salzoo.evaluation.table import TRUTH, Table
from salzoo.metrics import METRICS, FixationPool, metric_maps
from salzoo.prediction.files import load_on

T = TypeVar("T")
Convention = Literal["mit", "pysaliency"]
Predictor = Callable[[int, Item], Tensor | ArrayLike]
"""Index and item of an image to its map (h, w): a density, or any map that is not negative; see `to_map`."""

GOLD_METRICS = ("auc_judd", "nss")
"""What the row `gold` has: the others are defined against all observers' fixations, not against one's."""


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
    """Score predictions beside the baselines of `salzoo.evaluation.baselines` on every picture at its own size.

    Information gain is measured against the centre bias of the set's training split. The negatives of shuffled AUC are
    the fixations of all other pictures of the split. What the set cannot have (rows between observers that it does not
    tell apart, metrics of points where there are only maps) is left out with a note. A predictor named like a baseline
    takes its row.

    Args:
        predictors: Row name to predictor.
        dataset: One split of a set.
        baselines: Which, from `salzoo.evaluation.baselines.ROWS`.
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
        predictions = {
            name: to_map(predict(i, item), size, f"the map of {name!r} for {dataset.names[i]}")
            for name, predict in predictors.items()
        }
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
        dataset=dataset.name,
        split=dataset.split,
        images=tuple(dataset.names),
        convention=convention,
        baseline=beside.baseline_name,
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
        found = {i: one for part in all_gather_object(found) for i, one in part.items()}
    return [found[i] for i in range(count)]


def predictor(model: SaliencyModel) -> Predictor:
    """Return a model as a predictor of densities."""

    def predict(_: int, item: Item) -> Tensor:
        with evaluating(model), torch.inference_mode():
            return model.infer([item["image"].to(model.device)])[0].exp().cpu()

    return predict


def overlap(trained_on: tuple[str, ...], dataset: FixationDataset) -> list[str]:
    """Return those training sets and splits that hold pictures of the evaluated split.

    Names of the same pictures (`salzoo.data.registry.pictures_of`) count as the same set.
    """

    def same(name: str, split: str) -> bool:
        return pictures_of(name) == pictures_of(dataset.name) and (
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
    elif len(beside.with_fixations) < 2:
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
    for own, rest in leave_one_out(dataset.fixations(index)):
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


def _append(row: dict[str, list[float]], scores: dict[str, float]) -> None:
    for name, value in scores.items():
        row.setdefault(name, []).append(value)
