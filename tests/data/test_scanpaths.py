"""Fixations keep their order: who looked where, then where."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from salzoo.data import OSIE, FixationFolder, Fixations, ScanpathDataset, Scene500, collate_scanpaths, prepare
from salzoo.data.events import Screen, velocity_events
from salzoo.errors import DataError
from salzoo.images.scanpath import Scanpath, draw, write_csv

POINTS = Fixations([5, 1, 6, 2, 900], [0, 10, 1, 11, 2], [7, 3, 7, 3, 7], [100, 200, 300, 400, 500])


def test_scanpaths_are_one_an_observer_in_the_order_of_the_data() -> None:
    third, seventh = POINTS.scanpaths()
    assert (third.x.tolist(), third.y.tolist()) == ([1, 2], [10, 11])
    assert third.duration is not None
    assert third.duration.tolist() == [200, 400]
    assert seventh.x.tolist() == [5, 6, 900], "a fixation outside the image keeps its place"


def test_histories_have_what_came_before_with_the_latest_last() -> None:
    path = Scanpath([1, 2, 3], [4, 5, 6])
    every, two = path.histories(), path.histories(1)
    np.testing.assert_array_equal(every[0], [[np.nan] * 3, [1, 4, np.nan]])
    np.testing.assert_array_equal(every[1], [[1, 4, np.nan], [2, 5, np.nan]])
    np.testing.assert_array_equal(two[:, 0, :2], [[1, 4], [2, 5]])
    assert Scanpath([], []).histories().shape == (0, 0, 3)
    assert Scanpath([1], [2]).histories(4).shape == (0, 4, 3)


def test_a_loader_batches_them(tiny_data: Path) -> None:
    dataset = OSIE(tiny_data)
    (batch,) = DataLoader(ScanpathDataset(dataset), len(dataset), collate_fn=collate_scanpaths)
    everyone = [path for i in range(len(dataset)) for path in dataset.scanpaths(i)]
    assert batch["length"].tolist() == [len(path) for path in everyone]
    assert len(batch["image"]) == len(dataset)
    assert batch["onset"].isnan().all(), "OSIE does not tell"
    for points, duration, path in zip(batch["points"], batch["duration"], everyone, strict=True):
        np.testing.assert_array_equal(points[: len(path)], path.points[:, :2])
        np.testing.assert_array_equal(duration[: len(path)], path.points[:, 2])
        assert points[len(path) :].isnan().all()
        assert duration[len(path) :].isnan().all()
    assert batch["of_image"].tolist() == [i for i in range(len(dataset)) for _ in dataset.scanpaths(i)]


def test_prepared_points_keep_the_order(tiny_data: Path, tmp_path: Path) -> None:
    plain, prepared = OSIE(tiny_data), prepare(OSIE(tiny_data), tmp_path)
    for one, other in zip(plain.scanpaths(0), prepared.scanpaths(0), strict=True):
        np.testing.assert_array_equal(one.points, other.points)


def test_a_folder_sorts_by_time_and_refuses_without_observers(tiny_data: Path, tmp_path: Path) -> None:
    source = OSIE(tiny_data)
    (tmp_path / "images").mkdir()
    name = "a" + source.image_path(0).suffix
    (tmp_path / "images" / name).write_bytes(source.image_path(0).read_bytes())
    rows = [(name, "ann", 10, 12, 200, 30), (name, "bob", 20, 8, 250, 10), (name, "ann", 14, 9, 220, 5)]
    with (tmp_path / "fixations.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "observer", "x", "y", "duration", "timestamp"), *rows])
    ann, _bob = FixationFolder(tmp_path, "all").scanpaths(0)
    assert ann.x.tolist() == [14, 10]
    with (tmp_path / "fixations.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "x", "y"), *((row[0], row[2], row[3]) for row in rows)])
    with pytest.raises(DataError, match="folder: these files do not tell who made which fixation"):
        FixationFolder(tmp_path, "all").scanpaths(0)


def test_onsets_are_kept_where_the_data_have_them(tiny_data: Path, tmp_path: Path) -> None:
    plain = Scene500(tiny_data)
    paths, again = plain.scanpaths(0), prepare(Scene500(tiny_data), tmp_path).scanpaths(0)
    (batch,) = DataLoader(ScanpathDataset(plain.only(plain.names[:1])), 1, collate_fn=collate_scanpaths)
    for row, one, other in zip(batch["onset"], paths, again, strict=True):
        assert one.onset is not None
        np.testing.assert_array_equal(one.onset, other.onset)
        np.testing.assert_array_equal(row[: len(one)], one.onset)
        np.testing.assert_allclose(one.onset, 300 * np.arange(len(one)), err_msg="0.3 s apart in the file")
    gaze = np.repeat([100.0, 500.0], 50)
    found = velocity_events(np.arange(100) * 4.0 + 1000, gaze, gaze, Screen(30, 1000, 60))
    (path,) = found.inside((600, 600)).scanpaths()
    assert path.onset is not None
    assert path.onset[0] == 1000
    assert 1200 <= path.onset[1] <= 1220
    path.to_csv(tmp_path / "path.csv")
    assert (tmp_path / "path.csv").read_text().splitlines()[:2] == [
        "path,fixation,x,y,duration_ms,onset_ms",
        f"1,1,100.00,100.00,{found.duration[0]:.0f},1000",
    ]


@pytest.mark.parametrize(
    ("times", "begins"),
    [
        ([0.2, 0.5, 0.75], [200, 500, 750]),
        ([5200, 5500, 5750], [5200, 5500, 5750]),
        ([7.2e6, 7.5e6, 7.75e6], [7200, 7500, 7750]),
        ([3, 4, 5], None),
        ([10, 20_000, 40_000], None),
    ],
)
def test_timestamps_are_onsets_where_they_agree_with_the_durations(
    times: list[float], begins: list[float] | None, tiny_data: Path, tmp_path: Path
) -> None:
    source = OSIE(tiny_data).image_path(0)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / source.name).write_bytes(source.read_bytes())
    rows = [(source.name, who, 10 + i, 12, 230, at) for who in ("ann", "bob") for i, at in enumerate(times)]
    with (tmp_path / "fixations.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "observer", "x", "y", "duration", "timestamp"), *rows[::-1]])
    for path in FixationFolder(tmp_path, "all").scanpaths(0):
        assert path.x.tolist() == [10, 11, 12]
        assert (path.onset if path.onset is None else path.onset.tolist()) == begins


def test_a_drawing_has_larger_circles_for_longer_fixations_and_a_colour_a_path() -> None:
    grey = np.full((300, 400), 128, np.uint8)
    short, long = (Scanpath([200], [150], [ms]) for ms in (100, 900))
    changed = [int((np.asarray(draw(grey, [path])) != 128).any(-1).sum()) for path in (short, long)]
    assert changed[1] / changed[0] == pytest.approx(9, rel=0.25), "the area is in proportion to the duration"
    two = np.asarray(draw(grey, [Scanpath([100], [150]), Scanpath([300], [150])])).astype(int)
    assert np.abs(two[146, 94:98] - two[146, 294:298]).max() > 50
    assert short._repr_png_().startswith(b"\x89PNG")


def test_csv_has_a_line_a_fixation(tmp_path: Path) -> None:
    one, untimed = Scanpath([1.234, np.nan], [2, np.nan], [200, 210]), Scanpath([5], [6])
    one.to_csv(tmp_path / "one.csv")
    assert (tmp_path / "one.csv").read_text() == "path,fixation,x,y,duration_ms\n1,1,1.23,2.00,200\n1,2,nan,nan,210\n"
    write_csv(tmp_path / "two.csv", [untimed, untimed])
    assert (tmp_path / "two.csv").read_text() == "path,fixation,x,y\n1,1,5.00,6.00\n2,1,5.00,6.00\n"


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"x, y, duration and onset of a scanpath must be 1-D and of one length, got shapes"
    ):
        Scanpath([1, 2], [1])
