"""Damaged MATLAB files of every version, and damaged JSON of SALICON: values or one DataError, in this process."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import make_tiny, matlab73
from fuzz.damage import damaged
from hypothesis import example, given
from scipy import sparse
from scipy.io import savemat

from salzoo.data._matlab import load_objects, open_mat, simple
from salzoo.data.datasets.salicon_json import read_api_json
from salzoo.errors import DataError


def written(content: dict[str, Any], **options: Any) -> bytes:
    """Return the file that SciPy writes."""
    file = io.BytesIO()
    savemat(file, content, **options)
    return file.getvalue()


CELL = np.empty((1, 3), object)
CELL[0, :] = [np.eye(3), "i1001.jpg", {"fix_x": [1.5, 2.5], "fix_y": [3.0, 4.0]}]
STRUCT = np.empty((2, 1), [("image", object), ("gaze", object)])
STRUCT[:, 0] = [("sun_1", np.ones((2, 2))), ("sun_2", np.empty((0, 0)))]
CONTENT = {"fixations": CELL, "training": STRUCT, "I": np.eye(5, dtype=np.uint8), "c": np.eye(2) * 1j}
OLDER = [
    written(CONTENT),
    written(CONTENT, do_compression=True),
    written({"s": sparse.csc_matrix(np.eye(4)), "flags": np.eye(3) > 0}),
    written({"I": np.eye(3), "text": "abc"}, format="4"),
]
ENTRY = {"image_id": 5, "worker_id": 7, "fixations": [[1, 2], [30, 40]]}
JSON = json.dumps({"images": [{"id": 5, "file_name": "a.jpg"}], "annotations": [ENTRY, ENTRY], "type": "fixations"})


def read_all(path: Path, data: bytes) -> None:
    """Read every variable that can be read of such a file."""
    path.write_bytes(data)
    try:
        for each in open_mat(path).values():
            simple(each.read())
    except DataError as error:
        assert path.name in str(error)  # noqa: PT017 - most damages are refused, some are none


@given(data=damaged(OLDER))
@example(OLDER[0][:488] + b"\x85" + OLDER[0][489:])  # in such a place, a byte of 133 was a SIGSEGV in SciPy
def test_a_damaged_file_is_values_or_one_error(tmp_path: Path, data: bytes) -> None:
    read_all(tmp_path / "a.mat", data)


@pytest.fixture(scope="module")
def containers_map(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a file with a `containers.Map`."""
    return (make_tiny.cat2000(tmp_path_factory.mktemp("cat")) / "trainSet/allFixData.mat").read_bytes()


def test_every_place_of_a_map_of_objects(containers_map: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    for place in range(0, len(containers_map), len(containers_map) // 200):
        path.write_bytes(containers_map[:place] + bytes([containers_map[place] ^ 128]) + containers_map[place + 1 :])
        try:
            load_objects(path)
        except DataError as error:
            assert path.name in str(error)  # noqa: PT017


@pytest.fixture(scope="module")
def hdf5(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a file of version 7.3."""
    path = tmp_path_factory.mktemp("hdf5") / "a.mat"
    matlab73.save(path, {"fixations": CELL, "training": STRUCT})
    return path.read_bytes()


@given(place=damaged([bytes(range(256))]))
def test_a_damaged_file_of_hdf5_is_values_or_one_error(tmp_path: Path, hdf5: bytes, place: bytes) -> None:
    at = 512 + sum(place) % (len(hdf5) - 512)
    read_all(tmp_path / "a.mat", hdf5[:at] + place[:1] + hdf5[at + 1 :])


@given(data=damaged([JSON.encode()]))
def test_damaged_json_is_points_or_one_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "fixations_train2014.json"
    path.write_bytes(data)
    try:
        read_api_json(path)
    except DataError as error:
        assert path.name in str(error)  # noqa: PT017
