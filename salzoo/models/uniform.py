"""The chance baseline: every pixel is as likely as any other (AUC 0.5, NSS 0)."""

from __future__ import annotations

from torch import Tensor, nn

from salzoo.components.saliency_model import SaliencyModel
from salzoo.images.preprocess import Preprocess


class UniformNetwork(nn.Module):
    """Constant logits. Shape: (N, 3, H, W) to (N, 1, H, W)."""

    def forward(self, image: Tensor) -> Tensor:
        """Return zeros, whose gradient is zero, too."""
        return 0 * image[:, :1]


class Uniform(SaliencyModel):
    """Uniform density: nothing to learn, no weights. The size of `preprocess` has no effect on the result."""

    network: UniformNetwork
    network_class = UniformNetwork
    default_preprocess = Preprocess((8, 8))
