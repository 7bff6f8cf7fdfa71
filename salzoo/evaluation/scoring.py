"""Scores of models, baselines and other tools' maps on a dataset: the job behind `salzoo evaluate`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor
from tqdm import tqdm

from salzoo._distributed import all_gather_object
from salzoo.components.load import load
from salzoo.components.saliency_model import SaliencyModel
from salzoo.data import FixationDataset, Item
from salzoo.data.map_folder import MapFolder, to_map
from salzoo.data.registry import images_of
from salzoo.errors import SpecError
from salzoo.evaluation.baselines import BETWEEN_PEOPLE, DENSITIES, ROWS, Baselines, leave_one_out
from salzoo.evaluation.table import TRUTH, Table
from salzoo.metrics import METRICS, FixationPool, metric_maps

T = TypeVar("T")
Convention = Literal["mit", "pysaliency"]
Predictor = Callable[[int, Item], Tensor | ArrayLike]
"""Index and item of an image to its map (h, w): a density, or any map that is not negative; see `to_map`."""

GOLD_METRICS = ("auc_judd", "nss")
"""The metrics of the row `gold`; the others are not defined on the fixations of a single observer."""


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
    """Score predictions and the baselines of `salzoo.evaluation.baselines` on every image, at its own size.

    Information gain is measured against the centre bias of the training split. The negatives of shuffled AUC are the
    fixations on all other images of the split. What the dataset does not allow (rows between observers if it does not
    tell them apart, metrics of points if there are only maps) is left out with a note. A predictor named like a
    baseline replaces it.

    Args:
        predictors: Predictor by the name of its row: called with an image's index and item, it returns the image's map,
            a tensor, an array or a `SaliencyMap`. A map of another size is scaled as the MIT benchmark does.
        dataset: One split of a dataset.
        baselines: Names from `salzoo.evaluation.baselines.ROWS`.
        convention: Convention of all metrics.
        metric_specific: Take each prediction as a density, and score for each metric the map that is best for it
            (`salzoo.metrics.metric_maps`; derived for the `mit` convention), as Kuemmerer et al. (ECCV 2018) propose.
        seed: Seed of the baseline `permutation`.
        notes: Warnings to print with the table.
        progress: Whether to show a progress bar; None shows it on a terminal.
        shared: Share the images among the processes that torchrun started; each returns the whole table.

    Raises:
        DataError: If the fixations of the split are not public.
        ImageError: If a prediction is not a map of finite, non-negative numbers.
        SpecError: If there is no such baseline, or `metric_specific` is set with another convention than `mit`.
    """
    if metric_specific and convention != "mit":
        raise SpecError(f"metric-specific maps are derived for the convention 'mit', not for {convention!r}.")
    dataset.require_fixations()
    beside = Baselines(dataset, [row for row in baselines if row not in predictors], seed)
    metrics, left_out = _metrics(dataset, beside)
    pool = _pool(dataset) if dataset.has_points else None

    def score(i: int) -> dict[str, dict[str, float]]:
        """Score every row on one image."""
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

    images = _each(score, len(dataset), None if progress is None else not progress, shared=shared)
    scores: dict[str, dict[str, list[float]]] = {row: {} for row in (*predictors, *beside.rows)}
    for image in images:
        for name, values in image.items():
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
    """Return the scores of all images in their order, whichever process computed them."""
    rank, world = (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])) if shared else (0, 1)
    own = tqdm(range(rank, count, world), unit="image", disable=disable if rank == 0 else True)
    found = {i: score(i) for i in own}
    if shared:
        found = {i: one for part in all_gather_object(found) for i, one in part.items()}
    return [found[i] for i in range(count)]


def predictor(model: SaliencyModel) -> Predictor:
    """Return a predictor of the model's densities."""

    def predict(_: int, item: Item) -> Tensor:
        (log_density,) = model.log_densities([item["image"]])
        return log_density.exp().cpu()

    return predict


def overlap(trained_on: tuple[str, ...], dataset: FixationDataset) -> list[str]:
    """Return those of the training datasets and splits that hold images of the evaluated split.

    Names of the same images (`salzoo.data.registry.images_of`) count as the same dataset.
    """

    def same(name: str, split: str) -> bool:
        return images_of(name) == images_of(dataset.name) and (
            split == dataset.split or "all" in (split, dataset.split)
        )

    return [entry for entry in trained_on if same(*entry.split(":", 1))]


def load_predictors(
    names: Iterable[str], folders: Iterable[Path], dataset: FixationDataset, device: str = "auto"
) -> tuple[dict[str, Predictor], tuple[str, ...]]:
    """Return predictors of models and of other tools' maps, and the warnings that belong to their scores.

    Args:
        names: Models, model.tags or checkpoint folders.
        folders: Folders with one map for each image of the dataset.
        dataset: The split that they are to be scored on.
        device: Device of the models: `auto`, `cpu` or `cuda`.
    """
    predictors, notes = dict[str, Predictor](), []
    for folder in folders:
        maps = MapFolder(folder, dataset.names)
        predictors[str(folder)] = map_predictor(maps)
        if maps.eight_bit:
            notes.append(f"Warning: {folder} has 8-bit maps; their rounding changes kld, ig and the AUCs.")
    for name in names:
        model = load(name, device=device)
        predictors[name] = predictor(model)
        if seen := overlap(() if model.config is None else model.config.trained_on, dataset):
            notes.append(f"Warning: {name} was trained on {', '.join(seen)}: its row is no test.")
    return predictors, tuple(notes)


def map_predictor(folder: MapFolder) -> Predictor:
    """Return a predictor that reads another tool's maps."""
    return lambda index, item: folder.read(index, (item["image"].shape[-2], item["image"].shape[-1]))


def _metrics(dataset: FixationDataset, beside: Baselines) -> tuple[list[str], tuple[str, ...]]:
    """Return the metrics that the dataset allows, and notes on the others."""
    left_out = {}
    if "emd" not in TRUTH:
        left_out["emd"] = 'its solver comes with `pip install "salzoo[emd]"`'
    if not dataset.has_points:
        pointless = [name for name, truth in TRUTH.items() if "fixations" in truth]
        left_out[", ".join(pointless)] = "there are maps and no fixation points"
    elif len(beside.with_fixations) < 2:
        left_out["sauc"] = "there is no other image with fixations"
    gone = ", ".join(left_out).split(", ")
    notes = {**left_out, **beside.absent}
    return [name for name in TRUTH if name not in gone], tuple(f"Without {name}: {why}." for name, why in notes.items())


def _pool(dataset: FixationDataset) -> FixationPool:
    return FixationPool(dataset.fixations(i).counts(dataset.size(i)) for i in range(len(dataset)))


def _score(
    maps: dict[str, Tensor], truth: Mapping[str, Any], metrics: Iterable[str], convention: Convention
) -> dict[str, float]:
    """Score one image; `maps` has the (H, W) prediction for each metric, `truth` what they are compared with."""
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
    elsewhere = truth["other"].counts(*size) - truth["fixations"]  # fixations on other images
    for own, rest in leave_one_out(dataset.fixations(index)):
        density, one = rest.density(size, sigma), own.counts(size)
        if "gold" in scores:
            gold = [name for name in metrics if name in GOLD_METRICS]
            scores["gold"].append(_score(dict.fromkeys(gold, density), {**truth, "fixations": one}, gold, convention))
        if "one_human" in scores:
            seen = {**truth, "fixations": rest.counts(size), "density": density, "other": elsewhere}
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
