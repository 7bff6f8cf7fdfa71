"""What is no fixation is left out and counted; doubts are refused, nothing goes stale or overflows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from data.studies import Row, write
from PIL import Image

from salzoo.data import FixationFolder, Fixations, prepare
from salzoo.errors import DataError, SalzooWarning, SpecError

RNG = np.random.default_rng(1)
ROWS: list[Row] = [
    {"image": name, "x": x, "y": y, "observer": person}
    for name in ("a.png", "b.png")
    for person in ("s0", "s1")
    for x, y in RNG.uniform(10, (150, 110), (5, 2)).round(1).tolist()
]
TIMED: list[Row] = [{**row, "duration": 150 + 7 * i, "timestamp": 400 * i} for i, row in enumerate(ROWS)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (160, 120)).save(tmp_path / "images" / name)
    return tmp_path


def read(root: Path, rows: Sequence[Row], **options: object) -> FixationFolder:
    write(root / "looks.csv", rows)
    return FixationFolder(root, "all", **options)


def xs(dataset: FixationFolder) -> list[float]:
    return [x for name in sorted(dataset.study.points) for x in dataset.study.points[name].x.tolist()]


CODES = [
    (0, 0),
    (-100, -100),
    (159.5, 119.5),
    (-1, 119),
    (-1, -1),
    (-32768, -32768),
    (1e8, 1e8),
    (-9999, 40),
    ("NaN", "NaN"),
    (".", "."),
    ("", ""),
    ("inf", 4),
]


@pytest.mark.parametrize(("x", "y"), CODES)
@pytest.mark.parametrize("source", [ROWS, TIMED])
def test_codes_for_missing_data_are_counted(root: Path, x: object, y: object, source: list[Row]) -> None:
    lost = [{**row, "x": x, "y": y} for row in source[::2] for _ in range(3)]
    dataset = read(root, [*source[:7], *lost, *source[7:]])
    assert xs(dataset) == [row["x"] for row in source]
    assert sum(dataset.study.dropped.values()) == len(lost)
    assert dataset.dropped == 0


def test_fractions_have_codes_too(root: Path) -> None:
    shares = [{**row, "x": row["x"] / 160, "y": row["y"] / 120} for row in ROWS]
    lost = [{**row, "x": x, "y": x} for row in ROWS for x in (0, -1)]
    dataset = read(root, [*lost, *shares], units="fractions")
    np.testing.assert_allclose(xs(dataset), [row["x"] - 0.5 for row in ROWS])


def test_one_look_into_the_corner_and_looks_at_the_middle_are_kept(root: Path) -> None:
    whole = [{**row, "x": round(row["x"]), "y": round(row["y"])} for row in ROWS]
    assert xs(read(root, [*whole, {**ROWS[0], "x": 0, "y": 0}])).count(0) == 1
    same = [{**row, "x": 40 + k, "y": 50 + k} for row in ROWS for k in range(6)]
    assert len(xs(read(root, same))) == len(same), "every place recurs"
    crosses = [{**row, "x": 80, "y": 60} for row in ROWS]  # before each fixation
    mixed = [row for pair in zip(crosses, whole, strict=True) for row in pair]
    assert xs(read(root, mixed)).count(80) >= len(crosses)
    middle = [{**ROWS[0], "x": 0, "y": 0}] * 3
    spread = [{**row, "x": (row["x"] - 80), "y": row["y"] - 60} for row in ROWS]
    assert xs(read(root, [*spread, *middle], units="centred")).count(79.5) == 3


@pytest.mark.parametrize("times", [1, 4, 30])
def test_samples_of_one_fixation_are_one(root: Path, times: int) -> None:
    """Each sample's row repeats the place and duration of its fixation, as in Tobii's and EyeLink's sample exports."""
    samples = [{**row, "timestamp": row["timestamp"] + 2 * k} for row in TIMED for k in range(times)]
    dataset = read(root, samples)
    assert xs(dataset) == [row["x"] for row in TIMED]
    durations = np.concatenate([points.duration for points in dataset.study.points.values()])  # type: ignore[misc]
    assert durations.tolist() == [row["duration"] for row in TIMED]
    assert dataset.study.dropped == ({"further samples of a fixation": 20 * (times - 1)} if times > 1 else {})
    without = [{k: v for k, v in row.items() if k != "duration"} for row in samples]
    assert xs(read(root, without)) == [row["x"] for row in TIMED]
    bare = [row for row in ROWS for _ in range(times)]
    assert xs(read(root, bare)) == [row["x"] for row in ROWS]


def test_a_column_may_number_the_fixations(root: Path) -> None:
    """The place moves a little within a fixation: the last sample has the whole duration."""
    samples = [
        {**row, "x": row["x"] + (k - 3) / 10, "duration": row["duration"] * (k + 1) / 4, "fix": i}
        for i, row in enumerate(TIMED)
        for k in range(4)
    ]
    dataset = read(root, samples, columns={"event": "fix"})
    np.testing.assert_allclose(xs(dataset), [row["x"] for row in TIMED])
    assert dataset.study.points["a.png"].duration.tolist() == [row["duration"] for row in TIMED[:10]]  # type: ignore[union-attr]


def test_samples_of_gaze_are_refused(root: Path) -> None:
    walk = np.array((80, 60)) + np.cumsum(RNG.normal(0, 0.5, (400, 2)), axis=0)
    rows = [{"image": "a.png", "x": x, "y": y, "observer": "s0"} for x, y in walk.tolist()]
    with pytest.raises(DataError, match=r"samples of gaze; salzoo\.data\.events makes fixations"):
        read(root, rows)
    with pytest.raises(DataError, match=r"median duration is 4 ms.*raw samples"):
        read(root, [{**row, "duration": 4} for row in rows])


@pytest.mark.parametrize(("unit", "factor"), [("s", 1e-3), ("us", 1e3), ("ns", 1e6)])
def test_units_of_time(root: Path, unit: str, factor: float) -> None:
    rows = [{**row, "duration": row["duration"] * factor} for row in TIMED]
    with pytest.raises(DataError, match=f'which no fixation lasts: say time_unit in study.json: "{unit}"'):
        read(root, rows)
    found = read(root, rows, time_unit=unit).study.points["a.png"].duration
    np.testing.assert_allclose(found, [row["duration"] for row in TIMED[:10]])  # type: ignore[arg-type]
    with pytest.warns(SalzooWarning, match="no fixation lasts: is time_unit in"):
        assert read(root, rows, time_unit="ms").study.points["a.png"].duration is not None


def test_a_study_of_which_nothing_is_left_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r"no row is left .* left out were 20 no coordinates \(NaN\)"):
        read(root, [{**row, "x": "."} for row in ROWS])
    with pytest.raises(DataError, match="20 no duration"):
        read(root, [{**row, "duration": "inf"} for row in TIMED])
    with pytest.raises(DataError, match="20 code for missing data"):
        read(root, [{**row, "x": 0, "y": 0} for row in ROWS])
    with pytest.raises(DataError, match="20 on blank"):
        read(root, [{**row, "image": "blank"} for row in ROWS])


def test_durations_that_are_no_weights(root: Path) -> None:
    rows = [*TIMED, {**TIMED[0], "x": 5, "duration": "inf"}]
    dataset = read(root, rows, weight="duration")
    assert dataset.study.dropped == {"no duration (blink)": 1}
    assert float(dataset[0]["density"].sum()) == pytest.approx(1, abs=1e-5)
    for weight in ([1, np.inf], [np.nan, 1], [-1, 2], [1e308, 1e308]):
        with pytest.raises(DataError, match="weights must be finite and at least 0"):
            Fixations([1, 2], [1, 2], [0, 0], weight=weight)  # type: ignore[arg-type]


@pytest.mark.parametrize("sigma", [0, -1, 1e-300, 1e-3, float("nan"), float("inf")])
def test_a_blur_that_is_none(root: Path, sigma: float) -> None:
    for options in ({"sigma_px": sigma}, {"pixels_per_degree": sigma}):
        with pytest.raises(SpecError, match="blur of the density must be above 0"):
            read(root, ROWS, **options)
    points = Fixations([1, 2], [1, 2], [0, 0])  # type: ignore[arg-type]
    for pair in (sigma, (sigma, 5.0), (5.0, sigma)):
        with pytest.raises(SpecError, match="blur of the density"):
            points.density((9, 9), pair)
    assert float(points.density((9, 9), 0.01).sum()) == pytest.approx(1)


def test_counts_do_not_overflow() -> None:
    many = Fixations(np.full(40_000, 3.0), np.full(40_000, 2.0), np.zeros(40_000, dtype=np.int64))
    counts = many.counts((5, 6))
    assert int(counts[2, 3]) == int(counts.sum()) == 40_000


def test_a_table_replaced_by_an_older_one_of_the_same_size_is_read(root: Path, tmp_path: Path) -> None:
    first = read(root, ROWS)
    status = (root / "looks.csv").stat()
    later = [{**row, "x": other["x"]} for row, other in zip(ROWS, reversed(ROWS), strict=True)]
    for when in (status.st_mtime_ns, status.st_mtime_ns - 10**12):
        write(tmp_path / "other.tmp", later)
        os.utime(tmp_path / "other.tmp", ns=(when, when))
        (tmp_path / "other.tmp").replace(root / "looks.csv")
        assert (root / "looks.csv").stat().st_size == status.st_size
        assert xs(FixationFolder(root, "all")) == [row["x"] for row in later] != xs(first)
        write(root / "looks.csv", ROWS)


def test_prepared_points_follow_the_image(root: Path, tmp_path: Path) -> None:
    """Fractions depend on the size of the image, which is not among the annotations."""
    rows = [{**row, "x": row["x"] / 160, "y": row["y"] / 120} for row in ROWS]
    before = prepare(read(root, rows, units="fractions"), tmp_path / "cache")
    Image.new("RGB", (320, 240)).save(root / "images/a.png")
    after = prepare(read(root, rows, units="fractions"), tmp_path / "cache")
    np.testing.assert_allclose(after.fixations(0).x + 0.5, 2 * (before.fixations(0).x + 0.5))


def test_a_cut_cache_is_written_again(root: Path, tmp_path: Path) -> None:
    dataset = prepare(read(root, ROWS), tmp_path / "cache")
    true = dataset.fixations(1).x.tolist()
    (path,) = (tmp_path / "cache").glob("*.points")
    path.write_bytes(path.read_bytes()[:-100])
    assert prepare(FixationFolder(root, "all"), tmp_path / "cache").fixations(1).x.tolist() == true
    (index,) = (tmp_path / "cache").glob("*.npz")
    index.write_bytes(b"")
    assert prepare(FixationFolder(root, "all"), tmp_path / "cache").fixations(1).x.tolist() == true


def test_both_eyes_of_a_look_are_not_two_fixations(root: Path) -> None:
    """Each fixation counted twice where the eyes differ by a few pixels."""
    both = [{**row, "x": float(str(row["x"])) + shift, "Eye L/R": eye} for row in ROWS for eye, shift in EYES]
    with pytest.raises(DataError, match=r"both eyes \(Left, Right\).*say \"keep\": \{\"Eye L/R\": \[\"Left\"\]\}"):
        read(root, both)
    assert len(xs(read(root, both, keep={"Eye L/R": ["Left"]}))) == len(ROWS)
    assert len(xs(read(root, both, keep={"Eye L/R": ["*"]}))) == 2 * len(ROWS)
    dominant = [{**row, "eye": "Left" if row["observer"] == "s0" else "Right"} for row in ROWS]
    assert len(xs(read(root, dominant))) == len(ROWS), "one eye of each observer"


EYES = (("Left", 0.0), ("Right", 2.5))


def test_a_unit_of_time_that_was_said_and_cannot_be_is_doubted(root: Path) -> None:
    with pytest.warns(SalzooWarning, match=r"the median duration is \d+ ms.*is time_unit in study.json right"):
        read(root, TIMED, time_unit="s")
