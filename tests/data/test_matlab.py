"""The reader of MATLAB files: what SciPy reads of whole ones, and one error for each that is damaged."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import make_tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from scipy.io import loadmat, savemat

from salzoo.data._matlab import load_mat, open_mat
from salzoo.errors import DataError, DatasetNotFoundError

FUZZ = Path(__file__).with_name("fuzz_matlab.py")

numbers = hnp.arrays(
    st.sampled_from(["f8", "f4", "u1", "i2", "u4", "i8"]).map(np.dtype), hnp.array_shapes(min_dims=2, max_dims=3)
)
texts = st.text("abcdefghij XYZ_09äß", min_size=1, max_size=12).filter(lambda text: text == text.strip())
fields = st.text("abcdef", min_size=1, max_size=8)


def cells(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def fill(values: list[Any]) -> Any:
        cell = np.empty((1, len(values)), object)
        cell[0, :] = values
        return cell

    return st.lists(children, min_size=1, max_size=3).map(fill)


content = st.recursive(
    numbers | texts, lambda each: cells(each) | st.dictionaries(fields, each, min_size=1, max_size=3), max_leaves=8
)


def same(found: Any, expected: Any) -> None:
    """Compare what the reader returns with what SciPy does, types and shapes included."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if expected.dtype.names:
        for one, other in zip(found.ravel(), expected.ravel(), strict=True):
            for name in expected.dtype.names:
                same(one[name], other[name])
    elif expected.dtype == object:
        for one, other in zip(found.ravel(), expected.ravel(), strict=True):
            same(one, other)
    else:
        np.testing.assert_array_equal(found, expected)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(fields, content, min_size=1, max_size=3), st.booleans())
def test_reads_what_scipy_reads(tmp_path: Path, content: dict[str, Any], compressed: bool) -> None:
    savemat(tmp_path / "a.mat", content, do_compression=compressed, long_field_names=True)
    expected = {name: value for name, value in loadmat(tmp_path / "a.mat").items() if not name.startswith("__")}
    found = open_mat(tmp_path / "a.mat")
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape or value.dtype.kind == "U"
        assert found[name].numeric == (value.dtype.kind in "iuf")
        same(found[name].read(), value)


def test_sparse_logical_complex_and_version_4(tmp_path: Path) -> None:
    matrix = np.zeros((5, 7))
    matrix[[1, 4], [6, 0]] = 3, 2.5
    path = tmp_path / "a.mat"
    savemat(path, {"s": sparse.csc_matrix(matrix), "t": matrix > 2.7, "c": matrix + 1j})
    np.testing.assert_array_equal(load_mat(path, "s", simplify=False), matrix)
    np.testing.assert_array_equal(load_mat(path, "t", simplify=False), matrix > 2.7)
    np.testing.assert_array_equal(load_mat(path, "c", simplify=False), matrix + 1j)
    assert not open_mat(path)["c"].numeric
    savemat(path, {"old": matrix}, format="4")
    np.testing.assert_array_equal(load_mat(path, "old", simplify=True), matrix)


def test_simplified(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    people = np.empty((1, 2), object)
    people[0, :] = [{"x": [1, 2, 3], "who": "ann"}, np.empty((0, 0))]
    savemat(path, {"all": people, "one": {"x": 5}})
    first, second = load_mat(path, "all", simplify=True)
    assert first["x"].tolist() == [1, 2, 3]
    assert (first["who"], second.tolist(), load_mat(path, "one", simplify=True)) == ("ann", [], {"x": 5})


def test_no_changed_byte_ends_the_process(tmp_path: Path) -> None:
    """Byte 488 of 552, 16 to 133, ended it with SIGSEGV in SciPy's parser."""
    files = []
    for name in ("osie", "scene500", "salicon", "isun", "mit1003", "cat2000"):
        path = next(iter(sorted(getattr(make_tiny, name)(tmp_path).rglob("*.mat"))))
        files.append(tmp_path / f"{name}.mat")
        if name == "mit1003":  # whose names are too long to be written again
            files[-1].write_bytes(path.read_bytes())
        else:  # short, so that each byte's turn comes
            variables = {key: each.read() for key, each in open_mat(path).items()}
            savemat(files[-1], {key: value[:2] for key, value in variables.items()})
    files.append(tmp_path / "old.mat")
    savemat(files[-1], {"a": np.arange(6.0).reshape(2, 3), "text": "abc"}, format="4")
    done = subprocess.run([sys.executable, FUZZ, "150", *files], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    tried, refused = map(int, done.stdout.split())
    assert tried > 2500
    assert tried / 20 < refused < tried


def test_a_damaged_file_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"a": np.arange(12.0).reshape(3, 4), "b": {"c": 1}})
    whole = path.read_bytes()
    for end in (0, 3, 127, 130, 150, 200, len(whole) - 9):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"a\.mat cannot be read as a MATLAB file, is the download complete\? "):
            [each.read() for each in open_mat(path).values()] and load_mat(path, "none", simplify=False)
    path.write_bytes(whole.replace(np.array([3, 4], "<i4").tobytes(), np.array([4, 4], "<i4").tobytes()))
    with pytest.raises(DataError, match=r"an array of the size \(4, 4\) has 12 numbers"):
        load_mat(path, "a", simplify=False)
    with pytest.raises(DatasetNotFoundError, match="there is no file"):
        open_mat(tmp_path / "b.mat")
    with pytest.raises(DataError, match="cannot be read as a MATLAB file"):
        open_mat(tmp_path)


def test_cells_in_cells_without_end(tmp_path: Path) -> None:
    deep: Any = np.eye(2)
    for _ in range(80):
        outer = np.empty((1, 1), object)
        outer[0, 0] = deep
        deep = outer
    savemat(tmp_path / "a.mat", {"a": deep})
    with pytest.raises(DataError, match="nested more than 64 deep"):
        load_mat(tmp_path / "a.mat", "a", simplify=True)


def test_only_what_is_asked_for_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"big": np.zeros(1 << 20), "small": np.eye(2)}, do_compression=True)
    whole = bytearray(path.read_bytes())
    size = int.from_bytes(whole[132:136], "little")
    whole[136 + size - 2] ^= 1  # its checksum
    path.write_bytes(whole)
    np.testing.assert_array_equal(load_mat(path, "small", simplify=False), np.eye(2))
    with pytest.raises(DataError, match="a compressed variable is damaged"):
        load_mat(path, "big", simplify=False)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    stream = zlib.compressobj(9)
    size = 3 << 30
    head = np.array([14, size, 6, 8, 6, 0, 5, 8, 1, size // 8 - 7, 1, 1, 9, size - 56], "<u4").tobytes()
    packed = stream.compress(head) + stream.compress(bytes(1 << 24)) + stream.flush()
    path = tmp_path / "a.mat"
    savemat(path, {})
    path.write_bytes(path.read_bytes() + np.array([15, len(packed)], "<u4").tobytes() + packed)
    with pytest.raises(DataError, match="claims 3221225480 bytes; at most 1073741824 are unpacked"):
        load_mat(path, "a", simplify=False)


def test_cells_without_number(tmp_path: Path) -> None:
    count = 5_000_000
    cell = np.array([14, 40 + 8 * count, 6, 8, 1, 0, 5, 8, 1, count, 65537], "<u4").tobytes() + b"a\0\0\0"
    packed = zlib.compress(cell + np.array([14, 0], "<u4").tobytes() * count)
    savemat(tmp_path / "a.mat", {})
    head = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(head + np.array([15, len(packed)], "<u4").tobytes() + packed)
    with pytest.raises(DataError, match="5000000 cells are more than fit into 40000000 bytes, or over 4000000 in all"):
        load_mat(tmp_path / "a.mat", "a", simplify=False)
