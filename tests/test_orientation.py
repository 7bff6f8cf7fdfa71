"""`salzoo data check` scores the points as given and upside down."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data.studies import write
from PIL import Image

from salzoo.cli import main
from salzoo.data import FixationFolder
from salzoo.evaluation.orientation import compare_flipped

COUNT = 8


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a study in which people looked at the one bright disc of each grey image."""
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :120]
    rows = []
    for i in range(COUNT):
        # above and below the middle alike, so that the points' mean tells nothing
        cx, cy = rng.uniform(30, 90), 25 + rng.uniform(-5, 5) if i % 2 else 65 + rng.uniform(-5, 5)
        pixels = np.where(np.hypot(x - cx, y - cy) < 6, 240, 110 + rng.integers(0, 5, (90, 120))).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/{i}.png")
        around = rng.normal((cx, cy), 3, (9, 2)).round(1)
        rows += [{"image": f"{i}.png", "x": a, "y": b} for a, b in around.tolist()]
    write(tmp_path / "looks.csv", rows)
    return tmp_path


def test_the_score_of_either_way_is_told(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, doubtful in (("{}", False), ('{"y_from_bottom": true}', True)):
        (study / "study.json").write_text(options)
        assert main(["data", "check", str(study), "-o", str(study / "sheet.png")]) == 0
        out = capsys.readouterr().out
        (scores,) = re.findall(r"upside down\?  NSS (\S+) as given, (\S+) with y .* maps on 8 images", out)
        assert (float(scores[1]) > 1 > float(scores[0])) is doubtful
        assert ("the points fit the images better upside down" in out) is doubtful


def test_the_scores_are_those_of_the_points(study: Path) -> None:
    dataset = FixationFolder(study, "all")
    row = np.linspace(0, 1, 90)[:, None].repeat(120, 1)
    found = compare_flipped(dataset, lambda image: row, images=COUNT)
    assert found is not None
    z = (row - row.mean()) / row.std(ddof=1)
    truth = []
    for i in range(COUNT):
        rows, columns = dataset.fixations(i).counts((90, 120)).nonzero(as_tuple=True)
        truth.append(z[rows.numpy(), columns.numpy()].mean())
    assert found.given == pytest.approx(np.mean(truth), abs=1e-6)
    assert found.images == COUNT
    assert compare_flipped(dataset, lambda image: np.ones((90, 120))) is None
    assert replace(found, t=-3.1).doubtful
    assert not replace(found, t=-3.1, images=4).doubtful
    assert not replace(found, t=float("nan")).doubtful
