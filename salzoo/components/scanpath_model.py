"""`ScanpathModel`: the base of models of where people look next."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salzoo._schema import check_range
from salzoo.components.drawing import Draws, draw_cells, draw_pixels
from salzoo.components.load import load
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.stimulus import Stimulus
from salzoo.errors import SpecError
from salzoo.images.geometry import Size
from salzoo.images.preprocess import Preprocess
from salzoo.images.read import ImageLike, to_tensor
from salzoo.images.saliency_map import SaliencyMap
from salzoo.images.scanpath import Scanpath
from salzoo.registry import resolve

Place = tuple[float, float] | tuple[float, float, float]

_FARTHEST = 1e6
"""Pixels; what is farther outside the image is no farther for a model, whose distances must stay finite."""
_AT_ONCE = 500_000
"""Cells of all histories that are computed at once: a few, so that what is made of them stays in the cache."""


class ScanpathModel(SaliencyModel):
    """Predicts where people look next, given where they have looked: a density for every history of fixations.

    It starts from the static density of another model of the zoo, which `predict` returns, and which is no part of its
    weights. A model overrides `score_cells`, the one step; `choose` if its paths are not drawn from the density;
    and `draw_durations` if it has them.

    Args:
        density: Model or checkpoint of the zoo whose static density it starts from; loaded when it is first needed.
            `start_from` takes one that is not in the zoo.
        cells: Cells of the grid along the image's longer side: with 100 of them, each is a third of a degree on OSIE.
        pixels_per_degree: Pixels a degree of visual angle; None takes the image's longer side for 33.7 degrees.
        options: As `SaliencyModel` takes them.
    """

    default_preprocess = Preprocess((8, 8))
    no_graph = "it is a step from fixations to the next one, over the density of another model: export that one"
    lags: ClassVar[int | None] = None
    """How many past fixations matter; None for all."""

    def __init__(
        self,
        *,
        density: str = "deepgaze2.lite",
        cells: int = 100,
        pixels_per_degree: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_range(2, 512, cells=cells)
        if pixels_per_degree is not None:
            check_range(1e-3, 1e6, pixels_per_degree=pixels_per_degree)
        resolve(density, imported=True)
        self.density, self.cells, self.pixels_per_degree = density, cells, pixels_per_degree
        self._density_model: list[SaliencyModel] = []  # in a list, torch does not take it for a part of this model

    @property
    def density_model(self) -> SaliencyModel:
        """The model of the static density, on the device of this one.

        Raises:
            SpecError: If it is a scanpath model itself.
            WeightsError: If its weights are not here.
        """
        if not self._density_model:
            self.start_from(load(self.density))
        return self._density_model[0].to(self.device)

    def start_from(self, model: SaliencyModel) -> None:
        """Take the static density from a model that is not in the zoo.

        Raises:
            SpecError: If it is a scanpath model itself.
        """
        if isinstance(model, ScanpathModel):
            raise SpecError(
                f"density: a scanpath model starts from a static one, got {type(model).__name__}; "
                "`salzoo list` shows them, deepgaze2 is the usual one."
            )
        self._density_model[:] = [model.eval()]

    # What a model overrides.

    @abstractmethod
    def score_cells(self, stimulus: Stimulus, history: Tensor) -> Tensor:
        """Return how likely each cell is to be fixated next, as natural logarithms up to a constant.

        Args:
            stimulus: The image.
            history: (B, K, 3) float32 x and y in pixels and duration in ms of past fixations, the latest last. NaN for
                what is not there (shorter histories begin with it) or not known. K may be 0.

        Returns:
            (B, rows, columns) on the grid of the stimulus.
        """

    def prepare(self, image: Tensor) -> Stimulus:
        """Compute what does not depend on the history, once an image.

        Args:
            image: (3, H, W) RGB, uint8 or float in [0, 1].
        """
        (log_density,) = self.log_densities([image])
        return Stimulus(log_density.clone(), self.cells)  # a copy that gradients may flow through

    def choose(self, stimulus: Stimulus, log_probability: Tensor, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
        """Choose the pixel that is fixated next: drawn from the density, unless a model has another rule.

        Args:
            stimulus: The image.
            log_probability: (B, rows, columns) as `log_conditional` returns it.
            uniform: (B, 2) random numbers in [0, 1).

        Returns:
            (B, 2) x and y.
        """
        return draw_pixels(stimulus, draw_cells(log_probability, uniform[:, 0]), uniform[:, 1])

    def draw_durations(self, history: Tensor, uniform: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return the durations of the fixations that follow histories, (B,) ms; None if the model has none.

        Args:
            history: As in `score_cells`; the latest fixation is the one before.
            uniform: (B,) random numbers in [0, 1).
        """
        return None

    # What all share.

    @property
    def own_density(self) -> bool:
        """Whether the static density is the network's own, so that `density` is not looked at."""
        return False

    @property
    def transform(self) -> Preprocess:
        """The preprocessing of the static density's model; see `SaliencyModel.transform`."""
        return super().transform if self.own_density else self.density_model.transform

    def infer(self, images: Sequence[Tensor], sizes: Sequence[Size] | None = None) -> list[Tensor]:
        """Return the static log densities of images, each at its own size; see `SaliencyModel.infer`."""
        if self.own_density:
            return super().infer(images, sizes)
        return [self._tempered(one[None])[0] for one in self.density_model.infer(images, sizes)]

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of the static density; see `SaliencyModel.forward`, at the size of `transform`."""
        return super().forward(image) if self.own_density else self.density_model.forward(image)

    def restore(self, maps: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Bring the logits of the static density to an image's own size; see `SaliencyModel.restore`."""
        if self.own_density:
            return super().restore(maps, image_size)
        return self.density_model.restore(maps, image_size)

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Logits of the static density to its log density; see `SaliencyModel.to_log_density`."""
        return super().to_log_density(logits) if self.own_density else self.density_model.to_log_density(logits)

    def log_conditional(self, stimulus: Stimulus, history: Tensor) -> Tensor:
        """Return the log probability of each cell to be fixated next; the exp sums to 1.

        Args:
            stimulus: What `prepare` returns.
            history: (B, K, 2 or 3) x, y and if known duration (ms) of past fixations, the latest last, NaN for what is
                not there.

        Returns:
            (B, rows, columns) float64 natural-log probabilities, on the CPU.
        """
        history = torch.as_tensor(history, dtype=torch.float32, device=stimulus.log_density.device)
        if history.shape[-1] == 2:
            history = torch.cat([history, torch.full_like(history[..., :1], float("nan"))], dim=-1)
        if not len(history):
            return torch.zeros(0, *stimulus.grid, dtype=torch.float64)
        history = torch.cat([history[..., :2].clamp(-_FARTHEST, _FARTHEST), history[..., 2:]], dim=-1)
        if self.lags is not None:
            history = history[:, max(history.shape[1] - self.lags, 0) :]
        with torch.no_grad():
            cells = self.score_cells(stimulus, history).cpu().double()
        return cells - cells.flatten(1).logsumexp(1)[:, None, None]

    def step_log_likelihoods(self, stimulus: Stimulus, path: Scanpath) -> NDArray[np.float64]:
        """Return the natural-log density of each fixation but the first, given those before it.

        Args:
            stimulus: What `prepare` returns.
            path: On this image.

        Returns:
            (n - 1,) per pixel: `x / ln 2 + log2(H * W)` is bit over uniform. NaN for what is outside the image.
        """
        histories = path.histories(self.lags)
        pixel = stimulus.pixel_index(path.x[1:], path.y[1:])
        found = np.full(len(histories), np.nan)
        within, cell_of = (each.flatten().numpy() for each in (stimulus.log_within, stimulus.cell_of))
        for rows in self._chunks(stimulus, np.flatnonzero(pixel >= 0)):
            maps = self.log_conditional(stimulus, torch.from_numpy(histories[rows])).flatten(1).numpy()
            found[rows] = maps[np.arange(len(rows)), cell_of[pixel[rows]]] + within[pixel[rows]]
        return found

    def conditional(self, image: ImageLike, history: Sequence[Place] | Scanpath = ()) -> SaliencyMap:
        """Return the density of the next fixation.

        Args:
            image: Of any kind that `predict` takes.
            history: Past fixations in pixels, (x, y) or (x, y, duration in ms), the latest last, or a `Scanpath`. None
                yet, (): the density of the first one.

        Returns:
            A map at the image's own size.

        Raises:
            ImageError: If the image cannot be read.
            SpecError: If a fixation is not of two or three numbers, or its duration is below 0.
        """
        past = _to_history(history)
        stimulus = self.prepare(to_tensor(image))
        (log_cells,) = self.log_conditional(stimulus, torch.from_numpy(past)[None])
        return SaliencyMap(stimulus.spread(log_cells).float())

    @overload
    def predict_scanpath(
        self, image: ImageLike, n: int = ..., samples: Literal[1] = ..., seed: int = ..., start: Place | None = ...
    ) -> Scanpath: ...
    @overload
    def predict_scanpath(
        self, image: ImageLike, n: int = ..., samples: int = ..., seed: int = ..., start: Place | None = ...
    ) -> Scanpath | list[Scanpath]: ...
    def predict_scanpath(
        self, image: ImageLike, n: int = 10, samples: int = 1, seed: int = 0, start: Place | None = None
    ) -> Scanpath | list[Scanpath]:
        """Draw scanpaths that people might make.

        The same seed gives the same paths, and the first ones stay the same when more are asked for.

        Args:
            image: Of any kind that `predict` takes.
            n: Number of fixations, `start` among them.
            samples: Number of paths.
            seed: Of the random numbers.
            start: The first fixation, (x, y) or (x, y, duration in ms) in pixels; None draws it from the density.

        Returns:
            One `Scanpath`; a list of them unless `samples` is 1.

        Raises:
            ImageError: If the image cannot be read.
            SpecError: If `n`, `samples` or `seed` is out of its range, or the start outside the image.
        """
        for name, value in (("n", n), ("samples", samples), ("seed", seed)):
            if not isinstance(value, int | np.integer) or isinstance(value, bool):
                raise SpecError(f"{name}={value!r} is not accepted: a whole number.")
        check_range(1, 10_000, n=n)
        check_range(1, 100_000, samples=samples)
        check_range(0, 2**63 - 1, seed=seed)
        stimulus = self.prepare(to_tensor(image))
        past = np.empty((samples, 0, 3))
        if start is not None:
            (first,) = _to_history([start])
            if stimulus.pixel_index(*first[:2, None])[0] < 0:
                height, width = stimulus.size
                raise SpecError(f"start={start} is outside the image, which is {width} x {height} pixels.")
            past = np.broadcast_to(first, (samples, 1, 3))
        past = self.continue_paths(stimulus, past, n, seed)
        timed = np.isfinite(past[..., 2]).all()
        paths = [Scanpath(each[:, 0], each[:, 1], each[:, 2] if timed else None) for each in past]
        return paths[0] if samples == 1 else paths

    def continue_paths(
        self, stimulus: Stimulus, past: NDArray[np.float64], n: int, seed: int = 0
    ) -> NDArray[np.float64]:
        """Draw what follows on what was fixated.

        Args:
            stimulus: What `prepare` returns.
            past: (B, K, 3) x, y and duration of past fixations, as `score_cells` takes them; K may be 0.
            n: Number of fixations, the past ones among them.
            seed: Of the random numbers; those of a path depend on its number alone.

        Returns:
            (B, n, 3) whole paths; NaN for durations that the model does not have.
        """
        draws = Draws(seed, len(past), n)
        for step in range(past.shape[1], n):
            past = np.concatenate([past, self._next(stimulus, past, draws.of(step))[:, None]], axis=1)
        return past

    def _next(self, stimulus: Stimulus, past: NDArray[np.float64], uniform: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the next fixation of each path, (B, 3) x, y and duration or NaN."""
        found = np.full((len(past), 3), np.nan)
        for rows in self._chunks(stimulus, np.arange(len(past))):
            once, inverse = _distinct(past[rows])  # no path has begun yet, or nothing in them is random
            log_probability = self.log_conditional(stimulus, torch.from_numpy(once))[inverse]
            found[rows, :2] = self.choose(stimulus, log_probability, uniform[rows, :2])
            history = torch.from_numpy(past[rows]).float().to(self.device)
            lasts = self.draw_durations(history, uniform[rows, 2])
            found[rows, 2] = np.nan if lasts is None else lasts
        return found

    def _chunks(self, stimulus: Stimulus, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        step = max(1, _AT_ONCE // (stimulus.grid[0] * stimulus.grid[1]))
        for start in range(0, len(rows), step):
            yield rows[start : start + step]


def _distinct(histories: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the histories without repetitions, and which of them each one is."""
    numbers: dict[bytes, int] = {}
    inverse = np.array([numbers.setdefault(each.tobytes(), len(numbers)) for each in histories])
    _, first = np.unique(inverse, return_index=True)
    return histories[first], inverse


def _to_history(places: Sequence[Place] | Scanpath) -> NDArray[np.float64]:
    """Return (K, 3) x, y and duration; NaN where there is none."""
    places = places.points.tolist() if isinstance(places, Scanpath) else places
    places = places.tolist() if isinstance(places, Tensor) else places
    if not isinstance(places, Sequence | np.ndarray) or any(np.ndim(place) != 1 for place in places):
        raise SpecError(f"a history is a list of fixations (x, y) or (x, y, duration in ms), got {places!r}.")
    found = np.full((len(places), 3), np.nan)
    for row, place in zip(found, places, strict=True):
        if len(place) not in (2, 3) or not all(isinstance(value, int | float | np.number) for value in place):
            raise SpecError(f"a fixation is (x, y) or (x, y, duration in ms), got {place!r}.")
        row[: len(place)] = place
        if np.isinf(row).any():
            raise SpecError(f"a fixation is of finite numbers, or nan where it is not known, got {place!r}.")
        if row[2] < 0:
            raise SpecError(f"the duration of a fixation is at least 0 ms, or nan if it is not known, got {place!r}.")
    return found
