"""Every YAML of the zoo is whole: code, texts, arguments and recipes that fit each other."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import tiny_models
import torch
import yaml

from salzoo._schema import arguments, from_mapping, parameters
from salzoo.checkpoint.config import as_json
from salzoo.checkpoint.loading import import_class, split_options
from salzoo.components.saliency_model import SaliencyModel
from salzoo.registry import read_spec, shipped
from salzoo.training.fit import Run, parse

every_model = pytest.mark.parametrize("name", tiny_models.NAMES)
every_variant = pytest.mark.parametrize(
    ("name", "tag"), [(name, tag) for name in tiny_models.NAMES for tag in read_spec(name).variants]
)


def model_class(name: str) -> type[SaliencyModel]:
    return import_class(read_spec(name))


@every_model
def test_code_and_texts(name: str) -> None:
    spec = read_spec(name)
    assert spec.class_path.startswith(f"salzoo.models.{name}."), "a model's file has its name"
    assert issubclass(model_class(name), SaliencyModel)
    assert model_class(name).__doc__
    for text in (spec.summary, *(variant.summary for variant in spec.variants.values())):
        assert 10 < len(text) < 120
        assert text.endswith(".")
    if spec.paper is None and spec.training != "none":
        content = yaml.safe_load((shipped("zoo_configs") / f"{name}.yaml").read_text(encoding="utf-8"))
        assert "paper" in content, "say `paper: null` if there is none"
    if spec.paper is not None:
        assert 1980 < spec.paper.year < 2100
        assert spec.paper.url is None or spec.paper.url.startswith("https://")
        assert spec.paper.added is None or (10 < len(spec.paper.added) < 120 and spec.paper.added.endswith("."))


@every_model
def test_card_prose(name: str) -> None:
    prose = (shipped("hub") / "cards" / f"{name}.md").read_text(encoding="utf-8")
    assert len(prose) > 100, "intended use, loss, differences from the paper, limits"
    if read_spec(name).training == "gradient":
        assert "\n## Loss\n" in prose, "which loss it is trained with, and why"


def test_every_file_belongs_to_a_model() -> None:
    package = shipped("zoo_configs").parent / "salzoo/models"
    assert {path.stem for path in package.glob("*.py")} - {"__init__"} == set(tiny_models.NAMES)
    assert {path.stem for path in (shipped("hub") / "cards").glob("*.md")} == set(tiny_models.NAMES)
    golden = Path(__file__).parent / "models/golden"
    assert {path.stem for path in golden.glob("*.json")} == set(tiny_models.NAMES)


@every_variant
def test_arguments_fit_the_class(name: str, tag: str) -> None:
    spec = read_spec(name)
    assert tag == tag.lower()
    variant = spec.variants[tag]
    options = {**variant.network, "preprocess": variant.preprocess, **variant.recipe.get("training", {})}
    cls = model_class(name)
    for given in (options, {**options, **spec.tiny}):
        network, preprocess, training = split_options(spec, tag, given)
        assert set(arguments(cls, {**network, "preprocess": preprocess}, tag)) == {*network, "preprocess"}
        assert isinstance(from_mapping(cls.training_class, training, tag), cls.training_class)


@every_model
def test_options_have_one_meaning(name: str) -> None:
    """An option is one of the network or one of training, and the network's are only those that it needs."""
    cls = model_class(name)
    network, training = set(parameters(cls)), {field.name for field in fields(cls.training_class)}
    assert not network & training
    assert not network & {"lr", "optimizer", "loss", "pretrained_backbone", "weights", "device", "revision", "token"}


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        pytest.param(spec.name, tag, marks=() if tag == spec.default else pytest.mark.slow)
        for spec in map(read_spec, tiny_models.NAMES)
        for tag in spec.variants
    ],
)
def test_recipe_fits_the_command_line(name: str, tag: str, tmp_path: Path) -> None:
    """Trainer, data and model are built as `salzoo fit` does, only without memory for the weights."""
    spec = read_spec(name)
    variant = spec.variants[tag]
    if spec.training == "none":
        assert not variant.recipe
        return
    with torch.device("meta"):
        cli = parse(Run(spec, tag, tmp_path, ["--training.pretrained_backbone=false"]))
    expected = {**as_json(variant.recipe.get("training", {})), "pretrained_backbone": False}
    assert {
        key: as_json(value) for key, value in vars(cli.model.training_config).items() if key in expected
    } == expected
    if (epochs := variant.recipe.get("trainer", {}).get("max_epochs")) is not None:
        assert cli.trainer.max_epochs == epochs
    assert cli.datamodule.sets == variant.recipe["data"]["sets"]
    assert cli.config["seed_everything"] == variant.recipe.get("seed_everything", 0)
