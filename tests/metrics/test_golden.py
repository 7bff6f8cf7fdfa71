"""Every golden case, in both precisions and conventions, on the CPU's path and on the one of other devices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from metrics.golden_cases import ARRAYS, CASES, CONSTANT, DATA, RESIZED, TOLERANCES, dataset, inputs

from salzoo.errors import ImageError
from salzoo.metrics import (
    CC,
    EMD,
    NSS,
    SIM,
    AUCJudd,
    FixationPool,
    InfoGain,
    KLDiv,
    ShuffledAUC,
    _checks,
    functional,
    imresize,
)

Check = tuple[str, Any, dict[str, float], Callable[[], torch.Tensor]]
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
DENSITY_ONLY = ("KLdiv", "InfoGain", "KLDiv_min1e-20", "KLDiv_MIT_settings", "EMD_32", "EMD_fine")


@pytest.fixture(params=["cpu", "any_device"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "any_device":
        monkeypatch.setattr(_checks, "on_cpu", lambda maps: False)


def near(value: float, reference: float, tolerance: dict[str, float]) -> bool:
    if math.isinf(reference):
        return value == reference
    return abs(value - reference) <= tolerance["abs"] + tolerance["rel"] * abs(reference)


def mit_checks(case: dict[str, Any], a: dict[str, Any], precision: str) -> Iterator[Check]:
    f, ref = functional, case["mit_octave"]
    maps, density, resize = (a["preds"], a["fixations"]), (a["preds"], a["density"]), case["kind"] in RESIZED
    if isinstance(ref["KLdiv"], dict):  # complex: MIT takes the logarithm of bicubic overshoot
        ref = ref | {"KLdiv": ref["on_clamped_resized"]["KLdiv"]}
    calls: dict[str, Callable[[], torch.Tensor]] = {
        "AUC_Judd_nojitter": lambda: f.auc_judd(*maps, ties="mit", resize=resize),
        "NSS": lambda: f.nss(*maps, resize=resize),
        "CC": lambda: f.cc(*density, resize=resize),
        "SIM": lambda: f.sim(*density, resize=resize),
        "KLdiv": lambda: f.kl_div(*density, resize=resize),
        "InfoGain": lambda: f.info_gain(*maps, a["baseline"], resize=resize),
    }
    for name, call in calls.items():
        tolerance = dict(TOLERANCES[name][precision])
        tolerance["abs"] += 1e-6 if resize else 0
        yield name, ref[name], tolerance, call


def pysaliency_checks(case: dict[str, Any], a: dict[str, Any], precision: str) -> Iterator[Check]:
    f, ref = functional, case["pysaliency"]
    maps, density, own = (a["preds"], a["fixations"]), (a["preds"], a["density"]), {"convention": "pysaliency"}
    calls: dict[str, Callable[[], torch.Tensor]] = {
        "AUC_uniform_all_fixations": lambda: f.auc_judd(*maps, **own),
        "AUC_uniform_unique_pixels": lambda: f.auc_judd(*maps, **own, repeats=False),
        "AUC_unfixated_unique_pixels": lambda: f.auc_judd(*maps, thresholds="all"),
        "AUC_unfixated_unique_pixels_thresholds_fixations": lambda: f.auc_judd(*maps, ties="trapezoid"),
        "AUC_Judd_nojitter_unique_pixels": lambda: f.auc_judd(*maps, ties="trapezoid"),
        "AUC_Judd_nojitter_all_fixations": lambda: f.auc_judd(*maps, ties="trapezoid", repeats=True),
        "sAUC_shuffled_all_fixations": lambda: f.shuffled_auc(*maps, a["others"], **own),
        "NSS_all_fixations": lambda: f.nss(*maps, **own),
        "NSS_unique_pixels": lambda: f.nss(*maps, **own, repeats=False),
        "CC": lambda: f.cc(*density, **own),
        "SIM": lambda: f.sim(*density, **own),
        "KLDiv_min1e-20": lambda: f.kl_div(*density, **own),
        "KLDiv_MIT_settings": lambda: f.kl_div(*density, eps=2.2204e-16),
        "IG_bits_min0_all_fixations": lambda: f.info_gain(*maps, a["baseline"], **own, minimum_value=0.0),
        "IG_bits_min1e-20_all_fixations": lambda: f.info_gain(*maps, a["baseline"], **own),
        "IG_bits_min1e-20_unique_pixels": lambda: f.info_gain(*maps, a["baseline"], **own, repeats=False),
    }
    for name, call in calls.items():
        yield name, ref.get(name), TOLERANCES["pysaliency.*"][precision], call


def closed_form_checks(case: dict[str, Any], a: dict[str, Any], precision: str) -> Iterator[Check]:
    f, ref = functional, case["exact_closed_form"]
    maps, resize = (a["preds"], a["fixations"]), {"resize": case["kind"] in RESIZED}
    calls: dict[str, Callable[[], torch.Tensor]] = {
        "AUC_Judd_average_ties": lambda: f.auc_judd(*maps, **resize),
        "AUC_exact_unique_vs_unfixated": lambda: f.auc_judd(*maps, thresholds="all", **resize),
        "AUC_exact_all_vs_uniform": lambda: f.auc_judd(*maps, convention="pysaliency", **resize),
        "sAUC_exact_unique_vs_other_map": lambda: f.shuffled_auc(*maps, a["other"], step=None, **resize),
        "sAUC_exact_all_vs_other_fixations": lambda: f.shuffled_auc(
            *maps, a["others"], convention="pysaliency", **resize
        ),
        "AUC_shuffled_expectation": lambda: f.shuffled_auc(*maps, a["other"], **resize),
        "AUC_Borji_expectation": lambda: f.auc_borji(*maps, **resize),
    }
    for name, call in calls.items():
        tolerance = TOLERANCES["exact_closed_form.*"]["float64"]  # ranks are exact in float32, too
        yield name, ref.get(name), tolerance | {"abs": 1e-6 if resize["resize"] else 1e-9}, call
    for name, mine in (("AUC_Borji", "AUC_Borji_expectation"), ("AUC_shuffled", "AUC_shuffled_expectation")):
        sampled = case["mit_octave"][name]
        if sampled is not None:
            noise = 4 * sampled["std"] / math.sqrt(sampled["seeds"]) + 1e-4
            yield name, sampled["mean"], {"abs": noise, "rel": 0}, calls[mine]


@DTYPES
@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c["kind"] not in (*CONSTANT, "nofix")])
@pytest.mark.usefixtures("path")
def test_case(name: str, dtype: torch.dtype) -> None:
    case, precision = CASES[name], str(dtype).removeprefix("torch.")
    a = inputs(case, dtype)
    failures, compared = [], 0
    for checks in (mit_checks, pysaliency_checks, closed_form_checks):
        for label, reference, tolerance, call in checks(case, a, precision):
            if reference is None or str(reference).startswith("error"):
                continue
            if case["kind"] == "logdensity" and (label in DENSITY_ONLY or label.startswith("IG_")):
                with pytest.raises(ImageError, match="log_density=True"):
                    call()
                continue
            compared += 1
            scores = call()
            assert scores.shape == (1,)
            assert scores.dtype == torch.float64
            if not near(float(scores), float(reference), tolerance):
                failures.append((label, float(scores), reference))
    assert not failures
    assert compared >= 12


@DTYPES
@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c["kind"] in CONSTANT])
@pytest.mark.filterwarnings("ignore:constant predictions")
@pytest.mark.usefixtures("path")
def test_constant_predictions_score_chance(name: str, dtype: torch.dtype) -> None:
    case, precision = CASES[name], str(dtype).removeprefix("torch.")
    a = inputs(case, dtype)
    maps, density, py = (a["preds"], a["fixations"]), (a["preds"], a["density"]), case["pysaliency"]
    tolerance = TOLERANCES["pysaliency.*"][precision]
    for area in (functional.auc_judd, functional.auc_borji):
        assert area(*maps).item() == 0.5
    assert functional.shuffled_auc(*maps, a["other"]).item() == 0.5
    assert functional.shuffled_auc(*maps, a["others"], convention="pysaliency").item() == 0.5
    assert functional.nss(*maps).item() == 0
    assert functional.cc(*density).item() == 0
    assert near(functional.sim(*density).item(), py["SIM"], tolerance)
    assert near(functional.kl_div(*density).item(), py["KLDiv_MIT_settings"], tolerance)
    gain = functional.info_gain(*maps, a["baseline"], convention="pysaliency")
    assert near(gain.item(), py["IG_bits_min1e-20_all_fixations"], tolerance)
    for score in (functional.auc_judd, functional.nss):
        assert score(*maps, on_constant="nan").isnan().item()
    for score in (functional.cc, functional.sim):
        assert score(*density, on_constant="nan").isnan().item()
    ordinary = case["kind"] != "zeros"  # KL and EMD only mind a map of zeros
    assert functional.kl_div(*density, on_constant="nan").isnan().item() != ordinary


@DTYPES
@pytest.mark.usefixtures("path")
def test_no_fixation_is_nan_everywhere(dtype: torch.dtype) -> None:
    a = inputs(CASES["v19_nofix"], dtype)
    maps, density = (a["preds"], a["fixations"]), (a["preds"], a["density"])
    scores = [
        *(score(*maps) for score in (functional.auc_judd, functional.auc_borji, functional.nss)),
        functional.shuffled_auc(*maps, a["other"]),
        functional.info_gain(*maps, a["baseline"]),
        *(score(*density) for score in (functional.cc, functional.sim, functional.kl_div)),
    ]
    assert torch.cat(scores).isnan().all()


@pytest.mark.parametrize("name", ["v00_center", "v06_ties5", "v11_sparse", "v18_twofix", "v20_center_u8"])
def test_sampled_modes_agree_with_the_original_noise(name: str) -> None:
    case = CASES[name]
    a = inputs(case, torch.float64)
    maps = (a["preds"], a["fixations"])
    draw = torch.Generator().manual_seed(1)
    calls: dict[str, Callable[[], torch.Tensor]] = {
        "AUC_Borji": lambda: functional.auc_borji(*maps, n_splits=100, generator=draw),
        "AUC_shuffled": lambda: functional.shuffled_auc(*maps, a["other"], n_splits=100, generator=draw),
        "AUC_Judd_jitter": lambda: functional.auc_judd(*maps, ties="mit", jitter=1e-7, generator=draw),
    }
    for metric, call in calls.items():
        reference = case["mit_octave"][metric]
        mean = torch.stack([call() for _ in range(4)]).mean().item()
        assert abs(mean - reference["mean"]) <= 2.5 * reference["std"] + 1e-4, metric


@DTYPES
@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c["emd_exact"]])
def test_emd(name: str, dtype: torch.dtype) -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    case, precision = CASES[name], str(dtype).removeprefix("torch.")
    a, exact = inputs(case, dtype), case["emd_exact"]
    options = {"resize": case["kind"] in RESIZED}
    if case["kind"] == "logdensity":
        with pytest.raises(ImageError, match="log_density=True"):
            functional.emd(a["preds"], a["density"])
        return
    mit = functional.emd(a["preds"], a["density"], consistent_resize=False, **options).item()
    own = functional.emd(a["preds"], a["density"], **options).item()
    assert near(mit, case["mit_octave"]["EMD_32"], TOLERANCES["EMD_32"][precision])
    tolerance = TOLERANCES["emd_exact"]["float64"] if dtype == torch.float64 else TOLERANCES["EMD_32"]["float32"]
    assert near(mit, exact["EMD_32_matlabweights_POT"], tolerance)
    assert near(own, exact["EMD_32_consistent_resize_POT"], tolerance)


@pytest.mark.parametrize("name", ["v00_center", "v17_onefix"])
def test_finer_emd(name: str) -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    case = CASES[name]
    a, downsize = inputs(case, torch.float64), case["mit_octave"]["EMD_fine_downsize"]
    score = functional.emd(a["preds"], a["density"], downsize=downsize, consistent_resize=False).item()
    assert near(score, case["mit_octave"]["EMD_fine"], TOLERANCES["EMD_fine"]["float64"])


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c["kind"] in RESIZED])
def test_imresize_is_matlabs(name: str) -> None:
    arrays = CASES[name]["arrays"]
    pred = torch.from_numpy(ARRAYS[arrays["pred"]]).double()
    resized = torch.from_numpy(ARRAYS[arrays["resized"]])
    assert (imresize(pred, size=(150, 200)) - resized).abs().max() < 1e-13


@DTYPES
def test_dataset_block_per_image_and_means(dtype: torch.dtype) -> None:
    a, mit, precision = dataset(dtype), DATA["dataset"]["mit_octave"], str(dtype).removeprefix("torch.")
    maps, density = (a["preds"], a["fixations"]), (a["preds"], a["density"])
    scored = {
        "AUC_Judd_nojitter": (functional.auc_judd(*maps, ties="mit"), AUCJudd(ties="mit"), maps),
        "NSS": (functional.nss(*maps), NSS(), maps),
        "CC": (functional.cc(*density), CC(), density),
        "SIM": (functional.sim(*density), SIM(), density),
        "KLdiv": (functional.kl_div(*density), KLDiv(), density),
        "InfoGain": (functional.info_gain(*maps, a["baseline"]), InfoGain(), (*maps, a["baseline"])),
    }
    for name, (scores, metric, batch) in scored.items():
        metric.update(*batch)
        tolerance = TOLERANCES[name][precision]
        for value, reference in zip(scores.tolist(), mit["per_image"][name], strict=True):
            assert near(value, reference, tolerance), name
        assert near(metric.compute().item(), mit["mean_over_images"][name], tolerance), name


def test_dataset_block_emd() -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    a, mit = dataset(torch.float64), DATA["dataset"]["mit_octave"]
    metric = EMD(consistent_resize=False)
    metric.update(a["preds"], density=a["density"])
    assert near(metric.compute().item(), mit["mean_over_images"]["EMD_32"], TOLERANCES["EMD_32"]["float64"])


@DTYPES
@pytest.mark.parametrize("average", ["image", "fixation"])
def test_dataset_block_pysaliency(average: str, dtype: torch.dtype) -> None:
    a, py, precision = dataset(dtype), DATA["dataset"]["pysaliency"], str(dtype).removeprefix("torch.")
    tolerance = TOLERANCES["pysaliency.*"][precision]
    options = {"convention": "pysaliency", "average": average}
    pool = FixationPool(a["fixations"])
    metrics = {
        "AUC_uniform": AUCJudd(**options),
        "sAUC_shuffled": ShuffledAUC(pool=pool, **options),
        "NSS": NSS(**options),
    }
    for name, metric in metrics.items():
        for i in torch.randperm(12, generator=torch.Generator().manual_seed(0)).split(5):
            metric.update(a["preds"][i], fixations=a["fixations"][i])
        assert near(metric.compute().item(), py[f"{name}_average_{average}"], tolerance), name
    per_image = functional.shuffled_auc(a["preds"], a["fixations"], pool, convention="pysaliency").tolist()
    for value, reference in zip(per_image, py["sAUC_shuffled_per_image"], strict=True):
        assert near(value, reference, tolerance)
    gain = InfoGain(**options)
    gain.update(a["preds"], a["fixations"], a["baseline"])
    key = "IG_bits_min1e-20_average_fixation" if average == "fixation" else "IG_average_image"
    assert near(gain.compute().item(), py[key], tolerance)
