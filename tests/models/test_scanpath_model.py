"""The base of scanpath models, by its simplest model: winner take all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import salzoo
from salzoo.components.drawing import Draws, draw_cells
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.scanpath_model import ScanpathModel
from salzoo.components.stimulus import Stimulus
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess
from salzoo.images.scanpath import Scanpath

IMAGE = np.random.default_rng(0).integers(0, 256, (41, 67, 3), dtype=np.uint8)


class Ramp(nn.Module):
    """A map with its maximum in the lower right corner, whatever the image shows."""

    def forward(self, image: Tensor) -> Tensor:
        y, x = (torch.linspace(0, 1, side) for side in image.shape[-2:])
        return (3 * x + 2 * y[:, None]).expand(len(image), 1, -1, -1)


class RampModel(SaliencyModel):
    network_class = Ramp
    default_preprocess = Preprocess((24, 32))


def wta(**options: Any) -> ScanpathModel:
    model = salzoo.load("wta", **options)
    assert isinstance(model, ScanpathModel)
    model.start_from(RampModel())
    return model


@pytest.mark.parametrize("size", [(41, 67), (301, 203), (1, 40), (40, 1), (1, 2)])
def test_probabilities_sum_to_one_at_every_step(size: tuple[int, int]) -> None:
    model = wta(cells=20)
    image = np.zeros((*size, 3), np.uint8)
    stimulus = model.prepare(torch.from_numpy(image).permute(2, 0, 1))
    assert stimulus.log_cells.exp().sum().item() == pytest.approx(1, abs=1e-12)
    history: list[tuple[float, float]] = []
    for x, y in [(0, 0), (size[1] - 1, size[0] - 1), (-50, 3), (float("nan"), 2)]:
        history.append((x, y))
        m = model.conditional(image, history)
        assert m.density.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
        assert np.isfinite(m.log_density).all()


@pytest.mark.parametrize("name", ["saccadic", "deepgaze3", "scenewalk", "cle", "wta"])
def test_nothing_is_predicted_after_the_only_fixation(name: str) -> None:
    model = salzoo.load(name)
    assert isinstance(model, ScanpathModel)
    model.start_from(RampModel())
    stimulus = model.prepare(torch.from_numpy(IMAGE).permute(2, 0, 1))
    assert model.log_conditional(stimulus, torch.zeros(0, 4, 3)).shape == (0, *stimulus.grid)
    assert model.step_log_likelihoods(stimulus, Scanpath([3], [4])).shape == (0,)


def test_without_history_it_is_the_static_density() -> None:
    model = wta()
    np.testing.assert_allclose(model.conditional(IMAGE).density, model.predict(IMAGE).density, rtol=1e-5)


def test_the_likelihood_is_that_of_the_map_at_the_pixel() -> None:
    model = wta(cells=20)
    path = Scanpath([3, 60.4, 66.5, 30, 80], [4, 20, 40.5, 11, 5])
    found = model.step_log_likelihoods(model.prepare(torch.from_numpy(IMAGE).permute(2, 0, 1)), path)
    places = list(zip(path.x.tolist(), path.y.tolist(), strict=True))
    for step, (column, row) in enumerate([(60, 20), (66, 40), (30, 11)], start=1):
        m = model.conditional(IMAGE, places[:step])
        assert found[step - 1] == pytest.approx(m.log_density[row, column], abs=1e-4)
    assert np.isnan(found[3]), "a target outside the image is not scored"


def test_winner_take_all_takes_the_maximum_and_inhibits_it() -> None:
    model = wta(cells=67, sigma=2.0)
    path = model.predict_scanpath(IMAGE, n=3)
    assert (path.x[0], path.y[0]) == (66, 40)
    steps = np.hypot(np.diff(path.x), np.diff(path.y))
    assert (steps > 2).all(), "67 pixels are 33.7 degrees: sigma is 4 pixels"
    after = model.conditional(IMAGE, [(66, 40)])
    before = model.conditional(IMAGE)
    ratio = after.density / before.density
    r2 = (np.arange(67)[None] - 66) ** 2 + (np.arange(41)[:, None] - 40) ** 2
    expected = 1 - np.exp(-r2 / (2 * (2 * 67 / 33.7) ** 2))
    np.testing.assert_allclose(ratio / ratio[0, 0], expected, atol=2e-3)
    faded = wta(cells=67, sigma=2.0, recovery=1).conditional(IMAGE, [(66, 40), (0, 0)])
    assert faded.density[40, 66] / before.density[40, 66] > 0.9


class Chance(ScanpathModel):
    """Draws from the static density."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.network = nn.Identity()

    def score_cells(self, stimulus: Stimulus, history: Tensor) -> Tensor:
        return stimulus.log_cells.float().expand(len(history), -1, -1)


def test_the_same_seed_gives_the_same_path_however_many_are_drawn() -> None:
    model = Chance(cells=20)
    model.start_from(RampModel())
    one, many = model.predict_scanpath(IMAGE, n=5, seed=3), model.predict_scanpath(IMAGE, n=5, samples=4, seed=3)
    other = model.predict_scanpath(IMAGE, n=5, seed=4)
    assert isinstance(many, list)
    np.testing.assert_array_equal(one.points, many[0].points)
    assert len({path.points.tobytes() for path in (*many, other)}) == 5
    first = model.predict_scanpath(IMAGE, n=3, start=(7.5, 9), seed=3)
    assert (first.x[0], first.y[0], len(first)) == (7.5, 9, 3)


def test_draws_follow_the_density() -> None:
    model = Chance(cells=20)
    model.start_from(RampModel())
    paths = model.predict_scanpath(IMAGE, n=1, samples=4000)
    assert isinstance(paths, list)
    density = model.predict(IMAGE).density
    for axis, drawn in ((0, [path.x[0] for path in paths]), (1, [path.y[0] for path in paths])):
        expected = density.sum(axis).cumsum()
        found = np.searchsorted(np.sort(drawn), np.arange(len(expected)), side="right") / 4000
        assert np.abs(found - expected).max() < 0.03, "Kolmogorov and Smirnov, at 0.1 %"


def test_draws_invert_the_cumulative_sums_of_rows_and_of_columns() -> None:
    log = torch.tensor([[[0.25, 0.0], [0.5, 0.25]]]).log()
    uniform = np.array([0.0, 0.2499, 0.25, 0.7499, 0.99999])
    assert draw_cells(log.repeat(5, 1, 1), uniform).tolist()[:2] == [0, 0], "one cell of this row is impossible"
    assert (draw_cells(log.repeat(5, 1, 1), uniform) // 2).tolist() == [0, 0, 1, 1, 1]
    many = draw_cells(log.expand(20_000, -1, -1), np.random.default_rng(0).random(20_000))
    np.testing.assert_allclose(np.bincount(many, minlength=4) / 20_000, [0.25, 0, 0.5, 0.25], atol=0.01)
    np.testing.assert_array_equal(Draws(1, 2, 3).of(2), Draws(1, 5, 4).of(2)[:2])


def test_last_digits_hardly_change_a_draw() -> None:
    """Another machine adds up in another order: here in the fifth digit, so that a change is seen at all."""
    random = np.random.default_rng(0)
    log = torch.from_numpy(random.normal(size=(1, 60, 80)) * 3).flatten(1).log_softmax(1).view(1, 60, 80)
    other = log + torch.from_numpy(random.normal(size=log.shape)) * 1e-4
    other = other - other.flatten().logsumexp(0)
    uniform = random.random(5000)
    one, two = (draw_cells(each.expand(5000, -1, -1), uniform) for each in (log, other))
    assert len(set(one.tolist())) > 300
    assert (one != two).sum() <= 15, "a cumulative sum of all cells changes more than a hundred"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.predict_scanpath(IMAGE, n=0), "n=0 is not accepted: from 1 to"),
        (lambda m: m.predict_scanpath(IMAGE, n=2.5), "n=2.5 is not accepted: a whole number"),
        (lambda m: m.predict_scanpath(IMAGE, seed="1"), "seed='1' is not accepted: a whole number"),
        (lambda m: m.conditional(IMAGE, (3, 4)), r"a history is a list of fixations \(x, y\) or .* got \(3, 4\)"),
        (lambda m: m.predict_scanpath(IMAGE, start=(67, 3)), r"start=\(67, 3\) is outside the image, which is 67 x 41"),
        (lambda m: m.conditional(IMAGE, [(1, 2, 3, 4)]), r"a fixation is \(x, y\) or \(x, y, duration in ms\), got"),
        (lambda m: m.conditional(IMAGE, None), "a history is a list of fixations .* got None"),
        (lambda m: m.conditional(IMAGE, [(1, 2, -3)]), r"at least 0 ms, or nan if it is not known, got \(1, 2, -3\)"),
        (lambda m: m.conditional(IMAGE, [(float("inf"), 2)]), r"of finite numbers, or nan .*, got \(inf, 2\)"),
        (lambda m: m.predict_scanpath(IMAGE, start=(1, 2, -3)), "the duration of a fixation is at least 0 ms"),
        (lambda m: m.start_from(salzoo.load("wta")), "a scanpath model starts from a static one, got WinnerTakeAll"),
        (lambda m: salzoo.load("wta", density="nothing"), "Unknown model 'nothing'"),
    ],
)
def test_what_is_wrong_is_named(call: Any, words: str) -> None:
    with pytest.raises((SpecError, salzoo.errors.UnknownModelError), match=words):
        call(wta())


@pytest.mark.parametrize("kind", [lambda x: Scanpath(*x.T), torch.from_numpy, np.ndarray.tolist])
def test_a_history_may_be_a_path_or_a_tensor(kind: Any) -> None:
    places = np.array([[5.0, 7.0, 200.0], [40.0, 30.0, 150.0]])
    expected = wta().conditional(IMAGE, [(5, 7, 200), (40, 30, 150)]).density
    assert (wta().conditional(IMAGE, kind(places)).density == expected).all()
    assert (wta().conditional(IMAGE, []).density != expected).any()
