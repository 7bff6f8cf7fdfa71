"""Event detection on synthetic gaze of which every fixation is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from salzoo.data import Fixations
from salzoo.data.events import Screen, dispersion_events, velocity_events
from salzoo.errors import DataError, SalzooWarning, SpecError

SCREEN = Screen(width_cm=52, width_px=1920, distance_cm=60)
PLAN = ((300.0, 400.0, 250), (900.0, 420.0, 180), (880.0, 900.0, 400), (1500.0, 200.0, 120))
"""x, y (px) and duration (ms) of each fixation; 40 ms of saccade between."""
Gaze = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def gaze(rate_hz: float, noise_deg: float = 0.0, seed: int = 0) -> Gaze:
    corners_t, corners_x, corners_y, now = [], [], [], 0.0
    for x, y, duration in PLAN:
        corners_t += [now, now + duration]
        corners_x += [x, x]
        corners_y += [y, y]
        now += duration + 40
    t = np.arange(0, corners_t[-1] + 1e-6, 1000 / rate_hz)
    noise = np.random.default_rng(seed).normal(0, noise_deg * SCREEN.pixels_per_degree, (2, len(t)))
    return t, np.interp(t, corners_t, corners_x) + noise[0], np.interp(t, corners_t, corners_y) + noise[1]


def compare(found: Fixations, *, pixels: float, milliseconds: float) -> None:
    assert len(found) == len(PLAN)
    assert found.duration is not None
    np.testing.assert_allclose(found.x, [x for x, _, _ in PLAN], atol=pixels)
    np.testing.assert_allclose(found.y, [y for _, y, _ in PLAN], atol=pixels)
    np.testing.assert_allclose(found.duration, [d for _, _, d in PLAN], atol=milliseconds)


def test_a_degree_on_the_screen() -> None:
    assert SCREEN.pixels_per_degree == pytest.approx(2 * 60 * math.tan(math.pi / 360) * 1920 / 52)
    with pytest.raises(SpecError, match="above 0"):
        Screen(52, 1920, 0)


@pytest.mark.parametrize("rate", [60, 250, 1000])
def test_without_noise(rate: int) -> None:
    t, x, y = gaze(rate)
    step = 1000 / rate
    compare(velocity_events(t, x, y, SCREEN, window_ms=1), pixels=1e-6, milliseconds=3 * step)
    # Samples on the way belong to a fixation as long as they are within a degree of all of it.
    compare(dispersion_events(t, x, y, SCREEN), pixels=15, milliseconds=3 * step + 8)


@pytest.mark.parametrize(("rate", "noise"), [(120, 0.05), (500, 0.03), (1000, 0.03)])
def test_with_noise(rate: int, noise: float) -> None:
    t, x, y = gaze(rate, noise)
    compare(velocity_events(t, x, y, SCREEN), pixels=3, milliseconds=30)
    compare(dispersion_events(t, x, y, SCREEN), pixels=8, milliseconds=30)


def test_velocity_is_measured_over_a_window() -> None:
    t, x, y = gaze(1000, 0.03)
    assert len(velocity_events(t, x, y, SCREEN, window_ms=1)) < len(PLAN), "noise between two samples is fast"


def test_thresholds_are_degrees() -> None:
    t = np.arange(0, 1000, 4.0)
    drift = t / 1000 * 10 * SCREEN.pixels_per_degree  # 10 degrees a second
    assert len(velocity_events(t, drift, drift * 0, SCREEN, max_velocity=10.1)) == 1
    assert len(velocity_events(t, drift, drift * 0, SCREEN, max_velocity=9.9)) == 0
    # 1 degree takes 100 ms; those windows follow each other
    found = dispersion_events(t, drift, drift * 0, SCREEN, max_dispersion=1.001, min_duration_ms=100)
    assert found.duration is not None
    assert found.duration.tolist() == [100.0] * 9
    assert len(dispersion_events(t, drift, drift * 0, SCREEN, max_dispersion=0.99, min_duration_ms=100)) == 0
    both = dispersion_events(t, drift, drift, SCREEN, max_dispersion=1.999, min_duration_ms=100)
    assert len(both) == 0, "dispersion adds the spread of x and of y"


@pytest.mark.parametrize("detect", [velocity_events, dispersion_events])
def test_short_fixations_are_dropped(detect: type[velocity_events]) -> None:
    t, x, y = gaze(500)
    found = detect(t, x, y, SCREEN, min_duration_ms=200)
    assert len(found) == 2
    np.testing.assert_allclose(found.x, [300, 880], atol=5)
    assert len(detect(t, x, y, SCREEN, min_duration_ms=5000)) == 0


@pytest.mark.parametrize("detect", [velocity_events, dispersion_events])
@pytest.mark.parametrize("cut", [False, True], ids=["NaN", "rows missing"])
def test_gaps(detect: type[velocity_events], cut: bool) -> None:
    t = np.arange(0, 801, 2.0)
    x, y = np.full_like(t, 700.0), np.full_like(t, 300.0)

    def with_gap(length: float) -> Fixations:
        lost = (t > 300) & (t < 300 + length)
        arrays = (t[~lost], x[~lost], y[~lost]) if cut else (t, np.where(lost, np.nan, x), np.where(lost, np.nan, y))
        return detect(*arrays, SCREEN, observer=7)

    short, long = with_gap(50), with_gap(150)
    assert short.duration is not None
    assert long.duration is not None
    assert short.duration.tolist() == [800.0]
    assert long.duration.tolist() == [300.0, 350.0], "a blink ends a fixation"
    assert long.x.tolist() == [700.0, 700.0]
    assert long.observer.tolist() == [7, 7]


@pytest.mark.parametrize("detect", [velocity_events, dispersion_events])
def test_missing_samples_do_not_move_a_fixation(detect: type[velocity_events]) -> None:
    t = np.arange(0, 400, 4.0)
    x = 500 + np.tile([-2.0, 2.0], 50)
    x[20:35] = np.nan
    found = detect(t, x, np.full_like(t, 9.0), SCREEN)
    assert found.x.tolist() == pytest.approx([np.nanmean(x)])


@pytest.mark.parametrize("detect", [velocity_events, dispersion_events])
def test_nothing_to_find(detect: type[velocity_events]) -> None:
    nan = np.full(100, np.nan)
    for samples in (0, 1, 100):
        assert len(detect(np.arange(float(samples)), nan[:samples], nan[:samples], SCREEN)) == 0
    assert len(detect([0.0], [5.0], [5.0], SCREEN)) == 0


@pytest.mark.parametrize("detect", [velocity_events, dispersion_events])
def test_wrong_input(detect: type[velocity_events]) -> None:
    with pytest.raises(DataError, match="one length"):
        detect([0.0, 1.0], [1.0], [1.0, 2.0], SCREEN)
    for t in ([0.0, 0.0], [1.0, 0.0], [0.0, float("nan")]):
        with pytest.raises(DataError, match="must increase"):
            detect(t, [1.0, 1.0], [1.0, 1.0], SCREEN)
    with pytest.raises(SpecError, match="min_duration_ms must be above 0, got -1"):
        detect([0.0, 1.0], [1.0, 1.0], [1.0, 1.0], SCREEN, min_duration_ms=-1)


def test_from_the_screen_to_the_image() -> None:
    t, x, y = gaze(250)
    events = velocity_events(t, x, y, SCREEN, window_ms=1)
    points = events.cropped(140, 200, (800, 1000)).resized((800, 1000), (400, 500))  # the last one was beside it
    np.testing.assert_allclose(points.x, (np.array([300, 900, 880]) - 200 + 0.5) / 2 - 0.5)
    np.testing.assert_allclose(points.y, (np.array([400, 420, 900]) - 140 + 0.5) / 2 - 0.5)
    assert points.duration is not None
    assert len(points.duration) == 3


def test_many_images_in_a_row() -> None:
    t, x, y = gaze(1000, 0.03)
    repeats = 200
    long_t = np.concatenate([t + k * (t[-1] + 100) for k in range(repeats)])
    for detect in (velocity_events, dispersion_events):
        found = detect(long_t, np.tile(x, repeats), np.tile(y, repeats), SCREEN)
        assert len(found) == repeats * len(PLAN)
        np.testing.assert_allclose(found.x[-4:], found.x[:4], atol=1e-6)


@pytest.mark.parametrize("detect", [velocity_events, dispersion_events])
@pytest.mark.parametrize("code", [(0, 0), (-1, -1), (-32768, -32768), (1e8, 1e8)])
def test_codes_for_missing_data_are_gaps(detect: type[velocity_events], code: tuple[float, float]) -> None:
    t, x, y = gaze(250)
    lost = (t > 100) & (t < 130) | (t > 500) & (t < 600)
    truth = detect(t, np.where(lost, np.nan, x), np.where(lost, np.nan, y), SCREEN)
    with pytest.warns(SalzooWarning, match=f"{lost.sum()} of {len(t)} samples are codes for missing data"):
        found = detect(t, np.where(lost, code[0], x), np.where(lost, code[1], y), SCREEN)
    assert len(truth) >= len(PLAN)
    np.testing.assert_array_equal([found.x, found.y, found.duration], [truth.x, truth.y, truth.duration])  # type: ignore[list-item]


@pytest.mark.parametrize("detect", [velocity_events, dispersion_events])
@pytest.mark.parametrize(("factor", "unit"), [(1e-3, "seconds"), (1e3, "micro- or nano"), (1e6, "micro- or nano")])
def test_time_that_is_not_in_milliseconds_is_refused(detect: type[velocity_events], factor: float, unit: str) -> None:
    for rate in (60, 1000):
        t, x, y = gaze(rate)
        with pytest.raises(DataError, match=f"time must be in milliseconds.*{unit}"):
            detect(t * factor, x, y, SCREEN)


@pytest.mark.parametrize("detect", [velocity_events, dispersion_events])
def test_fractions_of_the_screen_are_refused(detect: type[velocity_events]) -> None:
    t, x, y = gaze(250)
    with pytest.raises(DataError, match=r"must be in pixels of the screen.*width \(1920\)"):
        detect(t, x / 1920, y / 1080, SCREEN)
    with pytest.raises(SpecError, match="above 0"):
        Screen(52, math.nan, 60)
