"""Losses between a backbone's features of two maps, and the losses of a generator and its discriminator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from salzoo.losses._reduce import precise


def deep_features(predicted_features: Sequence[Tensor], target_features: Sequence[Tensor]) -> Tensor:
    """Mean squared difference of a backbone's features, summed over layers (Johnson et al., ECCV 2016, Eq. 2).

    For saliency by Bruckert et al. (2021), who take five layers of VGG-16. 0 at the truth.

    Args:
        predicted_features: For each layer, features (N, C, h, w) of the predicted map as a grey image.
        target_features: The same of the true map.

    Returns:
        Scalar.
    """
    pairs = zip(predicted_features, target_features, strict=True)
    return torch.stack([F.mse_loss(precise(a), precise(b)) for a, b in pairs]).sum()


def gram(predicted_features: Sequence[Tensor], target_features: Sequence[Tensor]) -> Tensor:
    """Squared difference of the Gram matrices of a backbone's features, summed over layers, averaged over images.

    |F F^T - G G^T|^2 / (4 C^2 (h w)^2) for maps F and G of C channels (Gatys et al., CVPR 2016, Eq. 3 and 4). For
    saliency by Bruckert et al. (2021). 0 at the truth.

    Args:
        predicted_features: For each layer, features (N, C, h, w) of the predicted map as a grey image.
        target_features: The same of the true map.

    Returns:
        Scalar.
    """
    layers = []
    for a, b in zip(predicted_features, target_features, strict=True):
        f, g = precise(a).flatten(2), precise(b).flatten(2)
        difference = f @ f.mT - g @ g.mT
        layers.append(difference.square().sum((1, 2)).mean() / (4 * (f.shape[1] * f.shape[2]) ** 2))
    return torch.stack(layers).sum()


def adversarial_discriminator(true_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Binary cross-entropy of a discriminator, the mean over true and generated maps (Pan et al. 2017, Eq. 3).

    Args:
        true_logits: (N, 1) output of the discriminator for true maps; its sigmoid is the probability of "true".
        generated_logits: (N, 1) output of the discriminator for generated maps.

    Returns:
        Scalar.
    """
    return (F.softplus(-precise(true_logits)).mean() + F.softplus(precise(generated_logits)).mean()) / 2


def adversarial_generator(generated_logits: Tensor) -> Tensor:
    """Binary cross-entropy of a generator whose maps should be taken for true ones (Pan et al. 2017, Eq. 4).

    Args:
        generated_logits: (N, 1) output of the discriminator for generated maps.

    Returns:
        Scalar.
    """
    return F.softplus(-precise(generated_logits)).mean()
