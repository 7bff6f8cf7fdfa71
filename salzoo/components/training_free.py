"""The base of systems that compute saliency by a formula: nothing is learned from where people looked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor

from salzoo._precision import full_precision
from salzoo._schema import check_range
from salzoo.components.filters import rescale
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.errors import SpecError

FLOOR = 0.03
"""Added to a map that is stretched to [0, 1] before it is normalised, so that no place is impossible. For all systems
here, the one of 0.03, 0.1, 0.2 and 0.4 that makes the fixations of OSIE's validation split most likely. Without a
centre prior, NSS, CC and AUC do not depend on it."""

CENTRE_SIGMA = (0.19, 0.22)
"""Standard deviation of fixations around the image's centre, as a share of its height and width: that of the training
splits of OSIE, EyeCrowd and Scene500 together."""


class TrainingFreeModel(SaliencyModel):
    """A formula from pixels to a saliency map, and from there to a density.

    Its `network_class` takes images (N, 3, h, w), RGB in [0, 1], to saliency (N, 1, h', w') on any scale, each image by
    itself. Arguments are those of that class, and `centre_prior`; `preprocess` has the size that the formula works at.

    Args:
        centre_prior: Exponent of a Gaussian around the centre that the density is multiplied by; 0 leaves it out, 1 is
            the distribution of fixations that knows nothing of the image.
    """

    differentiable: ClassVar[bool] = True
    """Whether the map has a gradient with respect to the image; if not, asking for one is an error."""

    def __init__(self, *, centre_prior: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        check_range(0, 100, centre_prior=centre_prior)
        self.centre_prior = centre_prior

    def forward(self, image: Tensor) -> Tensor:
        """Predict saliency, as `SaliencyModel.forward`.

        Raises:
            SpecError: If a gradient is asked for that the formula does not have.
        """
        if image.requires_grad and torch.is_grad_enabled() and not self.differentiable:
            raise SpecError(
                f"{type(self).__name__} has no gradient with respect to the image: its formula goes in steps. Pass "
                "image.detach(), or call it under torch.no_grad()."
            )
        with full_precision(self.device):
            return super().forward(image)

    @contextmanager
    def _predicting(self) -> Iterator[None]:
        """Predict for a while, as `SaliencyModel` does, in full precision: formulas divide by little, and count."""
        with super()._predicting(), full_precision(self.device):
            yield

    def to_log_density(self, logits: Tensor) -> Tensor:
        """(N, 1, H, W) saliency to (N, H, W) log density: stretched to [0, 1], plus a floor, times the centre prior."""
        log_density = (rescale(logits) + FLOOR).log()
        if self.centre_prior:
            log_density = log_density + self.centre_prior * log_gaussian(logits)
        return normalise_log(log_density)


def log_gaussian(maps: Tensor) -> Tensor:
    """Log of a Gaussian of `CENTRE_SIGMA` around the centre of (..., H, W), (H, W), up to a constant."""
    sides = [
        -((((torch.arange(side).to(maps) + 0.5) / side - 0.5) / sigma) ** 2) / 2
        for side, sigma in zip(maps.shape[-2:], CENTRE_SIGMA, strict=True)
    ]
    return sides[0][:, None] + sides[1]
