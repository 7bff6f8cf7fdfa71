"""What authors reported: one table for all models, and rows in a user's own YAML."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import salzoo
from salzoo import registry
from salzoo.errors import SpecError
from salzoo.registry import read_spec, reported_rows, shipped

GOLDEN = Path(__file__).parent / "golden/reported.json"


@pytest.mark.parametrize("name", salzoo.list_models())
def test_info_has_the_rows_that_stood_in_the_yaml_of_the_model(name: str) -> None:
    frozen = json.loads(GOLDEN.read_text(encoding="utf-8")).get(name, [])
    got = [[row[key] for key in ("dataset", "metric", "value", "where")] for row in salzoo.info(name)["reported"]]
    assert sorted(got) == sorted(frozen)


def test_every_row_is_of_a_model_of_the_zoo() -> None:
    assert set(reported_rows()) <= set(salzoo.list_models())
    for name, rows in reported_rows().items():
        keys = [(row.dataset, row.metric, row.where) for row in rows]
        assert len(set(keys)) == len(keys), name


def test_a_source_stands_once() -> None:
    for path in shipped("zoo_configs").glob("reported/*.yaml"):
        tables = [(table["where"], table["dataset"]) for table in yaml.safe_load(path.read_text(encoding="utf-8"))]
        assert len(set(tables)) == len(tables)


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(registry, "shipped", lambda _: tmp_path)
    monkeypatch.setattr(registry, "_registered", {})
    registry._forget()
    (tmp_path / "reported").mkdir()
    variants = {"lite": {"summary": "Small."}}
    spec = {"class_path": "a.B", "summary": "A toy.", "training": "none", "default": "lite", "variants": variants}
    inline = {"dataset": "mine", "metric": "cc", "value": 0.5, "where": "Table 2"}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump({**spec, "reported": [inline]}))
    yield tmp_path
    monkeypatch.undo()
    registry._forget()


def test_rows_in_the_yaml_of_a_model_follow_those_of_the_tables(configs: Path) -> None:
    table = {"where": "Table 1", "dataset": "theirs", "models": {"toy": {"nss": 2, "cc": 0.25}, "other": {"nss": 1}}}
    (configs / "reported/tables.yaml").write_text(yaml.safe_dump([table], sort_keys=False))
    assert read_spec("toy").reported == (
        registry.Reported("theirs", "nss", 2.0, "Table 1"),
        registry.Reported("theirs", "cc", 0.25, "Table 1"),
        registry.Reported("mine", "cc", 0.5, "Table 2"),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("where: Table 1", r"reported/tables.yaml: got \{'where': 'Table 1'\}, expected a list"),
        ("- {where: Table 1, dataset: d}", r"reported/tables.yaml\[0\]: missing key 'models'"),
        (
            "- {where: Table 1, dataset: d, models: {toy: {nss: high}}}",
            r"reported/tables.yaml\[0\].models.toy.nss: got 'high' \(str\), expected float",
        ),
        ("- [", "tables.yaml: not valid YAML"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(configs: Path, text: str, words: str) -> None:
    (configs / "reported/tables.yaml").write_text(text)
    with pytest.raises(SpecError, match=words):
        read_spec("toy")
