"""Every YAML of the zoo is whole: code, texts, arguments and recipes that fit each other."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import tiny_models
import torch
import yaml

from salzoo._schema import arguments
from salzoo.components.saliency_model import SaliencyModel
from salzoo.registry import read_spec, shipped
from salzoo.training.fit import Run, parse

every_model = pytest.mark.parametrize("name", tiny_models.NAMES)
every_variant = pytest.mark.parametrize(
    ("name", "tag"), [(name, tag) for name in tiny_models.NAMES for tag in read_spec(name).variants]
)
UNTRAINED = {"pretrained_backbone": False}


def model_class(name: str) -> type[SaliencyModel]:
    module, _, class_name = read_spec(name).class_path.rpartition(".")
    return getattr(importlib.import_module(module), class_name)


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
    arguments(model_class(name), spec.variants[tag].init_args, f"{name}.{tag}")
    arguments(model_class(name), {**spec.variants[tag].init_args, **spec.tiny}, f"{name}.{tag}")
    assert spec.tiny.get("pretrained_backbone", False) is False


@every_variant
def test_recipe_fits_the_command_line(name: str, tag: str, tmp_path: Path) -> None:
    """Trainer, data and model are built as `salzoo fit` does, only without memory for the weights."""
    spec = read_spec(name)
    variant = spec.variants[tag]
    if spec.training == "none":
        assert not variant.recipe
        return
    options = [f"--model.{key}={json.dumps(value)}" for key, value in UNTRAINED.items() if key in variant.init_args]
    with torch.device("meta"):
        cli = parse(Run(spec, tag, tmp_path, options))
    if (epochs := variant.recipe.get("trainer", {}).get("max_epochs")) is not None:
        assert cli.trainer.max_epochs == epochs
    assert cli.datamodule.sets == variant.recipe["data"]["sets"]
    assert cli.config["seed_everything"] == variant.recipe.get("seed_everything", 0)
