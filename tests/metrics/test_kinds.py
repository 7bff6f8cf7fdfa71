"""Every kind of thing that may come as a map scores as the tensor does, or is refused in one line that says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from metrics.test_functional import NEEDS, ON_FIXATIONS, maps, score
from torch import Tensor

from salzoo.errors import ImageError
from salzoo.images.saliency_map import SaliencyMap
from salzoo.metrics import METRICS, NSS, FixationPool, ShuffledAUC, _checks, metric_maps, saliency_metrics
from salzoo.metrics._fixations import FixationsTypeError
from salzoo.metrics.functional import emd, nss

ALL = pytest.mark.parametrize("name", NEEDS)
SAME: dict[str, Callable[[Tensor], Any]] = {
    "array": lambda t: t.numpy(),
    "list of arrays": lambda t: [one.numpy() for one in t],
    "tuple of tensors": tuple,
    "nested lists": lambda t: t.tolist(),
    "list of lists of arrays": lambda t: [[row.numpy() for row in one] for one in t] if t.ndim == 3 else t.numpy(),
    "masked array without a mask": lambda t: np.ma.array(t.numpy()),
    "big-endian": lambda t: t.numpy().astype(t.numpy().dtype.newbyteorder(">")),
    "wide": lambda t: t.numpy().astype(np.longdouble if t.is_floating_point() else np.int64),
    "backwards in memory": lambda t: t.flip(-1).numpy()[..., ::-1],
    "read-only": lambda t: np.frombuffer(t.numpy().tobytes(), t.numpy().dtype).reshape(t.shape),
    "objects that numpy reads": lambda t: [Readable(one) for one in t],
}


class Readable:
    def __init__(self, values: Tensor) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values.numpy()


@pytest.mark.parametrize("kind", SAME)
@ALL
def test_what_numpy_can_read_scores_as_the_tensor_does(name: str, kind: str) -> None:
    a = maps(dtype=torch.float64)
    assert torch.equal(score(name, {key: SAME[kind](each) for key, each in a.items()}), score(name, a))


def test_a_lazily_negated_tensor_scores_as_its_values() -> None:
    a = maps()
    lazy = torch.complex(torch.zeros_like(a["preds"]), -a["preds"]).conj().imag
    assert lazy.is_neg()
    for name in NEEDS:
        assert torch.equal(score(name, a | {"preds": lazy}), score(name, a))


def test_saliency_maps_are_maps() -> None:
    a = maps()
    found = [SaliencyMap(one.log_softmax(0).view(12, 16)) for one in a["preds"].flatten(1)]
    densities = torch.stack([one.torch() for one in found])
    for name in NEEDS:
        assert torch.equal(score(name, a | {"preds": found}), score(name, a | {"preds": densities}))
    for given in (found, tuple(found)):
        metric = NSS()
        metric.update(given, list(a["fixations"]))
        assert float(metric.compute()) == pytest.approx(float(nss(densities, a["fixations"]).mean()))
    with pytest.raises(ImageError, match=r"preds must have shape \(N, H, W\), got \(12, 16\)"):
        NSS().update(found[0], a["fixations"])
    best = metric_maps(found[0], centre_bias=a["baseline"].numpy(), sigma_px=2.0, n_fixations=9, metrics=["auc_judd"])
    assert torch.allclose(best["auc_judd"], found[0].torch())


WRONG: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "sparse": (lambda t: t.to_sparse(), r"layout sparse_coo.*\.to_dense\(\)"),
    "nested": (lambda t: torch.nested.nested_tensor(list(t)), "layout nested"),
    "quantised": (lambda t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.quint8), r"quantised.*dequantize\(\)"),
    "complex": (lambda t: torch.complex(t.float(), t.float()), r"complex \(torch.complex64\).*\.abs\(\)"),
    "complex array": (lambda t: t.numpy() * 1j, "of real numbers, got ndarray of complex"),
    "masked": (lambda t: np.ma.masked_equal(t.numpy(), t.numpy().max()), r"masked values.*\.filled\(0\)"),
    "masked in a list": (lambda t: [np.ma.masked_equal(x.numpy(), x.numpy().max()) for x in t], "masked values"),
    "masked in lists": (
        lambda t: [[np.ma.masked_equal(r.numpy(), r.numpy().max()) for r in x] for x in t],
        "masked values",
    ),
    "no rows": (lambda t: t[:, :0], r"\(3, 0, 16\) has no pixels"),
    "no columns": (lambda t: t[..., :0], r"\(3, 12, 0\) has no pixels"),
    "text": (lambda t: "map.png", "of real numbers, got str"),
    "nothing": (lambda t: None, "of real numbers, got NoneType"),
    "objects": (lambda t: t.numpy().astype(object), "got ndarray of object"),
    "dates": (lambda t: t.numpy().astype("datetime64[s]"), "got ndarray of datetime64"),
    "ragged": (lambda t: [t[0], t[1, :6], t[2]], r"several shapes, \(6, 16\), \(12, 16\).*metric class"),
    "ragged lists": (lambda t: [[[1, 2], [3]]], "several shapes"),
    "itself": (lambda t: Endless.list(), "of real numbers, got list"),
    "one map": (lambda t: t[0], r"must have shape \(N, H, W\), got \(12, 16\)"),
    "a number": (lambda t: 3, r"must have shape \(N, H, W\), got \(\)"),
}


class Endless:
    @staticmethod
    def list() -> Any:
        own: Any = []
        own.append(own)
        return own


OF_TORCH = pytest.mark.filterwarnings("ignore:.*nested tensors:UserWarning", "ignore:.*quantized tensor:UserWarning")


@OF_TORCH
@pytest.mark.parametrize("kind", WRONG)
@ALL
def test_what_is_no_map_is_refused_in_words(name: str, kind: str) -> None:
    make, text = WRONG[kind]
    for key in ("preds", *NEEDS[name]):
        if kind == "one map" and key in ("baseline", "other"):
            continue
        a = maps()
        with pytest.raises(ImageError, match=f"^{key}.*{text}"):
            score(name, a | {key: make(a[key].expand(3, 12, 16))})


@OF_TORCH
@pytest.mark.parametrize("kind", [kind for kind in WRONG if "ragged" not in kind])
def test_classes_refuse_what_the_functions_refuse(kind: str) -> None:
    make, text = WRONG[kind]
    for key in (key for key in METRICS if key != "emd"):
        a = maps()
        metrics = saliency_metrics(include=[key])
        with pytest.raises(ImageError, match=text):
            metrics.update(**a | {"preds": make(a["preds"])})


@OF_TORCH
def test_emd_takes_and_refuses_the_same() -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    a = maps(3)
    expected = emd(a["preds"], a["density"], downsize=3)
    for kind, make in SAME.items():
        got = emd(make(a["preds"]), make(a["density"]), downsize=3)
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9, msg=kind)
    for make, text in WRONG.values():
        with pytest.raises(ImageError, match=text):
            emd(make(a["preds"]), a["density"])


def test_no_values_and_two_devices_are_told() -> None:
    a = maps()
    meta = {key: each.to("meta") for key, each in a.items()}
    with pytest.raises(ImageError, match="'meta', which holds no values"):
        saliency_metrics(include=("nss",)).update(**meta)
    with pytest.raises(ImageError, match="preds are on meta, fixations on cpu"):
        nss(meta["preds"], a["fixations"])


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"])
def test_counts_of_every_integer_type(kind: str) -> None:
    a = maps()
    if kind == "bool":
        a["fixations"], a["other"] = a["fixations"].clamp_max(1), a["other"].clamp_max(1)
    for convention in ("mit", "pysaliency"):
        for average in ("image", "fixation"):
            metrics = [
                saliency_metrics(include=[k for k in METRICS if k != "emd"], convention=convention, average=average)
                for _ in range(3)
            ]
            metrics[0].update(**a)
            metrics[1].update(**a | {key: a[key].to(getattr(torch, kind)) for key in ("fixations", "other")})
            metrics[2].update(**a | {key: a[key].numpy().astype(kind) for key in ("fixations", "other")})
            expected, *rest = ([float(v) for v in each.compute().values()] for each in metrics)
            assert rest == [expected, expected]
    for name in ON_FIXATIONS:
        typed = a | {key: a[key].to(getattr(torch, kind)) for key in ("fixations", "other")}
        assert torch.equal(score(name, typed, convention="pysaliency"), score(name, a, convention="pysaliency"))


def test_counts_that_no_sum_of_their_type_holds() -> None:
    a = maps(1, 40, 50)
    a["fixations"][0, 3, 4:8] = 120  # 4 * 120 is above what int8 holds
    many = a["fixations"].to(torch.int8)
    for name in ON_FIXATIONS:
        expected = score(name, a, convention="pysaliency")
        assert torch.equal(score(name, a | {"fixations": many}, convention="pysaliency"), expected)
    pool = FixationPool([many[0].numpy()] * 300)
    assert pool.counts(40, 50)[3, 4] == 36000
    assert pool.counts(4, 5)[0, 0] == 300 * int(a["fixations"][0, :10, :10].sum())
    typed, plain = ShuffledAUC(pool=pool, average="fixation"), ShuffledAUC(pool=pool, average="fixation")
    typed.update(a["preds"], many)
    plain.update(a["preds"], a["fixations"])
    assert float(typed.compute()) == float(plain.compute())
    with pytest.raises(ImageError, match=r"2\^63"):
        nss(a["preds"], np.full((1, 40, 50), 2**63, np.uint64))


def blurred(sigma: float, size: tuple[int, int] = (60, 80)) -> Tensor:
    """Return an 8-bit map of a few Gaussians."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[: size[0], : size[1]]
    places = draw.uniform(0.2, 0.8, (8, 2)) * size
    heat = sum(np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2)) for row, column in places)
    return torch.from_numpy((heat / heat.max() * 255).astype(np.uint8))[None]


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("sigma", [6, 10, 25])
def test_a_blurred_map_is_no_count(sigma: float, on_cpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_checks, "on_cpu", lambda maps: on_cpu)
    a = maps(1, 60, 80)
    for kind in (torch.uint8, torch.int64):
        heat = blurred(sigma).to(kind)
        for name in ON_FIXATIONS:
            with pytest.raises(FixationsTypeError, match=r"fixations must hold counts.*looks like a blurred map"):
                score(name, a | {"fixations": heat})
    with pytest.raises(FixationsTypeError, match="blurred map"):
        FixationPool([blurred(sigma)[0]])
    assert score("shuffled_auc", a | {"other": blurred(sigma)}).isfinite().all(), "a pool may be everywhere"


@pytest.mark.parametrize("each", [0.2, 2, 20, 60])
def test_many_fixations_are_still_fixations(each: float) -> None:
    """A coarse grid, on which 60 people look at everything, and most at the middle."""
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    rate = each * (0.2 + np.exp(-(x**2 + y**2) * 3)) if each < 60 else np.full((32, 32), 5.0)
    counts = np.random.default_rng(1).poisson(rate)[None]
    assert nss(np.random.default_rng(2).random((1, 32, 32)), counts, convention="pysaliency").isfinite().all()
