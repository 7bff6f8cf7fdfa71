"""Adapt a trained model to another dataset, also a small one: the job behind `salzoo finetune`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from salzoo._io import write_text
from salzoo.checkpoint.config import CONFIG, Config
from salzoo.components.layers import FrameDensity, best_bandwidth
from salzoo.components.load import load
from salzoo.components.saliency_model import SaliencyModel, evaluating
from salzoo.data import FixationDataset, Item, SaliencyDataModule
from salzoo.data.base import Batch, EvalBatch, Split
from salzoo.data.folds import fold_of
from salzoo.errors import DatasetNotFoundError, SpecError
from salzoo.evaluation.scoring import Predictor, evaluate, overlap, predictor
from salzoo.evaluation.table import Table
from salzoo.registry import ModelSpec, read_spec
from salzoo.training.fit import Run, export, parse

MONITOR = "val/kld"
FEW_IMAGES, FEW_VALIDATION = 20, 5
"""With fewer training images there is a warning; with fewer validation images, training images are used for them."""
CACHED_IMAGES = 500
"""Up to so many training images, the maps of a frozen backbone are cached in memory: some megabytes an image."""
FOLDS = "folds"
"""Folder of the models and scores of a cross-validation."""
RATE = 1e-3
PATIENCE = 4


@dataclass(frozen=True)
class Finetuning:
    """What to adapt, and to what.

    Args:
        name: Model, model.tag, checkpoint folder or `hf://` reference to start from.
        output: Folder for `<name>.<tag>/`.
        options: Lightning CLI options, which go over the recipe (`--training.lr`, `--trainer.max_epochs` of each stage,
            `--data.batch_size`, `--data.sets` and `--data.root`).
        command: The command as typed, for the record.
        license: SPDX identifier of the resulting weights; None takes that of the initial weights.
        folds: Number of folds of a cross-validation, which scores every image by a model that did not see it. The
            models of the folds and the scores are in `folds/` of the output; the checkpoint is trained on all images.
    """

    name: str
    output: Path
    options: Sequence[str] = ()
    command: str = ""
    license: str | None = None
    folds: int | None = None


@dataclass(frozen=True)
class Adapted:
    """Result of a fine-tuning.

    Args:
        folder: The checkpoint folder.
        tables: One table a dataset, with rows `before` and `after`, on images that were not trained on; empty in all
            processes but the first.
    """

    folder: Path
    tables: tuple[Table, ...]

    def to_text(self) -> str:
        """Return the tables, and under each what changed, in numbers and in words."""
        return "\n\n".join(f"{table.to_markdown()}\n\n{table.compare('after', 'before')}" for table in self.tables)


def finetune(job: Finetuning) -> Adapted | None:
    """Refit the centre bias, train the read-out, then all that the model trains; keep what is best on validation.

    Backbones are frozen in the first stage. What the model itself freezes stays frozen throughout, and so do the
    statistics of batch normalisation: those of a small dataset are worse than those that came with the weights. The
    initial weights are a candidate too, with their temperature: training that does not help on the validation images
    changes only the centre bias.

    Returns:
        None after a rehearsal with `--trainer.fast_dev_run`, which writes nothing.

    Raises:
        SpecError: If the model has nothing to learn, or the output folder holds a checkpoint already.
        DatasetNotFoundError: If there are too few images to train on some and validate on others.
    """
    parent = load(job.name)
    if job.name.endswith(".ckpt"):
        raise SpecError(
            f"{job.name} is the state of a run: name the checkpoint folder that `salzoo fit` wrote beside it."
        )
    if parent.config is None or parent.config.sha256 is None:
        raise SpecError(f"{job.name} has nothing to learn: `salzoo.load({job.name!r})` is ready to use.")
    if job.folds:
        return _cross_validate(job, parent)
    cli = _adapt(job, parent)
    if cli is None:
        return None
    folder = _folder(job, parent)
    if not cli.trainer.is_global_zero:
        return Adapted(folder, ())
    return Adapted(folder, tuple(_compare(parent, load(folder), cli.datamodule)))  # of what was written, in float16


def _folder(job: Finetuning, parent: SaliencyModel) -> Path:
    origin = cast("Config", parent.config)
    return job.output / f"{origin.model}.{origin.tag}"


def _adapt(job: Finetuning, parent: SaliencyModel) -> LightningCLI | None:
    """Train, and write the checkpoint folder; return what was trained with which data, None after a rehearsal."""
    origin, folder = cast("Config", parent.config), _folder(job, parent)
    spec = read_spec(origin.model)
    if (folder / CONFIG).exists():
        raise SpecError(f"{folder} holds a checkpoint already: choose another folder than {job.output}.")
    run = Run(spec, origin.tag, job.output, job.options, None, job.command, job.license or str(origin.license))
    cli = parse(run, recipe(spec, origin), HoldoutDataModule)
    model, data = _start(cli, parent)
    if spec.training == "closed_form":
        with evaluating(model), torch.no_grad():
            model.fit_statistics(data)
    else:
        refit_centre_bias(model, data)
        _train(cli, model, data, parent.temperature)
    if cli.config["trainer"]["fast_dev_run"]:
        return None
    model.fit_after_training(data)
    model.cpu().eval()
    if cli.trainer.is_global_zero:
        export(cli, run, origin)
    return cli


def _cross_validate(job: Finetuning, parent: SaliencyModel) -> Adapted | None:
    """Adapt once for each fold to all other images, once to all of them, and score each image by its fold's model."""
    folder, folds = _folder(job, parent), cast("int", job.folds)
    if folder.exists() or (job.output / FOLDS).exists():
        raise SpecError(f"{job.output} holds a checkpoint already: choose another folder.")
    for fold in range(1, folds + 1):
        rank_zero_info(f"Fold {fold} of {folds}:")
        if _adapt(_in_fold(job, fold), parent) is None:
            return None
    rank_zero_info("All images:")
    cli = _adapt(_in_fold(job, 0), parent)
    if cli is None or not cli.trainer.is_global_zero:
        return Adapted(folder, ())
    return Adapted(folder, (_score_folds(job, parent, cli.datamodule),))


def _in_fold(job: Finetuning, fold: int) -> Finetuning:
    options = (*job.options, f"--data.folds={job.folds}", f"--data.fold={fold}")
    return replace(job, output=job.output / FOLDS / str(fold) if fold else job.output, options=options)


def _score_folds(job: Finetuning, parent: SaliencyModel, data: SaliencyDataModule) -> Table:
    """Score every image by the model of its fold, write the scores, and return the table."""
    (train,) = data.datasets("train")
    everything = train.sibling("all")
    folds = fold_of(everything.names, cast("int", job.folds), data.seed)

    @lru_cache(maxsize=10)
    def model(fold: int) -> Predictor:
        return predictor(load(_folder(_in_fold(job, fold), parent)))

    def after(index: int, item: Item) -> Any:
        return model(folds[item["name"]])(index, item)

    note = "Each image is scored by the model of its fold, which was not fine-tuned on it; the checkpoint is, on all."
    rows, seen = {"before": predictor(parent), "after": after}, overlap(parent, everything, "before and so after")
    table = evaluate(rows, everything, baselines=("gold", "centre_bias_train"), folds=folds, notes=(note, *seen))
    write_text(job.output / FOLDS / "scores.csv", table.to_csv())
    write_text(job.output / FOLDS / "scores.json", json.dumps(table.to_json(), indent=2) + "\n")
    return table


def recipe(spec: ModelSpec, origin: Config) -> dict[str, Any]:
    """Return the configuration that the command's options override: the checkpoint's model, and its own schedule."""
    variant = spec.variants.get(origin.tag) or spec.variants[spec.default]
    kept = {k: v for k, v in variant.recipe.get("data", {}).items() if k in ("size", "augment")}
    trainer = {k: v for k, v in variant.recipe.get("trainer", {}).items() if k == "precision"}
    quiet = {"enable_checkpointing": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    training = {**origin.training, "lr": RATE, "start": None, "teacher": None, "cache_features": False}
    training["pretrained_backbone"] = False
    network = {k: v for k, v in origin.network.items() if k != "temperature"}  # it was fitted to the weights before
    return {
        "trainer": {**trainer, **quiet, "logger": False, "max_epochs": 20},
        "data": {**kept, "sets": ["folder"], "batch_size": 8},
        "model": {**network, "preprocess": origin.preprocess},
        "training": training,
    }


def refit_centre_bias(model: SaliencyModel, data: SaliencyDataModule) -> None:
    """Fit every centre bias in the network to the training fixations, with the likeliest bandwidth."""
    layers = [module for module in model.network.modules() if isinstance(module, FrameDensity)]
    if layers:
        points = list(data.train_points())
        bandwidth = best_bandwidth(points)
        for layer in layers:
            with torch.no_grad():
                layer.fit(points, bandwidth)


class HoldoutDataModule(SaliencyDataModule):
    """Takes every fifth image of train and val for validation if a dataset has fewer than `FEW_VALIDATION` of them.

    Args:
        folds: Number of folds of a cross-validation over all images; None for the usual splits.
        fold: Which of them is the test split, from 1; 0 trains on all images.
    """

    def __init__(self, *args: Any, folds: int | None = None, fold: int = 0, **options: Any) -> None:
        super().__init__(*args, **options)
        self.folds, self.fold = folds, fold
        if folds is not None and len(self.sets) > 1:
            raise SpecError(f"folds divide one dataset, not {len(self.sets)}: {', '.join(self.sets)}.")

    def datasets(self, split: Split) -> list[FixationDataset]:
        """Return one split of each dataset.

        Raises:
            DatasetNotFoundError: If a dataset has a single image to train and validate on.
        """
        if self.folds is not None:
            (everything,) = super().datasets("all")
            found = [everything.in_folds(self.folds, self.fold, self.seed)]
        else:
            found = super().datasets("train" if split == "val" else split)
        if split not in ("train", "val"):
            return found
        pairs = [_held_out(dataset.sibling("train")) for dataset in found]
        return [train if split == "train" else val for train, val in pairs]


def _held_out(train: FixationDataset) -> tuple[FixationDataset, FixationDataset]:
    val = sibling(train, "val")
    if val is not None and len(val) >= FEW_VALIDATION:
        return train, val
    names = sorted({*train.names, *(() if val is None else val.names)})
    if len(names) < 2:
        raise DatasetNotFoundError(f"{train.name}: one image is too few to train and to validate on.")
    held = names[2::5] or names[:1]
    return train.sibling("all").only([name for name in names if name not in held]), train.sibling("all").only(held)


def sibling(dataset: FixationDataset, split: Split) -> FixationDataset | None:
    """Return another split of a dataset, None if it has no image."""
    try:
        return dataset.sibling(split)
    except DatasetNotFoundError:
        return None


class FinetuneTask(LightningModule):
    """One stage: AdamW on all parameters that require a gradient, with a rate that falls to 0 along half a cosine.

    Args:
        model: Model that is trained, with its own loss.
        share: Learning rate at the start, as a share of the model's own.
    """

    def __init__(self, model: SaliencyModel, share: float) -> None:
        super().__init__()
        self.model, self.share, self.preprocess = model, share, model.preprocess

    def setup(self, stage: str) -> None:
        """Make the model's metrics."""
        self.model.setup(stage)

    def train(self, mode: bool = True) -> FinetuneTask:
        """Set the mode, but leave the statistics of batch normalisation as they are."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def on_fit_start(self) -> None:
        """Train in train mode."""
        self.train()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the step as in a run of `salzoo fit`."""
        self.model.on_train_batch_start(batch, batch_idx)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step on a stacked batch."""
        loss = self.model.loss(self.model(batch["image"]), batch)
        self.log("train/loss", loss, batch_size=len(batch["image"]), prog_bar=True)
        return loss

    def validation_step(self, batch: EvalBatch, batch_idx: int) -> None:
        """Score images at their own sizes."""
        self.model.score(batch, self.model.val_metrics)
        metrics: Any = self.model.val_metrics
        self.log_dict(metrics, batch_size=len(batch["image"]), prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW, with the model's own learning rate for its backbones."""
        groups = [{**g, "lr": g["lr"] * self.share} for g in self.model.parameter_groups()]
        optimizer = torch.optim.AdamW(groups, weight_decay=1e-2)
        steps = max(int(self.trainer.estimated_stepping_batches), 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: (1 + math.cos(math.pi * i / steps)) / 2)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class KeepBest(Callback):
    """Keeps network and temperature of the best validation in memory, over all stages and from before the first.

    Args:
        model: Model that is trained.
    """

    def __init__(self, model: SaliencyModel) -> None:
        self.model, self.score = model, math.inf

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the network if it is better than before."""
        score = float(trainer.callback_metrics[MONITOR])
        rank_zero_info(f"epoch {trainer.current_epoch}: {MONITOR} {score:.4f}")
        if score < self.score:
            self.score = score
            self.state = {name: tensor.detach().clone() for name, tensor in self.model.network.state_dict().items()}
            self.temperature = self.model.temperature

    def restore(self) -> None:
        """Put the best tensors and their temperature back."""
        self.model.network.load_state_dict(self.state)
        self.model.temperature = self.temperature


def _start(cli: LightningCLI, parent: SaliencyModel) -> tuple[SaliencyModel, SaliencyDataModule]:
    """Return the model with its parent's weights, and the data; warn if there are few images."""
    model, data = cli.model, cli.datamodule
    try:
        model.network.load_state_dict(parent.network.state_dict())
    except RuntimeError as error:
        raise SpecError(
            f"an option changes the network, so the weights do not fit: {str(error).splitlines()[1].strip()}"
        ) from error
    model.statistics_fitted = True
    train, val = (sum(map(len, data.datasets(split))) for split in ("train", "val"))
    people = "maps without points"
    if data.has_points("train"):
        people = f"{len({o for points, _ in data.train_points() for o in points.observer.tolist()})} observers"
    rank_zero_info(f"{train} images to train on, {val} to validate on; {people}.")
    if train + val < FEW_IMAGES:
        rank_zero_info(f"Warning: fewer than {FEW_IMAGES} images: expect little more than a new centre bias.")
    elif val < 2 * FEW_VALIDATION:
        rank_zero_info(f"Warning: {val} images choose the epoch; more of them choose better.")
    return model, data


def _train(cli: LightningCLI, model: SaliencyModel, data: SaliencyDataModule, before: float) -> None:
    """Train in stages; `before` is the temperature of the initial weights, which no others have."""
    best, fresh = KeepBest(model), model.temperature
    model.temperature = before
    cli.instantiate_trainer(callbacks=[best]).validate(FinetuneTask(model, 1), data, verbose=False)
    backbones = model.backbones()
    inside = {p for backbone in backbones for p in backbone.parameters()}
    trained = {p for p in model.network.parameters() if p.requires_grad}
    if backbones and trained - inside:
        names = [backbone.frozen_names for backbone in backbones]
        for backbone in backbones:
            backbone.freeze()
        model.training_config = replace(model.training_config, cache_features=_comes_again(data))
        rank_zero_info("The read-out:")
        _stage(cli, FinetuneTask(model, 1), data, best, fresh)
        model.training_config = replace(model.training_config, cache_features=False)
        for backbone, own in zip(backbones, names, strict=True):
            backbone.frozen_names = own
        for parameter in trained & inside:
            parameter.requires_grad_(True)
    if not backbones or trained & inside:
        rank_zero_info("The whole network, as far as the model trains it:")
        _stage(cli, FinetuneTask(model, 0.1), data, best, fresh)


def _stage(
    cli: LightningCLI, tuner: FinetuneTask, data: SaliencyDataModule, best: KeepBest, temperature: float
) -> None:
    cli.trainer = cli.instantiate_trainer(callbacks=[best, EarlyStopping(MONITOR, patience=PATIENCE)])
    tuner.model.temperature = temperature
    cli.trainer.fit(tuner, datamodule=data)
    best.restore()


def _comes_again(data: SaliencyDataModule) -> bool:
    """Return whether training images repeat exactly, and are few enough to cache the backbone's maps."""
    cropped = data.augment is not None and data.augment.crop > 0
    return not cropped and sum(map(len, data.datasets("train"))) <= CACHED_IMAGES


def _compare(parent: SaliencyModel, model: SaliencyModel, data: SaliencyDataModule) -> Iterator[Table]:
    """Yield a table for each dataset, on its test split, or on the validation images if it has none."""
    for train, val in zip(data.datasets("train"), data.datasets("val"), strict=True):
        test = sibling(train, "test")
        notes = () if test else ("Warning: there is no test image; these chose the epoch, so `after` looks better.",)
        rows = {"before": predictor(parent), "after": predictor(model)}
        seen = overlap(parent, test or val, "before") + overlap(model, test or val, "after")
        yield evaluate(rows, test or val, baselines=("gold", "centre_bias_train"), notes=(*notes, *seen))
