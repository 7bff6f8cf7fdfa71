"""Training losses, one pure function each: predictions and targets in, a scalar out."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from salzoo.errors import DataError


def nll(log_density: Tensor, fixations: Tensor) -> Tensor:
    """Negative log-likelihood of the fixations, in nats a fixation, averaged over pictures.

    -1/N sum_i 1/|F_i| sum_{f in F_i} ln p_i(f); the loss of the DeepGaze family (Kuemmerer et al. 2016, Sec. 2.2).

    Args:
        log_density: (N, H, W) natural-log density.
        fixations: (N, H, W) integer counts; a picture without fixations is left out.

    Returns:
        Scalar.

    Raises:
        DataError: If a picture has a map only (counts of -1).
    """
    if (fixations < 0).any():
        raise DataError("nll needs fixation points, and this data set has maps only: train with a loss on densities.")
    counts = fixations.to(log_density.dtype).flatten(1)
    total = counts.sum(1)
    per_image = -(log_density.flatten(1) * counts).sum(1) / total.clamp_min(1)
    seen = (total > 0).to(log_density.dtype)
    return (per_image * seen).sum() / seen.sum().clamp_min(1)


def bce(logits: Tensor, target: Tensor, pool: int = 1) -> Tensor:
    """Binary cross-entropy between the sigmoid map and a target map, averaged over pixels.

    The content loss of SalGAN (Pan et al. 2017, Eq. 2), which averages both maps over `pool` x `pool` pixels first.

    Args:
        logits: (N, 1, H, W) before the sigmoid.
        target: (N, H, W) in [0, 1].
        pool: Side of the averaging window in pixels; SalGAN takes 4.

    Returns:
        Scalar.
    """
    if pool == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], target)
    predicted = F.avg_pool2d(logits[:, 0].sigmoid(), pool)
    return F.binary_cross_entropy(predicted, F.avg_pool2d(target, pool))
