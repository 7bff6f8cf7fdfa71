"""DeepGaze III: the small network on a density, and the published architecture in miniature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch

import salzoo
from salzoo.cli import main
from salzoo.components import history_head
from salzoo.components.scanpath_fit import look
from salzoo.components.scanpath_model import ScanpathModel
from salzoo.components.stimulus import Stimulus
from salzoo.data.datasets.osie import OSIE

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
PAPER = {
    "backbone": "test_efficientnet",
    "feature_nodes": [8, 16],
    "components": 2,
    "template": [32, 32],
    "cells": 80,
    "preprocess": {"size": [60, 80], "fit": "longest"},
}


def build(**options: Any) -> ScanpathModel:
    model = tiny_models.build("deepgaze3", **options)
    assert isinstance(model, ScanpathModel)
    return model


def test_the_head_says_the_same_of_a_reduced_image_and_of_a_longer_history() -> None:
    """What training relies on: cells as pixels, and absent fixations as if nobody had named them."""
    head = build().network.head
    stimulus = Stimulus(torch.from_numpy(np.random.default_rng(1).normal(size=(60, 80))).float().log_softmax(1), 40)
    history = torch.full((2, 7, 3), float("nan"))
    history[0, -2:, :2] = torch.tensor([[10.0, 50], [71, 3]])
    history[1, :, :2] = torch.from_numpy(np.random.default_rng(2).uniform(0, 60, (7, 2)))
    whole = head(stimulus, history)
    assert whole.flatten(1).std(1).min() > 0.1
    torch.testing.assert_close(head(stimulus, history[:1, -2:]), whole[:1])
    assert head(stimulus, history[:0]).shape == (0, 30, 40), "somebody who looked once has no next fixation"
    reduced = history.clone()
    reduced[..., :2] = stimulus.to_cells(history[..., :2])
    torch.testing.assert_close(head(Stimulus(stimulus.log_cells.float(), 40), reduced), whole, atol=1e-4, rtol=1e-4)


def test_a_new_head_is_the_static_density() -> None:
    model = salzoo.load("deepgaze3", weights=None, backbone=None, density="signature", cells=80)
    assert isinstance(model, ScanpathModel)
    np.testing.assert_allclose(
        model.conditional(IMAGE, [(3, 4), (60, 20)]).log_density, model.predict(IMAGE).log_density, atol=1e-4
    )


def test_fields_are_around_past_fixations_and_up_is_up() -> None:
    head = build(density="uniform").network.head
    with torch.no_grad():
        head.fields[1, 0, 3:9, head.lattice.rays // 4] = 9  # up from the one before the last
    history = torch.tensor([[[40.0, 30], [70, 5]]])
    with torch.no_grad():
        found = head(Stimulus(torch.full((60, 80), -8.4), 80), history)[0]
    row, column = divmod(int(found.argmax()), 80)
    assert column == pytest.approx(40, abs=1)
    assert 20 < row < 29
    assert found[:30].logsumexp((0, 1)) > found[30:].logsumexp((0, 1)) + 2


@pytest.mark.parametrize("options", [{}, PAPER], ids=["head", "paper"])
def test_the_order_of_fixations_counts_up_to_the_fourth(options: dict[str, Any]) -> None:
    model = build(**options)
    path = [(70, 50), (5, 40), (10, 10), (60, 20), (40, 55)]
    density = model.conditional(IMAGE, path).density
    assert density.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    assert np.abs(model.conditional(IMAGE, [path[0], *path[:0:-1]]).density - density).max() > 1e-5
    if options:
        moved = model.conditional(IMAGE, [(0, 0), *path[1:]]).density
        np.testing.assert_allclose(moved, density, rtol=1e-5, err_msg="the fifth past fixation")


def test_what_the_head_sees_of_far_fixations_is_a_normal_number() -> None:
    """Below float32's normal numbers, matrix products take ten times as long."""
    places = torch.stack(torch.meshgrid(torch.arange(80.0), torch.arange(60.0), indexing="xy")).flatten(1)
    planes = history_head._planes(places, torch.tensor([[[0.0, 0.0], [79.0, 59.0]]]))
    assert float(planes.abs()[planes != 0].min()) > torch.finfo(torch.float32).tiny


def test_the_paper_begins_in_the_middle() -> None:
    model = build(**PAPER)
    middle = model.conditional(IMAGE, [(39.5, 29.5)])
    np.testing.assert_allclose(model.predict(IMAGE).log_density, middle.log_density, atol=1e-4)


@pytest.mark.parametrize("options", [{}, PAPER], ids=["head", "paper"])
def test_a_fit_makes_the_scanpaths_likelier(options: dict[str, Any], tiny_data: Path, tmp_path: Path) -> None:
    words = tiny_models.fit_words("deepgaze3", tiny_data, tmp_path)
    words += [
        f"--model.{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in options.items()
    ]
    assert main([*words, f"--training.epochs={1 if options else 6}", "--training.batch=2", "--training.lr=0.01"]) == 0
    fitted = salzoo.load(tmp_path / "deepgaze3.lite")
    assert isinstance(fitted, ScanpathModel)
    before = salzoo.load("deepgaze3", weights=None, **fitted.config.network, preprocess=fitted.preprocess)

    def likelihood(model: Any) -> float:
        dataset = OSIE(tiny_data / "osie", "train")
        found = [
            model.step_log_likelihoods(model.prepare(dataset.image(i)), path)
            for i in range(2)
            for path in dataset.scanpaths(i)
        ]
        return float(np.nanmean(np.concatenate(found)))

    assert likelihood(fitted) > likelihood(before) + 0.01


def test_steps_are_those_of_the_paths(tiny_data: Path) -> None:
    dataset = OSIE(tiny_data / "osie", "train")
    model = build()
    (first, *_) = look(model, [dataset], reduce=False)
    histories, cells = first.steps(3)
    expected, targets = [], []
    for path in dataset.scanpaths(0):
        pixel = first.stimulus.pixel_index(path.x, path.y)
        rows = np.flatnonzero(pixel[1:] >= 0)
        expected.append(path.histories(3)[rows])
        targets.append(first.stimulus.cell_of.flatten().numpy()[pixel[rows + 1]])
    np.testing.assert_allclose(histories, np.concatenate(expected), rtol=1e-6)
    np.testing.assert_array_equal(cells, np.concatenate(targets))
