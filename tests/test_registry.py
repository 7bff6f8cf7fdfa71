"""A zoo_configs YAML is typed: whatever is wrong in it is named, with the file, the key and what is accepted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from salzoo import registry
from salzoo._schema import arguments, from_mapping
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess
from salzoo.registry import ModelSpec, read_spec

GOOD: dict[str, Any] = {
    "class_path": "salzoo.models.toy.Toy",
    "summary": "A toy.",
    "training": "gradient",
    "default": "lite",
    "variants": {
        "lite": {"summary": "Small.", "hub": {"repo": "ana/toy", "revision": "1" * 40, "sha256": "0" * 64}},
        "paper": {"summary": "Big."},
    },
    "paper": {"title": "T", "authors": "A", "year": 2020, "venue": "V"},
    "reported": [{"dataset": "mit300", "metric": "nss", "value": 2, "where": "Table 1"}],
}


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in the place of zoo_configs."""
    monkeypatch.setattr(registry, "shipped", lambda folder: tmp_path)
    registry._forget()
    yield tmp_path
    registry._forget()


def test_reads_every_field(configs: Path) -> None:
    (configs / "toy.yaml").write_text(yaml.safe_dump(GOOD))
    toy = read_spec("toy")
    assert (toy.name, toy.training, toy.default, toy.tiny) == ("toy", "gradient", "lite", {})
    assert toy.variants["lite"].hub == registry.HubPin("ana/toy", "1" * 40, "0" * 64)
    assert toy.variants["paper"].hub is None
    assert toy.loadable == ("lite",)
    assert toy.paper == registry.Paper("T", "A", 2020, "V")
    assert toy.reported == (registry.Reported("mit300", "nss", 2.0, "Table 1"),)
    assert isinstance(toy.reported[0].value, float)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"colour": "red"},
            "toy.yaml: unknown key 'colour'; accepted keys are authors, class_path, default, kind, name, paper",
        ),
        (
            {"training": "maybe"},
            r"toy.yaml.training: got 'maybe', accepted is one of \['gradient', 'closed_form', 'none'\]",
        ),
        ({"summary": 3}, r"toy.yaml.summary: got 3 \(int\), expected str"),
        ({"default": "large"}, r"toy: default is 'large', but the variants are \['lite', 'paper'\]"),
        ({"variants": ["lite"]}, r"toy.yaml.variants: got \['lite'\], expected a mapping"),
        ({"variants": {"lite": {}}}, "toy.yaml.variants.lite: missing key 'summary'"),
        ({"variants": {"lite": "x"}}, "toy.yaml.variants.lite: got 'x', expected a mapping with the keys of Variant"),
        ({"variants": {"lite": {"summary": "x", "hub": {"sha256": "0"}}}}, "hub: missing key 'repo'"),
        ({"paper": {**GOOD["paper"], "year": "2020"}}, r"toy.yaml.paper.year: got '2020' \(str\), expected int"),
        ({"paper": {**GOOD["paper"], "year": True}}, r"toy.yaml.paper.year: got True \(bool\), expected int"),
        (
            {"reported": [{**GOOD["reported"][0], "value": "2.0"}]},
            r"toy.yaml.reported\[0\].value: got '2.0' \(str\), expected float",
        ),
        ({"reported": {"nss": 2}}, r"toy.yaml.reported: got \{'nss': 2\}, expected a list"),
    ],
)
def test_what_is_wrong_is_named(configs: Path, change: dict[str, Any], words: str) -> None:
    (configs / "toy.yaml").write_text(yaml.safe_dump({**GOOD, **change}))
    with pytest.raises(SpecError, match=words):
        read_spec("toy")


@pytest.mark.parametrize("key", ["class_path", "summary", "training", "default", "variants"])
def test_missing_key(configs: Path, key: str) -> None:
    (configs / "toy.yaml").write_text(yaml.safe_dump({k: v for k, v in GOOD.items() if k != key}))
    with pytest.raises(SpecError, match=f"toy.yaml: missing key '{key}'"):
        read_spec("toy")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", r"toy.yaml: not valid YAML: .*line 1"),
        ("- a\n- b\n", "toy.yaml: expected a mapping, got list"),
        ("", "toy.yaml: expected a mapping, got NoneType"),
        ("summary: !!python/object/apply:os.getcwd []", "toy.yaml: not valid YAML: could not determine a constructor"),
    ],
)
def test_bad_yaml(configs: Path, text: str, words: str) -> None:
    (configs / "toy.yaml").write_text(text)
    with pytest.raises(SpecError, match=f"(?s){words}"):
        read_spec("toy")


def test_a_model_with_nothing_to_learn_is_loadable_without_weights() -> None:
    content = {**GOOD, "name": "toy", "training": "none"}
    assert from_mapping(ModelSpec, content, "toy").loadable == ("lite", "paper")


def network(size: tuple[int, int], taps: tuple[int | str, ...] = (), preprocess: Preprocess = Preprocess()) -> None:
    """Has the kinds of arguments that models have."""


def test_arguments_become_what_the_signature_says() -> None:
    pixels = {"size": [4, 5], "mean": [0, 0.5, 1], "std": [1, 1, 1]}
    values = {"size": [2, 3], "taps": [8, "features.1"], "preprocess": pixels}
    assert arguments(network, values, "toy") == {
        "size": (2, 3),
        "taps": (8, "features.1"),
        "preprocess": Preprocess((4, 5), mean=(0.0, 0.5, 1.0), std=(1.0, 1.0, 1.0)),
    }


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "toy: missing key 'size'"),
        ({"size": [2, 3, 4]}, r"toy.size: got \[2, 3, 4\], expected a list of 2 values"),
        ({"size": 2}, "toy.size: got 2, expected a list of 2 values"),
        ({"size": [2, "3"]}, r"toy.size\[1\]: got '3' \(str\), expected int"),
        ({"size": [2, 3], "taps": "features.1"}, "toy.taps: got 'features.1', expected a list"),
        ({"size": [2, 3], "taps": [1.5]}, r"toy.taps\[0\]: got 1.5 \(float\), expected int or str"),
        (
            {"size": [2, 3], "preprocess": {"fit": "crop"}},
            r"toy.preprocess.fit: got 'crop', accepted is one of \['squash', 'pad', 'pad_floor', 'aspect'",
        ),
        (
            {"size": [2, 3], "preprocess": {"scale": 2}},
            "toy.preprocess: unknown key 'scale'; did you mean 'resample'. accepted keys are channel_order",
        ),
        (
            {"size": [2, 3], "preprocess": {"mean": [0.5]}},
            r"toy.preprocess.mean: got \[0.5\], expected a list of 3 values",
        ),
    ],
)
def test_wrong_arguments(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        arguments(network, values, "toy")


@dataclass(frozen=True)
class Choice:
    units: Literal["pixels", "fractions"] | None = None
    origin: Literal[0, 1] | None = None


def test_a_choice_or_null() -> None:
    given: dict[str, object] = {"units": "pixels", "origin": 1}
    assert from_mapping(Choice, given, "f") == Choice("pixels", 1)
    assert from_mapping(Choice, {"units": None}, "f") == Choice()
    for wrong in ({"units": "inches"}, {"units": 3}, {"units": ["pixels"]}, {"origin": "1"}, {"origin": True}):
        ((key, value),) = wrong.items()
        with pytest.raises(SpecError, match=rf"f\.{key}: got {re.escape(repr(value))}, accepted is one of \["):
            from_mapping(Choice, wrong, "f")
