"""SaliencyMap: the numbers, the overlay and the files."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.io import loadmat

from salzoo.errors import ImageError
from salzoo.images.painting import COLOURS, grow
from salzoo.images.saliency_map import SaliencyMap


def peaks(height: int = 120, width: int = 160) -> np.ndarray:
    """A log density with two peaks away from the border, over a faint ground."""
    y, x = np.mgrid[:height, :width]
    density = np.full((height, width), 1e-6)
    for centre_x, centre_y, sigma, weight in ((0.3, 0.4, 0.07, 1.0), (0.7, 0.6, 0.1, 0.4)):
        distance = (x - centre_x * width) ** 2 + (y - centre_y * height) ** 2
        density += weight * np.exp(-distance / 2 / (sigma * height) ** 2)
    return np.asarray(np.log(density / density.sum()))


@pytest.fixture
def m() -> SaliencyMap:
    return SaliencyMap(peaks())


GREY = np.full((120, 160), 128, np.uint8)


# ---- numbers


def test_density_and_log_density() -> None:
    expected = np.exp(peaks())
    for source in (peaks(), peaks().astype(np.float32), torch.from_numpy(peaks()).requires_grad_()):
        m = SaliencyMap(source)
        assert m.shape == (120, 160)
        assert m.density.dtype == m.log_density.dtype == np.float32
        np.testing.assert_allclose(m.density, expected, rtol=5e-6)
        np.testing.assert_allclose(m.log_density, peaks(), atol=5e-6)


def test_large_maps_sum_to_one() -> None:
    logits = torch.randn(2500, 4000, generator=torch.Generator().manual_seed(0)) * 3
    for log_density in (logits.flatten().log_softmax(0).view_as(logits), torch.full((2500, 4000), -np.log(1e7))):
        m = SaliencyMap(log_density)
        assert abs(m.density.sum(dtype=np.float64) - 1) < 1e-6
        assert abs(np.exp(m.log_density).sum(dtype=np.float64) - 1) < 1e-4


def test_zero_density_is_allowed() -> None:
    m = SaliencyMap(np.array([[-np.inf, 0.0, -200.0]]))
    assert m.density.tolist() == [[0, 1, 0]]
    assert np.isfinite(m.log_density[m.density > 0]).all()
    assert np.isfinite(m.saliency).all()


def test_saliency_is_min_max(m: SaliencyMap) -> None:
    assert m.saliency.dtype == np.float32
    assert m.saliency.min() == 0
    assert m.saliency.max() == 1
    scaled = (m.density - m.density.min()) / np.ptp(m.density)
    np.testing.assert_allclose(m.saliency, scaled, rtol=1e-5, atol=1e-7)


def test_constant_map_gives_zeros() -> None:
    rounding = np.random.default_rng(0).uniform(-1e-6, 1e-6, (30, 40))
    for noise in (0, rounding):
        assert not SaliencyMap(np.full((30, 40), -np.log(1200)) + noise).saliency.any()


def test_array_protocol(m: SaliencyMap) -> None:
    assert np.asarray(m) is m.density
    assert np.asarray(m, dtype=np.float64).dtype == np.float64
    copied = np.array(m)
    copied[:] = 0
    assert m.density.any()
    with pytest.raises(ValueError, match="copy"):
        np.asarray(m, dtype=np.float64, copy=False)


def test_numpy_and_torch(m: SaliencyMap) -> None:
    assert m.numpy() is m.density
    assert m.torch().dtype == torch.float32
    np.testing.assert_array_equal(m.torch().numpy(), m.density)


def test_repr_says_size_and_peak(m: SaliencyMap) -> None:
    assert repr(m) == "SaliencyMap(height=120, width=160, peak at x=48, y=48)"  # 0.3 * 160, 0.4 * 120
    flat = SaliencyMap(np.full((3, 4), -np.log(12)))
    assert repr(flat) == "SaliencyMap(height=3, width=4, the same everywhere)"


def test_a_notebook_shows_the_map_in_colours(m: SaliencyMap) -> None:
    with Image.open(io.BytesIO(m._repr_png_())) as shown:
        assert (shown.format, shown.mode, shown.size) == ("PNG", "RGB", (160, 120))
        pixels = np.asarray(shown).astype(int)
    level = (m.saliency * 255 + 0.5).astype(int)
    np.testing.assert_allclose(pixels, COLOURS[level], atol=0.5)
    large = SaliencyMap(peaks(900, 1200))
    with Image.open(io.BytesIO(large._repr_png_())) as shown:
        assert shown.size == (800, 600)
        lightness = np.asarray(shown.convert("L"))
        y, x = np.unravel_index(lightness.argmax(), lightness.shape)
        assert abs(x - 0.3 * 800) < 10
        assert abs(y - 0.4 * 600) < 10
    with Image.open(io.BytesIO(SaliencyMap(np.full((1, 70000), -np.log(70000)))._repr_png_())) as shown:
        assert shown.size == (800, 1)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros((1, 4, 5)), "shape"),
        (np.zeros((4, 5), int), "int64"),
        (np.zeros((4, 5)), "sums to 20"),  # logits
        (np.full((4, 5), 1 / 20), "log"),  # a density
        (np.full((4, 5), np.nan), "nan"),
        (np.full((4, 5), 1e4), "inf"),
    ],
)
def test_not_a_log_density(bad: np.ndarray, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        SaliencyMap(bad)


# ---- overlay


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.95])
def test_contour_encloses_its_share(m: SaliencyMap, share: float) -> None:
    drawn = np.asarray(m.overlay(GREY, contours=(share,)))
    dark, light = (drawn == 0).all(-1), (drawn == 255).all(-1)
    assert dark.any()
    assert light.any()
    canvas = Image.fromarray(dark.astype(np.uint8)).copy()  # fromarray's own is read-only
    ImageDraw.floodfill(canvas, (0, 0), 2)  # from a corner up to the line: what is outside
    enclosed = np.asarray(canvas) == 0
    assert light[enclosed].any()
    assert not light[~enclosed].any()
    mass = m.density[enclosed].sum(dtype=np.float64)
    assert share <= mass + 1e-6
    above = m.density > m.density[enclosed].min()
    assert m.density[above].sum(dtype=np.float64) < share  # and is the smallest that does
    assert m.density[enclosed].min() > m.density[~enclosed].max()


def test_overlay_without_contours_is_a_blend(m: SaliencyMap) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    overlay = m.overlay(pixels, contours=())
    assert overlay.mode == "RGB"
    assert overlay.size == (160, 120)
    change = np.abs(np.asarray(overlay).astype(int) - pixels).sum(-1)
    assert change[m.saliency < 1e-6].max() <= 3  # where nobody looks, the image itself
    y, x = np.unravel_index(m.density.argmax(), m.shape)
    expected = 0.4 * pixels[y, x] + 0.6 * COLOURS[255]
    np.testing.assert_allclose(np.asarray(overlay)[y, x], expected, atol=1)


def test_overlay_takes_every_kind_of_image(m: SaliencyMap, tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    expected = np.asarray(m.overlay(GREY))
    for image in (tmp_path / "a.png", Image.fromarray(GREY), torch.from_numpy(GREY)[None], GREY / 255):
        np.testing.assert_array_equal(np.asarray(m.overlay(image)), expected)


@pytest.mark.parametrize("ground", [0, 255])
def test_contours_show_on_dark_and_light_images(m: SaliencyMap, ground: int) -> None:
    pixels = np.full((120, 160), ground, np.uint8)
    plain, lined = (np.asarray(m.overlay(pixels, contours=c)).astype(int) for c in ((), (0.8,)))
    assert (np.abs(plain - lined).sum(-1) > 300).sum() > 50


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (5, 7), (50, 60)])
def test_grow_dilates_by_cross_and_square(shape: tuple[int, int], steps: int) -> None:
    """An independent implementation gives the same masks, at the borders too."""
    rng = np.random.default_rng(steps)
    for share in (0.01, 0.1, 0.5):
        mask = rng.random(shape) < share
        wanted = mask
        for step in range(steps):
            wanted = ndimage.binary_dilation(wanted, ndimage.generate_binary_structure(2, 1 + step % 2))
        np.testing.assert_array_equal(grow(mask, steps), wanted)


def test_line_width_grows_with_the_image() -> None:
    def line_share(height: int) -> float:
        m = SaliencyMap(peaks(height, height))
        drawn = np.asarray(m.overlay(np.full((height, height), 128, np.uint8), contours=(0.8,)))
        return float((drawn == 255).all(-1).sum() / height)

    assert line_share(1000) / line_share(250) == pytest.approx(4, rel=0.3)  # 4 pixels wide, not 1


def test_colours_rise_in_lightness() -> None:
    lightness = COLOURS @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) > 0).all()


def test_overlay_refusals(m: SaliencyMap) -> None:
    with pytest.raises(ImageError, match=r"\(120, 160\).*\(160, 120\)"):
        m.overlay(GREY.T)
    for share in (0, 1, 50, float("nan")):
        with pytest.raises(ImageError, match=f"got {share}"):
            m.overlay(GREY, contours=(0.5, share))


def test_constant_map_has_an_overlay() -> None:
    overlay = SaliencyMap(np.full((120, 160), -np.log(120 * 160))).overlay(GREY)
    np.testing.assert_array_equal(np.asarray(overlay), np.stack([GREY] * 3, -1))


# ---- files


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".PNG"])
def test_viewable_files_are_rounded(m: SaliencyMap, suffix: str, tmp_path: Path) -> None:
    m.save(tmp_path / f"a{suffix}")
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.mode == "L"
        saved = np.asarray(image)
    exact = m.saliency.astype(np.float64) * 255
    assert np.abs(saved - exact).max() <= 0.5 + 1e-4
    assert (saved > exact).mean() > 0.2  # truncation would leave none


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_files(m: SaliencyMap, suffix: str, tmp_path: Path) -> None:
    m.save(str(tmp_path / f"a{suffix}"))
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert np.abs(np.asarray(image.convert("L")) / 255 - m.saliency).max() < 0.04


def test_number_files_keep_the_numbers(m: SaliencyMap, tmp_path: Path) -> None:
    for name in ("a.npy", "a.npz", "a.tif", "a.tiff", "a.csv", "a.mat"):
        m.save(tmp_path / name)
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "a.csv", delimiter=",", dtype=np.float32), m.density)
    arrays = loadmat(tmp_path / "a.mat")
    assert {name for name in arrays if not name.startswith("_")} == {"density", "log_density"}
    np.testing.assert_array_equal(arrays["density"], m.density)
    np.testing.assert_array_equal(arrays["log_density"], m.log_density)
    assert (tmp_path / "a.mat").read_bytes()[:40] == b"MATLAB 5.0 MAT-file, written by salzoo  ", "and not when"
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), m.density)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"density", "log_density"}
        np.testing.assert_array_equal(arrays["density"], m.density)
        np.testing.assert_array_equal(arrays["log_density"], m.log_density)
    for name in ("a.tif", "a.tiff"):
        with Image.open(tmp_path / name) as image:
            assert image.mode == "F"
            np.testing.assert_array_equal(np.asarray(image), m.density)


def test_save_overlay(m: SaliencyMap, tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "photo.png")
    m.save(tmp_path / "overlay.png", image=tmp_path / "photo.png")
    with Image.open(tmp_path / "overlay.png") as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(m.overlay(GREY)))
    m.save(tmp_path / "overlay.jpg", image=GREY)
    with Image.open(tmp_path / "overlay.jpg") as image:
        assert image.mode == "RGB"


def test_unknown_suffixes(m: SaliencyMap, tmp_path: Path) -> None:
    for name in ("a.gif", "a", ".png", "a.png.bak"):
        with pytest.raises(ImageError, match=r"\.bmp \.csv \.jpeg \.jpg \.mat \.npy \.npz \.png \.tif \.tiff \.webp"):
            m.save(tmp_path / name)
    with pytest.raises(ImageError, match=r"an overlay.*\.bmp \.jpeg \.jpg \.png \.webp"):
        m.save(tmp_path / "a.npy", image=GREY)
    assert list(tmp_path.iterdir()) == []


def test_replaces_a_file_with_the_usual_rights(m: SaliencyMap, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    m.save(tmp_path / "a.npy")
    SaliencyMap(peaks(30, 40)).save(tmp_path / "a.npy")
    assert np.load(tmp_path / "a.npy").shape == (30, 40)
    assert (tmp_path / "a.npy").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert {path.name for path in tmp_path.iterdir()} == {"a.npy", "plain"}


def test_readers_of_the_old_file_never_see_half_a_new_one(m: SaliencyMap, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"old")
    with (tmp_path / "a.npy").open("rb") as reader:
        m.save(tmp_path / "a.npy")
        assert reader.read() == b"old"  # replaced, not written into
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), m.density)


def test_failed_write_leaves_nothing(m: SaliencyMap, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="file size limits are POSIX")
    old = tmp_path / "old.npy"
    old.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))  # the disk is full after 5000 bytes
    try:
        for name in ("old.npy", "new.npy", "new.tiff"):
            with pytest.raises(ImageError, match=f"cannot write.*{name}"):
                m.save(tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert old.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["old.npy"]


def test_places_that_cannot_be_written(m: SaliencyMap, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "folder.png", tmp_path / "none" / "a.png", tmp_path / "file" / "a.png"):
        with pytest.raises(ImageError, match=f"cannot write '{path}'"):
            m.save(path)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]


def test_too_long_for_the_format(tmp_path: Path) -> None:
    long = SaliencyMap(np.full((1, 70000), -np.log(70000)))
    with pytest.raises(ImageError, match=r"\.jpg.*use \.png"):
        long.save(tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []
    long.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()
