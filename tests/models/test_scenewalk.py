"""SceneWalk: the dynamics against a loop of small steps, and the fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch

import salzoo
from salzoo.cli import main
from salzoo.components.scanpath_model import ScanpathModel
from salzoo.components.stimulus import Stimulus
from salzoo.models.scenewalk import STARTS, SceneWalk

DEGREE = 80 / 33.7
"""Pixels a degree of an image of 80 columns."""
ALL = {"post_saccadic": True, "pre_saccadic": True, "facilitation": True, "potential": True}


def stimulus() -> Stimulus:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 60), torch.linspace(-1, 1, 80), indexing="ij")
    return Stimulus(-3 * (x - 0.3) ** 2 - 2 * y**2 + torch.sin(9 * x), 40)


def cells(model: SceneWalk, history: list[tuple[float, float, float]]) -> np.ndarray:
    return model.log_conditional(stimulus(), torch.tensor([history])).numpy()[0]


def test_the_original_is_a_differential_equation() -> None:
    """dA/dt = -rate (A - G), in steps of a tenth of a millisecond, on two fixations; then the priority, by hand."""
    image = stimulus()
    density = image.log_cells.exp().numpy()
    y, x = (image.centres[..., axis].double().numpy() / DEGREE for axis in (1, 0))
    history = [(20.0, 10.0, 180.0), (50.0, 40.0, 240.0)]
    attention = inhibition = np.full(density.shape, 1 / density.size)
    for column, row, duration in history:
        square = (x - column / DEGREE) ** 2 + (y - row / DEGREE) ** 2
        seen = np.exp(-square / (2 * STARTS["attention_sigma"] ** 2)) * density
        tagged = np.exp(-square / (2 * STARTS["inhibition_sigma"] ** 2))
        for _ in range(round(10 * duration)):
            attention = attention + 1e-4 * STARTS["attention_rate"] * (seen / seen.sum() - attention)
            inhibition = inhibition + 1e-4 * STARTS["inhibition_rate"] * (tagged / tagged.sum() - inhibition)
    drawn, kept = attention ** STARTS["attention_power"], inhibition ** STARTS["inhibition_power"]
    excess = (drawn / drawn.sum() - STARTS["inhibition"] * kept / kept.sum()).clip(0)
    expected = (1 - STARTS["noise"]) * excess / excess.sum() + STARTS["noise"] / density.size
    np.testing.assert_allclose(
        np.exp(cells(SceneWalk(density="signature", cells=40), history)), expected, rtol=5e-3, atol=2e-6
    )


def test_longer_fixations_draw_attention_farther_and_unknown_ones_count_as_200_ms() -> None:
    model = SceneWalk(density="signature", cells=40)
    model.network.log["inhibition"].data.fill_(-20)
    start = (5.0, 5.0, 300.0)
    short, usual, long = (cells(model, [start, (70.0, 50.0, ms)]) for ms in (30.0, 200.0, 900.0))
    near = np.s_[20:, 28:]
    assert np.exp(short[near]).sum() < np.exp(usual[near]).sum() < np.exp(long[near]).sum()
    np.testing.assert_array_equal(cells(model, [start, (70.0, 50.0, float("nan"))]), usual)
    np.testing.assert_array_equal(cells(model, [(float("nan"),) * 3, start, (70.0, 50.0, 200.0)]), usual)


def test_unknown_fixations_alone_are_none() -> None:
    model = SceneWalk(density="signature", cells=40)
    unknown, known = [float("nan")] * 3, [5.0, 5.0, 300.0]
    none = model.log_conditional(stimulus(), torch.zeros(1, 0, 3))[0]
    both = model.log_conditional(stimulus(), torch.tensor([[unknown, unknown], [unknown, known]]))
    np.testing.assert_array_equal(both[0], none)
    np.testing.assert_array_equal(both[1], cells(model, [(5.0, 5.0, 300.0)]))
    np.testing.assert_array_equal(cells(model, [(float("nan"),) * 3]), none)


@pytest.mark.parametrize("extension", [*ALL, "interaction"])
def test_each_extension_does_something_and_what_it_says(extension: str) -> None:
    options: dict[str, Any] = {extension: "divisive" if extension == "interaction" else True}
    history = [(20.0, 30.0, 200.0), (40.0, 30.0, 150.0), (40.0, 10.0, 60.0)]
    plain = cells(SceneWalk(density="signature", cells=40), history)
    extended = cells(SceneWalk(density="signature", cells=40, **options), history)
    assert np.exp(extended).sum() == pytest.approx(1, abs=1e-6)
    assert np.abs(np.exp(extended) - np.exp(plain)).max() > 1e-5
    if extension == "potential":  # more on the row and the column of the last fixation
        gain = np.exp(extended) - np.exp(plain) / 1.1
        assert gain[4:6].mean() > 1.3 * gain[12:].mean()
    if extension == "facilitation":  # what was seen before the last saccade stays longer
        assert np.exp(extended - plain)[13:17, 18:22].mean() > 1


def test_a_fit_makes_the_scanpaths_likelier(tiny_data: Path, tmp_path: Path) -> None:
    words = tiny_models.fit_words("scenewalk", tiny_data, tmp_path)
    assert main([*words, "--training.epochs=4", "--training.batch=2"]) == 0
    fitted = salzoo.load(tmp_path / "scenewalk.lite")
    before = salzoo.load("scenewalk", weights=None, **fitted.config.network)

    def likelihood(model: ScanpathModel) -> float:
        dataset = salzoo.data.OSIE(tiny_data / "osie", "train")
        found = [
            model.step_log_likelihoods(model.prepare(dataset.image(i)), path)
            for i in range(2)
            for path in dataset.scanpaths(i)
        ]
        return float(np.nanmean(np.concatenate(found)))

    assert likelihood(fitted) > likelihood(before) + 0.01
    paths = fitted.predict_scanpath(np.zeros((60, 80, 3), np.uint8), n=4, samples=50)
    drawn = np.concatenate([path.duration for path in paths])
    known = np.concatenate([path.duration for path in salzoo.data.OSIE(tiny_data / "osie", "train").scanpaths(0)])
    assert np.median(drawn) == pytest.approx(np.median(known), rel=0.5)
