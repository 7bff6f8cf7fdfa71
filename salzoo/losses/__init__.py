"""Training losses: one pure function each, and `get`, which turns a name or weights into a loss for any model.

What a function compares is in the names of its first two parameters, and `Example` converts a model's output to it:

- `log_density` with `density` or `fixations`: kl, chi_square, total_variation, cosine, bhattacharyya, nll, exp_nss and
  the similarities cc, sim, nss, of which more is better;
- `saliency` (or its `logits`) with `target`, maps in [0, 1]: mse, mae, huber, ead, weighted_mse; bce, weighted_bce,
  focal;
- `predicted_features` with `target_features`, of a backbone: deep_features, gram.

`get({"kl": 1.0, "cc": -0.5, "nss": -0.1})` is the plain sum of weight times function, as papers print it; it is
minimised, so it raises CC and NSS. `get("nss")` is `-nss`. All are averaged over images, and zero or minimal
(similarities: maximal) at the truth.
"""

from salzoo.losses._density import bhattacharyya, cc, chi_square, cosine, kl, sim, total_variation
from salzoo.losses._features import adversarial_discriminator, adversarial_generator, deep_features, gram
from salzoo.losses._fixated import exp_nss, nll, nss
from salzoo.losses._pixel import bce, ead, focal, huber, mae, mse, weighted_bce, weighted_mse
from salzoo.losses.loss import COMBINATIONS, SIMILARITIES, TERMS, Example, Loss, LossSpec, get, spaces

__all__ = [
    "COMBINATIONS", "SIMILARITIES", "TERMS", "Example", "Loss", "LossSpec", "adversarial_discriminator",
    "adversarial_generator", "bce", "bhattacharyya", "cc", "chi_square", "cosine", "deep_features", "ead", "exp_nss",
    "focal", "get", "gram", "huber", "kl", "mae", "mse", "nll", "nss", "sim", "spaces", "total_variation",
    "weighted_bce", "weighted_mse",
]  # fmt: skip
