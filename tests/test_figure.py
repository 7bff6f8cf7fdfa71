"""`salzoo figure`: what is in the file, in numbers, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import salzoo
from salzoo.cli import main
from salzoo.errors import SalzooWarning
from salzoo.images.saliency_map import SaliencyMap
from salzoo.reports.figure import People, Row, draw, rows_of_files

pytest.importorskip("matplotlib")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    (tmp_path / "fixations.csv").write_text("image,x,y\nphoto,10,20\nphoto.jpg,60,40\nother*,1,1\n")
    return tmp_path / "photo.png"


def figure(photo: Path, *words: str, out: str = "fig.pdf") -> tuple[int, Path]:
    path = photo.parent / out
    return main(["figure", str(photo), "-m", "centre_bias,flat=uniform", "-o", str(path), *words]), path


@pytest.mark.parametrize("suffix", ["pdf", "svg", "png"])
def test_the_same_input_gives_the_same_bytes(photo: Path, suffix: str) -> None:
    words = ["--fixations", str(photo.parent / "fixations.csv"), "--dpi", "100"]
    (code, one), (_, two) = figure(photo, *words, out=f"a.{suffix}"), figure(photo, *words, out=f"b.{suffix}")
    assert code == 0
    data = one.read_bytes()
    assert data == two.read_bytes()
    if suffix == "pdf":
        assert b"/Type /Font /Subtype /Type0" in data or b"/FontFile2" in data, "TrueType, not Type 3"
        assert b"/Subtype /Type3" not in data
        assert b"CreationDate" not in data
    elif suffix == "svg":
        assert b"<dc:date>" not in data
        assert data.count(b"<image") == 5, "image, people, two models and the colour bar"
    else:
        with Image.open(one) as image:
            assert image.width == int(100 * 180 / 25.4)


def test_width_and_resolution(photo: Path) -> None:
    _, path = figure(photo, "--width", "85mm", "--dpi", "200", "--colormap", "grey", out="fig.png")
    with Image.open(path) as image:
        assert image.width == pytest.approx(85 / 25.4 * 200, abs=1)
    _, path = figure(photo, "--width", "3.5in", out="fig.pdf")
    box = re.search(rb"/MediaBox \[ 0 0 (\S+) (\S+) \]", path.read_bytes())
    assert box is not None
    assert float(box[1]) == pytest.approx(3.5 * 72)


def test_panels_hold_the_overlay(tmp_path: Path) -> None:
    """Drawn at one dot a pixel, without contours."""
    pixels = np.full((50, 100, 3), 90, np.uint8)
    m = salzoo.load("centre_bias").predict(pixels)
    width = 0.5 + 0.04 + 2 * 1.0  # two panels of an inch
    draw([Row(pixels, None, {"a": m})], tmp_path / "fig.png", width=width, dpi=100, contours=())
    with Image.open(tmp_path / "fig.png") as image:
        drawn = np.asarray(image.convert("RGB")).astype(int)
    assert drawn.shape == (70, 254, 3)
    np.testing.assert_allclose(drawn[22:68, 2:98], 90, atol=1)
    wanted = np.asarray(m.overlay(pixels, ())).astype(int)
    np.testing.assert_allclose(drawn[22:68, 106:202], wanted[2:48, 2:98], atol=4)


def test_people_of_a_table(photo: Path) -> None:
    ((image, people),) = rows_of_files([photo], photo.parent / "fixations.csv")
    assert image.shape == (60, 80, 3)
    assert people is not None
    assert people.points.tolist() == [[10, 20], [60, 40]]
    assert people.density.share((0, 0, 35, 60)) == pytest.approx(0.5, abs=0.01)
    assert rows_of_files([photo], None)[0][1] is None


def test_images_and_people_of_a_dataset(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = salzoo.data.load_dataset("osie", tiny_data, "all")
    words = ["-m", "uniform", "--data", "osie", "--root", str(tiny_data), "-o", str(tmp_path / "fig.svg")]
    assert main(["figure", Path(dataset.names[0]).stem, dataset.names[1], *words]) == 0
    assert (tmp_path / "fig.svg").read_bytes().count(b"<image") == 7
    assert main(["figure", "none.jpg", *words]) == 2
    assert "no image of osie is called 'none.jpg'" in capsys.readouterr().err


def test_an_image_without_people_beside_one_with(tmp_path: Path) -> None:
    pixels = np.zeros((6, 8, 3), np.uint8)
    m = SaliencyMap(np.full((6, 8), -np.log(48)))
    rows = [Row(pixels, None, {"a": m}), Row(pixels, People(np.zeros((0, 2)), m), {"a": m})]
    draw(rows, tmp_path / "fig.svg")
    assert (tmp_path / "fig.svg").read_bytes().count(b"<image") == 6


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-o", "fig.eps"], "a figure is written as .pdf, .svg, .png, got 'fig.eps'"),
        (["-o", "none/fig.pdf"], "there is no folder none"),
        (["--width", "wide"], "'wide' is not a length such as 180mm"),
        (["--width", "12mm"], "3 columns do not fit into a figure that is 12 mm wide"),
        (["--contours", "50"], "'50' is not a list of shares"),
        (["--data", "osie"], "give both, or none"),
        (["--fixations", "none.csv"], "there is no table of fixations none.csv"),
        (["-m", "centre_bios"], "centre_bias"),
        (["-m", ""], "-m '' is not accepted: models of different titles"),
        (["-m", "uniform,uniform"], "-m 'uniform,uniform' is not accepted"),
    ],
)
def test_refusals(photo: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code, _ = figure(photo, *words)
    except SystemExit as end:  # argparse
        code = int(str(end.code))
    err = capsys.readouterr().err
    assert (code, err.count("\n")) == (2, 1)
    assert told in err


def test_a_title_is_no_formula(photo: Path) -> None:
    code, file = figure(photo, "-m", r"$\frac$=uniform", out="a.svg")
    assert code == 0
    assert file.stat().st_size


@pytest.mark.parametrize("suffix", ["pdf", "svg", "png"])
def test_a_character_that_no_font_has_is_told_once(
    photo: Path, suffix: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.warns(SalzooWarning) as told:
        code, file = figure(photo, "-m", "注視a注=uniform,b注=centre_bias", out=f"a.{suffix}")
    assert code == 0
    assert file.stat().st_size
    (only,) = told
    assert "has '注' (CJK UNIFIED IDEOGRAPH-6CE8), '視' (CJK UNIFIED IDEOGRAPH-8996): the title" in str(only.message)
    assert capsys.readouterr() == (f"Wrote {file}\n", "")
    assert not caplog.records
