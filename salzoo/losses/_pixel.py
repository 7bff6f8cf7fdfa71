"""Losses between the pixels of two maps on the same scale, averaged over pixels and images.

The cross-entropies take `logits`, whose sigmoid is the map, because only these keep them exact near 0 and 1.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from salzoo.losses._reduce import precise, same_size


@same_size
def mse(saliency: Tensor, target: Tensor) -> Tensor:
    """Mean squared error: the Euclidean loss of SalNet and DeepFix, up to a factor. 0 at the truth.

    Args:
        saliency: (N, H, W).
        target: (N, H, W) on the same scale.

    Returns:
        Scalar.
    """
    return F.mse_loss(precise(saliency), target)


@same_size
def mae(saliency: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error (Bruckert et al. 2021, there AE). 0 at the truth.

    Args:
        saliency: (N, H, W).
        target: (N, H, W) on the same scale.

    Returns:
        Scalar.
    """
    return F.l1_loss(precise(saliency), target)


@same_size
def huber(saliency: Tensor, target: Tensor, delta: float = 1.0) -> Tensor:
    """Huber loss, a baseline of Jetley et al. (2016): d^2 / 2 up to |d| = delta, then a line. 0 at the truth.

    Args:
        saliency: (N, H, W).
        target: (N, H, W) on the same scale.
        delta: Difference from which on the loss is linear; for maps in [0, 1] the published 1 is half the squared
            error.

    Returns:
        Scalar.
    """
    return F.huber_loss(precise(saliency), target, delta=delta)


@same_size
def ead(saliency: Tensor, target: Tensor) -> Tensor:
    """Exponential absolute difference, mean of exp|d| - 1 (after Bruckert et al. 2021). 0 at the truth.

    Args:
        saliency: (N, H, W).
        target: (N, H, W) on the same scale, in [0, 1].

    Returns:
        Scalar.
    """
    return (precise(saliency) - target).abs().expm1().mean()


@same_size
def weighted_mse(saliency: Tensor, target: Tensor, alpha: float = 1.1) -> Tensor:
    """Squared error that weighs salient pixels more. 0 at the truth.

    mean (s / max s - g)^2 / (alpha - g), the maximum over each image (ML-Net, Cornia et al. 2016, Eq. 2).

    Args:
        saliency: (N, H, W), not negative.
        target: (N, H, W) in [0, 1].
        alpha: Above 1; the closer to it, the more salient pixels weigh.

    Returns:
        Scalar.
    """
    saliency = precise(saliency)
    scaled = saliency / saliency.amax((-2, -1), keepdim=True).clamp_min(1e-8)
    return ((scaled - target).square() / (alpha - target)).mean()


@same_size
def bce(logits: Tensor, target: Tensor, pool: int = 1) -> Tensor:
    """Binary cross-entropy between the sigmoid map and a target map. Minimal, not 0, at the truth.

    The content loss of SalGAN (Pan et al. 2017, Eq. 2), which averages both maps over `pool` x `pool` pixels first.

    Args:
        logits: (N, H, W) before the sigmoid.
        target: (N, H, W) in [0, 1].
        pool: Side of the averaging window in pixels; SalGAN takes 4.

    Returns:
        Scalar.
    """
    logits = precise(logits)
    if pool == 1:
        return F.binary_cross_entropy_with_logits(logits, target)
    return F.binary_cross_entropy(F.avg_pool2d(logits.sigmoid(), pool), F.avg_pool2d(target, pool))


@same_size
def weighted_bce(logits: Tensor, target: Tensor, weight: float | None = None) -> Tensor:
    """Binary cross-entropy that weighs the rare salient pixels more.

    -mean [w g ln s + (1 - w) (1 - g) ln(1 - s)] (one of the losses of Bruckert et al. 2021, whose w we do not know).
    Minimal at the truth for a target of zeros and ones; for one between them, where w g / (w g + (1 - w) (1 - g)) is.

    Args:
        logits: (N, H, W) before the sigmoid.
        target: (N, H, W) in [0, 1].
        weight: w; None takes the share of the other pixels, 1 - mean g, of each image (Xie & Tu, ICCV 2015, Eq. 2).

    Returns:
        Scalar.
    """
    logits = precise(logits)
    w = 1 - target.mean((-2, -1), keepdim=True) if weight is None else weight
    return -(w * target * F.logsigmoid(logits) + (1 - w) * (1 - target) * F.logsigmoid(-logits)).mean()


@same_size
def focal(logits: Tensor, target: Tensor, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    """Focal loss (Lin et al., ICCV 2017, Eq. 5), the two cases weighted by a target between 0 and 1.

    -mean [alpha g (1 - s)^gamma ln s + (1 - alpha) (1 - g) s^gamma ln(1 - s)]. Minimal at the truth for a target of
    zeros and ones; for one between them elsewhere, as it is no proper scoring rule.

    Args:
        logits: (N, H, W) before the sigmoid.
        target: (N, H, W) in [0, 1].
        gamma: Exponent that reduces the weight of well predicted pixels.
        alpha: Weight of the salient pixels.

    Returns:
        Scalar.
    """
    logits = precise(logits)
    salient = alpha * target * logits.neg().sigmoid().pow(gamma) * F.logsigmoid(logits)
    other = (1 - alpha) * (1 - target) * logits.sigmoid().pow(gamma) * F.logsigmoid(-logits)
    return -(salient + other).mean()
