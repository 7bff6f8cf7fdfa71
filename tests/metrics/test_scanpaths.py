"""Metrics of scanpaths: values of other implementations and by hand, batches, and what is degenerate."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from salzoo.errors import DataError, ImageError, SpecError
from salzoo.metrics import scanpaths
from salzoo.metrics.scanpaths import (
    conditional_auc,
    conditional_log_likelihood,
    conditional_nss,
    cross_recurrence,
    dtw,
    frechet,
    multimatch,
    recurrence,
    saccade_statistics,
    saccades,
    scan_match,
    stde,
    string_edit,
)

SIZE = (600, 800)
A = np.array([[100, 100, 200], [300, 150, 300], [320, 400, 250], [600, 420, 200], [620, 200, 400]], float)
B = np.array(
    [[120, 110, 250], [280, 160, 200], [340, 390, 300], [580, 440, 250], [500, 250, 300], [400, 300, 200]], float
)
OF_PAIRS: dict[str, Callable[[Any, Any], Any]] = {
    "multimatch": lambda a, b: np.stack(multimatch(a, b, SIZE), 1),
    "scan_match": lambda a, b: scan_match(a, b, SIZE),
    "timed_scan_match": lambda a, b: scan_match(a, b, SIZE, bin_ms=50, gap=-0.5),
    "string_edit": lambda a, b: string_edit(a, b, SIZE),
    "dtw": dtw,
    "frechet": frechet,
    "stde": lambda a, b: stde(a, b, SIZE),
    "cross_recurrence": lambda a, b: np.stack(cross_recurrence(a, b, 150), 1),
}
EACH = pytest.mark.parametrize("name", OF_PAIRS)


def drawn(count: int, seed: int = 0, shortest: int = 3) -> list[np.ndarray]:
    """Paths of 3 to 11 fixations, with durations."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(shortest, 12, count)
    return [np.column_stack([rng.uniform(0, 800, n), rng.uniform(0, 600, n), rng.uniform(50, 600, n)]) for n in lengths]


# Other implementations.


def test_multimatch_is_the_published_pair() -> None:
    expected = [0.975, 0.9441836, 0.9644396, 0.9776393, 0.8]
    assert np.ravel(multimatch(A, B, SIZE)).tolist() == pytest.approx(expected, abs=1e-7)


def test_multimatch_is_the_package_of_that_name() -> None:
    peer = pytest.importorskip("multimatch", reason="pip install multimatch-gaze")
    first, second = drawn(60), drawn(60, seed=1)
    first += [np.array([[10, 10, 100], [10, 10, 100], [400, 300, 200.0]])]  # a saccade of length 0
    second += [np.array([[400, 10, 100], [400, 200, 300], [20, 200, 200], [20, 200, 50.0]])]
    first += [np.round(path, -2) for path in drawn(20, seed=2)]  # equal costs
    second += [np.maximum(np.round(path, -2), 100) for path in drawn(20, seed=3)]

    def table(path: np.ndarray) -> np.ndarray:
        fields = [("start_x", float), ("start_y", float), ("duration", float)]
        return np.array([(x, y, ms / 1000) for x, y, ms in path], dtype=fields)

    expected = [peer.docomparison(table(a), table(b), sz=[800, 600]) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(np.stack(multimatch(first, second, SIZE), 1), np.array(expected, float)[:, 0], atol=1e-9)


def recursive(kind: str, a: np.ndarray, b: np.ndarray) -> float:
    """The definitions of four metrics as recursions, slowly."""
    far = np.linalg.norm(a[:, None, :2] - b[None, :, :2], axis=-1)

    def word(path: np.ndarray, rows: int, columns: int) -> list[tuple[int, int]]:
        return [(int((y + 0.5) * rows / 600), int((x + 0.5) * columns / 800)) for x, y in path[:, :2]]

    grid = (12, 16) if kind == "scan_match" else (5, 5)
    p, q = word(a, *grid), word(b, *grid)

    @cache
    def at(i: int, j: int) -> Any:
        if kind in ("dtw", "frechet"):
            if i < 0 or j < 0:
                return (0.0, 0) if i == j else (math.inf, 0)
            best = min(at(i - 1, j - 1), at(i - 1, j), at(i, j - 1))
            return (best[0] + far[i, j], best[1] + 1) if kind == "dtw" else (max(best[0], far[i, j]), 0)
        if i < 0 or j < 0:
            return 0.0 if kind == "scan_match" else max(i, j) + 1
        if kind == "scan_match":
            return max(at(i - 1, j - 1) + 3.5 - math.dist(p[i], q[j]), at(i - 1, j), at(i, j - 1))
        return min(at(i - 1, j - 1) + (p[i] != q[j]), at(i - 1, j) + 1, at(i, j - 1) + 1)

    end, longer = at(len(a) - 1, len(b) - 1), max(len(a), len(b))
    return {
        "dtw": lambda: end[0] / end[1],
        "frechet": lambda: end[0],
        "scan_match": lambda: end / 3.5 / longer,
        "string_edit": lambda: 1 - end / longer,
    }[kind]()


@pytest.mark.parametrize("kind", ["dtw", "frechet", "scan_match", "string_edit"])
def test_tables_are_the_recursions(kind: str) -> None:
    first, second = drawn(40, shortest=1), drawn(40, seed=1, shortest=1)
    expected = [recursive(kind, a, b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(OF_PAIRS[kind](first, second), expected, atol=1e-9)


def test_stde_is_its_definition() -> None:
    a, b = A[:, :2] / 800, B[:, :2] / 800
    similarities = []
    for k in range(1, 6):
        windows = [[path[i : i + k] for i in range(len(path) - k + 1)] for path in (a, b)]
        nearest = [min(np.linalg.norm(one - other) for other in windows[1]) / k for one in windows[0]]
        similarities.append(math.exp(-float(np.mean(nearest))))
    assert stde(A, B, SIZE).item() == pytest.approx(np.mean(similarities))
    assert stde(B, A, SIZE).item() != pytest.approx(np.mean(similarities), abs=1e-4)  # not symmetric
    assert stde(B[1:4], B, SIZE).item() == 1


# By hand.


def test_scan_match_repeats_a_letter_by_its_duration() -> None:
    a, b = np.array([[10, 10, 100.0], [700, 500, 24]]), np.array([[10, 10, 50.0], [10, 10, 74]])
    assert scan_match(a, b, SIZE, bin_ms=50).item() == 1  # both are two letters; 24 ms are none
    assert scan_match(a, b, SIZE).item() == 0.5


def test_bins_begin_half_a_pixel_before_the_first_centre() -> None:
    path = np.array([[159.4, 0], [159.6, 0]])
    assert string_edit(path[:1], path[1:], SIZE).item() == 0
    assert string_edit([[-50, 700]], [[0, 599]], SIZE).item() == 1  # beyond the border: the nearest bin


def test_a_line_is_an_unbroken_run() -> None:
    a = np.array([[0, 0], [10, 0], [20, 0], [30, 0], [40, 0]])
    b = np.array([[0, 0], [10, 0], [99, 0], [30, 0], [98, 0]])  # the main diagonal: 1 1 0 1 0
    found = cross_recurrence(a, b, radius=1)
    assert [each.item() for each in found] == pytest.approx([100 * 3 / 25, 100 * 2 / 3, 0, 0])


def test_recurrence_by_hand() -> None:
    path = np.array([[0, 0], [0, 0], [0, 0], [90, 0], [0, 0]])  # recurrent pairs: 01 02 12, 04 14 24
    found = recurrence(path, radius=1)
    horizontal, vertical = 2, 2 + 3  # 01 02; column 2 (02 12), column 4 (04 14 24)
    expected = [60, 100 * 2 / 6, 100 * (horizontal + vertical) / 12, 100 * (1 + 2 + 1 + 4 + 3 + 2) / (4 * 6)]
    assert [each.item() for each in found] == pytest.approx(expected)


def test_directions_are_those_that_people_see() -> None:
    up_right = [[100, 100], [150, 50]]
    assert saccades(up_right).direction.tolist() == [45.0]  # y points down in an image
    assert saccade_statistics(up_right)["NE"] == 1


def test_saccades_between_known_fixations_only() -> None:
    nowhere = [[0, 0], [30, 0], [np.nan, np.nan], [30, 40], [30, 40], [30, 80]]
    found = saccades(nowhere, pixels_per_unit=10)
    assert found.amplitude.tolist() == [3, 0, 4]
    np.testing.assert_array_equal(found.direction, [0, np.nan, 270])
    assert np.isnan(found.turn).all()  # none follows a saccade that has a direction
    shares = saccade_statistics([nowhere, nowhere[:1]], pixels_per_degree=10)
    assert (shares["saccades"], shares["E"], shares["S"], shares["refixation"]) == (3, 0.5, 0.5, 0.0)


# Batches, and what is degenerate.


@EACH
def test_a_batch_is_its_pairs(name: str) -> None:
    first, second = drawn(9, seed=4), drawn(9, seed=5)
    together = OF_PAIRS[name](first, second)
    apart = [OF_PAIRS[name](a, b)[0] for a, b in zip(first, second, strict=True)]
    np.testing.assert_array_equal(together, apart)
    np.testing.assert_array_equal(OF_PAIRS[name](first[0], second), OF_PAIRS[name]([first[0]] * 9, second))
    assert len(OF_PAIRS[name]([], [])) == 0


@EACH
def test_a_path_is_like_itself(name: str) -> None:
    for path in drawn(5, seed=6):
        score = np.ravel(OF_PAIRS[name](path, path))
        if name == "cross_recurrence":
            assert score[-1] == 0  # its centre of mass is on the diagonal
        else:
            assert score.tolist() == pytest.approx([0 if name in ("dtw", "frechet") else 1] * len(score))


@EACH
def test_short_paths_have_no_score(name: str) -> None:
    nothing, two = np.zeros((0, 3)), A[:2]
    assert np.isnan(OF_PAIRS[name](nothing, A)).all()
    assert np.isnan(OF_PAIRS[name](nothing, nothing)).all()
    scores = np.ravel(OF_PAIRS[name]([A, two], [B, B])[1])
    assert np.isnan(scores).all() if name == "multimatch" else np.isfinite(scores[0])


def test_what_is_not_defined_is_nan() -> None:
    without = multimatch(A[:, :2], B, SIZE)
    assert np.isnan(without.duration).all()
    assert without.shape.item() == pytest.approx(0.975)
    far_apart = recurrence(A, radius=1)
    assert far_apart.recurrence.item() == 0
    assert np.isnan([far_apart.determinism, far_apart.laminarity, far_apart.corm]).all()
    assert np.isnan(recurrence(A[:1], radius=1).recurrence).all()
    assert math.isnan(saccade_statistics([A[:1]])["amplitude_q50"])


def test_unusable_paths_are_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(5, 4\)"):
        dtw(np.zeros((5, 4)), A)
    with pytest.raises(DataError, match="b is no scanpath, nor a list of them, but None"):
        dtw(A, None)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="a scanpath of a is not of numbers: could not convert"):
        dtw(np.array([["left", "top"]]), A)
    with pytest.raises(DataError, match="a place that is not finite; leave such fixations out"):
        frechet(np.array([[0, np.nan]]), A)
    with pytest.raises(DataError, match="a has 2 scanpaths and b has 3"):
        stde([A, A], [B, B, B], SIZE)
    with pytest.raises(DataError, match="needs the duration of each fixation"):
        scan_match(A[:, :2], B, SIZE, bin_ms=50)
    with pytest.raises(DataError, match="a scanpath of b has a duration of -200 ms; pass at least 0"):
        multimatch(A, A * [1, 1, -1], SIZE)


@pytest.mark.parametrize("metric", [string_edit, scan_match], ids=["string_edit", "scan_match"])
@pytest.mark.parametrize(
    "bins", [(2.5, 3), (0, 3), (-4, 4), (math.nan, 2), (math.inf, 2), (True, 2), (1, 2, 3), 5, None]
)
def test_bins_are_two_whole_numbers(metric: Callable[..., Any], bins: Any) -> None:
    with pytest.raises(
        SpecError, match=r"bins=.* is not accepted: two whole numbers from 1 to 10000, rows and columns"
    ):
        metric(A, B, SIZE, bins=bins)
    assert metric(A, A, SIZE, bins=np.array([4, 4])).item() == 1


@pytest.mark.parametrize("size", [(0, 5), (-6, 8), (math.nan, 8), ("a", 8), (6, 8, 3), "68", 5, None])
def test_sizes_are_a_height_and_a_width(size: Any) -> None:
    for metric in (multimatch, scan_match, string_edit, stde):
        with pytest.raises(
            SpecError, match=r"size=.* is not accepted: two numbers from 1 to 1e\+06, \(height, width\)"
        ):
            metric(A, B, size)  # type: ignore[operator]
    for score in (conditional_log_likelihood, conditional_nss, conditional_auc) if size is not None else ():
        with pytest.raises(SpecError, match=r"size=.* is not accepted"):
            score(log_densities(), TARGETS, size)


def test_an_image_that_the_paths_are_far_from_is_refused() -> None:
    for metric in (multimatch, scan_match, string_edit, stde):
        with pytest.raises(SpecError, match=r"size=\(1, 1\) is not accepted: all fixations are far .* x=100, y=100"):
            metric(A, B, (1, 1))  # type: ignore[operator]
    outside = A[:, :2] + [800, 0]  # somebody who looked beside the screen
    assert 0 <= np.nanmin(multimatch(A, outside, SIZE)) <= np.nanmax(multimatch(outside, outside, SIZE)) == 1
    assert multimatch(A / 1000, B / 1000, (1, 1)).shape.item() > 0, "coordinates as shares of the image"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: scan_match(A, B, SIZE, threshold=0), "threshold=0 is not accepted: a number from 0.001 to 1e+06"),
        (lambda: scan_match(A, B, SIZE, threshold=math.inf), "threshold=inf is not accepted"),
        (lambda: scan_match(A, B, SIZE, threshold="3"), "threshold='3' is not accepted"),
        (lambda: scan_match(A, B, SIZE, gap=0.5), "gap=0.5 is not accepted: a number from -1e+06 to 0"),
        (lambda: scan_match(A, B, SIZE, gap=-math.inf), "gap=-inf is not accepted"),
        (lambda: scan_match(A, B, SIZE, bin_ms=0.05), "bin_ms=0.05 is not accepted: a number from 1 to 1e+06"),
        (lambda: recurrence(A, math.nan), "radius=nan is not accepted: a number from 0 to 1e+06"),
        (lambda: recurrence(A, radius=3, line=1), "line=1 is not accepted: a whole number from 2 to"),
        (lambda: recurrence(A, radius=3, line=2.5), "line=2.5 is not accepted"),
        (lambda: cross_recurrence(A, B, -1), "radius=-1 is not accepted"),
        (lambda: saccades(A, pixels_per_unit=0), "pixels_per_unit=0 is not accepted: a number from 0.001 to 1e+06"),
        (lambda: saccade_statistics(A, pixels_per_degree="2"), "pixels_per_degree='2' is not accepted"),
    ],
)
def test_what_is_out_of_range_is_named(call: Callable[[], Any], told: str) -> None:
    with pytest.raises(SpecError, match=re.escape(told)):
        call()


# Densities of the next fixation.


def log_densities(count: int = 4, shape: tuple[int, int] = (6, 8)) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(count, *shape, generator=draw, dtype=torch.float64).flatten(1).log_softmax(1).view(count, *shape)


TARGETS = np.array([[0, 0, 200], [7, 5, 200], [3.4, 2.6, 180], [8, 2, 300]])  # the last one is outside


def test_likelihood_nss_and_auc_are_their_definitions() -> None:
    maps = log_densities()
    p = maps.exp().numpy()
    at = [p[0, 0, 0], p[1, 5, 7], p[2, 3, 3]]
    bits = conditional_log_likelihood(maps, TARGETS)
    np.testing.assert_allclose(bits, [*(math.log2(value * 48) for value in at), np.nan])
    z = [(value - one.mean()) / one.std() for value, one in zip(at, p, strict=False)]
    np.testing.assert_allclose(conditional_nss(maps, TARGETS), [*z, np.nan])
    below = [((one < value).sum() + 0.5) / 48 for value, one in zip(at, p, strict=False)]
    np.testing.assert_allclose(conditional_auc(maps, TARGETS), [*below, np.nan])


def test_a_grid_scores_as_its_pixels() -> None:
    grid, targets = log_densities(3), TARGETS[:3, :2] * 10 + 2
    pixels = grid.repeat_interleave(10, 1).repeat_interleave(10, 2) - math.log(100)
    for score in (conditional_log_likelihood, conditional_nss, conditional_auc):
        np.testing.assert_allclose(score(grid, targets, (60, 80)), score(pixels, targets))


def test_a_uniform_density_is_chance_and_one_density_is_for_all() -> None:
    uniform = np.full((6, 8), -math.log(48))
    for score, chance in ((conditional_log_likelihood, 0), (conditional_nss, 0), (conditional_auc, 0.5)):
        np.testing.assert_allclose(score(uniform, TARGETS), [chance] * 3 + [np.nan], atol=1e-12)
    assert len(conditional_nss(np.zeros((0, 6, 8)), np.zeros((0, 2)))) == 0  # of a path with one fixation
    one = log_densities(1)
    np.testing.assert_array_equal(conditional_nss(one[0], TARGETS), conditional_nss(one.expand(4, -1, -1), TARGETS))


def test_what_is_no_log_density_is_refused() -> None:
    with pytest.raises(ImageError, match="are these logits, or a density"):
        conditional_log_likelihood(np.zeros((6, 8)), TARGETS)
    with pytest.raises(DataError, match="there are 4 log-densities and 3 targets"):
        conditional_auc(log_densities(), TARGETS[:3])


def test_all_are_exported() -> None:
    assert set(scanpaths.__all__) <= set(dir(scanpaths))
