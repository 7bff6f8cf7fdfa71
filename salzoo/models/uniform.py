"""The chance baseline: every pixel is as likely as any other (AUC 0.5, NSS 0)."""

from __future__ import annotations

from torch import Tensor, nn

from salzoo.components.saliency_model import SaliencyModel
from salzoo.images.preprocess import Preprocess


class UniformNetwork(nn.Module):
    """Constant logits. Shape: (N, 3, H, W) to (N, 1, H, W)."""

    def forward(self, image: Tensor) -> Tensor:
        """Return zeros."""
        return image.new_zeros(len(image), 1, *image.shape[-2:])


class Uniform(SaliencyModel):
    """Uniform density. Nothing to learn, no weights.

    Args:
        preprocess: Only the size of the intermediate map; no effect on the result.
    """

    def __init__(self, preprocess: Preprocess = Preprocess((8, 8))) -> None:
        super().__init__(preprocess)
        self.network = UniformNetwork()
