"""The saccadic model: a density, the way eyes move, and memory (Le Meur and Liu 2015, Le Meur and Coutrot 2016).

Le Meur and Liu, Vision Research 116, 2015, equations 1 to 3; Le Meur and Coutrot, Vision Research 121, 2016, for biases
that depend on where the saccade begins and on the kind of scene. In the published form (`form: product`),

    p(x | past) ~ p_BU(x) p_B(d, phi) p_M(x),

with the joint distribution of amplitude d and direction phi of saccades, one for the whole image or one for each of
3 x 3 frames, and a memory with inhibition of return: 1 at the last fixation, linearly recovered after 8, around each a
Gaussian of 2 degrees. Of 5 draws the most salient is kept. Differences from the papers:

- p_BU is any density of the zoo, instead of the mean of GBVS and RARE2012.
- The kernel of p_B has fixed bandwidths (0.4 degrees, 10 degrees around), not those of Botev's diffusion.
- The best of 5 draws is not drawn but computed, as a density; so this form has a likelihood, too.

The other form (`form: field`) learns what replaces p_B and p_M: see `salzoo.components.displacement_field`. It weighs
the static density by an exponent, as the naive product counts twice what density and saccades have in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from salzoo._schema import check_range
from salzoo.components.checkpointing import keep_contiguous
from salzoo.components.displacement_field import DisplacementField
from salzoo.components.drawing import best_of
from salzoo.components.inhibition import log_inhibition
from salzoo.components.saccade_bias import SaccadeBias
from salzoo.components.scanpath_fit import SeenImage, look, maximise, with_scanpaths
from salzoo.components.scanpath_model import ScanpathModel
from salzoo.components.stimulus import DEGREES, Stimulus
from salzoo.components.training_config import TrainingConfig
from salzoo.data.base import FixationDataset
from salzoo.data.statistics import TrainingStatistics
from salzoo.errors import DataError


@dataclass(frozen=True)
class SaccadicTraining(TrainingConfig):
    """How the field is fitted; the biases of the product have no choices.

    Args:
        epochs: How often each image is taken.
        batch: Images a step.
        fixations: Fixations of an image in a step.
        roughness: Penalty on differences between neighbouring knots of the field, in nat a fixation.
    """

    lr: float = 5e-2
    epochs: int = 7
    batch: int = 3
    fixations: int = 32
    roughness: float = 2e-3


class Saccadic(ScanpathModel):
    """The next fixation by the density, the saccade that leads there, and what was seen before.

    Args:
        form: `field`, learned by its likelihood; or `product`, of the papers.
        lags: Of the field: how many past fixations have a part in it.
        frames: Of the product: frames along each side of the image that have biases of their own, 1 or 3.
        candidates: Of the product: draws of which the most salient is kept; 1 keeps the product as it is.
        memory: Of the product: fixations after which a place is no longer inhibited.
        footprint: Of the product: standard deviation of the inhibition in degrees.
        options: As `ScanpathModel` takes them.
    """

    network: SaccadeBias | DisplacementField
    training_config: SaccadicTraining
    training_class = SaccadicTraining

    def __init__(
        self,
        *,
        form: Literal["field", "product"] = "field",
        lags: int = 4,
        frames: int = 1,
        candidates: int = 5,
        memory: int = 8,
        footprint: float = 2.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_range(1, 9, frames=frames)
        check_range(1, 100, lags=lags)
        check_range(1, 1000, candidates=candidates, memory=memory)
        check_range(0.01, 100, footprint=footprint)
        self.candidates, self.memory, self.footprint = candidates, memory, footprint
        self.network = DisplacementField(lags) if form == "field" else SaccadeBias(frames)
        keep_contiguous(self.network)

    def score_cells(self, stimulus: Stimulus, history: Tensor) -> Tensor:
        """Return the log probability of each cell."""
        degree = stimulus.pixels_per_degree(self.pixels_per_degree)
        if isinstance(self.network, DisplacementField):
            return self.network(stimulus, history, degree)  # type: ignore[no-any-return]
        static = stimulus.log_cells.to(history).expand(len(history), -1, -1)
        if not history.shape[1]:
            return static
        start = history[:, -1, :2]
        bias = self.network(stimulus, start.nan_to_num(), degree)
        left = log_inhibition(stimulus, history[:, -self.memory :], self.footprint * degree, self.memory)
        known = start.isfinite().all(1)[:, None, None]
        product = torch.where(known, static + bias + left, static)
        one = (product.flatten(1).log_softmax(1)).view_as(product)
        return one if self.candidates == 1 else best_of(one, stimulus.log_cells.to(history), self.candidates)

    def fit_statistics(self, data: TrainingStatistics) -> None:
        """Fit the field, or the biases, to the scanpaths of training images.

        Raises:
            SpecError: If the data are not a `SaliencyDataModule`.
            DataError: If a dataset has no scanpaths, or none has a saccade.
        """
        data = with_scanpaths(data, "saccadic")
        if isinstance(self.network, SaccadeBias):
            frames, steps = zip(*(_saccades(self.network, each) for each in data.datasets("train")), strict=True)
            if not sum(map(len, steps)):
                raise DataError("the training images have no saccades: no path has two fixations, one after the other.")
            self.network.fit(torch.cat(frames), torch.cat(steps))
            return
        config = self.training_config
        images = list(look(self, data.datasets("train")))
        with torch.enable_grad():
            maximise(self.network, images, self._log_likelihood, epochs=config.epochs, lr=config.lr, batch=config.batch)

    def _log_likelihood(self, image: SeenImage, generator: np.random.Generator) -> Tensor:
        """Return that of a few fixations on an image, less the penalty."""
        histories, cells = image.steps(image.paths.shape[1])
        few = generator.permutation(len(cells))[: self.training_config.fixations]
        found: Tensor = self.score_cells(image.stimulus, histories[few].to(self.device)).flatten(1)
        assert isinstance(self.network, DisplacementField)
        penalty = self.training_config.roughness * self.network.roughness()
        return found.gather(1, cells[few, None].to(self.device))[:, 0] - penalty


def _saccades(bias: SaccadeBias, dataset: FixationDataset) -> tuple[Tensor, Tensor]:
    """Return the frame in which each saccade of a dataset begins, and where it goes in degrees."""
    frames, steps = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, 2)]
    for index in range(len(dataset)):
        size = dataset.size(index)
        for path in dataset.scanpaths(index):
            points = torch.from_numpy(path.points[:, :2]).float()
            step = points.diff(dim=0) * (DEGREES / max(size))
            known = step.isfinite().all(1)
            steps.append(step[known])
            frames.append(bias.frame(points[:-1][known], size))
    return torch.cat(frames), torch.cat(steps)
