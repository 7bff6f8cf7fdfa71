"""`salzoo scanpath`: tables and drawings, and errors as `salzoo predict` gives them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import salzoo
from salzoo.cli import main
from salzoo.images.scanpath import COLOURS


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


@pytest.mark.parametrize(
    ("words", "message"),
    [
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
