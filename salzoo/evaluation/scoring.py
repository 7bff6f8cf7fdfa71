"""Scores of models, baselines and other tools' maps on a dataset: the job behind `salzoo evaluate`."""

from __future__ import annotations

import os
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from salzoo._distributed import all_gather_object
from salzoo._progress import counted
from salzoo.components.load import load
from salzoo.components.saliency_model import SaliencyModel
from salzoo.data import FixationDataset, FixationFolder, Item, VideoDataset, VideoFolder
from salzoo.data.map_folder import MapFolder, to_map
from salzoo.data.registry import images_of
from salzoo.errors import DatasetNotFoundError, SpecError
from salzoo.evaluation.baselines import BETWEEN_PEOPLE, DENSITIES, ROWS, Baselines
from salzoo.evaluation.comparison import too_few
from salzoo.evaluation.gold import leave_one_out
from salzoo.evaluation.statistics import FEWEST
from salzoo.evaluation.table import TRUTH, Table
from salzoo.images.arrays import plain_array
from salzoo.images.fingerprint import are_among, unpack
from salzoo.images.grey import is_rounded
from salzoo.metrics import METRICS, FixationPool, metric_maps

T = TypeVar("T")
_ROUNDED = "Warning: {} has 8-bit maps; their rounding changes kld, ig and the AUCs."
_TRUTH_OF_FEW = (
    "the rows between people ({}) have the density of a part of the observers as their truth: on CC, SIM, KL and EMD "
    "they are no limit of the other rows"
)
Convention = Literal["mit", "pysaliency"]
Predictor = Callable[[int, Item], Tensor | ArrayLike]
"""Index and item of an image to its map (h, w): a density, or any map that is not negative; see `to_map`."""


def evaluate(
    predictors: dict[str, Predictor],
    dataset: FixationDataset,
    *,
    baselines: Sequence[str] = ROWS,
    metrics: Sequence[str] | None = None,
    convention: Convention = "mit",
    metric_specific: bool = False,
    seed: int = 0,
    folds: Mapping[str, int] | None = None,
    per_observer: bool = False,
    part_of: int | None = None,
    notes: tuple[str, ...] = (),
    progress: bool | None = None,
    shared: bool = False,
) -> Table:
    """Score predictions and the baselines of `salzoo.evaluation.baselines` on every image, at its own size.

    Information gain is measured against the centre bias of the training split, or, if images of that are scored, of all
    images but the scored one. The negatives of shuffled AUC are the fixations on all other images of the split. What
    the dataset does not allow (rows between observers if it does not tell them apart, metrics of points if there are
    only maps) is left out with a note. A predictor named like a baseline replaces it.

    Args:
        predictors: Predictor by the name of its row: called with an image's index and item, it returns the image's map,
            a tensor, an array or a `SaliencyMap`. A map of another size is scaled as the MIT benchmark does.
        dataset: One split of a dataset.
        baselines: Names from `salzoo.evaluation.baselines.ROWS`.
        metrics: Keys of `salzoo.metrics.METRICS`, as `("nss", "ig")`; None for all.
        convention: Convention of all metrics.
        metric_specific: Take each prediction as a density, and score for each metric the map that is best for it
            (`salzoo.metrics.metric_maps`; derived for the `mit` convention), as Kuemmerer et al. (ECCV 2018) propose.
        seed: Seed of the baseline `permutation`.
        folds: Fold of each image by its name, to be recorded with its scores (`salzoo.data.folds.fold_of`).
        per_observer: Also score each prediction on each observer's own fixations, and `gold` with them (the density of
            the others), in rows `ROW:OBSERVER`; NaN on images that an observer did not see.
        part_of: Number of images of the whole split, if the dataset is a part of it (`salzoo.evaluation.part`).
        notes: Warnings to print with the table.
        progress: Whether to show a progress bar; None shows it on a terminal, and a line now and then elsewhere.
        shared: Share the images among the processes that torchrun started; each returns the whole table.

    Raises:
        DataError: If the fixations of the split are not public.
        ImageError: If a prediction is not a map of finite, non-negative numbers.
        SpecError: If there is no such baseline or metric, `metric_specific` is set with another convention than `mit`,
            or `per_observer` where observers are not told apart.
    """
    wanted = check_metrics(METRICS if metrics is None else metrics)
    if metric_specific and convention != "mit":
        raise SpecError(f"metric-specific maps are derived for the convention 'mit', not for {convention!r}.")
    dataset.require_fixations()
    told = _observers(dataset) if per_observer else ()
    beside = Baselines(dataset, [row for row in baselines if row not in predictors], seed)
    metrics, left_out = _metrics(dataset, beside, wanted)
    pool = _pool(dataset) if dataset.has_points else None

    def score(i: int) -> tuple[dict[str, dict[str, float]], list[str], str]:
        """Score every row on one image; name those whose map is rounded to 8 bits, and sum up the truth."""
        item = dataset[i]
        size = (item["image"].shape[-2], item["image"].shape[-1])
        prior = beside.prior(i, size)
        truth = {"fixations": item["fixations"], "density": item["density"], "other": pool, "baseline": prior}
        given = {name: predict(i, item) for name, predict in predictors.items()}
        predictions = {
            name: to_map(each, size, f"the map of {name!r} for {dataset.names[i]}") for name, each in given.items()
        }
        found = {}
        for name, prediction in (predictions | beside.maps(i, item)).items():
            best = dict.fromkeys(metrics, prediction)
            if metric_specific and name in (*predictions, *DENSITIES):
                sigma = dataset.sigma(size)
                best |= metric_maps(prediction, centre_bias=prior, sigma_px=sigma, n_fixations=beside.mean)
            found[name] = _score(best, truth, metrics, convention)
            if per_observer and name in predictions:
                found |= _by_observer(name, best, dataset, i, truth, metrics, convention)
        found |= _between_people(beside, i, truth, metrics, convention, each=per_observer)
        coarse = [name for name, each in given.items() if is_rounded(plain_array(each, name))]
        return found, coarse, _digest(item, dataset.sigma(size), beside.prior_content)

    between = [row for row in BETWEEN_PEOPLE if row in beside.rows]
    if between and predictors and {"cc", "sim", "kld", "emd"}.intersection(metrics):
        told = (*told, _TRUTH_OF_FEW.format(", ".join(between)))
    if "gold" in beside.rows:
        told = (*told, f"gold: {beside.gold}")
    few = (f"Warning: {too_few(len(dataset), whole=dataset.split == 'all')}",) if len(dataset) < FEWEST else ()
    each = f", each in {len(predictors) + len(beside.rows)} rows"
    images = _each(score, len(dataset), progress, each, shared=shared)
    rows = dict.fromkeys((*predictors, *beside.rows, *(row for image, *_ in images for row in image)))
    scores = {row: _column([image.get(row, {}) for image, *_ in images]) for row in rows}
    rounded = {name for _, names, _ in images for name in names}
    return Table(
        dataset=dataset.name,
        split=dataset.split,
        images=tuple(dataset.names),
        convention=convention,
        baseline=beside.baseline_name,
        scores=scores,
        metric_specific=metric_specific,
        notes=(*notes, *few, *(_ROUNDED.format(name) for name in predictors if name in rounded), *left_out, *told),
        truth=tuple(digest for *_, digest in images),
        folds=tuple(folds[name] for name in dataset.names) if folds else (),
        part_of=part_of,
    )


def _digest(item: Item, sigma: float, prior: str) -> str:
    """Return in a few letters the fixations, their blur and information gain's baseline: what scores must share."""
    counts = item["fixations"].numpy().astype(np.int64)
    content = [counts.shape, np.flatnonzero(counts).tolist(), counts[counts > 0].tolist(), f"{sigma:.6g}", prior]
    return f"{zlib.crc32(repr(content).encode()):08x}"


def _each(score: Callable[[int], T], count: int, progress: bool | None, each: str, *, shared: bool) -> list[T]:
    """Return the scores of all images in their order, whichever process computed them."""
    rank, world = (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])) if shared else (0, 1)
    own = range(rank, count, world)
    told = counted(own, len(own), "image", shown=False if rank else progress, each=each)
    found = {i: score(i) for i in told}
    if shared:
        found = {i: one for part in all_gather_object(found) for i, one in part.items()}
    return [found[i] for i in range(count)]


NO_TEST = "its row is no test"
"""What `overlap` says of a model that has seen the images that it is scored on."""


def predictor(model: SaliencyModel) -> Predictor:
    """Return a predictor of the model's densities."""

    def predict(_: int, item: Item) -> Tensor:
        (log_density,) = model.log_densities([item["image"]])
        return log_density.exp().cpu()

    return predict


def overlap(
    model: SaliencyModel, dataset: FixationDataset | VideoDataset, name: str = "the model", what: str = "images"
) -> tuple[str, ...]:
    """Return warnings that a model was trained on images of a split; none if it was not.

    Images are compared by their content, so that copies under other names or sizes are found. Of a training set whose
    images were not recorded only the name is compared (`salzoo.data.registry.images_of`).

    Args:
        model: The model; one that is not from a checkpoint has seen nothing.
        dataset: The split that it is scored on.
        name: What the warning calls the model.
        what: What the split consists of, in words; of videos, frames are compared.
    """
    seen = {} if model.config is None else model.config.images_seen
    notes = []
    own = dataset.fingerprints() if any(seen.values()) else np.zeros(0, np.uint64)
    copies = {entry: are_among(own, unpack(images)) for entry, images in seen.items() if images}
    if sets := [entry for entry, found in copies.items() if found.any()]:
        count = np.any(list(copies.values()), axis=0).sum()
        notes.append(f"{name} was trained on {count} of these {len(own)} {what} ({', '.join(sets)})")
    if sets := [entry for entry, images in seen.items() if not images and _same_name(entry, dataset)]:
        notes.append(f"{name} was trained on {', '.join(sets)}, which goes by the same name as these {what}")
    return tuple(f"Warning: {note}: {NO_TEST}." for note in notes)


def no_test(row: str, notes: Iterable[str]) -> str | None:
    """Return the warning of `overlap` that a row was trained on what it is scored on, if there is one among notes."""
    own = (f"Warning: {row} was trained on", f"the density of {row}, was trained on")
    return next((note for note in notes if NO_TEST in note and any(words in note for words in own)), None)


def left_out(dataset: FixationDataset) -> tuple[str, ...]:
    """Return a note on how many images of the dataset are in other splits; none if the split has all of them."""
    try:
        total = len(dataset.sibling("all"))
    except (DatasetNotFoundError, SpecError):  # files of other splits are not here, or it has no such split
        return ()
    if total <= len(dataset):
        return ()
    others = " and ".join(name for name in ("training", "validation", "test") if not name.startswith(dataset.split))
    return (f"Split {dataset.split}: {len(dataset)} of {total} images; the others are for {others}.",)


def _same_name(entry: str, dataset: FixationDataset | VideoDataset) -> bool:
    """Return whether a training set holds images of a split, by its name; users' studies all have the same."""
    name, _, split = entry.partition(":")
    if name in (FixationFolder.name, VideoFolder.name) or images_of(name) != images_of(dataset.name):
        return False
    return split == dataset.split or "all" in (split, dataset.split)


def load_predictors(
    models: Mapping[str, str], folders: Mapping[str, Path], dataset: FixationDataset, device: str = "auto"
) -> tuple[dict[str, Predictor], tuple[str, ...]]:
    """Return predictors of models and of other tools' maps, and the warnings that belong to their scores.

    Args:
        models: Models, model.tags or checkpoint folders, by the name of the row.
        folders: Folders with one map for each image of the dataset, by the name of the row.
        dataset: The split that they are to be scored on.
        device: Device of the models.
    """
    predictors: dict[str, Predictor] = {}
    notes: list[str] = []
    for row, folder in folders.items():
        predictors[row] = map_predictor(MapFolder(folder, dataset.names))
    for row, name in models.items():
        model = load(name, device=device)
        predictors[row] = predictor(model)
        notes += overlap(model, dataset, row)
    return predictors, tuple(notes)


def map_predictor(folder: MapFolder) -> Predictor:
    """Return a predictor that reads another tool's maps."""
    return lambda index, _: folder.stored(index)


def check_metrics(names: Iterable[str]) -> list[str]:
    """Return keys of metrics in the order of tables.

    Raises:
        SpecError: If one is unknown, or none is named.
    """
    found = list(names)
    if unknown := [name for name in found or [""] if name not in METRICS]:
        raise SpecError(f"no metric is called {unknown[0]!r}; there are {', '.join(METRICS)}.")
    return [name for name in METRICS if name in found]


def _metrics(dataset: FixationDataset, beside: Baselines, wanted: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return those of the wanted metrics that the dataset allows, and notes on the others."""
    reasons = {}
    if "emd" not in TRUTH:
        reasons["emd"] = 'its solver comes with `pip install "salzoo[emd]"`'
    if not dataset.has_points:
        pointless = [name for name, truth in TRUTH.items() if "fixations" in truth]
        reasons |= dict.fromkeys(pointless, "there are maps and no fixation points")
    elif len(beside.with_fixations) < 2:
        reasons["sauc"] = "there is no other image with fixations"
    left_out: dict[str, list[str]] = {}
    for name in wanted:
        if name in reasons:
            left_out.setdefault(reasons[name], []).append(name)
    notes = [f"Without {', '.join(names)}: {why}." for why, names in left_out.items()]
    notes += [f"Without {name}: {why}." for name, why in beside.absent.items()]
    if dataset.has_rounded_maps and "kld" in wanted:
        notes.append("Warning: the truth are 8-bit maps; their rounding changes kld.")
    return [name for name in wanted if name not in reasons], tuple(notes)


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


def _observers(dataset: FixationDataset) -> tuple[str, ...]:
    """Return who is told apart on how many images, in words."""
    seen = Counter(o for i in range(len(dataset)) for o in set(dataset.fixations(i).observer.tolist()))
    if not dataset.has_points or len(seen) < 2:
        raise SpecError(f"scores per observer need observers who are told apart; {dataset.name} has none.")
    counts = ", ".join(f"{dataset.observer_name(o)} {count}" for o, count in sorted(seen.items()))
    return (f"ROW:OBSERVER is a row on that observer's own fixations; images: {counts}.",)


def _by_observer(
    name: str,
    maps: dict[str, Tensor],
    dataset: FixationDataset,
    index: int,
    truth: Mapping[str, Any],
    metrics: Sequence[str],
    convention: Convention,
) -> dict[str, dict[str, float]]:
    """Score a row on each observer's own fixations on one image."""
    size, points = dataset.size(index), dataset.fixations(index)
    elsewhere, found = truth["other"].counts(*size) - truth["fixations"], {}
    for observer in sorted(set(points.observer.tolist())):
        own = points.of(observer)
        seen = {"fixations": own.counts(size), "density": own.density(size, dataset.sigma(size)), "other": elsewhere}
        row = f"{name}:{dataset.observer_name(observer)}"
        found[row] = _score(maps, {**truth, **seen}, metrics, convention)
    return found


def _between_people(
    beside: Baselines,
    index: int,
    truth: Mapping[str, Any],
    metrics: Sequence[str],
    convention: Convention,
    *,
    each: bool,
) -> dict[str, dict[str, float]]:
    """Score each observer under all others, and all others under each; average over observers, and show `gold` of each.

    Args:
        beside: The baselines of the split.
        index: Index of the image.
        truth: What predictions are compared with.
        metrics: Metrics to score.
        convention: Their convention.
        each: Whether to return the score of `gold` for each observer, too.
    """
    wanted = [row for row in BETWEEN_PEOPLE if row in beside.rows]
    if not wanted:
        return {}
    points, size, sigma, prior = beside.seen(index)
    scores: dict[str, list[dict[str, float]]] = {row: [] for row in wanted}
    people = []
    blurred = any("density" in TRUTH[name] for name in metrics)  # else nothing asks for these maps
    elsewhere = truth["other"].counts(*size) - truth["fixations"]  # fixations on other images
    for own, rest in leave_one_out(points):
        density = own.density(size, sigma) if blurred or "one_human" in scores else None
        people.append(f"gold:{beside.dataset.observer_name(int(own.observer[0]))}")
        if "gold" in scores:
            seen = {**truth, "fixations": own.counts(size), "density": density, "other": elsewhere}
            gold = beside.gold.density(rest, size, sigma, prior)
            scores["gold"].append(_score(dict.fromkeys(metrics, gold), seen, metrics, convention))
        if "one_human" in scores:
            assert density is not None
            others = rest.density(size, sigma) if blurred else None
            seen = {**truth, "fixations": rest.counts(size), "density": others, "other": elsewhere}
            scores["one_human"].append(_score(dict.fromkeys(metrics, density), seen, metrics, convention))
    found = {
        row: {name: float(np.mean([s[name] for s in those])) if those else float("nan") for name in metrics}
        for row, those in scores.items()
    }
    return found | (dict(zip(people, scores["gold"], strict=True)) if each and "gold" in scores else {})


def _column(images: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return one score an image by metric, NaN for images where there is none."""
    names = [name for name in METRICS if any(name in image for image in images)]
    return {name: [image.get(name, float("nan")) for image in images] for name in names}
