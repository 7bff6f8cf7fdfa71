"""Winner take all with inhibition of return: the most salient place, then the next one (Koch and Ullman 1985).

Koch and Ullman, Human Neurobiology 4, 1985, section 4; Itti, Koch and Niebur, PAMI 1998, section 2.4. The next fixation
is the maximum of the map, and what was fixated is inhibited: the map is multiplied by `1 - exp(-r^2 / (2 sigma^2))`
around it. Differences: one Gaussian in the place of integrate-and-fire neurons, and a density of the zoo in the place
of the conspicuity maps.

The model is deterministic, and as such has no likelihood; `conditional` is the map whose maximum is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components.drawing import draw_pixels
from salzoo.components.inhibition import log_inhibition
from salzoo.components.scanpath_model import ScanpathModel
from salzoo.components.stimulus import Stimulus


class WinnerTakeAll(ScanpathModel):
    """The maximum of the density, again and again, without what was fixated.

    Args:
        sigma: Standard deviation of the inhibition, in degrees of visual angle.
        recovery: Number of fixations over which the inhibition of a place fades, linearly; None: it stays.
        options: As `ScanpathModel` takes them.
    """

    def __init__(self, *, sigma: float = 1.0, recovery: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        check_range(0.01, 100, sigma=sigma)
        check_range(1, 1000, recovery=recovery)
        self.sigma, self.recovery = sigma, recovery
        self.network = nn.Identity()  # nothing to learn

    def score_cells(self, stimulus: Stimulus, history: Tensor) -> Tensor:
        """Return the density times what each past fixation leaves of it."""
        sigma = self.sigma * stimulus.pixels_per_degree(self.pixels_per_degree)
        left = log_inhibition(stimulus, history, sigma, self.recovery)
        return stimulus.log_cells.to(history) + left

    def choose(self, stimulus: Stimulus, log_probability: Tensor, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take the maximum: of several, the first one row by row. Nothing is random."""
        winner = log_probability.flatten(1).argmax(1).numpy()
        return draw_pixels(stimulus, winner, np.full(len(winner), 0.5))
