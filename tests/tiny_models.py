"""Every model of the zoo, small enough to build in milliseconds: the `tiny` arguments of its YAML."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn

import salzoo
from salzoo.checkpoint import card
from salzoo.checkpoint.config import Provenance
from salzoo.checkpoint.folder import save_checkpoint
from salzoo.checkpoint.loading import split_options
from salzoo.components.saliency_model import SaliencyModel
from salzoo.registry import read_spec

NAMES = salzoo.list_models()
GRADIENT = [name for name in NAMES if read_spec(name).training == "gradient"]
LEARNED = [name for name in NAMES if read_spec(name).training != "none"]
SAMPLE = ("centre_bias", "edn", "deepgaze2", "salgan", "mrcnn", "unisal", "vinet", "scenewalk")
"""One of each kind (fitted, shallow, frozen backbone, two networks, patches, domains, clips, scanpaths), for what does
not depend on the model: files, the Hub, refusals."""

FAST = (
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.max_epochs=2",
    "--trainer.check_val_every_n_epoch=1",
    "--trainer.limit_train_batches=2",
    "--data.batch_size=4",
    "--data.size=null",
)
"""Options of a fit that takes a second."""


def build(name: str, **options: object) -> SaliencyModel:
    """Return the miniature with seeded weights, and maps far from flat."""
    model = salzoo.load(name, weights=None, **{**read_spec(name).tiny, **options})
    fill(model.network)
    return model


def fill(network: nn.Module) -> None:
    """Set every tensor by its position and size alone, the same on any machine and in any torch.

    Weights of layers are noise as large as He's initialisation makes it; vectors, scalars and statistics are noise
    around the whole number that they start from (0 for biases, 1 for scales and variances).
    """
    parameters = dict(network.named_parameters())
    for k, (name, tensor) in enumerate(network.state_dict().items()):
        if not tensor.is_floating_point():
            continue
        noise = torch.from_numpy(np.random.default_rng(k).uniform(-1, 1, tuple(tensor.shape)))
        if name in parameters and tensor.ndim > 1:
            tensor.copy_(noise * math.sqrt(6 / tensor[0].numel()))
        else:
            tensor.copy_(tensor.double().round() + noise / 4)


def save(model: SaliencyModel, folder: Path) -> Path:
    """Write a model as `salzoo fit` does, and return the folder."""
    assert model.config is not None
    training = json.loads(json.dumps(asdict(model.training_config)))
    recipe = {"training": training, "data": {}}
    provenance = Provenance("salzoo fit", "0" * 40, 0, ("osie:train",), recipe, {"torch": "2"})
    config = save_checkpoint(
        model.network, replace(model.config, license="apache-2.0", provenance=provenance, measured=()), folder
    )
    card.write(folder, read_spec(config.model), config)
    return folder


def config_of(name: str) -> dict[str, dict[str, object]]:
    """Return the miniature's options as groups of `salzoo fit`: `model` and `training`."""
    spec = read_spec(name)
    network, preprocess, training = split_options(spec, spec.default, spec.tiny)
    groups = {"model": {**network, **({"preprocess": preprocess} if preprocess else {})}, "training": training}
    return {group: options for group, options in groups.items() if options}


def fit_words(name: str, root: Path, output: Path) -> list[str]:
    """Return the words after `salzoo` that train a miniature of `name` for two epochs of two batches, into `output`."""
    output.mkdir(parents=True, exist_ok=True)
    config = output / "tiny.yaml"
    untrained = {"training": {**config_of(name).get("training", {}), "pretrained_backbone": False, "start": None}}
    config.write_text(yaml.safe_dump({**config_of(name), **untrained}), encoding="utf-8")
    return ["fit", name, "--data", "osie", "--root", str(root), "-o", str(output), f"--config={config}", *FAST]
