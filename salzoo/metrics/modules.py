"""The metrics as `torchmetrics.Metric` classes: means over images that are exact on any number of processes."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torchmetrics import Metric

from salzoo.errors import ImageError, SpecError
from salzoo.metrics import functional
from salzoo.metrics._checks import extrema, one_of
from salzoo.metrics._maps import Maps, to_list, to_tensor
from salzoo.metrics.pool import FixationPool


class ImageMeanMetric(Metric):
    """Mean of one score an image, or of one score a fixation.

    State is three float64 sums, so memory does not grow, images may differ in size and processes add up exactly. They
    are named after the class: equal names would let a MetricCollection merge different metrics. Images without a
    fixation or with an empty density are skipped, counted and reported by `compute`, which is NaN if nothing is left.
    No image may be given twice: under DDP use a sampler that does not pad.

    Args:
        average: "image", or "fixation" to weigh each image by its number of fixations (metrics of fixations only).
        **options: Keywords of the function that scores, see there; others go to `torchmetrics.Metric`.

    Raises:
        SpecError: If an option is unknown.
    """

    full_state_update = False
    is_differentiable = False
    score: ClassVar[Callable[..., Tensor]]
    key: ClassVar[str]
    over_fixations: ClassVar[bool] = False

    def __init__(self, *, average: str = "image", **options: Any) -> None:
        known = score_options(type(self))
        try:
            super().__init__(**{k: v for k, v in options.items() if k not in known})
        except ValueError as error:
            raise SpecError(f"{type(self).__name__} takes average, {', '.join(sorted(known))}. {error}") from error
        one_of("average", average, ("image", "fixation") if self.over_fixations else ("image",))
        one_of("convention", options.get("convention", "mit"), ("mit", "pysaliency"))
        self.average = average
        self.options = {k: v for k, v in options.items() if k in known}
        for name in ("sum", "count", "skipped"):
            self.add_state(f"{self.key}_{name}", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    @classmethod
    def heading(cls) -> str:
        """Return the metric's key with an arrow to the better side, for the head of a table: `nss ↑`."""
        return f"{cls.key} {'↑' if cls.higher_is_better else '↓'}"

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = ()) -> Self:
        """Keep the sums in double precision when a model is cast to half: 256 + 1 is 256 in bfloat16."""
        super()._apply(fn, exclude_state)
        for name in ("sum", "count", "skipped"):
            setattr(self, f"{self.key}_{name}", getattr(self, f"{self.key}_{name}").double())
        return self

    def compute(self) -> Tensor:
        """Return the mean as a float64 scalar, NaN if no image counted."""
        total, count, skipped = (getattr(self, f"{self.key}_{name}") for name in ("sum", "count", "skipped"))
        if skipped > 0:
            name = type(self).__name__
            warnings.warn(f"{name} skipped {int(skipped)} image(s): no fixation or an empty density", stacklevel=2)
        return torch.where(count > 0, total / count, torch.nan)

    def _add(self, preds: Maps, **truth: Any) -> None:
        """Score a batch, or a list of images of different sizes, and add it up."""
        images = to_list("preds", preds)
        convert = to_tensor if isinstance(images, Tensor) else to_list
        truth = {name: maps if isinstance(maps, FixationPool) else convert(name, maps) for name, maps in truth.items()}
        if isinstance(images, Tensor):
            self._score(images, **truth)
            return
        for name, maps in truth.items():
            if len(maps) != len(images) and not _for_all(maps):
                raise ImageError(f"{len(images)} preds but {len(maps)} {name}; give one map for each image")
        for i, image in enumerate(images):
            self._score(image[None], **{k: t if _for_all(t) else t[i][None] for k, t in truth.items()})

    def _score(self, preds: Tensor, **truth: Any) -> None:
        """Score a batch and add it up."""
        if preds.is_meta:
            raise ImageError("preds are on the device 'meta', which holds no values: no mean can be taken of them")
        scores = type(self).score(preds, **truth, **self.options)
        weights = self._weights(truth)
        valid = weights > 0
        self._grow("sum", (scores * weights)[valid].sum())
        self._grow("count", weights.sum())
        self._grow("skipped", (~valid).sum())

    def _weights(self, truth: dict[str, Any]) -> Tensor:
        """Return the weight of each image (N,), 0 for one to skip."""
        flat: Tensor = truth["fixations" if self.over_fixations else "density"].flatten(1)
        if self.average == "image":
            return (extrema(flat)[1] > 0).double()
        repeats = self.options.get("repeats")
        if repeats is None:
            repeats = self.options.get("convention") == "pysaliency" and "repeats" in score_options(type(self))
        return (flat if repeats else flat != 0).sum(1).double()

    def _grow(self, name: str, amount: Tensor) -> None:
        state = getattr(self, f"{self.key}_{name}")
        setattr(self, f"{self.key}_{name}", state + amount.detach().to(state))


def _for_all(maps: Any) -> bool:
    """Return whether these are for all images: one (H, W) map, or a pool."""
    return isinstance(maps, FixationPool) or (isinstance(maps, Tensor) and maps.ndim == 2)


def score_options(metric: type[ImageMeanMetric]) -> set[str]:
    """Return the names of the keyword-only options of a metric's function."""
    return {p.name for p in inspect.signature(metric.score).parameters.values() if p.kind is p.KEYWORD_ONLY}


class FixationMetric(ImageMeanMetric):
    """A metric of predictions at fixated pixels."""

    over_fixations = True

    def update(self, preds: Maps, fixations: Maps) -> None:
        """Add predictions (N, H, W) with integer fixation counts (N, H, W), or lists of (H, W)."""
        self._add(preds, fixations=fixations)


class DensityMetric(ImageMeanMetric):
    """A metric of predictions against a ground-truth density."""

    def update(self, preds: Maps, density: Maps) -> None:
        """Add predictions (N, H, W) with densities (N, H, W), or lists of (H, W)."""
        self._add(preds, density=density)


class AUCJudd(FixationMetric):
    """Mean of `functional.auc_judd`, which describes the options. Higher is better, 0 to 1; chance is 0.5."""

    higher_is_better = True
    key = "auc_judd"
    score = staticmethod(functional.auc_judd)


class AUCBorji(FixationMetric):
    """Mean of `functional.auc_borji`, which describes the options. Higher is better, 0 to 1; chance is 0.5."""

    higher_is_better = True
    key = "auc_borji"
    score = staticmethod(functional.auc_borji)


class ShuffledAUC(FixationMetric):
    """Mean of `functional.shuffled_auc`, which describes the options. Higher is better, 0 to 1; chance is 0.5.

    Args:
        pool: Fixations of the whole dataset; `update` then takes no `other`, and each image's own fixations are left
            out.
        average: See `ImageMeanMetric`.
        **options: See `ImageMeanMetric`.
    """

    higher_is_better = True
    key = "sauc"
    score = staticmethod(functional.shuffled_auc)

    def __init__(self, *, pool: FixationPool | None = None, average: str = "image", **options: Any) -> None:
        super().__init__(average=average, **options)
        self.pool = pool

    def update(self, preds: Maps, fixations: Maps, other: Maps | None = None) -> None:
        """Add predictions (N, H, W) with integer fixation counts of the images and (without a pool) of other images."""
        if (other is None) == (self.pool is None):
            raise SpecError(
                "ShuffledAUC needs other images' fixations: `other` (N, H, W) in update, or pool=FixationPool(...) "
                "when made, not both; without either leave it out: saliency_metrics(include=...)"
            )
        self._add(preds, fixations=fixations, other=self.pool if other is None else other)


class NSS(FixationMetric):
    """Mean of `functional.nss`, which describes the options. Higher is better; chance is 0."""

    is_differentiable = True
    higher_is_better = True
    key = "nss"
    score = staticmethod(functional.nss)


class CC(DensityMetric):
    """Mean of `functional.cc`, which describes the options. Higher is better, -1 to 1; chance is 0."""

    is_differentiable = True
    higher_is_better = True
    key = "cc"
    score = staticmethod(functional.cc)


class SIM(DensityMetric):
    """Mean of `functional.sim`, which describes the options. Higher is better, 0 to 1."""

    is_differentiable = True
    higher_is_better = True
    key = "sim"
    score = staticmethod(functional.sim)


class KLDiv(DensityMetric):
    """Mean of `functional.kl_div`, which describes the options. Lower is better, 0 is perfect."""

    is_differentiable = True
    higher_is_better = False
    key = "kld"
    score = staticmethod(functional.kl_div)


class EMD(DensityMetric):
    """Mean of `functional.emd`, which describes the options. Lower is better, 0 is perfect; in small pixels."""

    higher_is_better = False
    key = "emd"
    score = staticmethod(functional.emd)


class InfoGain(FixationMetric):
    """Mean of `functional.info_gain`, which describes the options. Higher is better, in bits; 0 is the baseline."""

    is_differentiable = True
    higher_is_better = True
    key = "ig"
    score = staticmethod(functional.info_gain)

    def update(self, preds: Maps, fixations: Maps, baseline: Maps | None = None) -> None:
        """Add predictions (N, H, W) with fixation counts (N, H, W) and a baseline density (N, H, W) or (H, W)."""
        if baseline is None:
            raise SpecError(
                "InfoGain needs `baseline`, a density (N, H, W) or (H, W), in update; "
                "without one leave it out: saliency_metrics(include=...)"
            )
        self._add(preds, fixations=fixations, baseline=baseline)
