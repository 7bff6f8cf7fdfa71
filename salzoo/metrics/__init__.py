"""Saliency metrics as the MIT benchmark and pysaliency define them: pure functions, and `torchmetrics` classes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from torchmetrics import MetricCollection

from salzoo.errors import SpecError
from salzoo.images.imresize import imresize
from salzoo.metrics import functional
from salzoo.metrics.modules import (
    CC,
    EMD,
    NSS,
    SIM,
    AUCBorji,
    AUCJudd,
    ImageMeanMetric,
    InfoGain,
    KLDiv,
    ShuffledAUC,
    score_options,
)
from salzoo.metrics.optimal import metric_maps
from salzoo.metrics.pool import FixationPool

METRICS: dict[str, type[ImageMeanMetric]] = {
    m.key: m for m in (AUCJudd, AUCBorji, ShuffledAUC, NSS, CC, SIM, KLDiv, EMD, InfoGain)
}


def saliency_metrics(*, include: Sequence[str] | None = None, **extra: Any) -> MetricCollection:
    """Return all metrics as one collection: `update(preds, fixations=..., density=..., baseline=..., other=...)`.

    Each metric takes from `update` what it needs. Without a baseline leave out `ig`, without other images' fixations
    `sauc`, without POT `emd`.

    Args:
        include: Keys of the metrics wanted: auc_judd, auc_borji, sauc, nss, cc, sim, kld, emd, ig. All by default.
        **extra: Options such as `convention="pysaliency"`, for those metrics that take them.

    Raises:
        SpecError: If a key is unknown, or an option to all of the metrics.

    Example:
        >>> import torch
        >>> metrics = saliency_metrics(include=("cc", "kld"))
        >>> density = torch.rand(2, 6, 8)
        >>> metrics.update(density, density=density)
        >>> {key: round(float(score), 6) + 0.0 for key, score in metrics.compute().items()}
        {'cc': 1.0, 'kld': 0.0}
    """
    keys = tuple(METRICS) if include is None else tuple(include)
    unknown = [key for key in keys if key not in METRICS]
    if unknown:
        raise SpecError(f"no metric is called {', '.join(map(repr, unknown))}; there are {', '.join(METRICS)}")
    taken = {key: _options(METRICS[key]) for key in keys}
    stray = sorted(set(extra) - set().union(*taken.values()))
    if stray:
        raise SpecError(f"none of {', '.join(keys)} takes the option {', '.join(stray)}")
    # Compute groups merge metrics whose states look alike after one batch; ours never share state.
    return MetricCollection(
        {key: METRICS[key](**{k: v for k, v in extra.items() if k in taken[key]}) for key in keys}, compute_groups=False
    )


def _options(metric: type[ImageMeanMetric]) -> set[str]:
    """Return the names of a metric's options: its own and those of its function."""
    own = {p.name for p in inspect.signature(metric).parameters.values() if p.kind is p.KEYWORD_ONLY}
    return score_options(metric) | (own if metric.over_fixations else own - {"average"})


__all__ = [
    "METRICS",
    *("AUCJudd", "AUCBorji", "ShuffledAUC", "NSS", "CC", "SIM", "KLDiv", "EMD", "InfoGain"),
    "FixationPool",
    "ImageMeanMetric",
    "functional",
    "imresize",
    "metric_maps",
    "saliency_metrics",
]
