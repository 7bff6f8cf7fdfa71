"""Units, origin and place of the image on the screen: right values where they are said, refusal where they are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data.studies import Row, write
from numpy.typing import NDArray
from PIL import Image

from salzoo.cli import main
from salzoo.data import FixationFolder
from salzoo.data.check import check
from salzoo.errors import DataError, SalzooWarning, SpecError

Points = NDArray[np.float64]
NAMES = ("a.png", "b.png", "c.png", "d.png")


def looks(count: int = 10, seed: int = 0) -> Points:
    """Return fractions of the image where people looked: (images, fixations, 2)."""
    return np.clip(np.random.default_rng(seed).normal(0.5, 0.15, (len(NAMES), count, 2)), 0.02, 0.98)


def study(root: Path, points: Points, size: tuple[int, int] = (120, 160), **options: object) -> Path:
    """Write a study with these x and y on each image, and what study.json says."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        Image.new("RGB", size[::-1]).save(root / "images" / name)
    rows: list[Row] = [
        {"image": name, "x": x, "y": y} for name, own in zip(NAMES, points, strict=True) for x, y in own.tolist()
    ]
    write(root / "looks.csv", rows)
    (root / "study.json").write_text(json.dumps(options))
    return root


def read(root: Path, **options: object) -> Points:
    dataset = FixationFolder(root, "all", **options)
    return np.stack([np.stack([p.x, p.y], 1) for p in (dataset.study.points[name] for name in NAMES)])


def pixels(shares: Points, size: tuple[int, int] = (120, 160)) -> Points:
    return shares * size[::-1] - 0.5


UNITS: list[tuple[str, Callable[[Points], Points]]] = [
    ("fractions", lambda p: p),
    ("percent", lambda p: 100 * p),
    ("norm", lambda p: (2 * p - 1) * (1, -1)),
    ("height", lambda p: (p - 0.5) * (160 / 120, -1)),
    ("centred", lambda p: (p - 0.5) * (160, -120)),
]


@pytest.mark.parametrize(("units", "change"), UNITS)
@pytest.mark.parametrize("outlier", [None, 3.0, -700.0, 1e5])
def test_units_are_refused_until_they_are_said(
    tmp_path: Path, units: str, change: Callable[[Points], Points], outlier: float | None
) -> None:
    shares = looks()
    given = change(shares)
    if outlier is not None:
        given[0, 0] = outlier
    with pytest.raises(DataError, match=f'"{units}"'):
        FixationFolder(study(tmp_path, given), "all")
    found = read(tmp_path, units=units)
    np.testing.assert_allclose(found[1:], pixels(shares)[1:], atol=1e-9)
    np.testing.assert_allclose(found[0, 1:], pixels(shares)[0, 1:], atol=1e-9)


@pytest.mark.parametrize("command", [["evaluate", "uniform"], ["fit", "centre_bias"], ["finetune", "centre_bias"]])
def test_the_commands_refuse_what_the_check_doubts(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    root = study(tmp_path / "study", looks())
    words = ["--data", "folder", "--root", str(root)]
    assert main([*command, *words, *([] if command[0] == "evaluate" else ["-o", str(tmp_path / "out")])]) == 1
    assert 'say "units": "fractions" if that is what they are' in capsys.readouterr().err


@pytest.mark.parametrize("scale", [8, 20])
def test_degrees_are_refused(tmp_path: Path, scale: float) -> None:
    with pytest.raises(DataError, match="degrees, centimetres or the like; convert them to pixels"):
        FixationFolder(study(tmp_path, looks() * scale, (480, 640)), "all")
    assert read(tmp_path, units="pixels").max() < 20


@pytest.mark.parametrize(
    "points",
    [
        [[40 + k, 50 + k] for k in range(6)],  # few, and all in one place
        [[3, 5], [80, 60], [150, 115]],
        [[20 + 11 * k % 137, 60] for k in range(30)]
        + [[200 + 37 * k % 101, 60] for k in range(25)],  # nearly half of them outside
        [[2, 3], [70, 30]],
    ],
)
def test_few_and_odd_pixels_load(tmp_path: Path, points: list[list[float]]) -> None:
    given = np.array([points] * 4, dtype=np.float64)
    np.testing.assert_array_equal(read(study(tmp_path, given)), given)


@pytest.mark.parametrize("outlier", [None, (0, 0), (300, 50)])
def test_one_based_numbers_are_refused_with_an_outlier(tmp_path: Path, outlier: tuple[int, int] | None) -> None:
    given = np.floor(pixels(looks())) + 1
    given[1, :2] = (160, 60), (80, 120)
    if outlier:
        given[2, 3] = outlier
    with pytest.raises(DataError, match='as if the first pixel were 1: say "origin": 1'):
        FixationFolder(study(tmp_path, given), "all")
    np.testing.assert_array_equal(read(tmp_path, origin=1), given - 1)
    given[1, 3:7, 0] = 0  # no MATLAB
    np.testing.assert_array_equal(read(study(tmp_path, given)), given)


def test_y_from_the_bottom(tmp_path: Path) -> None:
    shares = looks()
    upside_down = pixels(shares) * (1, -1) + (0, 119)
    np.testing.assert_allclose(read(study(tmp_path, upside_down, y_from_bottom=True)), pixels(shares))
    flipped = shares * (1, -1) + (0, 1)
    root = study(tmp_path, flipped, units="fractions", y_from_bottom=True)
    np.testing.assert_allclose(read(root), pixels(shares), atol=1e-9)
    root = study(tmp_path, 2 * shares - 1, units="norm", y_from_bottom=False)
    np.testing.assert_allclose(read(root), pixels(shares), atol=1e-9)


SCREEN = (1024, 768)


@pytest.mark.parametrize(
    ("size", "options", "corner", "scale"),
    [
        ((600, 800), {"screen": SCREEN}, (112, 84), 1),
        ((600, 800), {"screen": SCREEN, "offset": [10, 20]}, (10, 20), 1),
        ((600, 800), {"offset": [10, 20]}, (10, 20), 1),
        ((300, 400), {"screen": SCREEN, "scale": 2}, (112, 84), 2),
        ((300, 400), {"screen": SCREEN, "scale": "fit"}, (0, 0), 2.56),
        ((100, 400), {"screen": SCREEN, "scale": "fit"}, (0, 256), 2.56),  # letterbox
        ((400, 100), {"screen": SCREEN, "scale": "fit"}, (416, 0), 1.92),
    ],
)
def test_a_larger_screen(
    tmp_path: Path, size: tuple[int, int], options: dict[str, object], corner: Points, scale: float
) -> None:
    shares = looks()
    on_screen = shares * size[::-1] * scale + corner - 0.5
    np.testing.assert_allclose(read(study(tmp_path, on_screen, size, **options)), pixels(shares, size), atol=1e-9)
    dataset = FixationFolder(tmp_path, "all")
    assert check(dataset).warnings == ()
    if "screen" not in options:
        return
    part = (on_screen + 0.5) / SCREEN
    for units, change in (UNITS[0], UNITS[2]):
        root = study(tmp_path, change(part), size, units=units, **options)
        np.testing.assert_allclose(read(root), pixels(shares, size), atol=1e-6)
    up = on_screen * (1, -1) + (0, SCREEN[1] - 1)
    root = study(tmp_path, up, size, y_from_bottom=True, **options)
    np.testing.assert_allclose(read(root), pixels(shares, size), atol=1e-6)


def test_points_beside_the_image_are_counted(tmp_path: Path) -> None:
    given = looks() * (800, 600) + (111.5, 83.5)
    given[0, :3] = (100, 400), (1000, 100), (500, 700)
    dataset = FixationFolder(study(tmp_path, given, (600, 800), screen=SCREEN), "all")
    assert dataset.dropped == 3
    assert "3 outside the frame" in check(dataset).to_text()


def test_an_unknown_screen_is_doubted(tmp_path: Path) -> None:
    """A shift by 14 % is told and loads, one by half of the image is refused."""
    given = looks(30) * (800, 600) + (112, 84)
    study(tmp_path, given, (600, 800))
    with pytest.warns(
        SalzooWarning, match=r"mean fixation is 6\d% from the left and 6\d% from the top.*screen, offset"
    ):
        dataset = FixationFolder(tmp_path, "all")
    assert "from the left" in check(dataset).warnings[0]
    FixationFolder(tmp_path, "all", units="pixels")  # believed, without a warning
    with pytest.raises(DataError, match=r'mean fixation is 7.% from the left.*or "units": "pixels"'):
        FixationFolder(study(tmp_path, looks(30) * (800, 600) + (240, 212), (600, 800)), "all")
    with pytest.raises(DataError, match=r'points lie outside their images.*"screen": \[width, height\]'):
        FixationFolder(study(tmp_path, looks(30) * (800, 600) + (560, 240), (600, 800)), "all")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "fit"}, 'say "screen"'),
        ({"units": "norm", "offset": [1, 2]}, 'say "screen"'),
        ({"screen": [0, 768]}, "above 0"),
        ({"screen": [1024]}, "list of 2 values"),
        ({"scale": -1.0}, "above 0"),
        ({"offset": [float("nan"), 0]}, "must be finite"),
        ({"units": "inches"}, "accepted is one of"),
        ({"time_unit": "min"}, "accepted is one of"),
        ({"y_up": True}, "unknown key 'y_up'; accepted keys are"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        FixationFolder(study(tmp_path, pixels(looks()), **options), "all")
