"""The gold standard: fitted to people who look as a known mixture says, and the share of it that a model explains."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from salzoo.checkpoint.config import Explained
from salzoo.data import Fixations
from salzoo.evaluation.gold import BLURS, Seen, fit_gold
from salzoo.evaluation.table import Table

SIZE, SIGMA = (60, 80), 4.0


def crowd(images: int, people: int, *, spread: float = SIGMA, lost: float = 0.2) -> list[Seen]:
    """Let people look around the same three places of each image, or, in a share of cases, anywhere."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(images):
        places = rng.uniform([15, 15], [65, 45], (3, 2))
        x, y = (places[rng.integers(3, size=(people, 6))] + rng.normal(0, spread, (people, 6, 2))).reshape(-1, 2).T
        anywhere = rng.random(len(x)) < lost
        x, y = np.where(anywhere, rng.uniform(0, 79, len(x)), x), np.where(anywhere, rng.uniform(0, 59, len(x)), y)
        points = Fixations(x, y, np.repeat(np.arange(people), 6)).inside(SIZE)
        found.append((points, SIZE, SIGMA, torch.full(SIZE, 1 / 4800)))
    return found


def test_it_finds_how_people_look() -> None:
    gold = fit_gold(crowd(30, 12))
    assert gold.shares[0] == pytest.approx(0.8, abs=0.06)
    assert sum(gold.shares) == pytest.approx(1)
    assert 0.3 < gold.blur < 0.9, "the fixations have the spread already; the kernel needs less"
    assert fit_gold(crowd(30, 12, spread=2 * SIGMA)).blur > 1.5 * gold.blur


def test_the_fit_is_the_likelihood_of_its_own_densities() -> None:
    images = crowd(4, 5)
    gold = fit_gold(images)
    found = []
    for points, size, sigma, prior in images:
        of_image = []
        for one in range(5):
            own, rest = points.of(one), points.without(one)
            density = gold.density(rest, size, sigma, prior)
            assert float(density.sum()) == pytest.approx(1, abs=1e-5)
            gain = torch.log2(density / prior)[own.counts(size) > 0]
            number = own.counts(size)[own.counts(size) > 0]
            of_image.append(float((gain * number).sum() / number.sum()))
        found.append(np.mean(of_image))
    assert gold.bits == pytest.approx(np.mean(found), rel=1e-4)


def test_few_others_tell_less() -> None:
    images = crowd(20, 12)
    bits = [fit_gold(images, others).bits for others in (1, 3, 9)]
    assert bits == sorted(bits)
    assert bits[-1] < fit_gold(images).bits


def test_nobody_beside() -> None:
    alone = Fixations([3.0, 9.0], [3.0, 9.0], [0, 0])
    with pytest.raises(ValueError, match="no image has fixations of two observers"):
        fit_gold([(alone, SIZE, SIGMA, torch.full(SIZE, 1 / 4800))])
    assert BLURS[0] < 1 < BLURS[-1]


def test_nobody_else_looked_leaves_the_priors() -> None:
    gold, prior = fit_gold(crowd(10, 4)), torch.rand(SIZE)
    density = gold.density(Fixations([], [], []), SIZE, SIGMA, prior / prior.sum())
    assert float(density.sum()) == pytest.approx(1, abs=1e-5)


def test_explained_information() -> None:
    rng = np.random.default_rng(1)
    gold = rng.normal(2, 0.5, 60)
    scores = {
        "gold": {"ig": gold.tolist()},
        "model": {"ig": (0.9 * gold + rng.normal(0, 0.3, 60)).tolist()},
        "worse": {"ig": (-0.5 * gold).tolist()},
        "points": {"nss": [1.0] * 60},
    }
    table = Table("osie", "test", tuple(map(str, range(60))), "mit", "uniform", scores)
    explained = table.explained()
    assert set(explained) == {"gold", "model", "worse"}
    assert explained["gold"] == pytest.approx((1, 1, 1))
    assert explained["worse"] == pytest.approx((-0.5, -0.5, -0.5))
    share, low, high = explained["model"]
    assert share == pytest.approx(np.mean(scores["model"]["ig"]) / gold.mean())
    assert low < 0.9 < high
    assert high - low == pytest.approx(4 * 0.3 / 60**0.5 / 2, rel=0.3)
    assert "| 90." in table.to_markdown() or "| 89." in table.to_markdown() or "| 91." in table.to_markdown()
    assert table.to_json()["explained"]["worse"]["share"] == pytest.approx(-0.5)
    assert table.measured("model", "0" * 40).explained == Explained(*(round(each, 5) for each in explained["model"]))
    assert table.measured("points", "0" * 40).explained is None
    del scores["gold"]
    assert Table("osie", "test", table.images, "mit", "uniform", scores).explained() == {}
