"""The centre bias: where people look whatever the picture shows (Tatler, JoV 2007).

A kernel density estimate over all training fixations in relative coordinates, as the MIT/Tuebingen benchmark uses it
(Kuemmerer et al., ECCV 2018). The baseline that information gain is measured against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from salzoo.components.layers import CentreBias
from salzoo.components.saliency_model import SaliencyModel
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data import SaliencyDataModule


class CentreBiasNetwork(nn.Module):
    """The stored log density, whatever the picture. Shape: (N, 3, H, W) to (N, 1, h, w) of the stored grid."""

    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__()
        self.prior = CentreBias(grid)

    def forward(self, image: Tensor) -> Tensor:
        """Return the log density once for each picture."""
        prior: Tensor = self.prior(self.prior.log_density.shape[-2:])
        return prior.expand(len(image), -1, -1, -1)


class CentreBiasModel(SaliencyModel):
    """Kernel density estimate of the training fixations, fitted in closed form by `salzoo fit centre_bias`.

    Args:
        grid: (height, width) of the stored log density.
        bandwidth: Standard deviation of the Gaussian kernel, as a share of each side of the picture.
        preprocess: Only the size of the intermediate map; no effect on the result.
    """

    network: CentreBiasNetwork

    def __init__(
        self,
        grid: tuple[int, int] = (60, 80),
        bandwidth: float = 0.03,
        preprocess: Preprocess = Preprocess((8, 8)),
    ) -> None:
        super().__init__(preprocess)
        self.bandwidth = bandwidth
        self.network = CentreBiasNetwork(grid)

    def calibrate(self, data: SaliencyDataModule) -> None:
        """Fit the density to all training fixations; there is nothing else to learn."""
        self.network.prior.fit(data.train_points(), self.bandwidth)
