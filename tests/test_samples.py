"""Sample images: those of the installed packages, and the displays drawn here."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label

from salzoo.errors import ImageError
from salzoo.images.samples import SAMPLES, PopOut, Sample, _load, pop_out, sample_images


def test_sample_images() -> None:
    for package in ("skimage", "sklearn"):
        pytest.importorskip(package, reason="comes with salzoo[samples]")
    images = sample_images()
    assert set(images) == {*SAMPLES, "pop_out_colour", "pop_out_orientation", "pop_out_size"}
    for image in images.values():
        assert image.mode == "RGB"
        assert min(image.size) >= 300
        assert np.asarray(image).std() > 10
    assert len({image.tobytes() for image in images.values()}) == len(images)


def test_missing_package_and_missing_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no_such_package.*salzoo\[samples\]"):
        _load("cat", Sample("no_such_package", "cat.png", ""))
    (tmp_path / "thin_package").mkdir()
    (tmp_path / "thin_package" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ImageError, match=r"'cat' is not in this version of thin_package"):
        _load("cat", Sample("thin_package", "cat.png", ""))


@pytest.mark.parametrize("seed", range(5))
def test_only_the_colour_singleton_is_red(seed: int) -> None:
    image, (x, y) = pop_out("colour", seed)
    pixels = np.asarray(image).astype(int)
    assert pixels.shape == (480, 640, 3)
    rows, columns = np.nonzero(pixels[..., 0] > pixels[..., 1] + 30)
    assert abs(columns.mean() - x) < 0.1
    assert abs(rows.mean() - y) < 0.1
    assert max(np.ptp(columns), np.ptp(rows)) < 50


def bars(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image).astype(int)
    return np.asarray(np.abs(pixels - 128).max(-1) > 40)


def around(mask: np.ndarray, x: int, y: int, radius: int) -> np.ndarray:
    return mask[y - radius : y + radius + 1, x - radius : x + radius + 1]


def test_orientation_singleton_is_tilted_the_other_way() -> None:
    image, (x, y) = pop_out("orientation", seed=3)
    window = around(bars(image), x, y, 18)
    rows, columns = np.nonzero(window)
    assert np.corrcoef(rows, columns)[0, 1] < -0.8  # rises to the right
    neighbour = around(bars(image), x - 80, y, 30)
    rows, columns = np.nonzero(neighbour)
    assert np.corrcoef(rows, columns)[0, 1] > 0.8


def test_size_singleton_is_four_times_the_area() -> None:
    image, (x, y) = pop_out("size", seed=3)
    large = around(bars(image), x, y, 32).sum()
    assert large == pytest.approx(4 * (bars(image).sum() - large) / 47, rel=0.1)


@pytest.mark.parametrize("kind", ["colour", "orientation", "size"])
@pytest.mark.parametrize("seed", range(5))
def test_all_bars_lie_inside(kind: PopOut, seed: int) -> None:
    image, (x, y) = pop_out(kind, seed)
    drawn = bars(image)
    assert drawn[y, x]
    drawn[10:-10, 10:-10] = False
    assert not drawn.any()


def test_seed_decides() -> None:
    assert pop_out("size", 1)[0].tobytes() == pop_out("size", 1)[0].tobytes()
    assert len({pop_out("colour", seed)[1] for seed in range(10)}) > 5


def test_displays_of_other_grids() -> None:
    image, (x, y) = pop_out("colour", 1, columns=7, rows=7)
    red = np.asarray(image).astype(int)
    assert red[y, x, 0] > red[y, x, 1] + 30
    assert label(bars(image))[1] == 49
    with pytest.raises(ImageError, match="at least 3 columns and 3 rows, got 2 and 9"):
        pop_out("size", columns=2, rows=9)


def test_unknown_kind() -> None:
    with pytest.raises(ImageError, match="colour, orientation, size"):
        pop_out("motion")  # type: ignore[arg-type]
