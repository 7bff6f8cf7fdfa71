"""Damaged .npz and .npy files: sound arrays or one DataError, and no more memory than a file holds."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fuzz.damage import damaged
from hypothesis import example, given

from salzoo._arrays import Stored, open_npy, open_npz
from salzoo.errors import DataError

COUNTS = np.arange(35, dtype=np.int32).reshape(5, 7)


def written(save: Callable[..., None], *arrays: object, **named: object) -> bytes:
    """Return the file that NumPy writes."""
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


NPZ = [written(save, fixations=COUNTS, names=np.array(["a", "b"])) for save in (np.savez, np.savez_compressed)]
NPY = [written(np.save, COUNTS), written(np.save, np.asfortranarray(COUNTS.astype(float)))]


def read_all(file: Path, data: bytes) -> list[object]:
    """Return every array that can be read of such a file."""
    file.write_bytes(data)
    found: list[Stored] = []
    values: list[object] = []
    try:
        found = list(open_npz(file).values()) if file.suffix == ".npz" else [open_npy(file)]
    except DataError as error:
        assert file.name in str(error)  # noqa: PT017 - most damages are refused, some are none
    for each in found:
        try:
            values.append(each.read())
        except DataError as error:
            assert file.name in str(error)  # noqa: PT017
    return values


def test_sound_files_are_read(tmp_path: Path) -> None:
    for data in NPZ:
        np.testing.assert_array_equal(read_all(tmp_path / "a.npz", data)[0], COUNTS)
    for data in NPY:
        np.testing.assert_array_equal(read_all(tmp_path / "a.npy", data)[0], COUNTS)


@pytest.mark.filterwarnings("ignore::UserWarning")  # zipfile warns of names that come twice
@given(data=damaged(NPZ))
def test_a_damaged_archive_is_arrays_or_one_error(tmp_path: Path, data: bytes) -> None:
    tracemalloc.start()
    read_all(tmp_path / "a.npz", data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


@given(data=damaged(NPY))
@example(NPY[0].replace(b"'shape': (", b"'shape\0\0\0\0"))  # NumPy's header reader raised tokenize.TokenError
def test_a_damaged_array_is_an_array_or_one_error(tmp_path: Path, data: bytes) -> None:
    for value in read_all(tmp_path / "a.npy", data):
        assert isinstance(value, np.ndarray)
