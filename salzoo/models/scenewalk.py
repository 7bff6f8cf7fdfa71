"""SceneWalk: attention and inhibition that build up and decay while the eyes rest (Engbert et al. 2015).

Engbert, Trukenbrod, Barthelme and Wichmann, Journal of Vision 15(1):14, 2015; likelihood: Schuett et al., Psychological
Review 124, 2017; the extensions around saccades: Schwetlick et al., Communications Biology 3, 2020. Written from the
papers' equations.

Two maps follow the gaze. Attention is drawn to what a wide Gaussian around the fixation shows of the density, and
inhibition to a Gaussian around the fixation, each exponentially and at its own rate, so that a longer fixation changes
them more. The next fixation falls where attention exceeds inhibition.

Differences from the papers:
- The density is another model's, instead of that of all people's fixations on the image.
- The grid has square cells, as those of all scanpath models here, instead of 128 x 128.
- All parameters are fitted at once and for all observers, by the gradient of the likelihood.
- The oculomotor potential is added as a density of its own with a fitted weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor, nn

from salzoo.components.scanpath_fit import SeenImage, look, maximise, with_scanpaths
from salzoo.components.scanpath_model import ScanpathModel
from salzoo.components.stimulus import Stimulus
from salzoo.components.training_config import TrainingConfig
from salzoo.data.statistics import TrainingStatistics

POST_SACCADIC_S = 0.1
"""How long attention is ahead of the eyes after a saccade."""
PRE_SACCADIC_S = 0.05
"""How long before a saccade attention is at its target."""
RETURN_BOX_DEGREES = 2.0
"""Half a side of the box around the previous fixation in which attention decays slowly."""
USUAL_S = 0.2
"""Duration of a fixation where it is not known: the median of OSIE and EyeCrowd."""
LEAST = 1e-30
"""Of what is raised to a power."""

STARTS = {
    "attention_rate": 15.0,
    "inhibition_rate": 1.5,
    "attention_sigma": 10.0,
    "inhibition_sigma": 9.0,
    "attention_power": 1.2,
    "inhibition_power": 1.2,
    "inhibition": 0.3,
    "noise": 1e-3,
}
"""Rates are per second, widths in degrees; a fit starts here."""
EXTENSIONS = {
    "post_saccadic": {"shift_sigma": 3.0, "shift": 0.5},
    "pre_saccadic": {"target_sigma": 3.0},
    "facilitation": {"slower": 12.0},
    "potential": {"potential_weight": 0.1, "potential_power": 0.5},
}
"""What each has in addition."""


class SceneWalkNetwork(nn.Module):
    """The dynamics; every parameter is positive, and stored as its logarithm.

    Args:
        interaction: Of attention and inhibition: their difference (2015), or their ratio.
        post_saccadic: For the first 100 ms of a fixation, attention is beyond it in the direction of the saccade.
        pre_saccadic: In the last 50 ms, attention is at the next fixation already.
        facilitation: Around the previous fixation, attention decays more slowly.
        potential: Saccades along the horizontal and the vertical are likelier.
    """

    log_duration: Tensor

    def __init__(
        self,
        interaction: Literal["subtractive", "divisive"] = "subtractive",
        post_saccadic: bool = False,
        pre_saccadic: bool = False,
        facilitation: bool = False,
        potential: bool = False,
    ) -> None:
        super().__init__()
        self.interaction, self.post_saccadic, self.pre_saccadic = interaction, post_saccadic, pre_saccadic
        self.facilitation, self.potential = facilitation, potential
        starts = dict(STARTS)
        for name, extra in EXTENSIONS.items():
            starts |= extra if getattr(self, name) else {}
        self.log = nn.ParameterDict({name: torch.tensor(math.log(value)) for name, value in starts.items()})
        self.register_buffer("log_duration", torch.tensor([math.log(USUAL_S), 0.5]))  # mean, standard deviation

    def value(self, name: str) -> Tensor:
        """Return a parameter itself."""
        found: Tensor = self.log[name].exp()
        return found

    def forward(self, density: Tensor, places: tuple[Tensor, Tensor], paths: Tensor) -> Iterator[Tensor]:
        """Yield the log probability of each cell to be fixated next, after each of the fixations.

        Args:
            density: (rows, columns) of the image; sums to 1.
            places: (rows,) y and (columns,) x of the cells in degrees.
            paths: (B, T, 3) x and y in degrees and duration in seconds, NaN for what is not there or not known.

        Yields:
            (B, rows, columns), T times.
        """
        field = _Field(density, *places)
        absent = torch.full_like(paths[:, 0, :2], torch.nan)
        attention = inhibition = torch.full_like(density, 1 / density.numel()).expand(len(paths), -1, -1)
        for t, (x, y, seconds) in enumerate(path.unbind(-1) for path in paths.unbind(1)):
            here = torch.stack([x, y], dim=-1)
            before = paths[:, t - 1, :2] if t else absent
            target = paths[:, t + 1, :2] if t + 1 < paths.shape[1] else absent
            seconds = seconds.nan_to_num(USUAL_S)
            early = PRE_SACCADIC_S if self.pre_saccadic else 0.0
            seen = (seconds - early).clamp_min(0)
            inhibited = field.around(here, self.value("inhibition_sigma"))
            read_out = self._attend(field, attention, here, before, seen)
            left = _relax(inhibition, inhibited, self.value("inhibition_rate"), seen)
            yield self._priority(field, read_out, left, here)
            if self.pre_saccadic:
                ahead = field.shown(target, self.value("target_sigma"))
                read_out = _chosen(
                    target, _relax(read_out, ahead, self.value("attention_rate"), seconds - seen), read_out
                )
                left = _relax(left, inhibited, self.value("inhibition_rate"), seconds - seen)
            attention, inhibition = _chosen(here, read_out, attention), _chosen(here, left, inhibition)

    def _attend(self, field: _Field, attention: Tensor, here: Tensor, before: Tensor, seconds: Tensor) -> Tensor:
        """Return attention after a fixation of so many seconds."""
        rate = self.value("attention_rate")
        if self.facilitation:
            boxed = field.box(before, RETURN_BOX_DEGREES)
            rate = torch.where(boxed, rate / self.value("slower"), rate)
        if self.post_saccadic:
            beyond = here + self.value("shift") * (here - before).nan_to_num()
            first = seconds.clamp_max(POST_SACCADIC_S)
            shifted = _relax(attention, field.shown(beyond, self.value("shift_sigma")), rate, first)
            attention = _chosen(before, shifted, attention)
            seconds = torch.where(before.isnan().any(-1), seconds, seconds - first)
        return _relax(attention, field.shown(here, self.value("attention_sigma")), rate, seconds)

    def _priority(self, field: _Field, attention: Tensor, inhibition: Tensor, here: Tensor) -> Tensor:
        """Return the log probability of each cell."""
        drawn = attention.clamp_min(LEAST) ** self.value("attention_power")
        kept = inhibition.clamp_min(LEAST) ** self.value("inhibition_power")
        cells = attention[0].numel()
        if self.interaction == "subtractive":
            excess = _share(drawn) - self.value("inhibition") * _share(kept)
        else:
            excess = drawn / ((self.value("inhibition") / cells) ** self.value("inhibition_power") + kept)
        share = _share(excess.clamp_min(0))
        if self.potential:
            weight = self.value("potential_weight")
            share = (share + weight * _share(field.cardinal(here, self.value("potential_power")))) / (1 + weight)
        noise = self.value("noise").clamp_max(1)
        return ((1 - noise) * share + noise / cells).log()


@dataclass(frozen=True, eq=False)
class _Field:
    """The cells and the density in them.

    Args:
        density: (rows, columns).
        y: (rows,) in degrees.
        x: (columns,) in degrees.
    """

    density: Tensor
    y: Tensor
    x: Tensor

    def offsets(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2) to (B, rows, 1) and (B, 1, columns); 0 where the point is not there."""
        known = point.nan_to_num()
        return (self.y - known[:, 1:])[:, :, None], (self.x - known[:, :1])[:, None, :]

    def gaussian(self, point: Tensor, sigma: Tensor) -> Tensor:
        """(B, 2) to (B, rows, columns), 1 at the point."""
        down, across = self.offsets(point)
        return torch.exp(-((down / sigma) ** 2) / 2) * torch.exp(-((across / sigma) ** 2) / 2)

    def around(self, point: Tensor, sigma: Tensor) -> Tensor:
        """Return a Gaussian that sums to 1."""
        return _share(self.gaussian(point, sigma))

    def shown(self, point: Tensor, sigma: Tensor) -> Tensor:
        """Return what a Gaussian shows of the density; it sums to 1."""
        return _share(self.gaussian(point, sigma) * self.density)

    def box(self, point: Tensor, half: float) -> Tensor:
        """Return which cells are in a box around a point; none if it is not there."""
        down, across = self.offsets(point)
        there = ~point.isnan().any(-1)
        return (down.abs() <= half) & (across.abs() <= half) & there[:, None, None]

    def cardinal(self, point: Tensor, power: Tensor) -> Tensor:
        """Return how near the direction from a point to each cell is to the horizontal or the vertical, up to 1."""
        down, across = self.offsets(point)
        product = (down**2 * across**2).clamp_min(LEAST) ** power
        return 1 - product / product.amax((1, 2), keepdim=True)


def _share(maps: Tensor) -> Tensor:
    """Make each of (B, rows, columns) sum to 1; what is 0 throughout becomes uniform."""
    total = maps.sum((1, 2), keepdim=True)
    shares = maps / total.clamp_min(LEAST)
    none = total <= LEAST
    return (
        torch.where(none, 1 / maps[0].numel(), shares) if bool(none.any()) else shares
    )  # seldom: a pass over all cells


def _relax(maps: Tensor, towards: Tensor, rate: Tensor, seconds: Tensor) -> Tensor:
    """Let (B, rows, columns) approach other maps exponentially for (B,) seconds."""
    return towards + torch.exp(-rate * seconds[:, None, None]) * (maps - towards)


def _chosen(point: Tensor, maps: Tensor, otherwise: Tensor) -> Tensor:
    """Take (B, rows, columns) `maps` where the point is there, else the others."""
    gone = point.isnan().any(-1)[:, None, None]
    return torch.where(gone, otherwise, maps) if bool(gone.any()) else maps


@dataclass(frozen=True)
class SceneWalkTraining(TrainingConfig):
    """How the parameters are fitted.

    Args:
        images: Training images that are looked at, spread evenly over the sets: more than enough for a dozen numbers.
        epochs: How often each of them is taken.
        batch: Images a step.
        paths: Observers of an image that are drawn for a step.
    """

    lr: float = 0.1
    images: int = 60
    epochs: int = 5
    batch: int = 4
    paths: int = 4


class SceneWalk(ScanpathModel):
    """Attention and inhibition that follow the gaze; arguments as `SceneWalkNetwork` and `ScanpathModel`."""

    network: SceneWalkNetwork
    network_class = SceneWalkNetwork
    training_config: SceneWalkTraining
    training_class = SceneWalkTraining

    def score_cells(self, stimulus: Stimulus, history: Tensor) -> Tensor:
        """Return the log probability of each cell after the last of the fixations; before the first, the density's."""
        static = stimulus.log_cells.to(history).expand(len(history), -1, -1)
        none = history[..., 0].isnan().all(1)
        if bool(none.all()):
            return static
        *_, last = self._walk(stimulus, history)
        return torch.where(none[:, None, None], static, last) if bool(none.any()) else last

    def draw_durations(self, history: Tensor, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
        """Draw from a log-normal distribution, that of the training fixations."""
        mean, deviation = self.network.log_duration.double().tolist()
        drawn: NDArray[np.float64] = 1000 * np.exp(mean + deviation * ndtri(uniform.clip(1e-6, 1 - 1e-6)))
        return drawn

    def fit_statistics(self, data: TrainingStatistics) -> None:
        """Fit everything to the scanpaths on training images."""
        data = with_scanpaths(data, "scenewalk")
        config = self.training_config
        images = list(look(self, data.datasets("train"), images=config.images))
        seconds = torch.cat([image.paths[..., 2].flatten() for image in images]) / 1000
        known = seconds[seconds > 0].log()
        if len(known) > 1:
            self.network.log_duration.copy_(torch.stack([known.mean(), known.std()]))
        with torch.enable_grad():
            maximise(self.network, images, self._log_likelihood, epochs=config.epochs, lr=config.lr, batch=config.batch)

    def _log_likelihood(self, image: SeenImage, generator: np.random.Generator) -> Tensor:
        """Return that of the fixations of a few observers from the second on, in the cells of the grid."""
        few = generator.permutation(len(image.paths))[: self.training_config.paths]
        paths, cells = image.paths[few].to(self.device), image.cells[few].to(self.device)
        found = []
        for t, log_probability in enumerate(self._walk(image.stimulus, paths[:, :-1]), start=1):
            counted = (cells[:, t] >= 0) & ~paths[:, t - 1, 0].isnan()
            each = log_probability.flatten(1).gather(1, cells[:, t : t + 1].clamp_min(0))[:, 0]
            found.append(each[counted])
        return torch.cat(found)

    def _walk(self, stimulus: Stimulus, paths: Tensor) -> Iterator[Tensor]:
        """Run the dynamics over (B, T, 3) in pixels and milliseconds."""
        degree = stimulus.pixels_per_degree(self.pixels_per_degree)
        units = paths.new_tensor([degree, degree, 1000])
        centres = stimulus.centres.to(paths) / degree
        walk: Iterator[Tensor] = self.network(
            stimulus.log_cells.exp().to(paths), (centres[:, 0, 1], centres[0, :, 0]), paths / units
        )
        return walk
