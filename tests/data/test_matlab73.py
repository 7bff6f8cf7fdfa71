"""MATLAB 7.3: the same points and maps as from older files, and a library that may crash without taking us along."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import make_tiny, matlab73
from scipy.io import savemat

from salzoo import _hdf5
from salzoo.data import CAT2000, ISUN, MIT1003, OSIE, SALICON, FixationDataset, Scene500
from salzoo.data._matlab import load_mat, open_mat, simple
from salzoo.data.map_folder import MapFolder
from salzoo.errors import DataError, SpecError


@pytest.mark.parametrize("reader", [OSIE, Scene500, SALICON, ISUN, MIT1003, CAT2000])
def test_points_are_those_of_older_files(reader: type[FixationDataset], tmp_path: Path) -> None:
    folder = getattr(make_tiny, reader.__name__.lower())(tmp_path)
    old = reader(folder, "all")
    before = [old.read_points(i) for i in range(len(old))]
    for path in folder.rglob("*.mat"):
        if path.name != "allFixData.mat":
            matlab73.convert(path)
    new = reader(folder, "all")
    assert new.names == old.names
    for i, points in enumerate(before):
        for name in ("x", "y", "observer"):
            np.testing.assert_array_equal(getattr(new.read_points(i), name), getattr(points, name))


def test_a_map_of_matlab(tmp_path: Path) -> None:
    folder = make_tiny.cat2000(tmp_path)
    old = CAT2000(folder, "all", observers=True)
    before = [old.read_points(i) for i in range(len(old))]
    content = {}
    for i, name in enumerate(old.names):
        people = np.empty((4, 1), object)
        for k in range(4):
            points = before[i].of(k)
            people[k, 0] = {"name": f"{k}", "data": np.stack([points.x, points.y], 1) + 1}
        content[name] = people
    matlab73.save_map(folder / "trainSet/allFixData.mat", "allData", content)
    new = CAT2000(folder, "all", observers=True)
    for i, points in enumerate(before):
        np.testing.assert_array_equal(new.read_points(i).x, points.x)
        np.testing.assert_array_equal(new.read_points(i).observer, points.observer)


def test_maps(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((6, 9))
    matlab73.save(tmp_path / "a.mat", {"note": "hello", "one": 3.0, "salMap": values})
    np.testing.assert_array_equal(MapFolder(tmp_path, ["a.jpg"]).read(0, (6, 9)), values)


def test_kinds_of_values(tmp_path: Path) -> None:
    path, cell = tmp_path / "a.mat", np.empty((2, 2), object)
    cell[:] = [["ab", np.eye(2)], [np.empty((0, 3)), {"x": np.arange(3.0)}]]
    content: dict[str, Any] = {"cell": cell, "flag": np.array([[True, False]]), "i": np.arange(6).reshape(2, 3)}
    matlab73.save(path, content)
    older = tmp_path / "b.mat"
    savemat(older, content)
    assert {name: each.shape for name, each in open_mat(path).items()} == {"cell": (2, 2), "flag": (1, 2), "i": (2, 3)}
    for name in ("flag", "i"):
        np.testing.assert_array_equal(
            load_mat(path, name, simplify=False), load_mat(older, name, simplify=False), strict=True
        )
    text, empty, square, struct = load_mat(path, "cell", simplify=True)
    assert text == "ab"
    assert (empty.size, square.tolist(), struct["x"].tolist()) == (0, [[1, 0], [0, 1]], [0, 1, 2])


def test_a_damaged_file_is_an_error_whatever_it_does_to_the_library(tmp_path: Path) -> None:
    good, path = tmp_path / "good.mat", tmp_path / "damaged.mat"
    struct = np.empty((1, 2), [("image", object)])
    struct[0] = [("sun_1",), ("sun_2",)]
    matlab73.save(good, {"testing": struct, "matrix": np.eye(4)})
    whole, rng, refused = good.read_bytes(), random.Random(0), 0
    for _ in range(150):
        place = rng.randrange(512, len(whole))
        path.write_bytes(whole[:place] + bytes([rng.randrange(256)]) + whole[place + 1 :])
        try:
            for each in open_mat(path).values():
                simple(each.read())
        except DataError:
            refused += 1
    assert 5 < refused < 150
    for end in (10, 300, 520, 2000, len(whole) - 100):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"damaged\.mat cannot be read as a MATLAB file"):
            [each.read() for each in open_mat(path).values()]


def test_after_a_crash_the_next_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    matlab73.save(path, {"matrix": np.eye(4)})
    matrix = open_mat(path)["matrix"]
    worker = next(each for (_, script), each in _hdf5._workers.items() if script.name == "_mat73.py")._process
    assert worker is not None
    os.kill(worker.pid, signal.SIGSEGV)
    with pytest.raises(DataError, match=r"a\.mat cannot be read .*crashed or hung on it: the file is damaged"):
        matrix.read()
    np.testing.assert_array_equal(matrix.read(), np.eye(4))


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matlab73.save(tmp_path / "a.mat", {"matrix": np.eye(4)})
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(SpecError, match=r'which h5py reads: pip install "salzoo\[hdf5\]", or save it again'):
        open_mat(tmp_path / "a.mat")
