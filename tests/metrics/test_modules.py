"""The classes: signatures of `update`, averages, pools, collections."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch
from metrics.test_functional import maps

from salzoo.errors import DataError, ImageError, SpecError
from salzoo.metrics import (
    CC,
    EMD,
    METRICS,
    NSS,
    SIM,
    AUCBorji,
    AUCJudd,
    FixationPool,
    InfoGain,
    KLDiv,
    ShuffledAUC,
    functional,
    saliency_metrics,
)

WITHOUT_EMD = tuple(k for k in METRICS if k != "emd")


def some(a: dict[str, torch.Tensor], *keys: str) -> dict[str, torch.Tensor]:
    return {k: a[k] for k in keys}


def test_importing_is_light() -> None:
    code = (
        "import salzoo.metrics, sys; print([m for m in ('lightning', 'timm', 'ot', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "lightning" not in done.stdout
    assert "timm" not in done.stdout
    assert "'ot'" not in done.stdout


def test_every_class_is_the_mean_of_its_function() -> None:
    a = maps(5)
    for cls, function, keys in (
        (AUCJudd, functional.auc_judd, ("fixations",)),
        (AUCBorji, functional.auc_borji, ("fixations",)),
        (ShuffledAUC, functional.shuffled_auc, ("fixations", "other")),
        (NSS, functional.nss, ("fixations",)),
        (CC, functional.cc, ("density",)),
        (SIM, functional.sim, ("density",)),
        (KLDiv, functional.kl_div, ("density",)),
        (InfoGain, functional.info_gain, ("fixations", "baseline")),
    ):
        metric = cls()
        for part in (slice(0, 2), slice(2, 5)):
            metric.update(a["preds"][part], **{k: a[k] if k == "baseline" else a[k][part] for k in keys})
        mean = metric.compute()
        assert mean.dtype == torch.float64
        assert mean.item() == pytest.approx(function(a["preds"], **some(a, *keys)).mean().item(), abs=1e-12)
        assert metric.higher_is_better == (cls not in (KLDiv, EMD))


def test_averages_per_fixation() -> None:
    a = maps(4)
    a["fixations"][1, 2, 3] = 40
    weights = a["fixations"].sum((1, 2)).double()
    pixels = (a["fixations"] > 0).sum((1, 2)).double()
    scores = functional.nss(a["preds"], a["fixations"], convention="pysaliency")
    for options, weight, score in (
        ({"convention": "pysaliency"}, weights, scores),
        ({}, pixels, functional.nss(a["preds"], a["fixations"])),
        ({"ddof": 0, "repeats": True}, weights, scores),
    ):
        metric = NSS(average="fixation", **options)
        metric.update(**some(a, "preds", "fixations"))
        assert metric.compute().item() == pytest.approx(((score * weight).sum() / weight.sum()).item(), abs=1e-12)
    with pytest.raises(SpecError, match="average='fixation'"):
        CC(average="fixation")


def test_images_without_truth_are_skipped_and_counted() -> None:
    a = maps(3)
    a["fixations"][1] = 0
    metric = NSS()
    metric.update(**some(a, "preds", "fixations"))
    with pytest.warns(UserWarning, match="NSS skipped 1 image"):
        mean = metric.compute()
    kept = functional.nss(a["preds"][[0, 2]], a["fixations"][[0, 2]])
    assert mean.item() == pytest.approx(kept.mean().item(), abs=1e-12)
    metric.reset()
    metric.update(a["preds"][1:2], a["fixations"][1:2])
    with pytest.warns(UserWarning, match="skipped"):
        assert metric.compute().isnan()


def test_nan_for_constants_is_kept_not_skipped() -> None:
    a = maps(3)
    a["preds"][0] = 0.5
    metric = NSS(on_constant="nan")
    with pytest.warns(UserWarning, match="constant predictions"):
        metric.update(**some(a, "preds", "fixations"))
    assert metric.compute().isnan()


def test_lists_of_images_of_different_sizes() -> None:
    small, large = maps(2, 8, 10), maps(1, 21, 13)
    metrics = saliency_metrics(include=("auc_judd", "sauc", "nss", "cc", "ig"))
    metrics.update(**{k: [*v.expand(2, -1, -1), large[k].view(21, 13)] for k, v in small.items() if k != "preds"},
                   preds=[*small["preds"], large["preds"][0]])  # fmt: skip
    got = metrics.compute()
    metrics.reset()
    metrics.update(**{k: v for k, v in small.items()})
    metrics.update(**{k: v for k, v in large.items()})
    assert {k: v.item() for k, v in got.items()} == pytest.approx({k: v.item() for k, v in metrics.compute().items()})
    with pytest.raises(ImageError, match="2 preds but 1 fixations"):
        NSS().update(list(small["preds"]), [small["fixations"][0]])


def test_arrays_score_as_tensors_do() -> None:
    a = maps(3)
    plain, arrays, listed = (saliency_metrics(include=WITHOUT_EMD) for _ in range(3))
    plain.update(**a)
    frozen = {k: v.numpy().copy() for k, v in a.items()}
    for array in frozen.values():
        array.flags.writeable = False
    arrays.update(**frozen)
    listed.update(**{k: list(v) if v.ndim == 3 else v for k, v in frozen.items()})
    for key, score in plain.compute().items():
        assert float(arrays.compute()[key]) == float(score), key
        assert float(listed.compute()[key]) == pytest.approx(float(score), rel=1e-12), key
    with pytest.raises(
        ImageError, match="must be a tensor, an array, a SaliencyMap or a list of these, of real numbers, got str"
    ):
        NSS().update("map.png", a["fixations"])


def test_what_numpy_can_read_is_a_map() -> None:
    """As a `SaliencyMap` is, alone in a list."""

    class Map:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return a["preds"][0].numpy()

    a = maps(1)
    one, other = NSS(), NSS()
    one.update([Map()], [a["fixations"][0]])
    other.update(a["preds"], a["fixations"])
    assert float(one.compute()) == float(other.compute())


def test_pool_gives_each_image_the_fixations_of_all_others() -> None:
    a = maps(4)
    total = a["fixations"].sum(0)
    for options in ({}, {"convention": "pysaliency"}, {"step": None}):
        by_maps, by_pool = ShuffledAUC(**options), ShuffledAUC(pool=FixationPool(a["fixations"]), **options)
        by_maps.update(a["preds"], a["fixations"], other=total - a["fixations"])
        for i in (3, 0, 2, 1):
            by_pool.update(a["preds"][i : i + 1], fixations=a["fixations"][i : i + 1])
        assert by_pool.compute().item() == pytest.approx(by_maps.compute().item(), abs=1e-12)


def test_pool_scales_images_of_other_sizes() -> None:
    small, large = torch.zeros(2, 4, dtype=torch.int16), torch.zeros(4, 8, dtype=torch.int16)
    small[1, 3], large[3, 5] = 1, 2
    pool = FixationPool([small, large])
    assert pool.counts(2, 4).tolist() == [[0, 0, 0, 0], [0, 0, 2, 1]]
    assert pool.counts(4, 8).nonzero().tolist() == [[2, 6], [3, 5]]
    with pytest.raises(DataError, match="pool lacks"):
        ShuffledAUC(pool=pool).update(torch.rand(1, 2, 4), torch.ones(1, 2, 4, dtype=torch.int64))


def test_pool_remembers_few_sizes_and_forgets_none() -> None:
    pool = FixationPool(maps(3)["fixations"])
    first = pool.counts(10, 10)
    for side in range(11, 30):
        assert pool.counts(side, side).sum() == first.sum()
    assert torch.equal(pool.counts(10, 10), first)


def test_shuffled_auc_wants_one_source_of_negatives() -> None:
    a = maps()
    for metric, other in ((ShuffledAUC(), None), (ShuffledAUC(pool=FixationPool(a["fixations"])), a["other"])):
        with pytest.raises(SpecError, match=r"other.*pool=FixationPool.*include"):
            metric.update(a["preds"], a["fixations"], other)
    with pytest.raises(SpecError, match=r"InfoGain needs `baseline`.*include"):
        InfoGain().update(a["preds"], a["fixations"])


def test_collection_feeds_each_metric_what_it_needs() -> None:
    a = maps(4)
    metrics = saliency_metrics(include=WITHOUT_EMD)
    metrics.update(a["preds"], **{k: v for k, v in a.items() if k != "preds"})
    got = metrics.compute()
    assert set(got) == set(WITHOUT_EMD)
    assert got["auc_judd"].item() == pytest.approx(functional.auc_judd(a["preds"], a["fixations"]).mean().item())
    assert got["kld"].item() == pytest.approx(functional.kl_div(a["preds"], a["density"]).mean().item())
    assert got["ig"].item() == pytest.approx(
        functional.info_gain(a["preds"], a["fixations"], a["baseline"]).mean().item()
    )


def test_collection_of_all_nine() -> None:
    pytest.importorskip("ot", reason="POT is not installed")
    a = maps(2, 40, 48)
    metrics = saliency_metrics()
    metrics.update(**a)
    got = metrics.compute()
    assert set(got) == {"auc_judd", "auc_borji", "sauc", "nss", "cc", "sim", "kld", "emd", "ig"}
    assert got["emd"].item() == pytest.approx(functional.emd(a["preds"], a["density"]).mean().item())


def test_collection_keeps_metrics_apart_even_with_compute_groups() -> None:
    """Metrics that agree on the first batch must not be merged into one: torchmetrics compares states by name."""
    a = maps(1)
    for groups in (False, True):
        metrics = saliency_metrics(include=("cc", "sim"))
        metrics = type(metrics)(dict(metrics.items()), compute_groups=groups)
        metrics.update(a["density"], density=a["density"])
        metrics.update(a["preds"], density=a["density"])
        got = metrics.compute()
        for key, function in (("cc", functional.cc), ("sim", functional.sim)):
            expected = (function(a["density"], a["density"]) + function(a["preds"], a["density"])) / 2
            assert got[key].item() == pytest.approx(expected.item(), abs=1e-6)


def test_collection_passes_options_to_those_that_take_them() -> None:
    metrics = saliency_metrics(convention="pysaliency", average="fixation", eps=1e-7, ddof=1)
    assert metrics["nss"].options == {"convention": "pysaliency", "ddof": 1}
    assert metrics["nss"].average == "fixation"
    assert metrics["cc"].average == "image"
    assert metrics["kld"].options == {"convention": "pysaliency", "eps": 1e-7}
    with pytest.raises(SpecError, match="takes the option blur"):
        saliency_metrics(blur=3)
    with pytest.raises(SpecError, match="takes the option ddof"):
        saliency_metrics(include=("cc",), ddof=1)
    with pytest.raises(SpecError, match="no metric is called 'aucj'; there are auc_judd"):
        saliency_metrics(include=("aucj",))


@pytest.mark.parametrize("options", [{"blur": 3}, {"convention": "salicon"}, {"average": "pixel"}])
def test_classes_refuse_unknown_options(options: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        NSS(**options)


def test_metrics_copy_pickle_and_reset() -> None:
    a = maps()
    metric = ShuffledAUC(pool=FixationPool(a["fixations"]), convention="pysaliency")
    metric.update(a["preds"], a["fixations"])
    value = metric.compute()
    for twin in (pickle.loads(pickle.dumps(metric)), copy.deepcopy(metric), metric.clone()):
        assert torch.equal(twin.compute(), value)
    assert metric.state_dict() == {}
    metric.reset()
    metric.update(a["preds"], a["fixations"])
    assert torch.equal(metric.compute(), value)


def test_forward_scores_the_batch_and_accumulates() -> None:
    a = maps(4)
    metric = NSS()
    for i in (0, 2):
        batch = metric(a["preds"][i : i + 2], a["fixations"][i : i + 2])
        assert batch.item() == pytest.approx(
            functional.nss(a["preds"][i : i + 2], a["fixations"][i : i + 2]).mean().item()
        )
    assert metric.compute().item() == pytest.approx(functional.nss(a["preds"], a["fixations"]).mean().item())


def test_sums_stay_exact_in_a_model_cast_to_half_precision():
    metric = NSS().to(torch.bfloat16)
    preds, fixations = torch.rand(1, 6, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 6, 8).long()
    fixations[0, 2, 3] = 1
    for _ in range(300):
        metric.update(preds, fixations=fixations)
    assert metric.compute().item() == pytest.approx(functional.nss(preds, fixations).item(), rel=1e-12)
