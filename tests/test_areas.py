"""Areas of interest, crops, fog, colours and sheets, against brute force."""

from __future__ import annotations

import math
import re
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from salzoo.errors import ImageError, SpecError
from salzoo.images import painting
from salzoo.images.saliency_map import SaliencyMap
from salzoo.images.sheets import side_by_side


def of(density: Any) -> SaliencyMap:
    density = np.asarray(density, np.float64)
    with np.errstate(divide="ignore"):
        return SaliencyMap(np.log(density / density.sum()))


def random_map(seed: int, shape: tuple[int, int]) -> SaliencyMap:
    return of(np.random.default_rng(seed).gamma(0.5, size=shape))


@st.composite
def maps(draw: st.DrawFn) -> SaliencyMap:
    """Small maps; whole numbers, so that many boxes tie."""
    shape = draw(st.tuples(st.integers(1, 7), st.integers(2, 7)))
    values = draw(arrays.arrays(np.int64, shape, elements=st.integers(0, 4)).filter(np.any))
    return of(values)


# ---- shares


@settings(max_examples=60, deadline=None)
@given(maps(), st.data())
def test_boxes_and_masks_that_divide_the_image_add_up_to_one(m: SaliencyMap, data: st.DataObject) -> None:
    height, width = m.shape
    x, y = (data.draw(st.floats(0.01, side - 0.01)) for side in (width, height))
    boxes = [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]
    assert sum(map(m.share, boxes)) == pytest.approx(1, abs=1e-6)
    labels = data.draw(arrays.arrays(np.int8, m.shape, elements=st.integers(0, 2)))
    found = m.regions({str(i): labels == i for i in range(3)})
    assert sum(r.share for r in found.values()) == pytest.approx(1, abs=1e-6)
    assert sum(r.area_share for r in found.values()) == pytest.approx(1)
    for i, region in enumerate(found.values()):
        assert region.share == pytest.approx(m.density[labels == i].sum(), abs=1e-6)
        assert region.rank == 1 + sum(other.share > region.share for other in found.values())
        if (labels == i).any():
            assert region.lift == pytest.approx(region.share / region.area_share)
        else:
            assert (region.share, region.area_share, math.isnan(region.lift)) == (0, 0, True)


@settings(max_examples=60, deadline=None)
@given(maps(), st.tuples(*[st.floats(-3, 9)] * 2), st.tuples(*[st.floats(0.1, 9)] * 2))
def test_a_box_cuts_pixels_by_area(m: SaliencyMap, corner: tuple[float, float], size: tuple[float, float]) -> None:
    (x0, y0), (x1, y1) = corner, (corner[0] + size[0], corner[1] + size[1])
    wanted = 0.0
    for (y, x), value in np.ndenumerate(m.density):
        part = max(0, min(x + 1, x1) - max(x, x0)) * max(0, min(y + 1, y1) - max(y, y0))
        wanted += part * float(value)
    if x0 < m.shape[1] and y0 < m.shape[0] and x1 > 0 and y1 > 0:
        assert m.share((x0, y0, x1, y1)) == pytest.approx(wanted, abs=1e-7)
    else:
        with pytest.raises(ImageError, match="holds nothing of the image"):
            m.share((x0, y0, x1, y1))


def test_a_box_of_whole_pixels_is_its_mask() -> None:
    m = random_map(0, (30, 40))
    mask = np.zeros((30, 40), bool)
    mask[5:12, 8:31] = True
    assert m.share((8, 5, 31, 12)) == pytest.approx(m.share(mask), rel=1e-12)
    assert m.share(np.array([8, 5, 31, 12])) == m.share([8.0, 5.0, 31.0, 12.0])
    assert m.share((0, 0, 40, 30)) == pytest.approx(1, abs=1e-6)
    assert m.share((-5, -5, 99, 99)) == pytest.approx(1, abs=1e-6)  # what is outside holds nothing


def test_regions_in_numbers() -> None:
    m = of([[1, 1, 2, 4], [0, 0, 0, 2]])
    found = m.regions({"left": (0, 0, 2, 2), "peak": (3, 0, 4, 1), "right": (2, 0, 4, 2), "twin": (3, 0, 4, 1)})
    assert [round(r.share, 6) for r in found.values()] == [0.2, 0.4, 0.8, 0.4]
    assert [r.area_share for r in found.values()] == [0.5, 0.125, 0.5, 0.125]
    assert [round(r.lift, 6) for r in found.values()] == [0.4, 3.2, 1.6, 3.2]
    assert [r.rank for r in found.values()] == [4, 2, 1, 2]


@pytest.mark.parametrize(
    ("area", "words"),
    [
        ((5, 5, 5, 9), "x0 < x1 and y0 < y1, got (5, 5, 5, 9)"),
        ((9, 5, 5, 9), "x0 < x1"),
        ((0, 0, float("nan"), 9), "got (0, 0, nan, 9)"),
        ((0, 0, float("inf"), 9), "got (0, 0, inf, 9)"),
        ((40, 0, 50, 9), "(40, 0, 50, 9) holds nothing of the image, which has 40 x 30 pixels"),
        ((0, 0, 9), "a box of four numbers"),
        ((True, False, True, True), "got shape (4,) of bool"),
        ("face", "a box of four numbers"),
        (np.zeros((30, 40)), "mask > 0"),
        (np.zeros((40, 30), bool), "the map's shape (30, 40)"),
    ],
)
def test_what_is_no_area(area: Any, words: str) -> None:
    m = random_map(0, (30, 40))
    with pytest.raises(ImageError, match=re.escape(words)):
        m.share(area)
    with pytest.raises(ImageError, match="area 'nose': .*" + re.escape(words)):
        m.regions({"all": (0, 0, 40, 30), "nose": area})


# ---- crops


def brute_force(m: SaliencyMap, rows: int, columns: int) -> tuple[int, int, int, int]:
    """All boxes, in exact arithmetic; of equal ones the one in the middle, then the upper, then the left one."""
    height, width = m.shape
    values = [[Fraction(float(value)) for value in row] for row in m.density]
    candidates = [
        (
            -sum(values[y + j][x + i] for j in range(rows) for i in range(columns)),
            (2 * y - (height - rows)) ** 2 + (2 * x - (width - columns)) ** 2,
            y,
            x,
        )
        for y in range(height - rows + 1)
        for x in range(width - columns + 1)
    ]
    _, _, y, x = min(candidates)
    return x, y, x + columns, y + rows


@settings(max_examples=80, deadline=None)
@given(maps(), st.data())
def test_no_box_of_the_size_keeps_more(m: SaliencyMap, data: st.DataObject) -> None:
    rows, columns = (data.draw(st.integers(1, side)) for side in m.shape)
    assert m.crop(size=(rows, columns)) == brute_force(m, rows, columns)


@pytest.mark.parametrize("seed", range(5))
def test_no_box_keeps_more_of_densities_of_all_magnitudes(seed: int) -> None:
    logits = np.random.default_rng(seed).normal(scale=6, size=(9, 12))
    m = of(np.exp(logits))
    for rows, columns in ((1, 1), (3, 4), (9, 5), (2, 12), (9, 12)):
        assert m.crop(size=(rows, columns)) == brute_force(m, rows, columns)


@pytest.mark.parametrize(
    ("shape", "aspect", "size"),
    [
        ((30, 40), 1, (30, 30)),
        ((30, 40), 4 / 3, (30, 40)),
        ((30, 40), 16 / 9, (22, 40)),  # 22.5, to the even one
        ((40, 30), 16 / 9, (17, 30)),
        ((30, 40), 9 / 16, (30, 17)),
        ((30, 40), 1000, (1, 40)),
        ((30, 40), 1e-9, (30, 1)),
        ((30, 40), np.float32(2), (20, 40)),
    ],
)
def test_a_crop_of_an_aspect_is_the_largest(shape: tuple[int, int], aspect: float, size: tuple[int, int]) -> None:
    m = random_map(1, shape)
    x0, y0, x1, y1 = box = m.crop(aspect=aspect)
    assert (y1 - y0, x1 - x0) == size
    assert box == m.crop(size=size) == brute_force(m, *size)
    assert all(type(edge) is int for edge in box)


def test_ties_go_to_the_middle() -> None:
    assert of(np.ones((31, 41))).crop(size=(11, 21)) == (10, 10, 31, 21)
    assert of(np.ones((30, 41))).crop(size=(11, 21)) == (10, 9, 31, 20)  # the upper of the two in the middle
    rounding = np.random.default_rng(0).uniform(-1e-6, 1e-6, (31, 41))
    assert SaliencyMap(np.full((31, 41), -np.log(31 * 41)) + rounding).crop(size=(11, 21)) == (10, 10, 31, 21)
    one = np.zeros((31, 41))
    one[3, 5] = 1
    assert of(one).crop(size=(11, 21)) == (5, 3, 26, 14)  # as near to the middle as keeps the only point


def test_a_crop_of_a_large_map_is_exact() -> None:
    """Two boxes that differ by less than what float32 sums would lose."""
    density = np.full((2000, 3000), 1e-7)
    density[100:200, 100:200] = 2e-7
    density[1700:1800, 2700:2800] = 2e-7
    density[1750, 2750] *= 1.001
    assert of(density).crop(size=(100, 100)) == (2700, 1700, 2800, 1800)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give one of them"),
        ({"aspect": 1, "size": (3, 4)}, "give one of them"),
        ({"aspect": 0}, "got 0"),
        ({"aspect": -1.5}, "got -1.5"),
        ({"aspect": float("nan")}, "got nan"),
        ({"aspect": "16:9"}, "got '16:9'"),
        ({"aspect": True}, "got True"),
        ({"size": (31, 4)}, "(30, 40); got (31, 4)"),
        ({"size": (0, 4)}, "got (0, 4)"),
        ({"size": (3.5, 4)}, "got (3.5, 4)"),
        ({"size": (True, True)}, "got (True, True)"),
        ({"size": 3}, "got 3"),
        ({"size": (1, 2, 3)}, "got (1, 2, 3)"),
    ],
)
def test_crops_that_there_are_not(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ImageError, match=re.escape(words)):
        random_map(0, (30, 40)).crop(**options)


@pytest.mark.parametrize("areas", [[(0, 0, 1, 1)], None])
def test_regions_have_names(areas: Any) -> None:
    with pytest.raises(ImageError, match="regions are boxes or masks by name"):
        random_map(0, (30, 40)).regions(areas)


# ---- fog


def test_fog_shows_what_is_looked_at() -> None:
    m = of([[1, 2, 3, 4]])
    pixels = np.array([[[0, 40, 100]] * 4], np.uint8)
    drawn = np.asarray(m.fog(pixels)).astype(int)
    fog = np.array([236, 238, 240])
    wanted = [fog + (pixels[0, 0] - fog) * seen for seen in (0.1, 0.3, 0.6, 1.0)]
    np.testing.assert_allclose(drawn[0], wanted, atol=0.51)


def test_the_contour_of_a_share_lies_at_the_rest_of_the_visibility() -> None:
    m = random_map(2, (30, 40))
    black = np.zeros((30, 40), np.uint8)
    visible = 1 - np.asarray(m.fog(black))[..., 0].astype(float) / 236
    inside = m.density >= painting.level(m.density, 0.8)
    assert visible[inside].min() == pytest.approx(0.2, abs=0.01)
    assert visible[~inside].max() <= visible[inside].min()


def test_fog_leaves_the_image_alone_where_nothing_is_looked_at_more() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    flat = SaliencyMap(np.full((30, 40), -np.log(1200)) + np.random.default_rng(1).uniform(-1e-6, 1e-6, (30, 40)))
    image = flat.fog(Image.fromarray(pixels))
    assert (image.mode, image.size) == ("RGB", (40, 30))
    np.testing.assert_allclose(np.asarray(image).astype(int), pixels, atol=1)
    with pytest.raises(ImageError, match=r"the map is \(30, 40\)"):
        flat.fog(pixels[1:])


# ---- overlay options


def test_colour_maps_by_name() -> None:
    m, black = of([[1, 2, 3, 5]]), np.zeros((1, 4, 3), np.uint8)
    level = (m.saliency * 255 + 0.5).astype(int)
    grey = np.asarray(m.overlay(black, (), colormap="grey", alpha=1))
    np.testing.assert_allclose(grey[..., 0], level * np.sqrt(m.saliency), atol=1)
    matplotlib = pytest.importorskip("matplotlib")
    viridis = np.asarray(m.overlay(black, (), colormap="viridis", alpha=1))
    table = matplotlib.colormaps["viridis"](level)[..., :3] * 255
    np.testing.assert_allclose(viridis, table * np.sqrt(m.saliency)[..., None], atol=1)
    with pytest.raises(ImageError, match=r"got 'viridiss'; did you mean viridis"):
        m.overlay(black, colormap="viridiss")


def test_a_colour_map_of_matplotlib_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    m, black = of([[1, 2, 3, 5]]), np.zeros((1, 4, 3), np.uint8)
    assert m.overlay(black, colormap="grey").size == (4, 1)
    with pytest.raises(SpecError, match=r'pip install "salzoo\[figures\]"'):
        m.overlay(black, colormap="viridis")


def test_alpha_is_the_opacity_at_the_peak() -> None:
    m, grey = random_map(0, (30, 40)), np.full((30, 40, 3), 128, np.uint8)
    y, x = np.unravel_index(m.density.argmax(), m.shape)
    for alpha in (0, 0.25, 1):
        drawn = np.asarray(m.overlay(grey, (), alpha=alpha))
        np.testing.assert_allclose(drawn[y, x], 128 + alpha * (painting.COLOURS[255] - 128), atol=1)
    np.testing.assert_array_equal(np.asarray(m.overlay(grey, (), alpha=0)), grey)
    for alpha in (-0.1, 1.1, float("nan")):
        with pytest.raises(ImageError, match=f"got {alpha}"):
            m.overlay(grey, alpha=alpha)


# ---- sheets


def plain(colour: str, size: tuple[int, int] = (640, 480)) -> Image.Image:
    return Image.new("RGB", size, colour)


def test_a_sheet_has_each_image_in_its_cell() -> None:
    colours = ["red", "lime", "blue", "black", "yellow"]
    sheet = side_by_side([plain(c) for c in colours], columns=3, cell=(90, 120))
    assert sheet.size == (360, 180)
    for i, colour in enumerate(colours):
        assert sheet.getpixel((i % 3 * 120 + 60, i // 3 * 90 + 45)) == plain(colour).getpixel((0, 0))
    assert sheet.getpixel((350, 170)) == (255, 255, 255)  # the sixth cell
    assert sheet.getpixel((0, 45)) == (255, 255, 255)  # half of the gap
    assert sheet.getpixel((1, 45)) == (255, 0, 0)


def test_small_images_keep_their_size_and_tall_ones_their_shape() -> None:
    sheet = side_by_side([plain("red", (20, 10)), plain("blue", (100, 400))], cell=(100, 100), gap=0)
    pixels = np.asarray(sheet).astype(int)
    red, blue = (pixels == (255, 0, 0)).all(-1), (pixels == (0, 0, 255)).all(-1)
    assert (red.any(0).sum(), red.any(1).sum()) == (20, 10)
    assert (blue.any(0).sum(), blue.any(1).sum()) == (25, 100)


def test_titles_stand_above_columns_or_images() -> None:
    images = [plain("grey") for _ in range(4)]
    columns = side_by_side(images, ["a", "b"], 2, cell=(90, 120))
    each = side_by_side(images, ["a", "b", "c", "d"], 2, cell=(90, 120))
    assert (columns.size, each.size) == ((240, 202), (240, 224))
    for sheet, tops in ((columns, (0,)), (each, (0, 112))):
        for top in tops:
            for left in (0, 120):
                assert np.asarray(sheet)[top : top + 20, left : left + 120].min() < 100  # black on white
    long = side_by_side(images[:2], ["a title that is far too long for its cell", ""], cell=(90, 120))
    assert np.asarray(long)[:20, 120:].min() == 255  # and does not run into the next


def test_sheets_that_there_are_not() -> None:
    with pytest.raises(ImageError, match="at least one image"):
        side_by_side([])
    with pytest.raises(ImageError, match="4 images in 2 columns has no place for 3 titles"):
        side_by_side([plain("red")] * 4, ["a"] * 3, 2)
