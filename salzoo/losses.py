"""Training losses, one pure function each: predictions and targets in, a scalar out."""

from __future__ import annotations

import torch
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
    return -_mean_at_fixations(log_density, fixations, "nll")


def nss(prediction: Tensor, fixations: Tensor) -> Tensor:
    """Negative normalised scanpath saliency, averaged over pictures.

    -1/N sum_i 1/|F_i| sum_{f in F_i} (p_i(f) - mean p_i) / std p_i; the loss of DSCLRCN (Liu & Han 2018, Sec. III-E).

    Args:
        prediction: (N, H, W) maps of any kind; the scale and offset of each make no difference.
        fixations: (N, H, W) integer counts; a picture without fixations is left out.

    Returns:
        Scalar.

    Raises:
        DataError: If a picture has a map only (counts of -1).
    """
    std, mean = torch.std_mean(prediction, (-2, -1), correction=0, keepdim=True)
    return -_mean_at_fixations((prediction - mean) / std.clamp_min(1e-8), fixations, "nss")


def kl(log_density: Tensor, density: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the prediction to the truth, in nats, averaged over pictures.

    1/N sum_i sum_x g_i(x) (ln g_i(x) - ln p_i(x)), with 0 ln 0 = 0 (Jetley et al. 2016, Table 1).

    Args:
        log_density: (N, H, W) natural-log density.
        density: (N, H, W), each summing to 1; all 0 for a picture that nobody looked at, which is left out.

    Returns:
        Scalar.
    """
    per_image = (torch.xlogy(density, density) - density * log_density).flatten(1).sum(1)
    return _mean_of_seen(per_image, density.flatten(1).sum(1))


def bhattacharyya(log_density: Tensor, density: Tensor) -> Tensor:
    """Bhattacharyya distance, averaged over pictures.

    1/N sum_i -ln sum_x sqrt(p_i(x) g_i(x)) (Jetley et al. 2016, Table 1).

    Args:
        log_density: (N, H, W) natural-log density.
        density: (N, H, W), each summing to 1; all 0 for a picture that nobody looked at, which is left out.

    Returns:
        Scalar.
    """
    log_truth = density.clamp_min(
        1e-38
    ).log()  # a square root has no finite gradient at 0; the logarithm never goes there
    per_image = -((log_density + log_truth) / 2).flatten(1).logsumexp(1)
    return _mean_of_seen(per_image, density.flatten(1).sum(1))


def chi_square(log_density: Tensor, density: Tensor) -> Tensor:
    """Chi-square divergence, averaged over pictures; without bound where the prediction misses what is looked at.

    1/N sum_i (sum_x g_i(x)^2 / p_i(x) - 1) (Jetley et al. 2016, Table 1).

    Args:
        log_density: (N, H, W) natural-log density.
        density: (N, H, W), each summing to 1; all 0 for a picture that nobody looked at, which is left out.

    Returns:
        Scalar.
    """
    log_truth = density.clamp_min(1e-38).log()
    per_image = (density * (log_truth - log_density).exp()).flatten(1).sum(1) - 1
    return _mean_of_seen(per_image, density.flatten(1).sum(1))


def total_variation(log_density: Tensor, density: Tensor) -> Tensor:
    """Total variation distance in [0, 1], averaged over pictures.

    1/N sum_i 1/2 sum_x |g_i(x) - p_i(x)| (Jetley et al. 2016, Table 1).

    Args:
        log_density: (N, H, W) natural-log density.
        density: (N, H, W), each summing to 1; all 0 for a picture that nobody looked at, which is left out.

    Returns:
        Scalar.
    """
    per_image = (density - log_density.exp()).abs().flatten(1).sum(1) / 2
    return _mean_of_seen(per_image, density.flatten(1).sum(1))


def cosine(log_density: Tensor, density: Tensor) -> Tensor:
    """Cosine distance in [0, 1], averaged over pictures.

    1/N sum_i (1 - <p_i, g_i> / (|p_i| |g_i|)) (Jetley et al. 2016, Table 1).

    Args:
        log_density: (N, H, W) natural-log density.
        density: (N, H, W), each summing to 1; all 0 for a picture that nobody looked at, which is left out.

    Returns:
        Scalar.
    """
    per_image = 1 - F.cosine_similarity(log_density.exp().flatten(1), density.flatten(1), dim=1)
    return _mean_of_seen(per_image, density.flatten(1).sum(1))


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over pixels and pictures: the Euclidean loss of SalNet and DeepFix, up to a factor.

    Args:
        prediction: (N, H, W).
        target: (N, H, W) on the same scale.

    Returns:
        Scalar.
    """
    return F.mse_loss(prediction, target)


def weighted_mse(prediction: Tensor, target: Tensor, alpha: float = 1.1) -> Tensor:
    """Squared error that weighs salient pixels more, averaged over pixels and pictures.

    mean (p / max p - g)^2 / (alpha - g), the maximum over each picture (ML-Net, Cornia et al. 2016, Eq. 2).

    Args:
        prediction: (N, H, W), not negative.
        target: (N, H, W) in [0, 1].
        alpha: Above 1.

    Returns:
        Scalar.
    """
    scaled = prediction / prediction.amax((-2, -1), keepdim=True).clamp_min(1e-8)
    return ((scaled - target).square() / (alpha - target)).mean()


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


def _mean_at_fixations(values: Tensor, fixations: Tensor, loss: str) -> Tensor:
    """Average `values` over the fixations of each picture, then over pictures that have some."""
    if (fixations < 0).any():
        raise DataError(
            f"{loss} needs fixation points, and this data set has maps only: train with a loss on densities."
        )
    counts = fixations.to(values.dtype).flatten(1)
    total = counts.sum(1)
    return _mean_of_seen((values.flatten(1) * counts).sum(1) / total.clamp_min(1), total)


def _mean_of_seen(per_image: Tensor, total: Tensor) -> Tensor:
    """Average over the pictures whose ground truth is not empty."""
    seen = (total > 0).to(per_image.dtype)
    return (per_image * seen).sum() / seen.sum().clamp_min(1)
