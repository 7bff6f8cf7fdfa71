"""Maps of any scale that their type can hold score as they do at 1, and images without truth spoil no gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from metrics.test_functional import NEEDS, maps, score

from salzoo.metrics import metric_maps
from salzoo.metrics.functional import cc, emd, info_gain, kl_div, nss, shuffled_auc, sim

CONVENTION = pytest.mark.parametrize("convention", ["mit", "pysaliency"])
SMOOTH = ("nss", "info_gain", "cc", "sim", "kl_div")
SCALES = {torch.float32: (1e20, 3e38, 2e7, 1e-12, 1e-25, 1e-38), torch.float64: (1e300, 1.6e308, 1e-160, 1e-307)}
ANY_SCALE = pytest.mark.parametrize(("dtype", "scale"), [(dtype, scale) for dtype in SCALES for scale in SCALES[dtype]])


def rescaled(a: dict[str, Any], preds: float, truth: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return scaled maps, and in float64 and on the old scale what their type leaves of them."""
    factors = {"preds": preds, "density": truth, "baseline": truth}
    scaled = {key: (a[key].double() * factor).to(a[key].dtype) for key, factor in factors.items()}
    return a | scaled, a | {key: scaled[key].double() / factors[key] for key in factors}


@CONVENTION
@ANY_SCALE
@pytest.mark.parametrize("name", NEEDS)
def test_scale_is_of_no_account(name: str, dtype: torch.dtype, scale: float, convention: str) -> None:
    a = maps(dtype=dtype)
    a["density"] /= a["density"].max()
    a["baseline"] /= a["baseline"].max()
    for factors in ((scale, 1), (1, scale), (scale, scale), (scale, 1 / scale)):
        got, expected = (score(name, each, convention=convention).tolist() for each in rescaled(a, *factors))
        assert got == pytest.approx(expected, rel=1e-5, abs=2e-6)


@CONVENTION
@ANY_SCALE
@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_finite_and_right_at_any_scale(
    name: str, dtype: torch.dtype, scale: float, convention: str
) -> None:
    slopes = []
    for factor in (1.0, scale):
        a, _ = rescaled(maps(dtype=dtype), factor, 1)
        score(name, a | {"preds": a["preds"].requires_grad_()}, convention=convention).sum().backward()
        assert a["preds"].grad.isfinite().all()
        slopes.append(a["preds"].grad.double() * factor)
    if scale > 1e-37:  # below, float32 cannot tell how steep they are
        torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-3, atol=1e-5 * slopes[0].abs().max().item())


@pytest.mark.parametrize("value", [2e7, 1e30, -2e7, -1e30, 1e-30])
@pytest.mark.filterwarnings("ignore:constant predictions")
def test_a_constant_of_any_height_is_uniform(value: float) -> None:
    a = maps()
    flat = torch.full_like(a["preds"], value)
    for function, keys in ((sim, ("density",)), (info_gain, ("fixations", "baseline")), (emd, ("density",))):
        if value < 0 and function is not sim:
            continue
        options = {"downsize": 2} if function is emd else {}
        truth = [a[key] for key in keys]
        uniform = function(torch.ones_like(flat), *truth, **options)
        assert function(flat, *truth, **options).tolist() == pytest.approx(uniform.tolist(), rel=1e-6)
    assert cc(flat, a["density"]).tolist() == nss(flat, a["fixations"]).tolist() == [0, 0, 0]


def test_a_range_wider_than_its_type_is_no_infinity() -> None:
    a = maps(dtype=torch.float64)
    expected = nss(a["preds"], a["fixations"])
    wide = (2 * a["preds"] - 1) * 1.7e308
    torch.testing.assert_close(nss(wide, a["fixations"]), expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(cc(wide, a["density"]), cc(a["preds"], a["density"]), rtol=1e-9, atol=0)
    for name in ("auc_judd", "auc_borji", "shuffled_auc"):
        assert torch.equal(score(name, a | {"preds": wide}), score(name, a))


def test_order_survives_where_a_common_factor_would_lose_it() -> None:
    a = maps()
    spread = torch.exp2(a["preds"].flatten(1).argsort(1).argsort(1).view_as(a["preds"]).float() / 191 * 270 - 145)
    ranks = a["preds"].flatten(1).argsort(1).argsort(1).view_as(a["preds"])
    assert torch.equal(score("auc_judd", a | {"preds": spread}), score("auc_judd", a | {"preds": ranks}))
    exact = shuffled_auc(ranks, a["fixations"], a["other"], step=None)
    assert torch.equal(shuffled_auc(spread, a["fixations"], a["other"], step=None), exact)


def test_pysaliency_kl_of_a_huge_map_and_a_tiny_truth() -> None:
    a = maps()
    expected = kl_div(a["preds"], a["density"], convention="pysaliency").tolist()
    far = kl_div(a["preds"] * 1e30, a["density"] * 1e-30, convention="pysaliency").tolist()
    tracked = kl_div((a["preds"] * 1e30).requires_grad_(), a["density"] * 1e-30, convention="pysaliency").tolist()
    assert far == pytest.approx(expected, rel=1e-5)
    assert tracked == pytest.approx(expected, rel=1e-5)


@CONVENTION
@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("pick", [lambda scores: scores.nansum(), lambda scores: scores[1:].sum()])
def test_an_image_without_truth_leaves_the_gradients_of_the_others(name: str, convention: str, pick: Any) -> None:
    slopes = []
    for n in (2, 3):  # the second and third image alone, then with the first, at which nobody looked
        a = {key: each if key == "baseline" else each[-n:] for key, each in maps().items()}
        if n == 3:
            a["fixations"][0] = a["density"][0] = 0
        shift = torch.zeros((), requires_grad=True)  # shared, as weights of a network are
        scores = score(name, a | {"preds": a["preds"] * (1 + shift) + 0.1 * (shift + 1) ** 2}, convention=convention)
        (pick(scores) if n == 3 else scores.sum()).backward()
        slopes.append(shift.grad.item())
    assert slopes[1] == pytest.approx(slopes[0], rel=1e-5, abs=1e-7)


def test_best_maps_of_a_density_of_any_scale() -> None:
    density, bias = maps()["density"][0], maps()["baseline"]
    expected = metric_maps(density, centre_bias=bias, sigma_px=2.0, n_fixations=20)
    for scale in (1e38, 1e-36):
        got = metric_maps(density / density.max() * scale, centre_bias=bias * scale, sigma_px=2.0, n_fixations=20)
        for key in ("auc_judd", "nss", "ig", "kld"):
            torch.testing.assert_close(got[key], expected[key], rtol=1e-5, atol=0)


def test_pysaliency_kl_has_a_gradient_where_the_prediction_is_0() -> None:
    a = maps()
    a["preds"][:, :3] = 0
    kl_div(a["preds"].requires_grad_(), a["density"], convention="pysaliency").sum().backward()
    assert a["preds"].grad.isfinite().all()
    assert a["preds"].grad[:, :3].max() < 0
