"""Damaged map files and images of datasets: numbers in range, or one error that names the file."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzz.damage import damaged
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from salzoo.data.base import _rgb, open_image
from salzoo.data.map_folder import MapFolder
from salzoo.errors import SalzooError

SIZE = (7, 9)
GREY = np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)


def written(values: Image.Image | np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "npy":
        np.save(file, values)
    else:
        (values if isinstance(values, Image.Image) else Image.fromarray(values)).save(file, kind)
    return file.getvalue()


SOUND = [
    *(written(GREY, kind) for kind in ("PNG", "TIFF", "BMP", "PPM", "JPEG")),
    written(GREY.astype(np.uint16) * 257, "PNG"),
    written(GREY.astype(np.float32), "TIFF"),
    written(Image.fromarray(GREY).convert("P"), "PNG"),
    written(Image.fromarray(GREY).convert("RGBA"), "PNG"),
    written(GREY / GREY.sum(), "npy"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("maps")


def is_told(read: Callable[[], object], name: str) -> bool:
    """Whether something is read, or refused in one line that names the file."""
    try:
        read()
    except SalzooError as error:
        return name in str(error) and "\n" not in str(error)
    return True


@given(data=damaged(SOUND), suffix=st.sampled_from([".png", ".NPY", ".tif"]))
def test_damaged_maps(folder: Path, data: bytes, suffix: str) -> None:
    for old in folder.iterdir():
        old.unlink()
    path = folder / f"a{suffix}"
    path.write_bytes(data)

    def read() -> None:
        found = MapFolder(folder, ["a.jpg"]).read(0, SIZE)
        assert found.shape == SIZE
        assert bool(torch.isfinite(found).all())
        assert float(found.min()) >= 0

    assert is_told(read, path.name)


@given(data=damaged(SOUND))
def test_damaged_images_of_datasets(folder: Path, data: bytes) -> None:
    path = folder / "image.png"
    path.write_bytes(data)

    def read() -> None:
        found = open_image(path, lambda image: _rgb(image, path))
        assert found.dtype == np.uint8
        assert found.ndim == 3

    assert is_told(read, path.name)
