"""Images that come as files, bytes, and arrays and tensors of unusual kinds: the right values, or one error."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import salzoo
from salzoo import SaliencyMap
from salzoo.errors import ImageError
from salzoo.images.read import to_array, to_list, to_tensor


@pytest.fixture
def rgb() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)


@pytest.fixture
def png(rgb: NDArray[np.uint8], tmp_path: Path) -> Path:
    Image.fromarray(rgb).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_bytes_of_a_file(kind: Callable[[bytes], Any], png: Path, rgb: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(to_array(kind(png.read_bytes())), rgb)


@pytest.mark.parametrize("place", [0, 7, None])
def test_an_open_file_is_read_whole_and_left_where_it_was(place: int | None, png: Path, rgb: NDArray[np.uint8]) -> None:
    with png.open("rb") as on_disk, io.BytesIO(png.read_bytes()) as in_memory:
        for file in (on_disk, in_memory):
            file.seek(*((0, os.SEEK_END) if place is None else (place,)))
            before = file.tell()
            for _ in range(2):
                np.testing.assert_array_equal(to_array(file), rgb)
                assert file.tell() == before


def test_a_pipe(png: Path, rgb: NDArray[np.uint8]) -> None:
    end, start = os.pipe()
    with os.fdopen(end, "rb") as file:
        with os.fdopen(start, "wb") as writer:
            writer.write(png.read_bytes())
        np.testing.assert_array_equal(to_array(file), rgb)
        with pytest.raises(ImageError, match=r"the open file is empty .*read to its end before"):
            to_array(file)


def test_predict_takes_them_all_alike(png: Path) -> None:
    model = salzoo.load("signature")
    wanted = model.predict(png).density
    with png.open("rb") as file:
        kinds = [io.BytesIO(png.read_bytes()), file, png.read_bytes(), bytearray(png.read_bytes())]
        for found in (*model.predict(kinds), *(model.predict(kind) for kind in kinds)):
            np.testing.assert_array_equal(found.density, wanted)
        saliency_map = model.predict(file)
        assert saliency_map.overlay(file).size == (16, 12)


def test_files_that_are_none(png: Path) -> None:
    closed = png.open("rb")
    closed.close()
    text: list[tuple[IO[Any] | bytes, str]] = [
        (io.StringIO("a letter"), "the open file gives str instead of bytes; open it with mode 'rb'"),
        (closed, rf"cannot read the file '{png}': .*closed.*; open it anew in mode 'rb', or pass its path"),
        (io.BytesIO(), r"the open file is empty \(0 bytes\)"),
        (b"", r"the image in bytes is empty \(0 bytes\)"),
        (b"\xff\xd8", "the image in bytes is not an image in a format that salzoo reads"),
        (io.BytesIO(b"\xff\xd8"), "the open file is not an image in a format that salzoo reads"),
        (png.read_bytes()[:90], "cannot decode the image in bytes"),
    ]
    for file, words in text:
        with pytest.raises(ImageError, match=words):
            to_array(file)  # type: ignore[arg-type]  # a text file is refused
    with pytest.raises(ImageError, match="a file opened in binary mode, the bytes of a file, a PIL image"):
        to_array(object())  # type: ignore[arg-type]


def strange_tensors() -> dict[str, torch.Tensor]:
    image = torch.rand(3, 4, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of sparse and nested tensors in beta
        return {
            "sparse": image.to_sparse(),
            "sparse_csr": torch.rand(4, 5).to_sparse_csr(),
            "meta": image.to("meta"),
            "quantised": torch.quantize_per_tensor(image, 0.1, 0, torch.quint8),
            "complex": torch.complex(image, image),
            "complex ": torch.complex(image, image).conj(),
            "nested": torch.nested.nested_tensor([image[0], image[1, :2]]),
        }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", strange_tensors())
def test_tensors_without_plain_values(kind: str) -> None:
    tensor = strange_tensors()[kind]
    with pytest.raises(ImageError, match=kind.strip()):
        to_tensor(tensor)
    if kind not in ("sparse_csr", "nested"):
        with pytest.raises(ImageError, match=kind.strip()):
            to_list(tensor[None])


def test_a_negated_view_is_its_values() -> None:
    values = torch.complex(torch.zeros(1, 4, 5), -torch.rand(1, 4, 5))
    lazy = values.conj().imag
    assert lazy.is_neg()
    np.testing.assert_array_equal(to_array(lazy)[..., 0], -values.imag[0].numpy())


def test_masked_arrays() -> None:
    values = np.random.default_rng(0).random((4, 5)).astype(np.float32)
    np.testing.assert_array_equal(to_array(np.ma.masked_array(values))[..., 0], values)
    values[1, 2] = np.nan
    with pytest.raises(ImageError, match=r"the array has 1 masked values; .*array\.filled"):
        to_array(np.ma.masked_invalid(values))
    with pytest.raises(ImageError, match="the array has 20 masked"):
        to_array(np.ma.masked_all((4, 5), np.uint8))


def test_saliency_maps_of_strange_arrays() -> None:
    log = np.full((4, 5), np.log(0.05))
    bad: list[tuple[Any, str]] = [
        (np.ma.masked_array(log, mask=np.eye(4, 5) > 0), "the log density has 4 masked values"),
        (torch.from_numpy(log).to_sparse(), "sparse"),
        (torch.from_numpy(log).to("meta"), "meta"),
        (torch.from_numpy(log + 1j).conj(), "complex"),
        (log + 1j, "complex128"),
        (np.zeros((0, 5)), "sums to 0"),
    ]
    for values, words in bad:
        with pytest.raises(ImageError, match=words):
            SaliencyMap(values)
    for values in (torch.from_numpy(log).bfloat16(), torch.from_numpy(log).half(), np.ma.masked_array(log)):
        np.testing.assert_allclose(SaliencyMap(values).density, 0.05, rtol=1e-6)


class Stream:
    """A reader as libraries of networks have: it cannot seek, and raises errors of its own."""

    def __init__(self, data: bytes | None) -> None:
        self.data = data

    def read(self) -> bytes:
        if self.data is None:
            raise RuntimeError("connection lost")
        return self.data


def test_readers_that_only_read(png: Path, rgb: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(to_array(Stream(png.read_bytes())), rgb)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="cannot read the open file: RuntimeError: connection lost; open it anew"):
        to_array(Stream(None))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["RGB", "L", "F", "I;16", "RGBA", "P"])
def test_images_without_a_pixel(mode: str) -> None:
    empty: list[Any] = [Image.new(mode, (0, 5)), np.zeros((0, 5, 3)), torch.zeros(3, 5, 0)]
    for image in empty:
        with pytest.raises(ImageError, match="pixels; a map needs at least 2"):
            to_array(image)
