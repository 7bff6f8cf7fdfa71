"""`salzoo scanpath`: tables and drawings, and errors as `salzoo predict` gives them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_models
from PIL import Image

import salzoo
from salzoo.cli import main
from salzoo.images.scanpath import COLOURS

PAPER = {
    "backbone": "test_efficientnet",
    "feature_nodes": [8, 16],
    "components": 1,
    "template": [32, 32],
    "preprocess": {"size": [60, 80], "fit": "longest"},
}
"""The published DeepGaze III in miniature: with a backbone, its density is its own."""


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A checkpoint folder of `saccadic` that starts from a fast density."""
    folder = tmp_path / "model"
    salzoo.load("saccadic", weights=None, density="signature", cells=20).save_pretrained(folder, license="apache-2.0")
    return str(folder)


def test_writes_a_table_and_a_drawing_and_goes_on(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    words = ["scanpath", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "-m", model, "--device", "cpu"]
    assert main([*words, "-o", str(tmp_path / "one"), "--samples", "3", "--seed", "5", "-n", "4"]) == 1
    out, err = capsys.readouterr()
    assert out == f"1 of 2 images, 2 files in {tmp_path / 'one'}\n"
    assert f"salzoo: {tmp_path / 'b.png'}: " in err
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["a_scanpath.csv", "a_scanpath.jpg"]

    rows = (tmp_path / "one/a_scanpath.csv").read_text().splitlines()
    assert rows[0] == "path,fixation,x,y"
    assert [row.split(",")[:2] for row in rows[1:]] == [[str(p), str(f)] for p in (1, 2, 3) for f in (1, 2, 3, 4)]
    expected = salzoo.load(model).predict_scanpath(pixels, n=4, samples=3, seed=5)
    assert [float(row.split(",")[2]) for row in rows[1:]] == [x for path in expected for x in path.x.tolist()]

    drawing = np.asarray(Image.open(tmp_path / "one/a_scanpath.jpg")).astype(int)
    assert drawing.shape == pixels.shape
    assert np.abs(drawing - pixels).max() > 100
    assert len(set(COLOURS)) > 3


def test_one_path_has_the_columns_of_several(model: str, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    tables = []
    for samples in ("1", "2"):
        words = ["scanpath", str(tmp_path / "a.png"), "-m", model, "-o", str(tmp_path), "-n", "3", "--samples", samples]
        assert main([*words, "--device", "cpu"]) == 0
        tables.append((tmp_path / "a_scanpath.csv").read_text().splitlines())
    one, two = tables
    assert one == two[:4]
    assert one[0] == "path,fixation,x,y"
    assert len(two) == 1 + 2 * 3


def test_paths_start_from_the_density_that_is_named(model: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    static = tmp_path / "static"
    salzoo.load("centre_bias").save_pretrained(static, license="apache-2.0")
    words = ["scanpath", str(tmp_path / "a.png"), "-m", model, "-n", "5", "--device", "cpu", "-o", str(tmp_path)]
    tables = []
    for name in ("centre_bias", str(static)):
        assert main([*words, "--density", name]) == 0
        tables.append((tmp_path / "a_scanpath.csv").read_text())
    assert tables[0] == tables[1]
    expected = salzoo.load(model, density="centre_bias").predict_scanpath(pixels, n=5)  # type: ignore[attr-defined]
    expected.to_csv(tmp_path / "expected.csv")
    assert tables[0] == (tmp_path / "expected.csv").read_text()
    assert main(words) == 0
    assert tables[0] != (tmp_path / "a_scanpath.csv").read_text(), "the checkpoint's own"


def test_densities_that_a_model_cannot_start_from(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    own = tmp_path / "own"
    tiny_models.build("deepgaze3", **PAPER).save_pretrained(own, license="apache-2.0")
    for name, density, told in (
        (str(own), "unisal", f"{own} has a density of its own, so it cannot start from --density unisal: leave"),
        ("wta", model, f"--density {model} is a scanpath model, which starts from a density itself"),
    ):
        assert main(["scanpath", str(tmp_path / "a.png"), "-m", name, "--density", density, "--device", "cpu"]) == 2
        err = capsys.readouterr().err
        assert told in err
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--density", "wta"],
            "--density wta is a scanpath model, which starts from a density itself: name a model of",
        ),
        (["--density", "unisol"], "Unknown model 'unisol'. Did you mean 'unisal'"),
        (["-m", "centre_bias"], "centre_bias says where people look, but not in which order: take one of "),
        (["-m", "sacadic"], "Unknown model 'sacadic'. Did you mean 'saccadic'"),
        (["-m", "wta", "--seed", "-1"], "--seed -1 is not accepted: at least 0"),
    ],
)
def test_usage_errors_are_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert main(["scanpath", str(tmp_path / "a.png"), *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
