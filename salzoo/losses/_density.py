"""Losses between two densities. All leave out images whose true density is all 0, as nobody looked at them."""

from __future__ import annotations

import torch
from torch import Tensor

from salzoo.losses._reduce import as_log, as_map, mean_of_seen, same_size, standardised

EPSILON = 2.2e-16
"""Smallest predicted probability that `chi_square` divides by: the one of Jetley et al.'s code."""


@same_size
def kl(log_density: Tensor, density: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the prediction to the truth, in nats, averaged over images.

    sum_x g(x) (ln g(x) - ln p(x)), with 0 ln 0 = 0 (Jetley et al. 2016, Table 1). 0 at the truth.

    Args:
        log_density: (N, H, W) natural-log density.
        density: (N, H, W), each summing to 1, or all 0.

    Returns:
        Scalar.
    """
    per_image = (torch.xlogy(density, density) - density * as_log(log_density)).flatten(1).sum(1)
    return mean_of_seen(per_image, _mass(density))


@same_size
def chi_square(log_density: Tensor, density: Tensor) -> Tensor:
    """Chi-square distance, averaged over images.

    sum_x g(x)^2 / p(x) - 1 (Jetley et al. 2016, Table 1). 0 at the truth.

    Args:
        log_density: (N, H, W) natural-log density; probabilities below 2.2e-16 count as that.
        density: (N, H, W), each summing to 1, or all 0.

    Returns:
        Scalar.
    """
    inverse = (-as_log(log_density).clamp_min(torch.tensor(EPSILON).log().item())).exp()
    per_image = (density.square() * inverse).flatten(1).sum(1) - 1
    return mean_of_seen(per_image, _mass(density))


@same_size
def total_variation(log_density: Tensor, density: Tensor) -> Tensor:
    """Total variation distance, averaged over images.

    1/2 sum_x |g(x) - p(x)| (Jetley et al. 2016, Table 1). 0 at the truth, at most 1.

    Args:
        log_density: (N, H, W) natural-log density.
        density: (N, H, W), each summing to 1, or all 0.

    Returns:
        Scalar.
    """
    per_image = (density - as_log(log_density).exp()).abs().flatten(1).sum(1) / 2
    return mean_of_seen(per_image, _mass(density))


@same_size
def cosine(log_density: Tensor, density: Tensor) -> Tensor:
    """Cosine distance, averaged over images.

    1 - sum_x p(x) g(x) / (|p| |g|) (Jetley et al. 2016, Table 1). 0 at the truth.

    Args:
        log_density: (N, H, W) logarithm of a density or of any map in [0, 1]; the scale makes no difference.
        density: (N, H, W), each summing to 1, or all 0.

    Returns:
        Scalar.
    """
    predicted, true = as_map(log_density).flatten(1), density.flatten(1)
    norms = predicted.norm(dim=1) * true.norm(dim=1).clamp_min(1e-20)
    return mean_of_seen(1 - (predicted * true).sum(1) / norms, _mass(density))


@same_size
def bhattacharyya(log_density: Tensor, density: Tensor, alpha: float = 0.5) -> Tensor:
    """Bhattacharyya distance, averaged over images.

    -ln sum_x p(x)^alpha g(x)^(1 - alpha): at 1/2 the distance of Jetley et al. (2016, Table 1), at other exponents
    Chernoff's generalisation of it. 0 at the truth.

    Args:
        log_density: (N, H, W) natural-log density.
        density: (N, H, W), each summing to 1, or all 0.
        alpha: Exponent of the prediction, between 0 and 1.

    Returns:
        Scalar.
    """
    # A power has no finite gradient at 0; the logarithm never goes there.
    log_truth = density.clamp_min(1e-38).log()
    per_image = -(alpha * as_log(log_density) + (1 - alpha) * log_truth).flatten(1).logsumexp(1)
    return mean_of_seen(per_image, _mass(density))


@same_size
def cc(log_density: Tensor, density: Tensor) -> Tensor:
    """Pearson's correlation coefficient, averaged over images. A similarity: higher is better, 1 at the truth.

    cov(p, g) / (std p std g), as in the losses of SAM (Cornia et al. 2018, Eq. 12) and others; its weight in a
    combination is negative. 0 for a constant map.

    Args:
        log_density: (N, H, W) logarithm of a density or of any map in [0, 1]; the scale makes no difference.
        density: (N, H, W), each summing to 1, or all 0.

    Returns:
        Scalar in [-1, 1].
    """
    true = density / density.amax((-2, -1), keepdim=True).clamp_min(1e-20)
    per_image = (standardised(as_map(log_density)) * standardised(true, 1e-5)).flatten(1).mean(1)
    return mean_of_seen(per_image, _mass(density))


@same_size
def sim(log_density: Tensor, density: Tensor) -> Tensor:
    """Histogram intersection, averaged over images. A similarity: higher is better, 1 at the truth.

    sum_x min(p(x), g(x)), as in the loss of TranSalNet (Lou et al. 2022); its weight in a combination is negative.

    Args:
        log_density: (N, H, W) natural-log density.
        density: (N, H, W), each summing to 1, or all 0.

    Returns:
        Scalar in [0, 1].
    """
    per_image = torch.minimum(as_log(log_density).exp(), density).flatten(1).sum(1)
    return mean_of_seen(per_image, _mass(density))


def _mass(density: Tensor) -> Tensor:
    return density.flatten(1).sum(1)
