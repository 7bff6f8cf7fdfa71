"""What holds for every map: scale, flips, order of the batch, bounds, gradients, and one of many types."""

from __future__ import annotations

import warnings
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis.extra.numpy import arrays
from metrics.test_functional import NEEDS, ON_FIXATIONS, score
from torch import Tensor

from salzoo import losses
from salzoo.errors import SalzooError
from salzoo.metrics import functional

BOUNDS = {
    "auc_judd": (0, 1),
    "auc_borji": (0, 1),
    "shuffled_auc": (0, 1),
    "cc": (-1, 1),
    "sim": (0, 1),
    "kl_div": (0, 1e9),
}
SMOOTH = ("nss", "info_gain", "cc", "sim", "kl_div")
CONVENTIONS = st.sampled_from(["mit", "pysaliency"])
NAMES = st.sampled_from(list(NEEDS))
EXPONENTS = st.integers(-100, 100)


@st.composite
def batches(draw: st.DrawFn) -> dict[str, Tensor]:
    """Two maps of a few levels, zeros among them, with truth; each image has a fixation and a pixel without."""
    size = draw(st.tuples(st.integers(1, 6), st.integers(3, 7)))
    levels = st.integers(0, 9).map(lambda level: level / 8)
    counts = arrays(np.int64, (2, *size), elements=st.integers(0, 3))
    found = {
        "preds": draw(arrays(np.float32, (2, *size), elements=levels)),
        "density": draw(arrays(np.float32, (2, *size), elements=levels)),
        "baseline": draw(arrays(np.float32, size, elements=levels)) + np.float32(0.125),
        "fixations": draw(counts),
        "other": draw(counts),
    }
    for name in ("fixations", "other"):
        found[name][:, 0, 0], found[name][:, -1, -1] = 0, 1
    found["other"][:, 0, 1] = 4  # more than the image's own
    found["density"][:, -1, -1], found["density"][:, 0, 0] = 1, 0.25
    return {name: torch.from_numpy(each) for name, each in found.items()}


def scored(name: str, a: dict[str, Any], **options: Any) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant predictions, truths of 0 and 1
        return score(name, a, **options)


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


@given(batches(), NAMES, CONVENTIONS, EXPONENTS, EXPONENTS)
def test_scale_and_offset(a: dict[str, Tensor], name: str, convention: str, up: int, truth: int) -> None:
    """Powers of two round nothing. What pysaliency adds is no share of a map, so that zeros tell scales apart."""
    if convention == "pysaliency":
        a["preds"], a["density"] = a["preds"] + 0.125, a["density"] + 0.125
    expected = scored(name, a, convention=convention)
    scaled = a | {
        "preds": a["preds"] * 2.0**up,
        "density": a["density"] * 2.0**truth,
        "baseline": a["baseline"] * 2.0**truth,
    }
    close(scored(name, scaled, convention=convention), expected)
    if name in ("nss", "cc", "auc_judd", "auc_borji", "shuffled_auc"):
        close(scored(name, a | {"preds": a["preds"] * 2 - 5}, convention=convention), expected)


@given(batches(), NAMES, CONVENTIONS, st.sampled_from([(1,), (2,), (1, 2)]))
def test_mirrors_and_order_of_the_batch(
    a: dict[str, Tensor], name: str, convention: str, axes: tuple[int, ...]
) -> None:
    expected = scored(name, a, convention=convention)
    own = tuple(axis - 1 for axis in axes)
    mirrored = {key: each.flip(own if key == "baseline" else axes) for key, each in a.items()}
    close(scored(name, mirrored, convention=convention), expected)
    swapped = {key: each if key == "baseline" else each.flip(0) for key, each in a.items()}
    close(scored(name, swapped, convention=convention).flip(0), expected, 1e-12)
    for i in range(2):
        alone = {key: each if key == "baseline" else each[i : i + 1] for key, each in a.items()}
        close(scored(name, alone, convention=convention), expected[i : i + 1], 1e-12)


@given(batches(), st.sampled_from(list(BOUNDS)), CONVENTIONS)
def test_bounds(a: dict[str, Tensor], name: str, convention: str) -> None:
    low, high = BOUNDS[name]
    found = scored(name, a, convention=convention)
    # A single fixation's curve ends at its own value: see auc_judd.
    assert (found >= low - 1e-6).all()
    assert (found <= high + 1e-6).all()
    assert found.dtype == torch.float64


@given(batches(), CONVENTIONS)
def test_the_truth_itself_is_best(a: dict[str, Tensor], convention: str) -> None:
    same = a | {"preds": a["density"].clone()}
    varied = a["density"].flatten(1).std(1) > 0
    for name, best in (("cc", 1.0), ("sim", 1.0), ("kl_div", 0.0)):
        found = scored(name, same, convention=convention)[varied]
        close(found, torch.full_like(found, best))
    gain = scored("info_gain", a | {"preds": a["baseline"].expand_as(a["preds"])}, convention=convention)
    close(gain, torch.zeros_like(gain))


@given(batches(), st.sampled_from(SMOOTH), CONVENTIONS, EXPONENTS, st.booleans())
def test_gradients_are_finite(a: dict[str, Tensor], name: str, convention: str, up: int, empty: bool) -> None:
    if empty:
        a["fixations"][0] = a["density"][0] = 0
    preds = (a["preds"] * 2.0**up).requires_grad_()
    scored(name, a | {"preds": preds}, convention=convention).nansum().backward()
    assert preds.grad is not None
    assert preds.grad.isfinite().all()


@given(
    batches(),
    NAMES,
    CONVENTIONS,
    st.sampled_from(["float64", "float16", "bfloat16", "uint8", "uint16", "int64", "list"]),
)
def test_types_make_no_difference(a: dict[str, Tensor], name: str, convention: str, kind: str) -> None:
    a = a | {"preds": a["preds"] * 8}
    given_as: Any = list(a["preds"].numpy()) if kind == "list" else a["preds"].to(getattr(torch, kind))
    close(scored(name, a | {"preds": given_as}, convention=convention), scored(name, a, convention=convention))


ODD = arrays(
    st.sampled_from([np.float32, np.float64]),
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3)),
    elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
)


@given(ODD, ODD, arrays(np.int8, st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3))), NAMES)
@example(np.zeros((1, 0, 3)), np.zeros((1, 0, 3)), np.zeros((1, 0, 3), np.int8), "nss")
def test_anything_is_scored_or_refused_in_words(preds: Any, truth: Any, counts: Any, name: str) -> None:
    a = {"preds": preds, "density": truth, "baseline": truth, "fixations": counts, "other": counts}
    try:
        found = scored(name, a)
    except SalzooError:
        return
    assert found.shape == (len(preds),)
    assert np.isfinite(preds).all()
    assert name in ON_FIXATIONS or np.isfinite(truth).all()


LOSSES = sorted(set(losses.TERMS) - {"deep_features", "gram"})


@given(batches(), st.sampled_from(LOSSES), st.booleans(), st.floats(-30, 30))
def test_losses_are_finite_and_have_gradients(a: dict[str, Tensor], name: str, empty: bool, steep: float) -> None:
    if empty:
        a["fixations"][0] = a["density"][0] = 0
    logits = (a["preds"] * steep).requires_grad_()
    log_density = logits.flatten(1).log_softmax(1).view_as(logits)
    density = a["density"] / a["density"].sum((1, 2), keepdim=True).clamp_min(1e-9)
    value = losses.get(name)(log_density, {"density": density, "fixations": a["fixations"]})
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_every_metric_is_tried() -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    assert {*NEEDS, "emd"} == set(functional.__all__)
