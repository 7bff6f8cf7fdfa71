"""Losses at the fixation points. All leave out images without fixations, and refuse maps whose points are unknown."""

from __future__ import annotations

from torch import Tensor

from salzoo.losses._reduce import as_log, as_map, at_fixations, mean_of_seen, same_size, standardised


@same_size
def nll(log_density: Tensor, fixations: Tensor) -> Tensor:
    """Negative log-likelihood of the fixations, in nats a fixation, averaged over images.

    -1/|F| sum_{f in F} ln p(f); the loss of the DeepGaze family (Kuemmerer et al. 2016, Sec. 2.2).

    Args:
        log_density: (N, H, W) natural-log density.
        fixations: (N, H, W) integer counts.

    Returns:
        Scalar.

    Raises:
        DataError: If the fixations of an image are unknown (counts of -1).
    """
    per_image, total = at_fixations(as_log(log_density), fixations)
    return mean_of_seen(-per_image, total)


@same_size
def nss(log_density: Tensor, fixations: Tensor) -> Tensor:
    """Normalised scanpath saliency, averaged over images. A similarity: higher is better.

    1/|F| sum_{f in F} (p(f) - mean p) / std p; the loss of DSCLRCN (Liu & Han 2018, Sec. III-E) is its negative, and
    its weight in a combination is negative. 0 for a constant map.

    Args:
        log_density: (N, H, W) logarithm of a density or of any map in [0, 1]; the scale makes no difference.
        fixations: (N, H, W) integer counts.

    Returns:
        Scalar.

    Raises:
        DataError: If the fixations of an image are unknown (counts of -1).
    """
    return mean_of_seen(*at_fixations(standardised(as_map(log_density)), fixations))


@same_size
def exp_nss(log_density: Tensor, fixations: Tensor) -> Tensor:
    """exp(-NSS), averaged over images: falls with NSS, and never below 0 (the code of WebSal, Tavakoli et al.).

    Args:
        log_density: (N, H, W) logarithm of a density or of any map in [0, 1]; the scale makes no difference.
        fixations: (N, H, W) integer counts.

    Returns:
        Scalar.

    Raises:
        DataError: If the fixations of an image are unknown (counts of -1).
    """
    per_image, total = at_fixations(standardised(as_map(log_density)), fixations)
    return mean_of_seen((-per_image).exp(), total)
