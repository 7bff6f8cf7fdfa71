"""What a map is by its content is checked alike wherever one enters: other tools' maps, a study's maps, truth."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from data import make_tiny
from data.studies import images
from numpy.typing import NDArray
from PIL import Image

from salzoo.data import MIT1003, SALICON, FixationFolder
from salzoo.data.count_maps import points_of
from salzoo.data.map_folder import MapFolder, to_map
from salzoo.errors import DataError, ImageError
from salzoo.evaluation.scoring import evaluate, load_predictors
from salzoo.images.grey import grey_values, is_rounded

Grey = NDArray[np.uint8]


def bump(height: int, width: int, sigma: float = 8) -> Grey:
    y, x = np.mgrid[:height, :width]
    peak = np.exp(-((x - width / 3) ** 2 + (y - height / 2) ** 2) / (2 * sigma**2))
    return np.round(255 * peak).astype(np.uint8)


def jet(grey: Grey) -> Image.Image:
    levels = grey / 255.0
    bands = [np.clip(1.5 - np.abs(4 * levels - centre), 0, 1) for centre in (3, 2, 1)]
    return Image.fromarray((np.stack(bands, -1) * 255).astype(np.uint8))


def palette(grey: Grey, colours: list[int]) -> Image.Image:
    image = Image.fromarray(grey).convert("P")
    image.putpalette(colours)
    return image


def with_alpha(grey: Grey, alpha: Grey, mode: str) -> Image.Image:
    image = Image.fromarray(grey).convert(mode)
    image.putalpha(Image.fromarray(alpha))
    return image


OPAQUE = {
    "grey": Image.fromarray,
    "rgb": lambda grey: Image.fromarray(grey).convert("RGB"),
    "rgba": lambda grey: with_alpha(grey, np.full_like(grey, 255), "RGBA"),
    "la": lambda grey: with_alpha(grey, np.full_like(grey, 255), "LA"),
    "palette": lambda grey: palette(grey, [level for level in range(256) for _ in range(3)]),
}
REFUSED: dict[str, tuple[Callable[[Grey], Image.Image], str]] = {
    "jet": (jet, "is coloured; a map must be grey"),
    "jet_palette": (lambda grey: jet(grey).convert("P"), "is coloured"),
    "alpha": (lambda grey: with_alpha(grey * 0, grey, "RGBA"), "is transparent in places"),
    "grey_alpha": (lambda grey: with_alpha(grey, grey, "LA"), "is transparent in places"),
    "tinted": (lambda grey: Image.merge("RGB", [Image.fromarray(grey)] * 2 + [Image.fromarray(grey // 2)]), "coloured"),
}


def other_tool(root: Path, make: Callable[[Grey], Image.Image]) -> tuple[NDArray[np.float64], Grey]:
    grey = bump(40, 60)
    make(grey).save(root / "a.png")
    return MapFolder(root, ["a.jpg"]).read(0, (40, 60)).numpy(), grey


def study(root: Path, make: Callable[[Grey], Image.Image]) -> tuple[NDArray[np.float64], Grey]:
    sizes = images(root / "images")
    (root / "maps").mkdir()
    for name, size in sizes.items():
        make(bump(*size)).save(root / "maps" / name)
    return FixationFolder(root, "all")[0]["density"].double().numpy(), bump(*next(iter(sizes.values())))


def truth(root: Path, make: Callable[[Grey], Image.Image]) -> tuple[NDArray[np.float64], Grey]:
    dataset = SALICON(make_tiny.salicon(root))
    make(grey := bump(*dataset.size(0))).save(dataset.map_path(0))
    return dataset.provided_density(0).double().numpy(), grey


ENTRIES = {"other tool": other_tool, "study": study, "truth": truth}


@pytest.mark.parametrize("kind", OPAQUE)
@pytest.mark.parametrize("entry", ENTRIES)
def test_greys_are_read_however_they_are_stored(entry: str, kind: str, tmp_path: Path) -> None:
    found, grey = ENTRIES[entry](tmp_path, OPAQUE[kind])
    np.testing.assert_allclose(found / found.sum(), grey / grey.sum(), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("entry", ENTRIES)
def test_what_is_no_grey_map_is_refused(entry: str, kind: str, tmp_path: Path) -> None:
    make, words = REFUSED[kind]
    with pytest.raises(ImageError, match=words) as caught:
        ENTRIES[entry](tmp_path, make)
    assert ".png" in str(caught.value)


def test_all_bits_of_deep_images(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.uint16).reshape(4, 6) * 2700
    Image.fromarray(values).save(tmp_path / "a.png")
    raw = Image.frombytes("I;16B", (6, 4), values.astype(">u2").tobytes())
    for image in (Image.open(tmp_path / "a.png"), raw, Image.fromarray(values.astype(np.int32))):
        np.testing.assert_array_equal(grey_values(image, "it"), values)


def test_jpegs_of_greys_in_colour(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(bump(40, 60)).convert("RGB").save(buffer, "JPEG", quality=50)
    with Image.open(buffer) as image:
        assert np.abs(grey_values(image, "it").astype(int) - bump(40, 60)).max() < 20


@pytest.mark.parametrize("suffix", [".npy", ".tiff"])
def test_log_densities_and_other_shapes(suffix: str, tmp_path: Path) -> None:
    ((name, (height, width)),) = images(tmp_path / "images", 1).items()
    (tmp_path / "maps").mkdir()

    def put(values: NDArray[np.float32]) -> None:
        path = tmp_path / "maps" / name.replace(".png", suffix)
        np.save(path, values) if suffix == ".npy" else Image.fromarray(values).save(path)

    log = np.log(bump(height, width) + 1.0).astype(np.float32)
    put(log - log.max())
    for read in (
        lambda: MapFolder(tmp_path / "maps", [name]).read(0, (height, width)),
        lambda: FixationFolder(tmp_path, "all")[0],
    ):
        with pytest.raises(ImageError, match="log densities: take the exponential first"):
            read()
    put(log[:, : width // 2])
    assert MapFolder(tmp_path / "maps", [name]).read(0, (height, width)).shape == (height, width)
    with pytest.raises(ImageError, match="of another shape than its image"):
        FixationFolder(tmp_path, "all")[0]


def test_arrays_that_are_no_maps() -> None:
    values = np.random.default_rng(0).random((4, 6))
    bad: list[tuple[object, str]] = [
        (np.ma.masked_less(values, 0.5), "masked values"),
        (torch.rand(4, 6).to_sparse(), "the map is sparse"),
        (torch.rand(4, 6).to("meta"), "'meta'"),
        (values + 1j, "of complex128; a map is one array of real numbers"),
        (torch.complex(torch.rand(4, 6), torch.rand(4, 6)), "is complex"),
        (np.zeros((0, 6)), "shape"),
        ([[1.0, 2.0], [3.0]], "the map is no array of numbers"),
        (values.T, r"is \(6, 4\) \(height, width\), its image \(4, 6\): transpose it"),
    ]
    for value, words in bad:
        with pytest.raises(ImageError, match=words):
            to_map(value, (4, 6), "the map")  # type: ignore[arg-type]
    np.testing.assert_array_equal(to_map(np.ma.masked_array(values), (4, 6), "the map").numpy(), values)


def test_rounding_is_told_by_content(tmp_path: Path) -> None:
    grey = bump(64, 80)
    smooth = np.random.default_rng(0).random((64, 80))
    assert [is_rounded(each) for each in (grey, grey / grey.sum(), smooth, (smooth * 255).round(), smooth > 0.5)] == [
        True, True, False, True, True
    ]  # fmt: skip
    for name, values, rounded in (("a", grey / grey.sum(), True), ("b", smooth, False)):
        np.save(tmp_path / f"{name}.npy", values)
        assert MapFolder(tmp_path, [f"{name}.jpg"]).eight_bit is rounded
    Image.fromarray((smooth * 65535).astype(np.uint16)).save(tmp_path / "c.png")
    assert not MapFolder(tmp_path, ["c.jpg"]).eight_bit


def test_rounding_is_told_of_truth_and_of_every_row(tmp_path: Path) -> None:
    study(tmp_path, Image.fromarray)
    (tmp_path / "other").mkdir()
    dataset = FixationFolder(tmp_path, "all").only(["p00.png", "p01.png"])
    smooth = {name: np.random.default_rng(0).random(dataset.size(i)) for i, name in enumerate(dataset.names)}
    for name, values in smooth.items():  # twice as large: rounding shows before the map is scaled
        Image.fromarray((values.repeat(2, 0).repeat(2, 1) * 255).astype(np.uint8)).save(tmp_path / "other" / name)
    predictors, notes = load_predictors({"uniform": "uniform"}, {"other": tmp_path / "other"}, dataset)
    predictors["fine"] = lambda _, item: smooth[item["name"]]
    predictors["coarse"] = lambda _, item: torch.from_numpy(smooth[item["name"]] * 255).round()
    found = evaluate(predictors, dataset, baselines=(), notes=notes, progress=False).notes
    assert [note for note in found if "8-bit" in note] == [
        "Warning: other has 8-bit maps; their rounding changes kld, ig and the AUCs.",
        "Warning: coarse has 8-bit maps; their rounding changes kld, ig and the AUCs.",
        "Warning: the truth are 8-bit maps; their rounding changes kld.",
    ]


@pytest.mark.parametrize("sigma", [2, 4, 12])
def test_blurred_maps_are_no_fixations(sigma: float, tmp_path: Path) -> None:
    grey = bump(240, 320, sigma)
    with pytest.raises(DataError, match="that is a blurred map, not fixations"):
        points_of(grey, (240, 320), "it", repeat=True)
    root = make_tiny.mit1003(tmp_path, raw=False)
    dataset = MIT1003(root, "all")
    (path,) = dataset.annotation_paths(0)
    Image.fromarray(bump(*dataset.size(0), sigma=min(sigma, 4))).save(path)
    with pytest.raises(DataError, match=r"fixPts\.jpg is a blurred map"):
        dataset.fixations(0)


def test_dense_counts_are_fixations() -> None:
    counts = np.random.default_rng(0).poisson(0.05, (60, 80))
    counts[20, 30] = 40  # many looked at the fixation cross
    assert len(points_of(counts, (60, 80), "it", repeat=True)) == counts.sum()
