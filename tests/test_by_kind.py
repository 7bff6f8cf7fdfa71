"""Scores by kind of image: which image is of which, and that a kind's numbers are those of its images alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from salzoo.cli import main
from salzoo.data import load_dataset
from salzoo.errors import DataError, SpecError
from salzoo.evaluation.by_kind import ByKind, kinds_of, read_kinds
from salzoo.evaluation.table import Table
from salzoo.images.kinds import KINDS, kinds


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((600, 800), ()),
        ((800, 600), ("portrait",)),
        ((427, 640), ("wide",)),
        ((640, 640), ("square",)),
        ((256, 256), ("square", "small")),
        ((399, 300), ("portrait", "small")),
    ],
)
def test_kinds_by_size(size, expected):
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert kinds(image) == expected
    assert kinds(image[:1].expand(3, -1, -1)) == ("grey", *expected)


def test_grey_as_an_encoder_leaves_it_and_with_a_spot_of_colour():
    grey = torch.full((3, 500, 500), 100, dtype=torch.uint8)
    grey[0] += 4
    grey[0, :50, :40] = 255
    assert "grey" in kinds(grey)
    grey[0, :50, :60] = 255
    assert "grey" not in kinds(grey)


@pytest.fixture
def table() -> Table:
    rng = np.random.default_rng(0)
    gold = rng.normal(2, 0.5, 24)
    scores = {
        "gold": {"ig": gold.tolist()},
        "model": {"ig": [*(0.9 * gold[:12]), *(0.3 * gold[12:])]},
        "uniform": {"ig": [-1.0] * 24},
    }
    return Table("osie", "test", tuple(f"{i}.jpg" for i in range(24)), "mit", "uniform", scores)


def test_a_kind_has_the_numbers_of_its_images(table):
    by = ByKind(table, {"near": [f"{i}.jpg" for i in range(12)], "far": ["12", *map(str, range(13, 24))], "odd": ["3"]})
    found = by.to_json()
    assert [found[kind]["images"] for kind in ("all", "near", "far", "odd")] == [24, 12, 12, 1]
    assert found["near"]["rows"]["model"]["explained"] == pytest.approx([0.9] * 3)
    assert found["far"]["rows"]["model"]["explained"] == pytest.approx([0.3] * 3)
    mean, low, high = found["far"]["rows"]["model"]["ig"]
    assert mean == pytest.approx(np.mean(table.scores["model"]["ig"][12:]))
    assert low < mean < high
    assert list(found["all"]["rows"]) == ["gold", "model"], "no other baselines"
    assert found["odd"]["rows"] == {}, "one image tells nothing"
    text = by.to_markdown()
    assert "| near | 12 | model |" in text
    assert "| 30.0% ± 0.0% |" in text
    assert "| odd | 1 | – | – | – |" in text


def test_a_bar_in_a_name_leaves_the_table_whole(table):
    assert r"| near\|far | 1 |" in ByKind(table, {"near|far": ["1.jpg"]}).to_markdown()


def test_without_people_nothing_is_explained(table):
    del table.scores["gold"]
    text = ByKind(table, {"near": ["1.jpg"]}).to_markdown()
    assert "explained" not in text
    assert "| all | 24 | model |" in text


def test_images_of_no_kind(table):
    text = ByKind(table, {"grey": [], "wide": []}).to_markdown()
    assert "| all | 24 | model |" in text
    assert "| grey | 0 | – | – | – |" in text


def test_what_cannot_be_told_apart(table):
    with pytest.raises(SpecError, match=r"no image of the table is named by its kinds: it has 0\.jpg, they cat\.jpg"):
        ByKind(table, {"cats": ["cat.jpg"]})
    for scores in table.scores.values():
        scores["nss"] = scores.pop("ig")
    with pytest.raises(SpecError, match="the table has no ig"):
        ByKind(table, {"near": ["1.jpg"]})


def test_a_table_of_some_images(table):
    part = table.take([3, 1])
    assert part.images == ("3.jpg", "1.jpg")
    assert part.scores["gold"]["ig"] == [table.scores["gold"]["ig"][i] for i in (3, 1)]
    assert part.truth == part.folds == ()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is no file"),
        ("image,sort\n1.jpg,a\n", "no column 'kind'"),
        ("image,kind\n1.jpg,\n", "no line that names a kind"),
        ("image,kind\n1.jpg,all\n", "has a kind 'all', which stands for all images"),
    ],
)
def test_files_that_say_nothing(tmp_path, content, told):
    path = tmp_path / "kinds.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=told):
        read_kinds(path)


def test_command(tiny_data, tmp_path, capsys):
    words = ["evaluate", "uniform", "--data", "osie", "--root", str(tiny_data), "--baselines", "gold"]
    dataset, file = load_dataset("osie", tiny_data, "test"), tmp_path / "kinds.csv"
    file.write_text(f"image,kind\n{dataset.names[0]},face\n{dataset.names[0]},text\n{dataset.names[1]},text\n")
    found = tmp_path / "by.json"
    assert main([*words, "--metrics", "ig", "--by", str(file), "--json", str(found)]) == 0
    content = json.loads(found.read_text())["kinds"]
    assert {kind: each["images"] for kind, each in content.items()} == {"all": 5, "face": 1, "text": 2}
    assert set(content["all"]["rows"]["uniform"]) == {"ig", "explained"}
    saved = tmp_path / "saved.csv"
    assert main([*words, "--by", "kind", "--csv", str(saved)]) == 0
    out = capsys.readouterr().out
    sizes = {kind: len(names) for kind, names in kinds_of(dataset).items()}
    assert set(sizes) == set(KINDS)
    for kind, count in sizes.items():
        assert f"| {kind} | {count} |" in out
    assert main(["evaluate", str(saved), "--by", str(file)]) == 0, "scores that are saved need no images"
    assert "| text | 2 |" in capsys.readouterr().out
    for wrong, code, told in (
        (["--by", "kind", "--metrics", "nss"], 2, "add ig to --metrics"),
        (["--by", str(tmp_path / "none.csv")], 1, "--by takes kind, or a CSV with the columns image and kind"),
        (["--by", "kind", "--scanpaths"], 2, "--by is for maps"),
    ):
        assert main([*words[:6], *wrong]) == code, wrong
        assert told in capsys.readouterr().err
    assert main(["evaluate", str(saved), "--by", "kind"]) == 2
    assert "--by kind looks at the images: add --data and --root." in capsys.readouterr().err
