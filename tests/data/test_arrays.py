"""Arrays in .npz and .npy: only what is asked for is unpacked, and no header is believed further than it is true."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.studies import images
from scipy.io import savemat

from salzoo._arrays import open_npy, open_npz
from salzoo.data import FixationFolder
from salzoo.data.map_folder import MapFolder
from salzoo.errors import DataError, DatasetNotFoundError, ImageError

HUGE = (12_000, 12_000)


def bomb(path: Path, **others: np.ndarray) -> None:
    """Write arrays, and one of 1.15 GB of zeros, which takes 5 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in others.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            archive.writestr(f"{name}.npy", buffer.getvalue())
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": HUGE})
        with archive.open("notes.npy", "w", force_zip64=True) as file:
            file.write(header.getvalue())
            for _ in range(36):
                file.write(bytes(32_000_000))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb(tmp_path / "a.npz", density=np.full((6, 8), 0.5))
    tracemalloc.start()
    try:
        density = MapFolder(tmp_path, ["a.jpg"]).read(0, (6, 8))
        arrays = open_npz(tmp_path / "a.npz")
        with pytest.raises(DataError, match=r"a\.npz cannot be read.*1152000000 bytes; at most 1073741824"):
            arrays["notes"].read()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert density.eq(0.5).all()
    assert peak < 1 << 24
    (tmp_path / "b").mkdir()
    bomb(tmp_path / "b/a.npz")
    with pytest.raises(ImageError, match="at most 1073741824 are read"):
        MapFolder(tmp_path / "b", ["a.jpg"]).read(0, (6, 8))


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_those_of_numpy(order: str, tmp_path: Path) -> None:
    arrays = {"a": np.arange(12.0).reshape(3, 4), "b": np.array(["x", "yy"]), "c": np.int16(7), "d": np.zeros((0, 3))}
    arrays = {name: np.asarray(value, order=order) for name, value in arrays.items()}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    found = open_npz(tmp_path / "a.npz")
    for name, array in arrays.items():
        assert (found[name].shape, found[name].numeric) == (array.shape, array.dtype.kind in "if")
        np.testing.assert_array_equal(found[name].read(), array, strict=True)
        np.save(tmp_path / "a.npy", array)
        np.testing.assert_array_equal(open_npy(tmp_path / "a.npy").read(), array, strict=True)


def test_wrong_suffixes_and_damage(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.eye(3))
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npy").read_bytes())
    with pytest.raises(DataError, match=r"it is one array: an \.npy file with the wrong suffix, rename it"):
        open_npz(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", a=np.eye(3))
    (tmp_path / "b.npy").write_bytes((tmp_path / "b.npz").read_bytes())
    with pytest.raises(DataError, match=r"an archive of arrays: an \.npz file with the wrong suffix"):
        open_npy(tmp_path / "b.npy")
    np.savez(tmp_path / "c.npz", a=np.array([{}], object))
    with pytest.raises(DataError, match="it holds Python objects, which are not read"):
        open_npz(tmp_path / "c.npz")
    with pytest.raises(DatasetNotFoundError):
        open_npz(tmp_path / "d.npz")
    whole = (tmp_path / "b.npz").read_bytes()
    for damaged in (
        b"",
        whole[:50],
        whole[:-30],
        whole.replace(b"(3, 3)", b"(3, 9)"),
        whole.replace(b"(3, 3)", b"(1, 3)"),
    ):
        (tmp_path / "b.npz").write_bytes(damaged)
        with pytest.raises(DataError, match=r"b\.npz cannot be read as an \.npz file"):
            open_npz(tmp_path / "b.npz")["a"].read()
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes().replace(b"(3, 3), }      ", b"(9999, 9999), }"))
    with pytest.raises(DataError, match=r"a\.npy cannot be read"):
        open_npy(tmp_path / "a.npy").read()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "has nan at a pixel"),
        (-2, "has -2 at"),
        (np.inf, "has inf at"),
        (0.5, "has 0.5 at"),
        (1e9, "has 1000000002 fixations on one image"),
    ],
)
def test_a_matrix_that_counts_nothing(value: float, message: str, tmp_path: Path) -> None:
    (name, size), *_ = images(tmp_path / "images", 12).items()
    folder = tmp_path / "fixations"
    folder.mkdir()
    matrix = np.zeros(size)
    matrix[3, 4], matrix[5, 6] = value, 2
    for suffix in (".mat", ".npz"):
        path = folder / f"{name[:-4]}{suffix}"
        write: Any = (
            (lambda path, values: savemat(path, {"fixations": values}))
            if suffix == ".mat"
            else (lambda path, values: np.savez(path, fixations=values))
        )
        write(path, matrix)
        with pytest.raises(DataError, match=rf"p00\{suffix} {message}"):
            FixationFolder(tmp_path, "all")
        write(path, (matrix == 2) * 3)
        assert FixationFolder(tmp_path, "all").fixations(0).y.tolist() == [5, 5, 5]
        write(path, (matrix != 0) * 255)  # a mask
        assert FixationFolder(tmp_path, "all").fixations(0).y.tolist() == [3, 5]
        write(path, np.ones(size))
        with pytest.raises(DataError, match="that is a blurred map, not fixations"):
            FixationFolder(tmp_path, "all")
        path.unlink()
