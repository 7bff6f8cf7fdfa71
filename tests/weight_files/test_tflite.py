"""TensorFlow Lite: what is written is read, and what is damaged is refused with one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from importing.writers_tflite import write_tflite

from salzoo.errors import WeightsError
from salzoo.weight_files import read

REAL = Path(__file__).parents[3] / "shared/weights/attention_center/center.tflite"

TENSORS = {
    "half": np.linspace(-1, 1, 24).astype(np.float16).reshape(2, 3, 4),
    "single": np.linspace(5, 6, 5).astype(np.float32),
    "scalar": np.float16(0.25).reshape(()),
    "axes": np.array([1, 2], np.int32),
    "long": np.array([2**40], np.int64),
    "double;with;a;long;name": np.full((1, 1), np.pi),
}


def test_constants_are_read_by_name(tmp_path: Path) -> None:
    file = read(write_tflite(tmp_path / "any.name", TENSORS, computed=("relu", "sum")))
    assert file.format == "tflite"
    assert list(file.tensors) == list(TENSORS)
    for name, array in TENSORS.items():
        assert file.tensors[name].numpy().dtype == array.dtype
        np.testing.assert_array_equal(file.tensors[name].numpy(), array)


@pytest.mark.skipif(not REAL.is_file(), reason="the released file is not beside the repository")
def test_the_released_file() -> None:
    tensors = read(REAL).tensors
    assert len(tensors) == 184
    assert sum(t.numel() for t in tensors.values() if t.is_floating_point()) == 289_191 + 2 * 480 * 640
    assert tensors["MobilenetV3/Conv/GroupNorm/add/y"].item() == np.float16(1e-6)
    rows, columns = tensors["einsum/Einsum"].float().view(2, 480, 640)
    assert rows[7, 9] == 7
    assert columns[7, 9] == 9


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    path = write_tflite(tmp_path / "file", {"w": np.zeros(3, np.int8)}, quantised=["w"])
    with pytest.raises(WeightsError, match="whole numbers with a scale"):
        read(path)


def test_two_constants_of_one_name_keep_both(tmp_path: Path) -> None:
    path = write_tflite(tmp_path / "file", {"w": np.ones(3, np.float32), "v": np.zeros(2, np.float32)})
    path.write_bytes(path.read_bytes().replace(b"\1\0\0\0v\0", b"\1\0\0\0w\0"))
    assert list(read(path).tensors) == ["w", "w:1"]


@pytest.mark.parametrize("length", [8, 40, 200, 600])
def test_a_file_that_ends_too_soon_is_refused(length: int, tmp_path: Path) -> None:
    path = write_tflite(tmp_path / "file", TENSORS)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WeightsError, match="download complete"):
        read(path)


def test_any_damage_is_an_error_or_other_numbers(tmp_path: Path) -> None:
    """Every byte, set to each of a few values: no crash, no hang, one kind of error."""
    good = write_tflite(tmp_path / "good", {"w": np.ones((2, 3), np.float32), "b": np.ones(2, np.float16)}).read_bytes()
    path = tmp_path / "bad"
    told = list[str]()
    for i in range(8, len(good)):
        for value in (0x00, 0x7F, 0x80, 0xFF):
            path.write_bytes(good[:i] + bytes([value]) + good[i + 1 :])
            try:
                read(path)
            except WeightsError as error:
                told.append(str(error))
    assert len(told) > 200
    assert not [line for line in told if "\n" in line]


def test_a_shape_that_its_bytes_do_not_fill_is_refused(tmp_path: Path) -> None:
    path = write_tflite(tmp_path / "file", {"w": np.ones((2, 3), np.float32)})
    path.write_bytes(path.read_bytes().replace(b"\2\0\0\0\3\0\0\0", b"\2\0\0\0\4\0\0\0"))
    with pytest.raises(WeightsError, match=r"w has the shape \[2, 4\] but 24 bytes"):
        read(path)
