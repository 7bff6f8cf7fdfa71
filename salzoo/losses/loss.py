"""A criterion that trains any model, from the name of a loss or the weights of several."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import Any, Literal

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from salzoo._precision import full_precision
from salzoo.backbones import TimmBackbone, pixel_statistics
from salzoo.errors import DataError, SpecError
from salzoo.losses import _density, _features, _fixated, _pixel
from salzoo.losses._reduce import as_log

LossSpec = dict[str, float | Literal["learned"]] | str

TERMS: dict[str, Callable[..., Tensor]] = {
    term.__name__: term
    for term in (
        *(_pixel.mse, _pixel.mae, _pixel.huber, _pixel.ead, _pixel.weighted_mse),
        *(_pixel.bce, _pixel.weighted_bce, _pixel.focal),
        *(_density.kl, _density.chi_square, _density.total_variation, _density.cosine, _density.bhattacharyya),
        *(_density.cc, _density.sim, _fixated.nll, _fixated.nss, _fixated.exp_nss),
        *(_features.deep_features, _features.gram),
    )
}
"""Functions by name. The first two parameters of each name what it compares: see `LossInputs`."""

SIMILARITIES = ("cc", "sim", "nss")
"""Terms of which a higher value is better: their weights are negative, as papers print them."""

COMBINATIONS: dict[str, dict[str, float]] = {
    "sam": {"kl": 10, "cc": -2, "nss": -1},  # Cornia et al. 2018; ACLNet has the same
    "eml_net": {"kl": 1, "cc": -1, "nss": -1},  # Jia & Bruce 2020, without constants
    "unisal": {"kl": 1, "cc": -0.1, "nss": -0.1},  # Droste et al. 2020
    "transalnet": {"kl": 10, "cc": -2, "sim": -1, "nss": -1},  # Lou et al. 2022
    "sum": {"kl": 10, "cc": -2, "sim": -1, "nss": -1, "mse": 5},  # Hosseini et al. 2025
    "websal": {"kl": 1, "cc": -2, "exp_nss": 7},  # Tavakoli et al., their code, without constants
    "mlnet": {"weighted_mse": 1},  # Cornia et al. 2016; the penalty of the prior is the model's
    "salgan": {"bce": 1},  # Pan et al. 2017, the content loss, without the adversarial one
}
"""Published combinations, without constants, which have no gradient."""

FEATURE_BACKBONE, FEATURE_SIDE = "tf_efficientnet_lite0", 48


def get(spec: LossSpec) -> Loss:
    """Return the criterion that a name or weights stand for.

    Args:
        spec: A term (`"kl"`; a similarity by its bare name is maximised), a published combination (`"sam"`), weights
            (`{"kl": 1.0, "cc": -0.5}`), or any of these as YAML text. The sum of weight times term is minimised, so
            similarities have negative weights and all others positive ones. A weight `"learned"` is trained with the
            network (`Loss`).

    Raises:
        SpecError: If a name is unknown, or a weight has the wrong sign.

    Example:
        >>> density = torch.tensor([[[0.25, 0.75]]])
        >>> round(get({"kl": 1.0, "cc": -0.5})(density.log(), density).item(), 4)
        -0.5
    """
    if not isinstance(spec, str):
        return Loss(spec)
    if not spec.strip().startswith("{"):
        return Loss(_named(spec))
    try:
        return Loss(yaml.safe_load(spec))
    except yaml.YAMLError as error:
        raise SpecError(f"{spec!r} is no loss: {' '.join(str(error).split())}; write {{kl: 1.0, cc: -0.5}}.") from error


class Loss(nn.Module):
    """A weighted sum of terms, each computed on the inputs that it is defined on.

    A learned weight is that of homoscedastic uncertainty (Kendall et al., CVPR 2018, Eq. 7): a term D of at least 0
    counts as exp(-s) D + s, with s trained; for CC and SIM, D is 1 minus the similarity.

    Args:
        weights: Weight of each term: below 0 for a similarity, above 0 for any other, or `"learned"`.

    Raises:
        SpecError: If there is no such term, or its weight is not accepted.
    """

    def __init__(self, weights: Mapping[str, float | Literal["learned"]]) -> None:
        super().__init__()
        if not weights:
            raise SpecError("a loss needs at least one term, as in {kl: 1.0, cc: -0.5}.")
        for name, weight in weights.items():
            _check(name, weight)
        self.weights = dict(weights)
        learned = [name for name, weight in weights.items() if weight == "learned"]
        self.log_variances = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in learned})

    def forward(self, log_density: Tensor, target: Mapping[str, Any] | Tensor, logits: Tensor | None = None) -> Tensor:
        """Return the loss, averaged over the images that have fixations; 0 if none has.

        Args:
            log_density: (N, h, w) natural-log densities.
            target: A batch with `density` (N, H, W) and `fixations` (N, H, W) counts, at any size; or only the one of
                them that all terms need.
            logits: (N, h, w) whose sigmoid is the predicted map, for models that have one; see `LossInputs`.

        Returns:
            Scalar, at least float32.

        Raises:
            DataError: If a term needs fixations, and the batch has none or only maps.
        """
        with full_precision(log_density.device):
            inputs = LossInputs(log_density, self._truth(target), logits)
            if not len(inputs.log_density):
                return inputs.log_density.sum()  # 0, with a gradient
            total: Tensor = torch.stack([self._term(name, inputs) for name in self.weights]).sum()
            return total

    def _term(self, name: str, inputs: LossInputs) -> Tensor:
        value: Tensor = TERMS[name](*(getattr(inputs, needed) for needed in required_inputs(name)))
        weight = self.weights[name]
        if weight != "learned":
            return float(weight) * value
        distance = 1 - value if name in SIMILARITIES else value
        log_variance: Tensor = self.log_variances[name]
        return (-log_variance).exp() * distance + log_variance

    def _truth(self, target: Mapping[str, Any] | Tensor) -> dict[str, Tensor]:
        needed = {"fixations" if required_inputs(name)[1] == "fixations" else "density" for name in self.weights}
        if isinstance(target, Tensor):
            if len(needed) > 1:
                raise DataError(
                    f"{', '.join(self.weights)} together need density and fixations: give a batch with both."
                )
            return {needed.pop(): target}
        if missing := sorted(needed - set(target)):
            raise DataError(f"{', '.join(self.weights)} need {' and '.join(missing)}; the batch has {list(target)}.")
        return {name: target[name] for name in needed}


class LossInputs:
    """Predictions and truth of a batch in every form that a loss may be defined on, converted when asked for.

    A term gets the attributes that its first two parameters name: `log_density`, `logits` (whose sigmoid is the map),
    `saliency` (that map, in [0, 1]) or `predicted_features`; and `density` (sums to 1), `target` (the density scaled to
    a maximum of 1), `fixations` (counts) or `target_features`. The truth is resized to the prediction, and images
    without fixations are left out.

    Args:
        log_density: (N, h, w) natural-log densities.
        truth: `density` and `fixations` (N, H, W), or one of them.
        logits: (N, h, w). None for a model without a sigmoid, whose map is the density scaled to a maximum of 0.999.
    """

    def __init__(self, log_density: Tensor, truth: dict[str, Tensor], logits: Tensor | None) -> None:
        seen = torch.stack([(maps != 0).flatten(1).any(1) for maps in truth.values()]).all(0)
        size = (log_density.shape[-2], log_density.shape[-1])
        self.log_density = as_log(log_density[seen])
        self._logits = None if logits is None else logits[seen]
        self._truth = {name: maps[seen] for name, maps in truth.items()}
        self._size = size

    @cached_property
    def logits(self) -> Tensor:
        """Logits of the predicted map."""
        if self._logits is not None:
            return self._logits.to(self.log_density.dtype)
        log_map = self.log_density - self.log_density.amax((-2, -1), keepdim=True) - 1e-3
        return log_map - (-log_map.expm1()).log()

    @cached_property
    def saliency(self) -> Tensor:
        """Predicted map in [0, 1]."""
        return self.logits.sigmoid()

    @cached_property
    def density(self) -> Tensor:
        """True density, averaged over the area of each pixel of the prediction."""
        density = self._truth["density"].to(self.log_density.dtype)
        if density.shape[-2:] != self._size:
            density = F.interpolate(density[:, None], self._size, mode="area")[:, 0]
        return density / density.sum((-2, -1), keepdim=True)

    @cached_property
    def target(self) -> Tensor:
        """True density, scaled to a maximum of 1."""
        return self.density / self.density.amax((-2, -1), keepdim=True)

    @cached_property
    def fixations(self) -> Tensor:
        """Counts at the size of the prediction: each fixation goes into the pixel that it lies in."""
        counts = self._truth["fixations"].long()  # sums of a pixel's may be beyond the type
        if counts.shape[-2:] == self._size or (counts < 0).any():  # -1: unknown, which the loss refuses
            return counts
        n, row, column = counts.nonzero(as_tuple=True)
        scaled = counts.new_zeros(len(counts), *self._size)
        place = (n, row * self._size[0] // counts.shape[-2], column * self._size[1] // counts.shape[-1])
        return scaled.index_put(place, counts[n, row, column], accumulate=True)

    @cached_property
    def predicted_features(self) -> list[Tensor]:
        """Features of the predicted map."""
        return _features_of(self.saliency)

    @cached_property
    def target_features(self) -> list[Tensor]:
        """Features of the true map."""
        with torch.no_grad():
            return _features_of(self.target)


def required_inputs(name: str) -> tuple[str, str]:
    """Return the attributes of `LossInputs` that a term compares: one of the prediction and one of the truth.

    Example:
        >>> required_inputs("nss")
        ('log_density', 'fixations')
    """
    predicted, true, *_ = inspect.signature(TERMS[name]).parameters
    return predicted, true


def _named(name: str) -> dict[str, float]:
    if name in COMBINATIONS:
        return COMBINATIONS[name]
    return {name: -1.0 if name in SIMILARITIES else 1.0}


def _check(name: str, weight: object) -> None:
    if not isinstance(name, str) or name not in TERMS:
        near = ", ".join(difflib.get_close_matches(str(name), [*TERMS, *COMBINATIONS], n=3, cutoff=0.5))
        raise SpecError(
            f"no loss is called {name!r}{f'; near: {near}' if near else ''}. Terms: {', '.join(TERMS)}; "
            f"combinations, each by itself: {', '.join(COMBINATIONS)}."
        )
    if weight == "learned":
        if name == "nss":
            raise SpecError("the weight of nss cannot be learned, as nss has no upper bound: take exp_nss.")
    elif (
        not isinstance(weight, int | float)
        or not math.isfinite(weight)
        or (weight >= 0 if name in SIMILARITIES else weight <= 0)
    ):
        sign = "below 0, as a higher value is better" if name in SIMILARITIES else "above 0"
        raise SpecError(f"{name}: weight {weight!r} is not accepted; it must be a number {sign}, or 'learned'.")


def _features_of(maps: Tensor) -> list[Tensor]:
    """Return features at five stages of a backbone, for (N, h, w) maps as grey images with a short side of 48 pixels.

    Bruckert et al. take VGG-16; EfficientNet-Lite0's weights are available offline.
    """
    backbone = _feature_backbone().to(maps.device)
    mean, std = (maps.new_tensor(value)[:, None, None] for value in pixel_statistics(FEATURE_BACKBONE))
    scale = FEATURE_SIDE / min(maps.shape[-2:])
    size = (round(maps.shape[-2] * scale), round(maps.shape[-1] * scale))
    grey = F.interpolate(maps[:, None].float(), size, mode="bilinear", align_corners=False)
    features: list[Tensor] = backbone((grey.expand(-1, 3, -1, -1) - mean.float()) / std.float())
    return features


@cache
def _feature_backbone() -> TimmBackbone:
    """Return the backbone of feature losses, which belongs to no model and is in no checkpoint."""
    with torch.inference_mode(False):  # kept for gradients too, whoever asks first
        backbone = TimmBackbone(FEATURE_BACKBONE, (2, 4, 8, 16, 32))
        backbone.load_pretrained()
        backbone.freeze()
        return backbone.float().eval()
