from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from salzoo.data import Fixations
from salzoo.data.density_only import DensityOnly
from salzoo.errors import DataError, SpecError
from salzoo.images.geometry import fit_box
from salzoo.images.preprocess import Preprocess

SIZE = (60, 80)


def random_points(count: int = 200, size: tuple[int, int] = SIZE, seed: int = 0) -> Fixations:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-0.5, size[1] - 0.5, count), rng.uniform(-0.5, size[0] - 0.5, count)
    return Fixations(x, y, rng.integers(0, 5, count), rng.normal(250, 50, count))


def corner_points(size: tuple[int, int]) -> Fixations:
    left, right, top, bottom = -0.5, size[1] - 0.5, -0.5, size[0] - 0.5
    return Fixations(np.array([left, right, left, right]), np.array([top, top, bottom, bottom]), np.zeros(4, int))


def test_points_to_counts_to_points() -> None:
    points = random_points()
    counts = points.counts(SIZE)
    assert counts.dtype == torch.int32
    assert counts.sum() == len(points)
    rows, columns = (each.numpy() for each in torch.nonzero(counts, as_tuple=True))
    times = counts[rows, columns].numpy()
    back = Fixations(np.repeat(columns, times), np.repeat(rows, times), np.zeros(len(points), int))
    assert torch.equal(back.counts(SIZE), counts)
    # each point is within half a pixel of one of those that come back
    assert np.abs(np.sort(back.x) - np.sort(points.x)).max() <= 0.5
    assert np.abs(np.sort(back.y) - np.sort(points.y)).max() <= 0.5


def test_counts_add_up_and_know_rows_from_columns() -> None:
    counts = Fixations(np.array([2.0, 2.4, 1.6, 3.0]), np.array([1.0, 0.6, 1.4, 0.0]), np.arange(4)).counts((3, 5))
    assert counts.tolist() == [[0, 0, 0, 1, 0], [0, 0, 3, 0, 0], [0, 0, 0, 0, 0]]


def test_inside_keeps_the_border_and_drops_the_rest() -> None:
    x = np.array([-0.5, -0.51, 79.5, 79.51, 5, 5, np.nan, 5])
    y = np.array([0, 0, 0, 0, -0.5, 59.6, 5, np.nan])
    points = Fixations(x, y, np.arange(8), np.linspace(0, 700, 8)).inside(SIZE)
    assert points.observer.tolist() == [0, 2, 4]
    assert points.duration is not None
    assert points.duration.tolist() == [0, 200, 400]
    assert points.counts(SIZE)[0, [0, 79, 5]].tolist() == [1, 1, 1]


def test_observers_stay_apart() -> None:
    points = random_points()
    parts = [points.of(observer) for observer in range(5)]
    assert all((part.observer == k).all() and len(part) for k, part in enumerate(parts))
    assert torch.equal(torch.stack([part.counts(SIZE) for part in parts]).sum(0), points.counts(SIZE).long())
    assert not len(points.of(9))


def test_arrays_must_belong_together() -> None:
    with pytest.raises(DataError, match="one length"):
        Fixations(np.zeros(3), np.zeros(2), np.zeros(3, int))
    with pytest.raises(DataError, match="1-D"):
        Fixations(np.zeros((1, 3)), np.zeros((1, 3)), np.zeros((1, 3), int))


def test_flip_equals_the_flipped_map() -> None:
    points = random_points()
    assert torch.equal(points.flipped(SIZE[1]).counts(SIZE), points.counts(SIZE).flip(1))
    torch.testing.assert_close(points.flipped(SIZE[1]).density(SIZE, 3.0), points.density(SIZE, 3.0).flip(1))


def test_crop_equals_the_cropped_map() -> None:
    points = random_points()
    assert torch.equal(points.cropped(7, 11, (30, 40)).counts((30, 40)), points.counts(SIZE)[7:37, 11:51])


@pytest.mark.parametrize("factor", [2, 5])
def test_shrinking_points_pools_their_counts(factor: int) -> None:
    small = (SIZE[0] // factor, SIZE[1] // factor)
    pooled = random_points().counts(SIZE).reshape(small[0], factor, small[1], factor).sum((1, 3))
    assert torch.equal(random_points().resized(SIZE, small).counts(small), pooled.short())


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (61, 79), (333, 17), (600, 800)])
def test_no_point_is_lost_by_resizing(size: tuple[int, int]) -> None:
    for old in (SIZE, (43, 97), (1000, 333)):
        assert len(corner_points(old).resized(old, size).inside(size)) == 4
        assert random_points(size=old).resized(old, size).counts(size).sum() == 200


def test_density_is_a_gaussian_blur_of_the_counts() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(30, 50, 40).astype(float), rng.integers(25, 35, 40).astype(float)
    points = Fixations(x, y, np.zeros(40, int))
    expected = gaussian_filter(points.counts(SIZE).numpy().astype(float) / 40, (2.0, 3.0), mode="constant", truncate=12)
    density = points.density(SIZE, (2.0, 3.0))
    assert density.dtype == torch.float32
    np.testing.assert_allclose(density.numpy(), expected, rtol=1e-4, atol=1e-9)


def test_density_follows_a_point_between_pixels() -> None:
    density = Fixations(np.array([40.25]), np.array([30.6]), np.zeros(1, int)).density(SIZE, 3.0).double()
    assert float((density.sum(0) * torch.arange(80)).sum()) == pytest.approx(40.25, abs=1e-4)
    assert float((density.sum(1) * torch.arange(60)).sum()) == pytest.approx(30.6, abs=1e-4)


@pytest.mark.parametrize("sigma", [0.01, 1.0, 3.0, 200.0])
def test_mass_is_one_even_on_the_border(sigma: float) -> None:
    for points in (corner_points(SIZE), random_points()):
        assert float(points.density(SIZE, sigma).double().sum()) == pytest.approx(1, abs=1e-5)
    # each fixation weighs the same, wherever it is: a corner's neighbourhood holds a quarter of all mass
    if sigma < 10:
        quarter = corner_points(SIZE).density(SIZE, sigma)[:30, :40].double().sum()
        assert float(quarter) == pytest.approx(0.25, abs=1e-5)


def test_density_without_points_is_zero_and_without_blur_an_error() -> None:
    assert Fixations(np.array([99.0]), np.array([0.0]), np.zeros(1, int)).density(SIZE, 3.0).eq(0).all()
    for sigma in (0.0, -1.0, (1.0, 0.0), float("nan")):
        with pytest.raises(SpecError, match="above 0"):
            random_points().density(SIZE, sigma)


@pytest.mark.parametrize("image_size", [(600, 800), (480, 640), (800, 600), (1, 1000), (3, 2), (101, 99)])
@pytest.mark.parametrize("size", [(192, 256), (288, 384), (64, 64), (33, 47)])
def test_fit_box(image_size: tuple[int, int], size: tuple[int, int]) -> None:
    assert fit_box(image_size, size, "squash") == (0, 0, *size)
    top, left, height, width = fit_box(image_size, size, "pad")
    assert (height, width) >= (1, 1)
    assert height == size[0] or width == size[1]
    assert 0 <= size[0] - height - 2 * top <= 1
    assert 0 <= size[1] - width - 2 * left <= 1
    scale = min(size[0] / image_size[0], size[1] / image_size[1])
    assert abs(height - image_size[0] * scale) <= 1
    assert abs(width - image_size[1] * scale) <= 1


@pytest.mark.parametrize(
    ("image_size", "box"),
    [  # of the authors' `padding`, OpenCV's resize left out
        ((683, 1024), (13, 0, 213, 320)),
        ((500, 333), (0, 80, 240, 159)),
        ((600, 800), (0, 0, 240, 320)),
        ((1, 1000), (119, 0, 1, 320)),
    ],
)
def test_a_box_of_whole_pixels(image_size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    assert fit_box(image_size, (240, 320), "pad_floor") == box
    preprocess = Preprocess((240, 320), "pad_floor", pad_value=0)
    (frame,) = preprocess.resize(torch.ones(1, 3, *image_size))
    top, left, height, width = box
    assert frame[:, top : top + height, left : left + width].min().item() == pytest.approx(1)
    assert frame.sum().item() == pytest.approx(3 * height * width)
    assert preprocess.restore(frame[None, :1], image_size).shape == (1, 1, *image_size)


def test_fit_box_refuses_what_it_does_not_know() -> None:
    accepted = "'aspect', 'between', 'cells', 'longest', 'pad', 'pad_floor', 'squash', 'within'"
    with pytest.raises(SpecError, match=f"accepted: {accepted}"):
        fit_box((3, 4), (5, 6), "crop")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="one pixel"):
        fit_box((0, 4), (5, 6), "pad")


def test_reprs_say_what_there_is() -> None:
    points = Fixations([1.0, 2.0], [1.0, 2.0], [0, 1], [200.0, 300.0])
    assert repr(points) == "<Fixations: points=2, observers=2, duration>"
    assert repr(points.of(1).weighted_by_duration()) == "<Fixations: points=1, observers=1, duration, weight>"
    assert repr(DensityOnly(torch.ones(3, 4))) == "<DensityOnly: a map of (3, 4) (height, width)>"
