"""The centre bias: where people look whatever the image shows (Tatler, JoV 2007).

A kernel density estimate over all training fixations in relative coordinates, as the MIT/Tuebingen benchmark uses it
(Kuemmerer et al., ECCV 2018). The baseline that information gain is measured against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components.layers import CentreBias, fit_centre_biases
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.training_config import TrainingConfig
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.statistics import TrainingStatistics


class CentreBiasNetwork(nn.Module):
    """The stored log density, whatever the image.

    Shape: (N, 3, H, W) to (N, 1, *grid).

    Args:
        grid: (height, width) of the stored log density.
    """

    def __init__(self, grid: tuple[int, int] = (60, 80)) -> None:
        super().__init__()
        check_range(1, 2048, grid=grid)
        self.prior = CentreBias(grid)

    def forward(self, image: Tensor) -> Tensor:
        """Return the log density once for each image."""
        log_density: Tensor = self.prior(self.prior.grid)
        return log_density + 0 * image[:, :1, :1, :1]  # so that the gradient with respect to the image is zero


@dataclass(frozen=True)
class CentreBiasTraining(TrainingConfig):
    """Fit of the centre bias in closed form.

    Args:
        bandwidth: Standard deviation of the Gaussian kernel, as a share of each side of the image.
    """

    bandwidth: float = 0.03


class CentreBiasModel(SaliencyModel):
    """Kernel density estimate of the training fixations, fitted by `salzoo fit centre_bias`.

    Arguments as `CentreBiasNetwork`. The size of `preprocess` has no effect on the result.
    """

    network: CentreBiasNetwork
    network_class = CentreBiasNetwork
    training_config: CentreBiasTraining
    training_class = CentreBiasTraining
    default_preprocess = Preprocess((8, 8))

    def fit_statistics(self, data: TrainingStatistics) -> None:
        """Fit the density to all training fixations; there is nothing else to learn."""
        fit_centre_biases(self.network, data, self.training_config.bandwidth)
