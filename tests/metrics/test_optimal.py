"""Each map is compared with its rivals on fixations that were drawn from a known density."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from salzoo.data import Fixations
from salzoo.errors import ImageError, SpecError
from salzoo.metrics import METRICS, functional
from salzoo.metrics.optimal import metric_maps

HEIGHT, WIDTH = SIZE = (48, 64)
SIGMA = 3.0
COUNT = 60
IMAGES = 1200
Maps = dict[str, Tensor]


def bump(y: float, x: float, sigma: float) -> Tensor:
    rows, columns = (torch.exp(-((torch.arange(n) - c) ** 2) / (2 * sigma**2)) for n, c in ((HEIGHT, y), (WIDTH, x)))
    return rows[:, None] * columns


def normalised(density: Tensor) -> Tensor:
    return density / density.sum()


DENSITY = normalised(bump(15, 21, 4) + bump(8, 53, 2) + 0.5 * bump(32, 45, 3) + 0.15 * bump(24, 32, 14) + 0.01)
CENTRE_BIAS = normalised(bump(24, 32, 13) + 0.05)
UNIFORM = torch.full(SIZE, 1 / (HEIGHT * WIDTH))


def maps_of(density: Tensor, **changes: Any) -> Maps:
    arguments: dict[str, Any] = {"centre_bias": CENTRE_BIAS, "sigma_px": SIGMA, "n_fixations": COUNT}
    return metric_maps(density, **(arguments | changes))


def blurred(density: Tensor, sigma: float) -> Tensor:
    return maps_of(density, sigma_px=sigma, metrics=["kld"])["kld"]


def ranked(maps: Tensor) -> Tensor:
    return maps.flatten().argsort().argsort().view(maps.shape).float()


def lowest_dropped(density: Tensor) -> Tensor:
    return torch.where(density == density.min(), 0, density)


class Truths(NamedTuple):
    fixations: Tensor
    densities: Tensor
    others: Tensor


def draw(count: int = COUNT, sigma: float = SIGMA, images: int = IMAGES) -> Truths:
    """Make truths as the datasets do, of fixations from DENSITY, with others from CENTRE_BIAS."""
    rng = np.random.default_rng(3)

    def points(density: Tensor, n: int) -> Fixations:
        p = density.flatten().double().numpy()
        drawn = rng.choice(len(p), n, p=p / p.sum())
        return Fixations((drawn % WIDTH).astype(float), (drawn // WIDTH).astype(float), np.zeros(n, int))

    own = [points(DENSITY, count) for _ in range(images)]
    return Truths(
        torch.stack([p.counts(SIZE) for p in own]),
        torch.stack([p.density(SIZE, sigma) for p in own]),
        torch.stack([points(CENTRE_BIAS, 400).counts(SIZE) for _ in range(images)]),
    )


@pytest.fixture(scope="module")
def truths() -> Truths:
    return draw()


def scores(key: str, prediction: Tensor, truths: Truths) -> Tensor:
    """Return one score for each truth, the higher the better."""
    preds = prediction.expand(len(truths.fixations), -1, -1)
    if key in ("cc", "sim", "kld"):
        score = METRICS[key].score(preds, truths.densities)
    else:
        extra = {"sauc": (truths.others,), "ig": (CENTRE_BIAS,)}.get(key, ())
        score = METRICS[key].score(preds, truths.fixations, *extra)
    return score if METRICS[key].higher_is_better else -score


def assert_beats(key: str, ours: Tensor, rival: Tensor, truths: Truths) -> None:
    gain = scores(key, ours, truths) - scores(key, rival, truths)
    error = float(gain.std()) / math.sqrt(len(gain))
    assert gain.mean() > max(3 * error, 1e-5), f"gain {gain.mean():.5f} +- {error:.5f}"


MAPS = maps_of(DENSITY)
RIVALS: dict[str, Maps] = {
    "auc_judd": {
        "blurred": MAPS["kld"],
        "ratio": DENSITY / CENTRE_BIAS,
        "sim": MAPS["sim"],
    },
    "auc_borji": {
        "density": DENSITY,
        "blurred": MAPS["kld"],
        "ranked": ranked(DENSITY),
        "root": DENSITY.sqrt(),
        "log": DENSITY.log() - DENSITY.log().min(),
        "sauc": MAPS["sauc"],
    },
    "sauc": {
        "density": DENSITY,
        "blurred": MAPS["kld"],
        "ratio": DENSITY / CENTRE_BIAS,
        "ranked ratio": ranked(DENSITY / CENTRE_BIAS),
        "root of ratio": (DENSITY / CENTRE_BIAS).sqrt(),
        "auc_borji": MAPS["auc_borji"],
    },
    "nss": {
        "blurred": MAPS["kld"],
        "ranked": ranked(DENSITY),
        "root": DENSITY.sqrt(),
        "square": DENSITY**2,
    },
    "ig": {
        "density": DENSITY,
        "blurred": MAPS["kld"],
        "mixed": 0.9 * DENSITY + 0.1 * UNIFORM,
        "repeats": lowest_dropped(DENSITY),
        "centre bias": lowest_dropped(CENTRE_BIAS),
    },
    "cc": {
        "density": DENSITY,
        "ranked": ranked(MAPS["kld"]),
        "root": MAPS["kld"].sqrt(),
        "power": MAPS["kld"] ** 1.3,
        "sim": MAPS["sim"],
        "narrow": blurred(DENSITY, 0.5 * SIGMA),
        "wide": blurred(DENSITY, 1.5 * SIGMA),
    },
    "sim": {
        "density": DENSITY,
        "expected truth": MAPS["kld"],
        "mixed": 0.97 * MAPS["kld"] + 0.03 * UNIFORM,
        "power": MAPS["kld"] ** 1.2,
        "root": MAPS["kld"].sqrt(),
    },
    "kld": {
        "density": DENSITY,
        "mixed": 0.97 * MAPS["kld"] + 0.03 * UNIFORM,
        "power": MAPS["kld"] ** 1.2,
        "sim": MAPS["sim"],
        "narrow": blurred(DENSITY, 0.5 * SIGMA),
        "wide": blurred(DENSITY, 1.5 * SIGMA),
    },
}


@pytest.mark.parametrize(("key", "rival"), [(key, rival) for key in RIVALS for rival in RIVALS[key]])
def test_scores_better_than_rivals(key: str, rival: str, truths: Truths) -> None:
    assert_beats(key, MAPS[key], RIVALS[key][rival], truths)


@pytest.mark.parametrize("key", ["auc_borji", "sauc", "ig", "cc", "sim", "kld"])
def test_scores_better_than_the_plain_density_by_much(key: str, truths: Truths) -> None:
    gain = float((scores(key, MAPS[key], truths) - scores(key, DENSITY, truths)).mean())
    assert gain > {"auc_borji": 0.03, "sauc": 0.015, "ig": 0.02, "cc": 0.015, "sim": 0.015, "kld": 0.01}[key]


def test_counts_a_pixel_once_as_nss_does() -> None:
    truths = draw(count=400)
    maps = maps_of(DENSITY, n_fixations=400, metrics=["nss", "ig"])
    assert_beats("nss", maps["nss"], DENSITY, truths)
    assert_beats("ig", maps["ig"], lowest_dropped(DENSITY), truths)


def test_judd_and_nss_lose_nothing_to_the_density(truths: Truths) -> None:
    assert torch.equal(scores("auc_judd", MAPS["auc_judd"], truths), scores("auc_judd", DENSITY, truths))
    assert scores("nss", MAPS["nss"], truths).mean() > scores("nss", DENSITY, truths).mean() - 1e-4


@pytest.mark.parametrize(("count", "sigma"), [(10, 3.0), (10, 6.0), (60, 1.0)])
def test_sim_with_few_fixations_and_on_a_reduced_grid(count: int, sigma: float) -> None:
    maps = maps_of(DENSITY, sigma_px=sigma, n_fixations=count, metrics=["sim", "cc"])
    truths = draw(count, sigma, 500)
    assert_beats("sim", maps["sim"], maps["cc"], truths)
    assert_beats("sim", maps["sim"], DENSITY, truths)


def test_sim_of_many_fixations_is_the_expected_truth() -> None:
    maps = maps_of(DENSITY, n_fixations=10**6, metrics=["sim", "cc"])
    assert functional.sim(maps["sim"][None], maps["cc"][None]) > 0.95


@pytest.mark.parametrize("key", ["cc", "kld", "emd"])
def test_the_expected_truth_is_the_mean_truth(key: str, truths: Truths) -> None:
    mean = truths.densities.mean(0)
    assert MAPS[key].sum() == pytest.approx(1, abs=1e-5)
    assert (MAPS[key] - mean).abs().sum() < 0.02 < 0.1 < (DENSITY - mean).abs().sum()


@pytest.mark.parametrize(("y", "x"), [(0, 0), (47, 63), (0, 30), (20, 63), (24, 32)])
def test_blurs_as_the_data_sets_do_up_to_the_border(y: int, x: int) -> None:
    density = torch.zeros(SIZE)
    density[y, x] = 1
    truth = Fixations(np.array([float(x)]), np.array([float(y)]), np.zeros(1, int)).density(SIZE, SIGMA)
    torch.testing.assert_close(blurred(density, SIGMA), truth)


def polygon(points: list[tuple[float, float]]) -> float:
    """Area below straight lines from (0, 0) through the points to (1, 1)."""
    x, y = np.array([(0.0, 0.0), *points, (1.0, 1.0)]).T
    return float(((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum())


@pytest.mark.parametrize("key", ["auc_borji", "sauc"])
@pytest.mark.parametrize("seed", range(4))
def test_levels_are_the_best_of_all_ways_to_cut(key: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    density, bias = (normalised(torch.rand(2, 7, generator=generator).double() ** 4 + 0.01) for _ in range(2))
    best = metric_maps(density, centre_bias=bias, sigma_px=1.0, n_fixations=1, metrics=[key])[key].flatten()
    negatives = (bias if key == "sauc" else torch.full_like(density, 1 / 14)).flatten()
    positives = density.flatten()
    order = (positives / negatives).argsort(descending=True)
    curve = list(zip(negatives[order].cumsum(0).tolist(), positives[order].cumsum(0).tolist(), strict=True))
    highest = max(polygon(list(cuts)) for cuts in combinations(curve[:-1], 10))
    reached = [best >= k * 0.1 for k in range(10, 0, -1)]
    ours = polygon([(float(negatives[r].sum()), float(positives[r].sum())) for r in reached])
    assert len(set(best.tolist())) == 11
    assert ours == pytest.approx(highest, abs=1e-12)


def test_a_constant_density_gives_constant_maps() -> None:
    maps = maps_of(UNIFORM, centre_bias=UNIFORM)
    for key in ("auc_judd", "auc_borji", "sauc", "nss", "ig"):
        assert maps[key].min() == maps[key].max() > 0, key
    interior = (slice(12, -12), slice(12, -12))
    torch.testing.assert_close(maps["kld"][interior], UNIFORM[interior])
    against_bias = maps_of(UNIFORM, metrics=["sauc"])["sauc"]
    assert against_bias[0, 0] == 1
    assert against_bias[24, 32] == 0


def test_zeros_stay_lowest_and_cost_nothing_elsewhere() -> None:
    density = DENSITY.clone()
    density[:, :20] = 0
    maps = maps_of(density, centre_bias=(CENTRE_BIAS * (torch.arange(WIDTH) < 60)))
    for key in ("auc_judd", "auc_borji", "sauc", "nss", "ig"):
        assert torch.all(maps[key][:, :20] == 0), key
        assert maps[key][:, 20:].max() > 0, key
    assert torch.all(maps["sauc"][:, 60:] == maps["sauc"].max())  # fixations where others have none
    torch.testing.assert_close(maps["ig"], maps["nss"])
    assert maps["kld"][:, 10:19].min() > 0


def test_all_the_mass_in_one_pixel() -> None:
    density = torch.zeros(SIZE)
    density[5, 9] = 7
    maps = maps_of(density, n_fixations=3)
    for key in ("auc_judd", "auc_borji", "sauc", "nss", "ig"):
        assert maps[key][5, 9] == 1, key
        assert maps[key].sum() == 1, key
    truth = Fixations(np.array([9.0]), np.array([5.0]), np.zeros(1, int)).density(SIZE, SIGMA)[None]
    for key, score in (("cc", functional.cc), ("sim", functional.sim)):
        assert score(maps[key][None], truth) > 0.999, key


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (37, 3), (90, 70)])
def test_maps_are_finite_and_of_the_density_s_size_and_type(size: tuple[int, int], dtype: torch.dtype) -> None:
    density = torch.rand(size, dtype=dtype, generator=torch.Generator().manual_seed(1))
    maps = metric_maps(density, centre_bias=torch.ones(size), sigma_px=5, n_fixations=20)
    assert set(maps) == set(METRICS)
    for key, best in maps.items():
        assert best.shape == size, key
        assert best.dtype == dtype, key
        assert best.isfinite().all(), key
        assert best.min() >= 0, key
        assert best.max() > 0, key


def test_takes_half_precision_any_scale_and_gradients_without_changing_the_input() -> None:
    density = (DENSITY * 1000).half().requires_grad_()
    before = density.detach().clone()
    maps = maps_of(density)
    assert all(m.dtype == torch.float32 and not m.requires_grad for m in maps.values())
    assert torch.equal(density, before)
    for key, best in maps_of(before.float() * 8).items():
        torch.testing.assert_close(maps[key], best, msg=key)
    for best in maps.values():
        best.zero_()  # no map shares memory with another or with the density
    assert all(m.max() > 0 for m in maps_of(density).values())


def test_the_seed_decides() -> None:
    torch.manual_seed(0)
    first = maps_of(DENSITY)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    again, other = maps_of(DENSITY), maps_of(DENSITY, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    for key in first:
        assert torch.equal(first[key], again[key]), key
        assert torch.equal(first[key], other[key]) == (key != "sim"), key


def test_makes_only_what_is_asked_for() -> None:
    assert set(maps_of(DENSITY)) == set(METRICS)
    assert tuple(maps_of(DENSITY, metrics=("sim", "cc"))) == ("sim", "cc")
    assert maps_of(DENSITY, metrics=()) == {}


@pytest.mark.parametrize(
    ("density", "changes", "error", "text"),
    [
        (DENSITY, {"metrics": ["cc", "auc"]}, SpecError, "no metric is called 'auc'; there are auc_judd"),
        (DENSITY, {"sigma_px": 0}, SpecError, "sigma_px must be above 0, got 0"),
        (DENSITY, {"sigma_px": math.nan}, SpecError, "sigma_px must be above 0, got nan"),
        (DENSITY, {"n_fixations": 0}, SpecError, "n_fixations must be at least 1, got 0"),
        (DENSITY, {"centre_bias": torch.ones(3, 4)}, ImageError, r"\(48, 64\) and centre_bias \(3, 4\)"),
        (DENSITY, {"centre_bias": torch.zeros(SIZE)}, ImageError, "centre_bias must be .* not 0 everywhere"),
        (DENSITY[None], {}, ImageError, r"density must be one map of shape \(H, W\), got \(1, 48, 64\)"),
        ("density.npy", {}, ImageError, "density must be a tensor, an array.*got str"),
        (DENSITY.log(), {}, ImageError, r"not negative.*of a log-density take exp\(\)"),
        (DENSITY * math.nan, {}, ImageError, "finite"),
        (torch.where(DENSITY.max() == DENSITY, math.inf, DENSITY), {}, ImageError, "finite"),
    ],
)
def test_rejects(density: Any, changes: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        maps_of(density, **changes)
