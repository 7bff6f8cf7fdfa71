"""What the functions refuse, warn of and promise: degenerate input, types, gradients, batches, devices."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from salzoo.errors import ImageError, SalzooError, SpecError
from salzoo.metrics import _checks, functional
from salzoo.metrics.functional import auc_borji, auc_judd, cc, emd, info_gain, kl_div, nss, shuffled_auc, sim

Score = Callable[..., torch.Tensor]


def maps(n: int = 3, height: int = 12, width: int = 16, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    counts = (torch.rand(n, height, width, generator=draw) > 0.9).long()
    counts[:, 2, 3] = 2
    density = torch.rand(n, height, width, generator=draw, dtype=dtype) + 0.1
    return {
        "preds": torch.rand(n, height, width, generator=draw, dtype=dtype) ** 2,
        "fixations": counts,
        "density": density / density.sum((1, 2), keepdim=True),
        "baseline": torch.rand(height, width, generator=draw, dtype=dtype) + 0.1,
        "other": (torch.rand(n, height, width, generator=draw) > 0.7).long(),
    }


NEEDS: dict[str, tuple[str, ...]] = {
    "auc_judd": ("fixations",),
    "auc_borji": ("fixations",),
    "shuffled_auc": ("fixations", "other"),
    "nss": ("fixations",),
    "info_gain": ("fixations", "baseline"),
    "cc": ("density",),
    "sim": ("density",),
    "kl_div": ("density",),
}
ALL = pytest.mark.parametrize("name", NEEDS)
ON_FIXATIONS = [n for n, keys in NEEDS.items() if "fixations" in keys]
ON_DENSITY = [n for n, keys in NEEDS.items() if "density" in keys]


def score(name: str, a: dict[str, Any], **options: Any) -> torch.Tensor:
    return getattr(functional, name)(a["preds"], **{k: a[k] for k in NEEDS[name]}, **options)


# Values that can be checked by hand.


def test_nss_by_hand() -> None:
    preds = torch.tensor([[[0.0, 0.0, 0.0, 4.0]]])
    fixations = torch.tensor([[[0, 0, 1, 3]]])
    assert nss(preds, fixations).item() == pytest.approx((3 / 2 - 1 / 2) / 2)
    every = nss(preds, fixations, convention="pysaliency").item()
    assert every == pytest.approx((3 * 3 - 1) / 4 / math.sqrt(3))


def test_true_auc_by_hand() -> None:
    preds = torch.tensor([[[1.0, 2.0, 2.0, 3.0]]])
    fixations = torch.tensor([[[0, 1, 0, 0]]])
    assert auc_judd(preds, fixations, thresholds="all").item() == pytest.approx(0.5)  # above 1, level with 2, below 3
    assert shuffled_auc(preds, fixations, torch.tensor([[[4, 0, 0, 1]]]), step=None).item() == pytest.approx(0.5)
    every = shuffled_auc(preds, fixations, torch.tensor([[[4, 0, 0, 1]]]), step=None, repeats=True)
    assert every.item() == pytest.approx(0.8)


def test_kl_and_information_gain_by_hand() -> None:
    uniform, half = torch.ones(1, 1, 4), torch.tensor([[[1.0, 1.0, 1e-9, 1e-9]]])
    assert kl_div(uniform, half).item() == pytest.approx(math.log(2), abs=1e-6)
    assert kl_div(uniform, half, base=2).item() == pytest.approx(1, abs=1e-6)
    fixations = torch.tensor([[[1, 0, 0, 0]]])
    assert info_gain(half, fixations, uniform, subtract_min=False).item() == pytest.approx(1, abs=1e-6)
    log_half = (half / half.sum()).log()
    assert info_gain(log_half, fixations, uniform, log_density=True).item() == pytest.approx(1, abs=1e-6)
    assert kl_div(log_half, half, log_density=True).item() == pytest.approx(0, abs=1e-6)


def test_emd_moves_mass_the_whole_way() -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    left, right = torch.zeros(2, 1, 4, 9)
    left[0, 0, 0] = right[0, 3, 4] = 0.5
    assert emd(left, right, downsize=1).item() == pytest.approx(5)
    smooth = maps(1, 64, 96)["density"]
    for options in ({}, {"downsize": 7}):
        assert emd(smooth * 3, smooth, **options).item() == pytest.approx(0, abs=1e-6)
    assert emd(maps(1, 60, 80)["density"], maps(1, 60, 80)["density"], consistent_resize=False).item() > 1e-3


# Degenerate input.


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 1 / 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.filterwarnings("ignore:constant predictions")
def test_constants_with_an_inexact_mean_score_chance(value: float, dtype: torch.dtype) -> None:
    a = maps(1, 31, 37) | {"preds": torch.full((1, 31, 37), value, dtype=dtype)}
    assert nss(a["preds"], a["fixations"]).item() == 0
    assert cc(a["preds"], a["density"]).item() == 0


@ALL
def test_one_constant_prediction_warns_and_leaves_the_others_alone(name: str) -> None:
    a = maps()
    expected = score(name, a)
    a["preds"][1] = 0.25 if name != "kl_div" else 0.0
    with pytest.warns(UserWarning, match="constant predictions are scored at chance"):
        scores = score(name, a)
    assert torch.equal(scores[[0, 2]], expected[[0, 2]])
    assert scores[1].isfinite()
    with pytest.warns(UserWarning, match="constant predictions are scored NaN"):
        assert score(name, a, on_constant="nan").isnan().tolist() == [False, True, False]


def test_a_map_of_zeros_is_no_perfect_emd() -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    a = maps(1, 64, 96)
    with pytest.warns(UserWarning, match="constant"):
        zeros = emd(torch.zeros_like(a["density"]), a["density"])
    assert zeros.item() == pytest.approx(emd(torch.ones_like(a["density"]), a["density"]).item())
    assert zeros.item() > 0


@ALL
def test_an_image_without_truth_is_nan_and_leaves_the_others_alone(name: str) -> None:
    a = maps()
    expected = score(name, a)
    a["fixations"][0] = 0
    a["density"][0] = 0
    scores = score(name, a)
    assert scores[0].isnan()
    assert torch.equal(scores[1:], expected[1:])


def test_large_offset_keeps_precision() -> None:
    a = maps(1, 60, 80, torch.float64)
    shifted = (100 + 1e-3 * a["preds"]).float()
    exact = nss(shifted.double(), a["fixations"]).item()
    assert nss(shifted, a["fixations"]).item() == pytest.approx(exact, abs=1e-5)
    assert cc(shifted, a["density"].float()).item() == pytest.approx(
        cc(shifted.double(), a["density"]).item(), abs=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8])
@ALL
def test_narrow_types_are_widened(name: str, dtype: torch.dtype) -> None:
    a = maps(1, 500, 700)  # several pieces
    a["preds"] = (a["preds"] * 255).to(dtype)
    narrow = score(name, a)
    assert narrow.item() == pytest.approx(score(name, a | {"preds": a["preds"].double()}).item(), rel=1e-4)


@ALL
def test_types_may_be_mixed(name: str) -> None:
    a = maps()
    mixed = a | {"preds": a["preds"].double()}
    assert torch.allclose(score(name, mixed), score(name, a), atol=1e-5)
    mixed = a | {"density": a["density"].double(), "baseline": a["baseline"].double()}
    assert torch.allclose(score(name, mixed), score(name, a), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.int32, torch.int64])
def test_any_integer_type_counts(dtype: torch.dtype) -> None:
    a = maps()
    pixels = {"fixations": (a["fixations"] > 0).to(dtype), "other": a["other"].to(dtype)}
    for name in ON_FIXATIONS:
        assert torch.equal(score(name, a | pixels), score(name, a))


@ALL
def test_inputs_are_left_as_they_were(name: str) -> None:
    a, before = maps(dtype=torch.float64), maps(dtype=torch.float64)
    score(name, a)
    score(name, a, convention="pysaliency")
    assert all(torch.equal(a[k], before[k]) for k in a)


# What is refused.


@ALL
def test_refuses_other_sizes_unless_told_to_resize(name: str) -> None:
    a = maps()
    a["preds"] = a["preds"][:, :6, :8]
    with pytest.raises(ImageError, match=r"\(\d, 6, 8\).*\(\d, 12, 16\).*resize=True"):
        score(name, a)
    assert score(name, a, resize=True).isfinite().all()


@ALL
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_refuses_values_that_are_not_finite(name: str, value: float) -> None:
    a = maps()
    a["preds"][1, 2, 3] = value
    with pytest.raises(ImageError, match="NaN or infinite"):
        score(name, a)


@ALL
def test_refuses_shapes_without_a_batch(name: str) -> None:
    a = maps()
    for preds in (a["preds"][0], a["preds"][:, None]):
        with pytest.raises(ImageError, match=r"\(N, H, W\)"):
            score(name, a | {"preds": preds})


@pytest.mark.parametrize("name", ON_FIXATIONS)
def test_refuses_densities_as_fixations(name: str) -> None:
    a = maps()
    with pytest.raises(TypeError, match=r"integer counts.*density") as caught:
        score(name, a | {"fixations": a["density"]})
    assert isinstance(caught.value, SalzooError)
    with pytest.raises(ImageError, match="negative"):
        score(name, a | {"fixations": -a["fixations"]})


@pytest.mark.parametrize("name", ON_DENSITY)
def test_refuses_bad_densities_and_warns_of_unblurred_ones(name: str) -> None:
    a = maps()
    for value in (-0.1, math.nan, math.inf):
        bad = a["density"].clone()
        bad[0, 0, 0] = value
        with pytest.raises(ImageError, match="density must be finite and not negative"):
            score(name, a | {"density": bad})
    with pytest.warns(UserWarning, match="only 0 and 1"):
        score(name, a | {"density": a["other"].float()})
    score(name, a | {"density": a["density"] / a["density"].max()})  # a maximum of 1 alone is no warning


@pytest.mark.parametrize("name", ["kl_div", "info_gain"])
def test_refuses_logits(name: str) -> None:
    a = maps()
    with pytest.raises(ImageError, match=r"not a density.*log_density=True"):
        score(name, a | {"preds": a["preds"] - 1})
    with pytest.raises(ImageError, match="log_softmax"):
        score(name, a | {"preds": a["preds"] - 1}, log_density=True)
    log_density = (a["preds"] - 1).flatten(1).log_softmax(1).view_as(a["preds"])
    assert score(name, a | {"preds": log_density}, log_density=True).isfinite().all()


def test_emd_takes_a_log_density() -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    a = maps(1, 64, 96)
    assert emd(a["density"].log(), a["density"], log_density=True).item() == pytest.approx(0, abs=1e-6)


def test_refuses_wrong_baselines() -> None:
    a = maps()
    with pytest.raises(ImageError, match=r"baseline.*same shape"):
        score("info_gain", a | {"baseline": a["baseline"][:6]})
    hole = a["baseline"].clone()
    hole[2, 3] = 0
    with pytest.raises(ImageError, match="baseline is 0 at a fixation"):
        score("info_gain", a | {"baseline": hole}, subtract_min=False, eps=0.0)
    with pytest.raises(ImageError, match="baseline must be finite and not negative"):
        score("info_gain", a | {"baseline": -hole})


def test_refuses_an_empty_or_own_pool_of_other_fixations() -> None:
    a = maps()
    for other, options in ((torch.zeros_like(a["other"]), {}), (a["fixations"], {"exclude_own": True})):
        with pytest.raises(ImageError, match="besides the image's own"):
            score("shuffled_auc", a | {"other": other}, **options)
    with pytest.raises(ImageError, match=r"other.*same shape"):
        score("shuffled_auc", a | {"other": a["other"][:, :6]})


def test_refuses_unknown_words() -> None:
    a = maps()
    for options in ({"convention": "salicon"}, {"ties": "best"}, {"negatives": "some"}, {"on_constant": "zero"}):
        with pytest.raises(SpecError, match="is not known; use"):
            score("auc_judd", a, **options)
    with pytest.raises(SpecError, match="ties='mit'"):
        score("auc_judd", a, ties="mit", repeats=True)
    with pytest.raises(SpecError, match="step=2"):
        score("auc_borji", a, step=2)
    with pytest.raises(SpecError, match="base=1"):
        score("kl_div", a, base=1)
    with pytest.raises(ImageError, match="every pixel is fixated"):
        score("auc_judd", a | {"fixations": torch.ones_like(a["fixations"])})


def test_emd_without_its_solver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ot", None)
    a = maps(1, 64, 96)
    with pytest.raises(ImportError, match=r'pip install "salzoo\[emd\]"'):
        emd(a["preds"], a["density"])


# Options.


def test_own_fixations_are_excluded_from_a_total() -> None:
    a = maps()
    total = a["fixations"].sum(0)
    expected = score("shuffled_auc", a | {"other": total - a["fixations"]}, convention="pysaliency")
    got = score("shuffled_auc", a | {"other": total.expand(3, -1, -1)}, convention="pysaliency", exclude_own=True)
    assert torch.equal(got, expected)


def test_samples_depend_on_nothing_but_the_image() -> None:
    a = maps()
    for name, options in (
        ("auc_borji", {"n_splits": 20}),
        ("shuffled_auc", {"n_splits": 20}),
        ("shuffled_auc", {"n_splits": 20, "step": None, "repeats": True}),
        ("auc_judd", {"jitter": 0.1, "ties": "mit"}),
    ):
        torch.manual_seed(0)
        together = score(name, a, **options)
        torch.manual_seed(1)
        backwards = score(name, {k: v if k == "baseline" else v.flip(0) for k, v in a.items()}, **options)
        assert torch.equal(together, backwards.flip(0))
        assert (together - score(name, a)).abs().max() > 0
        assert (together - score(name, a)).abs().max() < 0.2


def test_ranks_survive_extreme_ranges() -> None:
    a = maps(dtype=torch.float64)
    expected = score("auc_judd", a)
    ranks = a["preds"].flatten(1).argsort(1).argsort(1).view_as(a["preds"]).double()
    for monotone in (ranks * 5e-324, ranks * 1e300, torch.exp(ranks * 3), 1e15 + ranks):
        assert torch.equal(score("auc_judd", a | {"preds": monotone}), expected)


# Batches, gradients, devices.


@ALL
@pytest.mark.parametrize("convention", ["mit", "pysaliency"])
def test_scores_do_not_depend_on_the_batch(name: str, convention: str) -> None:
    a = maps()
    single = [
        score(name, {k: v if k == "baseline" else v[i : i + 1] for k, v in a.items()}, convention=convention)
        for i in range(3)
    ]
    assert torch.allclose(score(name, a, convention=convention), torch.cat(single), rtol=0, atol=1e-12)
    assert score(name, {k: v if k == "baseline" else v[:0] for k, v in a.items()}).shape == (0,)


@ALL
@pytest.mark.parametrize("convention", ["mit", "pysaliency"])
def test_other_devices_get_the_same_scores(name: str, convention: str, monkeypatch: pytest.MonkeyPatch) -> None:
    a = maps(dtype=torch.float64)
    a["preds"] = (a["preds"] * 20).round() / 20  # ties
    expected = score(name, a, convention=convention)
    monkeypatch.setattr(_checks, "on_cpu", lambda maps: False)
    assert torch.allclose(score(name, a, convention=convention), expected, rtol=0, atol=1e-12)


@ALL
@pytest.mark.parametrize("options", [{}, {"convention": "pysaliency"}, {"resize": True}])
def test_shapes_work_on_meta(name: str, options: dict[str, Any]) -> None:
    a = {k: v.to("meta") for k, v in maps().items()}
    scores = score(name, a, **options)
    assert scores.shape == (3,)
    assert scores.dtype == torch.float64
    assert scores.is_meta


def test_emd_shapes_work_on_meta() -> None:
    a = {k: v.to("meta") for k, v in maps().items()}
    assert emd(a["preds"], a["density"]).shape == (3,)


@pytest.mark.parametrize("convention", ["mit", "pysaliency"])
@pytest.mark.parametrize("name", ["nss", "cc", "sim", "kl_div", "info_gain"])
def test_gradients(name: str, convention: str) -> None:
    a = maps(2, 4, 5, torch.float64)
    preds = a["preds"].add(0.05).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: score(name, a | {"preds": p}, convention=convention), (preds,), atol=1e-4)


@pytest.mark.parametrize("name", ["nss", "cc", "sim", "kl_div", "info_gain"])
@pytest.mark.filterwarnings("ignore:constant predictions")
def test_degenerate_images_leave_no_nan_in_gradients(name: str) -> None:
    a = maps(dtype=torch.float64)
    a["preds"][1] = 0.3
    preds = a["preds"].requires_grad_()
    scores = score(name, a | {"preds": preds})
    scores.sum().backward()
    assert preds.grad is not None
    assert preds.grad.isfinite().all()
    assert preds.grad[[0, 2]].abs().max() > 0


@pytest.mark.parametrize("convention", ["mit", "pysaliency"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-10])  # the smaller one is for the close look
def test_one_pass_gives_the_kl_of_the_close_look(convention: str, dtype: torch.dtype, scale: float) -> None:
    a = maps(2, 500, 700, dtype)
    assert a["preds"][0].nbytes > _checks.PIECE
    a["preds"][0, :200], a["density"][1, :100] = 0, 0
    a["density"] *= scale
    quick = kl_div(a["preds"], a["density"], convention=convention, base=2)
    close = kl_div(a["preds"].clone().requires_grad_(), a["density"], convention=convention, base=2)
    assert close.requires_grad
    assert quick.tolist() == pytest.approx(close.tolist(), rel=1e-13 if dtype == torch.float64 else 2e-6)
    a["preds"][0, 100, 7] = -1e-21  # less than pysaliency adds
    with pytest.raises(ImageError, match="negative"):
        kl_div(a["preds"], a["density"], convention=convention)


@pytest.mark.parametrize("name", ["kl_div", "info_gain"])
def test_gradients_of_a_log_density(name: str) -> None:
    a = maps(2, 4, 5, torch.float64)
    logits = torch.randn(2, 20, dtype=torch.float64, requires_grad=True)

    def loss(x: torch.Tensor) -> torch.Tensor:
        return score(name, a | {"preds": x.log_softmax(1).view(2, 4, 5)}, log_density=True)

    assert torch.autograd.gradcheck(loss, (logits,))


def test_areas_take_predictions_that_want_a_gradient() -> None:
    a = maps()
    tracked = a | {"preds": a["preds"].clone().requires_grad_()}
    for name in ("auc_judd", "auc_borji", "shuffled_auc"):
        assert torch.equal(score(name, tracked), score(name, a))
        assert not score(name, tracked).requires_grad


def test_better_predictions_score_better() -> None:
    a = maps(1, 24, 32, torch.float64)
    good, bad = a["density"], a["density"].flip(1)
    for metric in (cc, sim):
        assert metric(good, a["density"]) > metric(bad, a["density"])
    assert kl_div(good, a["density"]) < kl_div(bad, a["density"])
    right = a["fixations"] + 0.1 * torch.rand(1, 24, 32)
    for better in (auc_judd, auc_borji, nss):
        assert better(right, a["fixations"]) > better(-right + 3, a["fixations"])
