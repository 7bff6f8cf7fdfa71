"""Training losses: one pure function each, and `get`, which makes a criterion for any model of a name or of weights.

The first two parameters of a function name what it compares, and `LossInputs` converts a model's output to that:

- `log_density` with `density` or `fixations`: kl, chi_square, total_variation, cosine, bhattacharyya, nll, exp_nss and
  the similarities cc, sim and nss, whose higher values are better;
- `saliency` (or its `logits`) with `target`, maps in [0, 1]: mse, mae, huber, ead, weighted_mse; bce, weighted_bce,
  focal;
- `predicted_features` with `target_features`, both from a backbone: deep_features, gram.

`get({"kl": 1.0, "cc": -0.5, "nss": -0.1})` is the plain sum of weight times function, as papers print it; it is
minimised, so CC and NSS rise. `get("nss")` is `-nss`. All are averaged over images, and are zero or minimal
(similarities: maximal) at the truth.
"""

from salzoo.losses._density import bhattacharyya, cc, chi_square, cosine, kl, sim, total_variation
from salzoo.losses._features import adversarial_discriminator, adversarial_generator, deep_features, gram
from salzoo.losses._fixated import exp_nss, nll, nss
from salzoo.losses._pixel import bce, ead, focal, huber, mae, mse, weighted_bce, weighted_mse
from salzoo.losses.loss import COMBINATIONS, SIMILARITIES, TERMS, Loss, LossInputs, LossSpec, get, required_inputs

__all__ = [
    "COMBINATIONS",
    "SIMILARITIES",
    "TERMS",
    "Loss",
    "LossInputs",
    "LossSpec",
    "adversarial_discriminator",
    "adversarial_generator",
    "bce",
    "bhattacharyya",
    "cc",
    "chi_square",
    "cosine",
    "deep_features",
    "ead",
    "exp_nss",
    "focal",
    "get",
    "gram",
    "huber",
    "kl",
    "mae",
    "mse",
    "nll",
    "nss",
    "required_inputs",
    "sim",
    "total_variation",
    "weighted_bce",
    "weighted_mse",
]  # fmt: skip
