"""The base of systems that compute saliency by a formula: nothing to learn, no weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from salzoo.components.filters import rescale
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.images.preprocess import Preprocess

FLOOR = 0.03
"""Added to a map that is stretched to [0, 1] before it is normalised: no place is impossible. Of 0.03, 0.1, 0.2 and 0.4
the value under which the fixations of OSIE's validation split are most likely, for all systems here. Without a centre
prior, NSS, CC and AUC do not depend on it."""

CENTRE_SIGMA = (0.19, 0.22)
"""Standard deviation of fixations around the picture's centre, as a share of its height and width: that of the training
splits of OSIE, EyeCrowd and Scene500 together."""


class TrainingFreeModel(SaliencyModel):
    """A formula from pixels to a saliency map, and from there to a density.

    Args:
        network: Pictures (N, 3, h, w) to saliency (N, 1, h', w') on any scale, each map by itself.
        preprocess: The size that the formula works at.
        centre_prior: Exponent of a Gaussian around the centre that the density is multiplied with; 0 leaves it out, 1
            is the distribution of fixations that knows nothing of the picture.
    """

    def __init__(self, network: nn.Module, preprocess: Preprocess, centre_prior: float) -> None:
        super().__init__(preprocess)
        self.network = network
        self.centre_prior = centre_prior

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
