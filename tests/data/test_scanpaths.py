"""Fixations keep their order: who looked where, then where."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from salzoo.data import OSIE, FixationFolder, Fixations, ScanpathDataset, collate_scanpaths, prepare
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
    assert (tmp_path / "one.csv").read_text() == "fixation,x,y,duration_ms\n1,1.23,2.00,200\n2,nan,nan,210\n"
    write_csv(tmp_path / "two.csv", [untimed, untimed])
    assert (tmp_path / "two.csv").read_text() == "path,fixation,x,y\n1,1,5.00,6.00\n2,1,5.00,6.00\n"


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match=r"x, y and duration of a scanpath must be 1-D and of one length, got shapes"):
        Scanpath([1, 2], [1])
