"""`salzoo data check`: what it says is true, what is wrong is warned of, and the sheet has dots where people looked."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data import make_tiny
from PIL import Image

from salzoo.cli import main
from salzoo.data import OSIE, FixationFolder
from salzoo.data.check import check, contact_sheet
from salzoo.data.fixations import Floats
from salzoo.errors import SpecError

Person = list[list[float]]


def osie(folder: Path, people: list[list[Person]], size: tuple[int, int] = (60, 100)) -> OSIE:
    """Write a set in OSIE's layout with these observers' x, y, duration on black images."""
    images = {f"{i}.png": np.zeros((*size, 3), np.uint8) for i in range(len(people))}
    make_tiny.write_structs(folder, images, people, {"train": len(people)})
    return OSIE(folder)


def own(folder: Path, table: str, images: int = 3, size: tuple[int, int] = (60, 100)) -> Path:
    (folder / "images").mkdir()
    for i in range(images):
        Image.new("RGB", size[::-1]).save(folder / f"images/{i}.png")
    (folder / "looks.csv").write_text(table)
    return folder


def test_facts(tmp_path: Path) -> None:
    people = [
        [[[30, 40], [20, 30], [200, 300]], [[50], [25], [100]]],
        [[[60, 70, 999], [30, 40, 5], [250, 250, 250]], [[], [], []]],
    ]
    report = check(osie(tmp_path, people))  # type: ignore[arg-type]
    assert report.facts == {
        "dataset": f"osie in {tmp_path}",
        "images": f"2 in split train, in {tmp_path / 'data/stimuli'}",
        "width x height": "100 x 60 (2)",
        "fixations": "5; 2 to 3, mean 2.5 an image",
        "observers": "2; 1 to 2, mean 1.5 an image",
        "durations": "median 250 ms, 90 % of them 125 to 288 ms",
        "blur": "2.4 px",
    }
    assert report.dropped == {"outside the frame": 1, "no coordinates (NaN)": 0}
    text = report.to_text().splitlines()
    assert text[-2] == "dropped:      1 outside the frame"
    assert text[-1].startswith("WARNING: 17% of the points lie outside")
    assert text[2] == "width x height: 100 x 60 (2)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (y, x), "x and y seem to be swapped"),
        (lambda x, y: (x + 40, y), "of the points lie outside their images: are they in pixels of the screen"),
        (lambda x, y: (x / 100, y / 60), "are they fractions"),
        (lambda x, y: (np.append(np.round(x[1:]), 100), np.round(y)), "is the first pixel 1"),
        (lambda x, y: (x / 4, y), "the mean fixation is 1.% from the left and [45].% from the top"),
    ],
)
def test_warnings(change: Callable[[Floats, Floats], tuple[Floats, Floats]], message: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    looks = [(rng.uniform(5, 95, 30), rng.uniform(5, 55, 30)) for _ in range(4)]

    def report(name: str, changed: list[tuple[Floats, Floats]]) -> tuple[str, ...]:
        people = [[[x, y, np.full(30, 200.0)]] for x, y in changed]
        return check(osie(tmp_path / name, people)).warnings  # type: ignore[arg-type]

    assert report("sound", looks) == ()
    assert any(re.search(message, each) for each in report("odd", [change(x, y) for x, y in looks]))


def test_seconds_and_empty_images(tmp_path: Path) -> None:
    people = [[[[30, 60], [20, 40], [1, 2]]], [[[], [], []]]]
    warnings = check(osie(tmp_path, people)).warnings  # type: ignore[arg-type]
    assert [warning[:30] for warning in warnings] == ["the median duration lasts no f", "1 images have no fixation"]


def test_own_study_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    looks = ["0.png,40,30,200", "0.png,40,30,200", "0,60,20,150", "1.png,50,,100", "1.png,50,35,0", "1.png,50,30,90"]
    root = own(tmp_path, "\n".join(["image,x,y,duration", *looks]))
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    sheet = tmp_path / "sheet.png"
    assert main(["data", "check", str(root), "-o", str(sheet)]) == 0
    out = capsys.readouterr().out
    assert f"fixations in: {root / 'looks.csv'}" in out
    assert "splits:       train 1, val 1, test 0, drawn by name" in out
    assert "fixations:    3; 1 to 2, mean 1.5 an image" in out
    assert "dropped:      1 no coordinates (NaN), 1 no duration (blink), 1 duplicate" in out
    assert "WARNING: 1 images have no row and are left out, the first is 2.png" in out
    assert out.endswith(f"contact sheet: {sheet}\n")
    with Image.open(sheet) as image:
        assert image.mode == "RGB"
    sheet.unlink()
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_errors_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = own(tmp_path, "image,x,y\n0.png,40,left\n")
    assert main(["data", "check", str(root)]) == 1
    assert "line 2: y is 'left', not a number" in capsys.readouterr().err
    assert main(["data", "check", str(root), "--data", "osi"]) == 2
    assert "Did you mean 'osie'?" in capsys.readouterr().err
    (root / "looks.csv").write_text("image,x,y\n0.png,40,30\n")
    assert main(["data", "check", str(root), "-o", str(tmp_path / "sheet.xyz")]) == 2
    assert "the contact sheet cannot be written" in capsys.readouterr().err


def test_the_sheet_has_dots_where_people_looked(tmp_path: Path) -> None:
    people = [[[[20], [45], [200]], [[80], [15], [200]]] for _ in range(5)]
    dataset = osie(tmp_path, people)  # type: ignore[arg-type]
    sheet = np.array(contact_sheet(dataset, images=4, columns=3, width=200)).astype(int)
    assert sheet.shape[1] == 3 * 204 + 4
    tile = sheet[4 : 4 + 120, 4 : 4 + 200]
    bright = np.argwhere(tile.max(2) > 200)
    for x, y in ((40.5, 90.5), (160.5, 30.5)):  # twice as large
        dot = bright[np.abs(bright - (y, x)).max(1) < 6]
        assert len(dot) > 8
        assert np.abs(dot.mean(0) - (y, x)).max() < 1
    assert (np.abs(bright[:, None] - [(90.5, 40.5), (30.5, 160.5)]).max(2).min(1) < 6).all(), "and nowhere else"
    assert tile[90, 40].tolist() != tile[30, 160].tolist(), "a colour an observer"
    with pytest.raises(SpecError, match="must be at least 1"):
        contact_sheet(dataset, columns=0)


def test_maps_alone(tmp_path: Path) -> None:
    root = own(tmp_path, "")
    (root / "looks.csv").unlink()
    (root / "maps").mkdir()
    grey = np.zeros((60, 100), np.uint8)
    grey[40:, 80:] = 200
    for i in range(3):
        Image.fromarray(grey if i else grey * 0).save(root / f"maps/{i}.png")
    dataset = FixationFolder(root, "all")
    report = check(dataset)
    assert report.facts["truth"].startswith("maps without fixations")
    assert report.warnings == ("1 maps are empty",)
    sheet = np.array(contact_sheet(dataset, columns=3, width=100))
    assert sheet[54, 4 + 104 + 90, 0] > 200
    assert sheet[14, 4 + 104 + 10].max() == 0


def test_every_tiny_set(tiny_data: Path, tmp_path: Path) -> None:
    for name in ("osie", "eyecrowd", "scene500"):
        shutil.copytree(tiny_data / name, tmp_path / name)
        assert main(["data", "check", str(tmp_path), "--data", name, "-o", str(tmp_path / f"{name}.png")]) == 0
