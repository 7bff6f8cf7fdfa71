"""Constrained Levy exploration: long-tailed jumps that saliency guides and a temperature lets through.

Boccignone and Ferraro, Physica A 331, 2004, sections 3 and 4. Gaze is a walk of jumps whose amplitude has the tail of a
Cauchy distribution and whose direction is any. A jump is tried, and made if it leads to what is more salient; if not,
it is made with probability `exp(gain / temperature)`, as Metropolis has it. The published constants are those of a
public description of the authors' program: saliency from 0 to 100, a temperature of 25, the most salient of 50 tries.

A walk is only drawn there. Here each of its steps is a density, by the same three parts:

    p(x' | x)  ~  jump(x' | x)  accept(x' | x),
    accept(x' | x) = min(1, exp((S(x') - S(x)) / T)).

`jump` is normalised over the image (a try that leads out of it is made again), or is the distribution of the best of
several tries, which is computed and not drawn. What is not accepted is no fixation but a longer stay: `rejected` is its
probability, and the density is that of the jumps that are made. Differences from the paper:

- The drift along the gradient of the potential is left out. With the published constants it moves the gaze by at most
  a hundredth of a degree on OSIE before a jump, a small part of a cell of the grid.
- The dispersion of jumps is estimated from recorded saccades: it is their median amplitude.
- Saliency is a density of the zoo.
- The variant `lite` has the logarithm of the density for saliency, and jumps weighted by it with a fitted exponent, in
  the place of the best of 50 tries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components.drawing import best_of
from salzoo.components.scanpath_fit import SeenImage, look, maximise, with_scanpaths
from salzoo.components.scanpath_model import Place, ScanpathModel
from salzoo.components.stimulus import DEGREES, Stimulus
from salzoo.components.training_config import TrainingConfig
from salzoo.data.base import FixationDataset
from salzoo.data.statistics import TrainingStatistics
from salzoo.errors import DataError, SpecError
from salzoo.images.gaussian import gaussian_rows
from salzoo.images.read import ImageLike, to_tensor

_HIGHEST = 100.0
"""Saliency of the most salient cell."""


class LevyNetwork(nn.Module):
    """The numbers of the walk; each is positive, and stored as its logarithm.

    Args:
        dispersion: Of the jumps in degrees: half of them are longer.
        temperature: Loss of saliency at which one jump in e is accepted.
        weight: Exponent of the density in the jumps; None for jumps that do not see it.
    """

    def __init__(self, dispersion: float = 4.0, temperature: float = 25.0, weight: float | None = None) -> None:
        super().__init__()
        values = {"dispersion": dispersion, "temperature": temperature}
        values |= {} if weight is None else {"weight": weight}
        self.log = nn.ParameterDict({name: torch.tensor(math.log(value)) for name, value in values.items()})

    def value(self, name: str) -> Tensor:
        """Return a parameter itself."""
        found: Tensor = self.log[name].exp()
        return found

    def jumps(self, distance: Tensor, radius: float) -> Tensor:
        """Return the log probability that a jump of any direction ends in a cell.

        The amplitude is that of a Cauchy distribution, so a ring has its probability, and a cell its share of the ring
        that is as wide as itself: the share falls with the distance, once more than the amplitude's density does.

        Args:
            distance: Of the cells' centres in degrees, of any shape.
            radius: Of the disc that is as large as a cell, in degrees.
        """
        inner, outer = (distance - radius).clamp_min(0), distance + radius
        dispersion = self.value("dispersion")
        ring = torch.atan(dispersion * (outer - inner) / (dispersion**2 + inner * outer)) * (2 / math.pi)
        return (ring * radius**2 / (outer**2 - inner**2)).log()


@dataclass(frozen=True)
class CleTraining(TrainingConfig):
    """How `lite` is fitted; `paper` has no choices.

    Args:
        images: Training images that are looked at, spread evenly over the sets: plenty for three numbers.
        epochs: How often each of them is taken.
        batch: Images a step.
        fixations: Fixations of an image in a step.
    """

    lr: float = 0.1
    images: int = 120
    epochs: int = 6
    batch: int = 4
    fixations: int = 24


class ConstrainedLevy(ScanpathModel):
    """A walk of long-tailed jumps that lead to what is more salient, mostly.

    Args:
        saliency: `density`, scaled so that its maximum is 100; or `log`, its natural logarithm.
        candidates: Tries of a jump, of which the most salient is kept.
        weighted: Weigh jumps by the density with a fitted exponent.
        footprint: Standard deviation in degrees of the Gaussian by which saliency is weighed for the gain.
        options: As `ScanpathModel` takes them.
    """

    network: LevyNetwork
    training_config: CleTraining
    training_class = CleTraining
    lags = 1

    def __init__(
        self,
        *,
        saliency: Literal["density", "log"] = "log",
        candidates: int = 1,
        weighted: bool = True,
        footprint: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_range(1, 1000, candidates=candidates)
        check_range(0.01, 100, footprint=footprint)
        self.saliency, self.candidates, self.footprint = saliency, candidates, footprint
        self.network = LevyNetwork(weight=1.0 if weighted else None, temperature=25.0 if saliency == "density" else 2.0)

    def score_cells(self, stimulus: Stimulus, history: Tensor) -> Tensor:
        """Return the log probability of each cell to be jumped to and accepted; before the first, the density's."""
        static = stimulus.log_cells.to(history).expand(len(history), -1, -1)
        if not history.shape[1]:
            return static
        start = history[:, -1, :2]
        known = start.isfinite().all(1)[:, None, None]
        return torch.where(known, sum(self._parts(stimulus, start.nan_to_num()), start=torch.zeros(())), static)

    def rejected(self, image: ImageLike, place: Place) -> float:
        """Return the probability that the gaze stays where it is, because the jump that it tries is not accepted.

        Args:
            image: Of any kind that `predict` takes.
            place: x and y in pixels of where the gaze is.

        Raises:
            ImageError: If the image cannot be read.
            SpecError: If the place is not in the image.
        """
        stimulus = self.prepare(to_tensor(image))
        numbers = len(place) in (2, 3) and all(isinstance(value, int | float | np.number) for value in place)
        if not numbers or stimulus.pixel_index(*np.array([place[:2]], dtype=np.float64).T)[0] < 0:
            height, width = stimulus.size
            raise SpecError(f"place={place!r} is not (x, y) in the image, which is {width} x {height} pixels.")
        start = torch.tensor([place[:2]], dtype=torch.float32, device=stimulus.log_density.device)
        with torch.no_grad():
            jumps, accepted = self._parts(stimulus, start)
        return 1 - float((jumps + accepted).flatten().logsumexp(0).exp())

    def fit_statistics(self, data: TrainingStatistics) -> None:
        """Estimate the dispersion from the saccades on training images; of `lite`, then all by the likelihood.

        Raises:
            SpecError: If the data are not a `SaliencyDataModule`.
            DataError: If a dataset has no scanpaths, or nobody moved the eyes.
        """
        data = with_scanpaths(data, "cle")
        amplitudes = np.concatenate([each for dataset in data.datasets("train") for each in _amplitudes(dataset)])
        if not amplitudes.size or not (median := float(np.median(amplitudes))) > 0:
            raise DataError("there are no saccades in the training images, from which jumps could be estimated.")
        self.network.log["dispersion"].data.fill_(math.log(median))
        if "weight" not in self.network.log:
            return
        config = self.training_config
        images = list(look(self, data.datasets("train"), images=config.images))
        with torch.enable_grad():
            maximise(self.network, images, self._log_likelihood, epochs=config.epochs, lr=config.lr, batch=config.batch)

    def _parts(self, stimulus: Stimulus, start: Tensor) -> tuple[Tensor, Tensor]:
        """Return log probabilities of the cells, (B, rows, columns): of a jump there, and that it is accepted.

        Args:
            stimulus: The image.
            start: (B, 2) x and y in pixels.
        """
        degree = stimulus.pixels_per_degree(self.pixels_per_degree)
        cells = stimulus.log_cells.to(start)
        away = (stimulus.centres.to(start) - start[:, None, None]).norm(dim=-1) / degree
        height, width = stimulus.size
        radius = math.sqrt(height * width / (cells.numel() * math.pi)) / degree
        jumps = self.network.jumps(away, radius)
        if "weight" in self.network.log:
            jumps = jumps + self.network.value("weight") * cells
        jumps = jumps.flatten(1).log_softmax(1).view_as(jumps)
        if self.candidates > 1:
            jumps = best_of(jumps, cells, self.candidates).to(jumps)
        seen = self._seen(cells, self.footprint * degree * stimulus.grid[1] / width)
        column, row = stimulus.to_cells(start).round().long().unbind(-1)
        here = seen[row.clamp(0, cells.shape[0] - 1), column.clamp(0, cells.shape[1] - 1)]
        return jumps, ((seen - here[:, None, None]) / self.network.value("temperature")).clamp_max(0)

    def _seen(self, cells: Tensor, sigma: float) -> Tensor:
        """Return the saliency around each cell, weighed by a Gaussian of a standard deviation in cells."""
        highest = cells.amax()
        saliency = cells - highest if self.saliency == "log" else _HIGHEST * (cells - highest).exp()
        rows, columns = (
            gaussian_rows(torch.arange(side, dtype=torch.float32), side, sigma).to(cells) for side in cells.shape
        )
        return rows @ saliency @ columns.T

    def _log_likelihood(self, image: SeenImage, generator: np.random.Generator) -> Tensor:
        """Return that of a few fixations on an image."""
        histories, cells = image.steps(1)
        few = generator.permutation(len(cells))[: self.training_config.fixations]
        scores = self.score_cells(image.stimulus, histories[few].to(self.device)).flatten(1).log_softmax(1)
        return scores.gather(1, cells[few, None].to(self.device))[:, 0]


def _amplitudes(dataset: FixationDataset) -> Iterator[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Yield the amplitudes of the saccades on each image, in degrees."""
    yield np.zeros(0)
    for index in range(len(dataset)):
        degree = max(dataset.size(index)) / DEGREES
        for path in dataset.scanpaths(index):
            steps = np.hypot(np.diff(path.x), np.diff(path.y)) / degree
            yield steps[np.isfinite(steps)]
