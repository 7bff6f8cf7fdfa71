"""Which loss to train with: one architecture, many losses, several seeds; the job behind `salzoo study losses`.

After Bruckert et al., "Deep Saliency Models: The Quest For The Loss Function" (Neurocomputing 2021), and the curves of
Jetley et al. (CVPR 2016). Everything but the loss is fixed: network, images, order, optimiser, rate, epochs.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from salzoo import losses
from salzoo._io import write_text
from salzoo._progress import counted
from salzoo._version import commit
from salzoo.components.layers import kernel_density
from salzoo.components.load import load
from salzoo.components.saliency_model import SaliencyModel
from salzoo.data import SaliencyDataModule
from salzoo.data.base import Item
from salzoo.data.fixations import Fixations
from salzoo.data.transforms import Augment, ConcatViews, TrainingView
from salzoo.errors import SpecError
from salzoo.evaluation.table import TRUTH
from salzoo.images.geometry import Size
from salzoo.images.preprocess import resize_density
from salzoo.metrics import METRICS, FixationPool, functional, saliency_metrics
from salzoo.registry import read_spec

SIZE: Size = (192, 256)
"""(height, width) of the images that the networks see."""
SCORED: Size = (240, 320)
"""(height, width) at which maps are scored."""

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "quest": {"tta": [[1.0, False]], "preprocess": {"size": SIZE}, "pretrained_backbone": True},
    "deepgaze2": {
        "backbone": "tf_efficientnet_lite0",
        "tta": [[1.0, False]],
        "preprocess": {"size": SIZE},
        "pretrained_backbone": True,
    },
    "centre_bias": {},
}
"""Arguments of each model. `quest` has 3x3 convolutions and a sigmoid, `deepgaze2` a point-wise read-out, a softmax."""

SINGLE: dict[str, losses.LossSpec] = {name: name for name in losses.TERMS}

COMBINED: dict[str, losses.LossSpec] = {
    **{name: name for name in ("sam", "eml_net", "unisal", "transalnet", "sum", "websal")},
    "kl - cc": {"kl": 1.0, "cc": -1.0},
    "kl - 0.5 cc - 0.1 nss": {"kl": 1.0, "cc": -0.5, "nss": -0.1},
    "nll - cc": {"nll": 1.0, "cc": -1.0},
    "kl - cc - nss + deep_features": {"kl": 1.0, "cc": -1.0, "nss": -1.0, "deep_features": 1.0},
    "kl, cc, exp_nss: learned": {"kl": "learned", "cc": "learned", "exp_nss": "learned"},
}
"""Published combinations (those of one term are in `SINGLE`), and other weights of KL, CC and NSS."""

LOSSES = {**SINGLE, **COMBINED}


@dataclass(frozen=True)
class Trial:
    """One training run.

    Args:
        model: Name from `ARCHITECTURES`.
        dataset: Name of the dataset, on whose train split the model is trained.
        loss: Name from `LOSSES`; None for a model that no gradient trains.
        seed: Seed of weights, order and augmentation.
        epochs: Number of epochs.
    """

    model: str
    dataset: str
    loss: str | None
    seed: int
    epochs: int

    @property
    def config(self) -> dict[str, Any]:
        """Everything that the result depends on except the code."""
        variant = read_spec(self.model).variants["lite"]
        options = {**variant.network, **variant.recipe.get("training", {}), **ARCHITECTURES[self.model]}
        weights = None if self.loss is None else losses.get(LOSSES[self.loss]).weights
        return {**asdict(self), "options": {**options, "loss": weights}, "scored": SCORED}

    @property
    def file(self) -> str:
        """Name of the file with the result; each configuration has its own."""
        text = json.dumps(self.config, sort_keys=True)
        return f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


@dataclass(frozen=True)
class Result:
    """The result of a trial.

    Args:
        trial: The trial.
        commit: Commit of the code.
        seconds: How long it took.
        curve: (step, AUC-Judd on the val split) during training.
        val: Score on the val split after training, by metric.
        test: The same on the test split.
    """

    trial: Trial
    commit: str
    seconds: float
    curve: tuple[tuple[int, float], ...]
    val: dict[str, float]
    test: dict[str, float]


@dataclass(frozen=True)
class Study:
    """Which losses to compare, on which datasets, and where results are kept.

    Args:
        output: Folder of the study, with one file a trial in `trials/`.
        datasets: Names of the datasets.
        root: The folder that holds them.
        losses: Names from `LOSSES`.
        seeds: Number of seeds, from 0 on.
        epochs: Number of epochs of each trial.
        second: A second architecture, trained on the first dataset with the best losses; None for none.
        best: Number of these losses, chosen by the mean rank on the val split.

    Raises:
        SpecError: If there is no such loss.
    """

    output: Path
    datasets: tuple[str, ...] = ("osie", "eyecrowd")
    root: str | Path = "data"
    losses: tuple[str, ...] = tuple(LOSSES)
    seeds: int = 3
    epochs: int = 4
    second: str | None = "deepgaze2"
    best: int = 5

    def __post_init__(self) -> None:
        """Check the names."""
        if unknown := [name for name in self.losses if name not in LOSSES]:
            raise SpecError(f"the study has no loss {unknown[0]!r}; it has {', '.join(map(repr, LOSSES))}.")

    def run(self, workers: int = 1) -> list[Result]:
        """Run what has no result yet, one seed after the other, and return all results.

        Args:
            workers: Number of processes with one thread each; each holds images and maps of the datasets in memory.
        """
        results = self._run([Trial("centre_bias", dataset, None, 0, 0) for dataset in self.datasets], workers)
        second: list[Result] = []
        for seed in range(self.seeds):
            grid = [Trial("quest", data, loss, seed, self.epochs) for data in self.datasets for loss in self.losses]
            results += self._run(grid, workers)
            if self.second is not None:  # after each seed, so that a study that is stopped has results of it
                seeds = range(seed + 1)
                chosen = [(self.second, loss) for loss in self._best(results)]
                more = [Trial(model, self.datasets[0], loss, s, self.epochs) for model, loss in chosen for s in seeds]
                second = self._run(more, workers)
        return results + second

    def _best(self, results: Sequence[Result]) -> list[str]:
        """Return the losses for the second architecture: the best on the first dataset's val split, and plain MSE."""
        first = [r for r in results if r.trial.dataset == self.datasets[0] and r.trial.loss is not None]
        ranks = mean_ranks(first, "val")
        chosen = sorted(ranks, key=lambda loss: ranks[loss])[: self.best]
        return chosen + [name for name in ("mse",) if name in self.losses and name not in chosen]

    def kept(self) -> list[Result]:
        """Return the results that exist so far."""
        found = {path: _read(path) for path in sorted((self.output / "trials").glob("*.json"))}
        results = [r for path, r in found.items() if self._asks(r.trial) and path.name == r.trial.file]
        return sorted(results, key=lambda r: (r.trial.model, self.datasets.index(r.trial.dataset), r.trial.seed))

    def _asks(self, trial: Trial) -> bool:
        known = trial.dataset in self.datasets and trial.loss in (None, *LOSSES)
        return known and trial.epochs in (0, self.epochs) and trial.seed < self.seeds

    def _run(self, trials: Sequence[Trial], workers: int) -> list[Result]:
        folder = self.output / "trials"
        folder.mkdir(parents=True, exist_ok=True)
        todo = [trial for trial in trials if not (folder / trial.file).exists()]
        for result in counted(_each(todo, self.root, workers), len(todo), "trial"):
            write_text(folder / result.trial.file, json.dumps(asdict(result), indent=1) + "\n")
        return [_read(folder / trial.file) for trial in trials]


def mean_ranks(results: Iterable[Result], split: str) -> dict[str, float]:
    """Return the mean rank of each loss over all metrics, where scores are means over seeds; 1 is best."""
    scores = group(results, split)
    ranks: dict[str, list[int]] = {loss: [] for loss in scores}
    for metric in next(iter(scores.values()), {}):
        sign = -1 if METRICS[metric].higher_is_better else 1
        for rank, loss in enumerate(sorted(scores, key=lambda name: sign * float(np.mean(scores[name][metric])))):
            ranks[loss].append(rank + 1)
    return {loss: float(np.mean(each)) for loss, each in ranks.items()}


def group(results: Iterable[Result], split: str) -> dict[str, dict[str, list[float]]]:
    """Return one score a seed, by loss and metric."""
    scores: dict[str, dict[str, list[float]]] = {}
    for result in results:
        for metric, score in getattr(result, split).items():
            scores.setdefault(result.trial.loss or result.trial.model, {}).setdefault(metric, []).append(score)
    return scores


def run_trial(trial: Trial, root: str | Path) -> Result:
    """Train and score one model."""
    start, scenes = time.perf_counter(), _scenes(trial.dataset, str(root))
    pl.seed_everything(trial.seed, verbose=False)
    options: dict[str, Any] = {} if trial.loss is None else {"loss": LOSSES[trial.loss]}
    model = load(f"{trial.model}.lite", weights=None, **ARCHITECTURES[trial.model], **options)
    for backbone in model.backbones():
        backbone.share_cache(_memory(trial.model))
    data = _Kept(trial.dataset, root, batch_size=16, size=SIZE, seed=trial.seed)
    curve = _Curve(scenes["val"])
    if trial.loss is None:
        with torch.no_grad():
            model.fit_statistics(data)
    else:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*(does not have many workers|`limit_val_batches`|in eval mode).*")
            _trainer(trial.epochs, curve).fit(model, datamodule=data)
    model.eval()
    return Result(
        trial,
        commit(),
        round(time.perf_counter() - start, 1),
        tuple(curve.points),
        scenes["val"].score(model),
        scenes["test"].score(model),
    )


class Scenes:
    """The images of a split at size `SCORED`, with all that the metrics need.

    Args:
        items: Images with their ground truth.
        baseline: (H, W) density that information gain is measured against.
    """

    def __init__(self, items: Sequence[Item], baseline: Tensor) -> None:
        self.items, self.baseline = items, baseline
        self.pool = FixationPool(item["fixations"] for item in items)

    def densities(self, model: SaliencyModel) -> Tensor:
        """Predict (N, H, W) densities."""
        images = [item["image"] for item in self.items]
        chunks = [torch.stack(model.log_densities(images[i : i + 25])) for i in range(0, len(images), 25)]
        return torch.cat(chunks).exp()

    def score(self, model: SaliencyModel) -> dict[str, float]:
        """Return the model's mean score by each metric."""
        metrics = saliency_metrics(include=tuple(TRUTH), pool=self.pool)
        for density, item in zip(self.densities(model), self.items, strict=True):
            truth = {"fixations": item["fixations"][None], "density": item["density"][None]}
            metrics.update(density[None], **truth, baseline=self.baseline[None])
        return {name: round(float(score), 5) for name, score in metrics.compute().items()}

    def auc(self, model: SaliencyModel) -> float:
        """Return the model's mean AUC-Judd."""
        fixations = torch.stack([item["fixations"] for item in self.items])
        return round(float(functional.auc_judd(self.densities(model), fixations).mean()), 5)


class _Curve(pl.Callback):
    """Records the AUC after 2, 4, 8 and 16 steps, and after each epoch."""

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes
        self.points: list[tuple[int, float]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, model: pl.LightningModule, *_: Any) -> None:
        step = trainer.global_step
        if step in (2, 4, 8, 16) or step % trainer.num_training_batches == 0:
            self.points.append((step, self.scenes.auc(cast("SaliencyModel", model))))


class _Kept(SaliencyDataModule):
    """Training images prepared once a process, and mirrored at random."""

    def train_points(self) -> Iterator[tuple[Fixations, Size]]:
        return iter(_points(self.sets[0], str(self.root)))

    def _train_views(self, augment: Augment | None) -> ConcatViews:
        items = _prepared(self.sets[0], str(self.root), "train", SIZE)
        return ConcatViews([_Mirrored(items, augment, self.seed)])


class _Mirrored(Dataset[Item]):
    def __init__(self, items: Sequence[Item], augment: Augment | None, seed: int) -> None:
        self.items, self.seed, self.flip, self.epoch = items, seed, 0.0 if augment is None else augment.flip, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch  # there are no workers that would have to know

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:
        item = self.items[index]
        if np.random.default_rng((self.seed, self.epoch, index)).random() >= self.flip:
            return item
        maps = {key: cast("dict[str, Tensor]", item)[key].flip(-1) for key in ("image", "fixations", "density")}
        return cast("Item", {**maps, "name": item["name"]})


@cache
def _prepared(dataset: str, root: str, split: Any, size: Size) -> list[Item]:
    """Return the images of a split at one size."""
    (found,) = SaliencyDataModule(dataset, root).datasets(split)
    view = TrainingView(found, size)
    return [view[index] for index in range(len(view))]


@cache
def _points(dataset: str, root: str) -> list[tuple[Fixations, Size]]:
    """Return the fixations that centre biases are fitted to."""
    return list(SaliencyDataModule(dataset, root).train_points())


@cache
def _scenes(dataset: str, root: str) -> dict[str, Scenes]:
    """Return the images that trials are scored on, by split."""
    baseline = resize_density(kernel_density(_points(dataset, root), (60, 80), bandwidth=0.03), SCORED)
    return {split: Scenes(_prepared(dataset, root, split, SCORED), baseline) for split in ("val", "test")}


@cache
def _memory(model: str) -> dict[bytes, list[Tensor]]:
    """Return the cache in which all trials of an architecture keep the features of its frozen backbone."""
    return {}


def _trainer(epochs: int, curve: _Curve) -> pl.Trainer:
    quiet = ("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger")
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        limit_val_batches=0,
        callbacks=[curve],
        **cast("dict[str, Any]", dict.fromkeys(quiet, False)),
    )


def _each(trials: Sequence[Trial], root: str | Path, workers: int) -> Iterable[Result]:
    """Yield results in the order in which they are ready."""
    if workers == 1:
        yield from (run_trial(trial, root) for trial in trials)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for future in as_completed([pool.submit(run_trial, trial, root) for trial in trials]):
            yield future.result()


def _read(path: Path) -> Result:
    content = json.loads(path.read_text(encoding="utf-8"))
    trial = Trial(**content.pop("trial"))
    return replace(Result(trial, **content), curve=tuple((int(s), float(v)) for s, v in content["curve"]))
