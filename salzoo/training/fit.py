"""Train a model by its recipe: the job behind `salzoo fit`."""

from __future__ import annotations

import difflib
import errno
import functools
import importlib.metadata
import importlib.util
import inspect
import itertools
import os
import re
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from jsonargparse import ArgumentError
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info

from salzoo._version import commit
from salzoo.checkpoint import card
from salzoo.checkpoint.config import CONFIG, Config, HalfPrecisionCheck, Parent, Provenance
from salzoo.checkpoint.folder import save_checkpoint, write_config
from salzoo.checkpoint.loading import import_class, read_lightning
from salzoo.components.load import load
from salzoo.components.saliency_model import SaliencyModel, evaluating
from salzoo.components.training_config import TrainingConfig
from salzoo.data import VIDEO_DATASETS, SaliencyDataModule
from salzoo.data.videos.datamodule import VideoDataModule
from salzoo.errors import RunError, SpecError, WeightsError
from salzoo.metrics.modules import NSS
from salzoo.registry import ModelSpec
from salzoo.training.callbacks import LAST, AtomicCheckpointIO, is_whole, newest
from salzoo.training.callbacks import callbacks as run_callbacks
from salzoo.training.distributed import LogRunSummary, SignalHandler, SyncBatchNorm, environment, launched

LICENSE = "apache-2.0"  # of what is trained here; a user's own is set with --license
LIBRARIES = ("torch", "lightning", "timm", "torchmetrics", "kornia")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Run:
    """What to train and where.

    Args:
        spec: The model.
        tag: Its variant.
        output: Folder of the run: `checkpoints/`, `logs/`, and at the end the checkpoint folder `<name>.<tag>/`.
        options: Lightning CLI options (`--trainer.max_epochs 3`, `--training.lr 1e-3`, `--data.batch_size 8`,
            `--config FILE`), which override the recipe.
        resume: `last`, or a `.ckpt` file of an earlier run; `auto`, the last if there is one; None to start anew.
        command: The command as typed, for the record.
        license: SPDX identifier of the resulting weights.
    """

    spec: ModelSpec
    tag: str
    output: Path
    options: Sequence[str] = ()
    resume: str | None = None
    command: str = ""
    license: str = LICENSE


def fit(run: Run) -> Path | None:
    """Train, and write the best of the validated epochs as a checkpoint folder that `salzoo.load` takes.

    Returns:
        The checkpoint folder; None after a rehearsal with `--trainer.fast_dev_run`, which writes none.

    Raises:
        SpecError: If the model has nothing to learn, the output folder holds another run, or the trainer's options do
            not go together, or not with the run that is resumed.
        RunError: If the disk is full; the last whole checkpoint is still there.
    """
    if run.spec.training == "none":
        raise SpecError(f"{run.spec.name} has nothing to learn: `salzoo.load({run.spec.name!r})` is ready to use.")
    folder = run.output / f"{run.spec.name}.{run.tag}"
    if run.resume is None and ((_checkpoints(run) / LAST).exists() or (folder / CONFIG).exists()):
        raise SpecError(f"{run.output} holds a run already: resume it with --ckpt_path last, or choose another folder.")
    try:
        cli = parse(run)
        parent = _start(cli, run)
        _find_teacher(cli)
        _train(cli, run)
    except MisconfigurationException as error:
        raise SpecError(f"{run.spec.name}.{run.tag}: {' '.join(str(error).split())}") from error
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise RunError(
            f"the disk is full ({error.strerror}, {run.output}): make room, then go on from the last whole epoch with "
            "the same command and --ckpt_path auto."
        ) from error
    if cli.config["trainer"]["fast_dev_run"]:
        return None
    if cli.trainer.is_global_zero:
        export(cli, run, parent)
    return folder


def _start(cli: LightningCLI, run: Run) -> Config | None:
    """Take over the weights that `training.start` names; those that it has not stay new.

    Returns:
        The config of that checkpoint, whose training sets count as the new one's too.

    Raises:
        SpecError: If it has tensors that the network has not, or of other shapes.
    """
    name = cli.model.training_config.start
    if name is None:
        return None
    other = load(name)
    own, given = cli.model.network.state_dict(), other.network.state_dict()
    given = cli.model.taken_over(given)
    if wrong := sorted(key for key, tensor in given.items() if key not in own or own[key].shape != tensor.shape):
        raise SpecError(
            f"{run.spec.name}.{run.tag} cannot start from {name}: its {wrong[0]} has no place of that shape in the "
            "network; --model.backbone, --model.decoder, ... have to be those of that checkpoint."
        )
    cli.model.network.load_state_dict(given, strict=False)
    cli.model.statistics_fitted = True
    parent: Config | None = other.config
    return parent


def _find_teacher(cli: LightningCLI) -> None:
    """Load the teacher that `training.teacher` names; the images that it has seen count as the new model's too."""
    if (name := cli.model.training_config.teacher) is not None:
        teacher = load(name)
        cli.model.teacher = (teacher,)
        if teacher.config is not None:
            cli.model.config = replace(cli.model.config, trained_images=teacher.config.images_seen)


def _train(cli: LightningCLI, run: Run) -> None:
    if run.spec.training == "closed_form":
        if run.resume not in (None, "auto"):
            raise SpecError(f"{run.spec.name} is fitted in one pass: there is nothing to resume with --ckpt_path.")
        with evaluating(cli.model), torch.no_grad():
            cli.model.fit_statistics(cli.datamodule)
        return
    resume = _resume(run)
    if not cli.model.automatic_optimization:  # Lightning leaves it to the model to accumulate, and refuses to be told
        batches, cli.trainer.accumulate_grad_batches = cli.trainer.accumulate_grad_batches, 1
        if batches != 1:  # else what --training.accumulate says
            cli.model.training_config = replace(cli.model.training_config, accumulate=batches)
    best = cast("ModelCheckpoint", cli.trainer.checkpoint_callback)
    if not cli.datamodule.has_points("val"):  # maps without points have no NSS
        best.monitor = "val/cc"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")  # resuming wants it so
        warnings.filterwarnings("ignore", "You're using the WeightAveraging .* overrides")  # no model shards its layers
        cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=resume, weights_only=True)
    _restore_best(cli)
    cli.model.fit_after_training(cli.datamodule)


def _resume(run: Run) -> Path | None:
    """Return the checkpoint to go on from, None to start anew."""
    if run.resume is None:
        return None
    if run.resume not in ("last", "auto"):
        path = Path(run.resume)
        if not is_whole(path):
            why = "is damaged" if os.path.isfile(path) else "is no file" if os.path.exists(path) else "does not exist"
            raise SpecError(f"The checkpoint {path} to resume from {why}; --ckpt_path last takes the newest whole one.")
        _check_state(path, run)
        return path
    found = newest(_checkpoints(run))
    if found is None and run.resume == "last":
        raise SpecError(f"There is no checkpoint in {_checkpoints(run)} to resume from; --ckpt_path auto starts anew.")
    if found is not None:
        _check_state(found, run)
    return found


def _check_state(path: Path, run: Run) -> None:
    """Refuse what no run of this model wrote; nothing that the file holds is executed.

    Raises:
        SpecError: Naming the file.
    """
    name = f"{run.spec.name}.{run.tag}"
    try:
        content, config = read_lightning(path, mmap=True)
    except WeightsError as error:
        raise SpecError(f"--ckpt_path: {error}") from error
    if config is None or (config.model, config.tag) != (run.spec.name, run.tag):
        whose = "does not say whose it is" if config is None else f"is of {config.model}.{config.tag}"
        raise SpecError(f"--ckpt_path: {path} {whose}, and a run of {name} cannot go on from it.")
    if missing := [key for key in ("epoch", "global_step", "loops", "optimizer_states") if key not in content]:
        raise SpecError(
            f"--ckpt_path: {path} holds weights alone ({missing[0]} is missing), from which no run goes on."
        )


def _checkpoints(run: Run) -> Path:
    return run.output / "checkpoints"


def parse(
    run: Run, recipe: dict[str, Any] | None = None, data_class: type[SaliencyDataModule] = SaliencyDataModule
) -> LightningCLI:
    """Build model, data and trainer from the recipe and the options.

    Args:
        run: What to train.
        recipe: Configuration instead of that of the model's variant: `model` (arguments of the network and
            `preprocess`), `training`, `trainer`, `data`; then no checkpoints are kept.
        data_class: Class of the data module.

    Raises:
        SpecError: On an unknown option, or a value of the wrong type.
    """
    callbacks: list[Callback] = [SignalHandler(), LogRunSummary()]
    if recipe is None:
        variant = run.spec.variants[run.tag]
        preprocess = {"preprocess": variant.preprocess} if variant.preprocess else {}
        recipe = {**variant.recipe, "model": {**variant.network, **preprocess}}
        callbacks += run_callbacks(_checkpoints(run))
    recipe = {"seed_everything": 0, **recipe}
    if data_class is SaliencyDataModule and _of_videos(run.options):
        _refuse_images_alone(run)
        data_class = VideoDataModule
        kept = ("augment", "size", "fit")  # numbers of images say nothing of clips
        recipe["data"] = {key: value for key, value in recipe.get("data", {}).items() if key in kept}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LightningCLI's args parameter")  # sys.argv has salzoo's own words, not these
        yaml.safe_dump(recipe, file)
        file.flush()
        try:
            cli = _cli(run, import_class(run.spec), data_class, callbacks, ["--config", file.name, *run.options])
        except SpecError:
            raise
        except (ArgumentError, ValueError, RuntimeError, TypeError, yaml.YAMLError) as error:
            raise SpecError(f"{run.spec.name}.{run.tag}: {_reason(run, error)}") from error
    cli.model.training_config = cli.config_init["training"]
    network = _plain(cli.config["model"])
    network.pop("preprocess", None)
    cli.model.config = Config(run.spec.name, run.tag, network, _plain(vars(cli.model.preprocess)), license=run.license)
    if cli.model.training_config.pretrained_backbone:
        cli.model.load_pretrained_backbone()
    return cli


def _of_videos(options: Sequence[str]) -> bool:
    """Whether options, or a configuration that they name, ask for datasets of videos.

    Raises:
        SpecError: If they ask for images too.
    """
    sets: Any = ()
    for place, option in enumerate(options):
        name, equals, value = option.partition("=")
        value = value if equals else next(iter(options[place + 1 :]), "")
        if name == "--data.sets":
            sets = yaml.safe_load(value)
        elif name == "--config" and Path(value).is_file():
            content = yaml.safe_load(Path(value).read_text(encoding="utf-8"))
            data = content.get("data") if isinstance(content, dict) else None
            sets = data.get("sets", sets) if isinstance(data, dict) else sets
    names = [each.strip() for each in sets.split(",")] if isinstance(sets, str) else list(sets or ())
    videos = [name for name in names if name in VIDEO_DATASETS]
    if videos and len(videos) < len(names):
        raise SpecError(f"--data names images and videos, {', '.join(names)}: train on the one, then on the other.")
    return bool(videos)


def _refuse_images_alone(run: Run) -> None:
    """Refuse clips for a model whose steps of training are of another kind.

    Raises:
        SpecError: Naming the model.
    """
    if import_class(run.spec).training_step is not SaliencyModel.training_step or run.spec.training != "gradient":
        raise SpecError(f"{run.spec.name} is trained on images in a way of its own, and not on clips.")


def _reason(run: Run, error: Exception) -> str:
    """Return what is wrong with the options, and the group that a misplaced option belongs to."""
    reason = " ".join(str(error).split())
    training = {field.name for field in fields(import_class(run.spec).training_class)}
    if moved := next((name for name in sorted(training) if f"model.{name}" in reason), None):
        return f"{reason.rstrip('.')}: {moved} is an option of training, --training.{moved}."
    if unknown := re.search(r"model\.(\w+)", reason):
        known = inspect.signature(import_class(run.spec)).parameters
        near = difflib.get_close_matches(unknown[1], known, n=1) if unknown[1] not in known else []
        return f"{reason.rstrip('.')}: did you mean --model.{near[0]}?" if near else reason
    return reason


class TrainingCLI(LightningCLI):
    """Lightning's CLI with a third group beside model and data: `--training`, the model's training config."""

    def __init__(self, training_class: type[TrainingConfig], *args: Any, **options: Any) -> None:
        self.training_class = training_class
        super().__init__(*args, **options)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the group."""
        parser.add_class_arguments(self.training_class, "training")

    def before_instantiate_classes(self) -> None:
        """Say which package a logger of TensorBoard needs, in one line and before anything is trained."""
        loggers = self.config["trainer"]["logger"]
        for logger in loggers if isinstance(loggers, list) else [loggers]:
            wanted = getattr(logger, "class_path", "").endswith("TensorBoardLogger")
            if wanted and not any(map(importlib.util.find_spec, ("tensorboard", "tensorboardX"))):
                raise SpecError('TensorBoardLogger needs TensorBoard: pip install "salzoo[tensorboard]".')

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        """Add the plugins here: among the defaults, objects would make what --print_config prints unreadable."""
        plugins = config.get("plugins") or []
        given = plugins if isinstance(plugins, list) else [plugins]
        return super()._instantiate_trainer(
            {**config, "plugins": [AtomicCheckpointIO(), SyncBatchNorm(), *environment(), *given]}, callbacks
        )


def _cli(
    run: Run,
    model_class: type[SaliencyModel],
    data_class: type[SaliencyDataModule],
    callbacks: list[Callback],
    words: list[str],
) -> LightningCLI:
    return TrainingCLI(
        model_class.training_class,
        constructor(cast("Any", model_class)),
        data_class,
        args=words,
        parser_kwargs={"exit_on_error": False, "allow_abbrev": False},
        run=False,
        save_config_callback=None,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        trainer_defaults={
            "default_root_dir": str(run.output),
            "logger": {
                "class_path": "lightning.pytorch.loggers.CSVLogger",
                "init_args": {"save_dir": str(run.output), "name": "logs"},  # a new version_N after a resume
            },
            "callbacks": callbacks,
            "log_every_n_steps": 10,
            **launched(),
        },
    )


@functools.cache
def constructor(model_class: type[SaliencyModel]) -> Any:
    """Return a function that builds a model, and whose signature lists the arguments of its network too."""

    def build(**arguments: Any) -> SaliencyModel:
        return model_class(**arguments)

    signature = inspect.signature(model_class)
    build.__qualname__ = f"build_{model_class.__name__}"
    build.__signature__ = signature.replace(return_annotation=model_class)  # type: ignore[attr-defined]
    build.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()} | {"return": model_class}
    return build


def export(cli: LightningCLI, run: Run, parent: Config | None = None) -> None:
    """Write the checkpoint folder: weights, config with provenance, card.

    Args:
        cli: Model, data and configuration of the run.
        run: The run.
        parent: The checkpoint that was fine-tuned, whose training sets count as the new one's too.
    """
    model: SaliencyModel = cli.model
    config, seed = _plain(cli.config), cli.config["seed_everything"]
    del config["data"]["root"]  # where the data lay on this machine says nothing to others
    own = ("default_root_dir", "logger", "plugins")
    trainer = {k: v for k, v in config["trainer"].items() if v is not None and k not in own}
    known = model.known_config()
    seen = (*(() if parent is None else parent.trained_on), *known.trained_images)
    splits = model.fitted_splits
    provenance = Provenance(
        command=run.command,
        commit=commit(),
        seed=int(seed),
        data=tuple(dict.fromkeys((*seen, *(f"{name}:{split}" for name in cli.datamodule.sets for split in splits)))),
        recipe={"training": config["training"], "trainer": trainer, "data": config["data"]},
        versions={name: importlib.metadata.version(name) for name in LIBRARIES},
        parent=None if parent is None else Parent(parent.model, parent.tag, str(parent.sha256)),
    )
    folder = run.output / f"{run.spec.name}.{run.tag}"
    if not known.trained_images:  # Lightning's loop has them from the model
        for split in splits:
            known = known.with_images(cli.datamodule.datasets(split), parent, split)
    saved = save_checkpoint(model.network, replace(known, provenance=provenance), folder)
    if run.spec.training == "gradient" and any(cli.trainer.num_val_batches) and cli.datamodule.has_points("val"):
        stored = load(folder).to(model.device)
        halved = HalfPrecisionCheck(float32=_validate(model, cli), float16=_validate(stored, cli))
        saved = replace(saved, provenance=replace(provenance, halved=halved))
        write_config(folder, saved)
    card.write(folder, run.spec, saved)


def _validate(model: SaliencyModel, cli: LightningCLI) -> float:
    """Return the NSS on the images that validation takes, in float32 whatever the trainer's precision.

    In this process alone: the others have finished.
    """
    data, trainer = cli.datamodule, cli.trainer
    count = sum(map(int, trainer.num_val_batches)) * data.eval_batch_size * trainer.world_size
    nss = NSS(sync_on_compute=False)
    for item in itertools.islice(data.items("val"), count):
        if item["image"].ndim == 3:
            maps, truth = model.log_densities([item["image"]]), item["fixations"][None]
        else:
            maps, truth = [m for m, _ in model.log_densities_of_frames(list(item["image"]))], item["fixations"]
        for log_density, fixations in zip(maps, truth, strict=True):
            if fixations.any() or len(maps) == 1:
                nss.update(log_density.exp()[None].cpu(), fixations=fixations[None])
    return float(nss.compute())


def _restore_best(cli: LightningCLI) -> None:
    best = cast("ModelCheckpoint", cli.trainer.checkpoint_callback).best_model_path
    if best and Path(best).is_file():
        state = torch.load(best, map_location="cpu", weights_only=True)["state_dict"]
        cli.model.load_state_dict(state)
    elif not cli.trainer.fast_dev_run:  # type: ignore[attr-defined]
        rank_zero_info("No epoch was validated: the last one's weights are kept.")


def _plain(value: Any) -> Any:
    """Turn parsed configuration into JSON types."""
    if hasattr(value, "as_dict"):
        value = value.as_dict()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
