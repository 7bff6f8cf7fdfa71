"""Scores of scanpath models on a dataset: the job behind `salzoo evaluate --scanpaths`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from salzoo._progress import counted
from salzoo._schema import check_range
from salzoo.components.load import load
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.scanpath_model import ScanpathModel
from salzoo.components.stimulus import Stimulus
from salzoo.data import FixationDataset
from salzoo.errors import SpecError
from salzoo.evaluation.scanpaths.similarity import CONTROLS, Path, People, similarities, with_others
from salzoo.evaluation.scanpaths.table import ScanpathTable
from salzoo.evaluation.scoring import overlap
from salzoo.images.geometry import Size
from salzoo.metrics.scanpaths import (
    METRICS,
    conditional_auc,
    conditional_log_likelihood,
    conditional_nss,
    saccade_statistics,
)

Floats = NDArray[np.float64]
_CONDITIONAL = (conditional_log_likelihood, conditional_nss, conditional_auc)
STATIC = "static:"
"""Beginning of the names of rows of static densities, before the model that they are of."""


class StaticModel(ScanpathModel):
    """The static density at every step, whatever was fixated before: what order is worth is measured against it.

    Args:
        options: As `ScanpathModel` takes them.
    """

    lags = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.network = nn.Identity()

    def score_cells(self, stimulus: Stimulus, history: Tensor) -> Tensor:
        """Return the density itself."""
        return stimulus.log_cells.to(history).expand(len(history), -1, -1)


def evaluate_scanpaths(
    models: Mapping[str, SaliencyModel],
    dataset: FixationDataset,
    *,
    seed: int = 0,
    pixels_per_degree: float | None = None,
    draw: bool = True,
    part_of: int | None = None,
    notes: tuple[str, ...] = (),
    progress: bool | None = None,
) -> ScanpathTable:
    """Score how well models say where people look next, and how alike the paths that they draw are to people's.

    The likelihood is that of each fixation from the second on, given those that were made before it; a fixation outside
    the image is not scored, but stays in the history. Paths are drawn as long as each person's, from the same first
    fixation. Rows: the models; people beside people (`salzoo.evaluation.scanpaths.similarity`); the static densities
    that the models start from.

    Args:
        models: Models by the name of the row. One that is no `ScanpathModel` is scored as a static density.
        dataset: One split of a dataset that keeps the order of fixations.
        seed: Seed of the paths and of the controls.
        pixels_per_degree: Gives amplitudes in degrees, and the likelihood without steps below one degree.
        draw: Draw paths and compare them with people's, half of the work; if not, there are likelihoods alone.
        part_of: Number of images of the whole split, if the dataset is a part of it (`salzoo.evaluation.part`).
        notes: Warnings to print with the table.
        progress: Whether to show a progress bar; None shows it on a terminal, and a line now and then elsewhere.

    Raises:
        DataError: If the dataset does not keep the order.
        SpecError: As `check_settings`.
    """
    dataset.require_order()
    check_settings(models, seed, pixels_per_degree)
    rows, people = _with_static(models), People(dataset, seed)
    controls = CONTROLS if draw else ()
    each = f", each in {len(rows) + len(controls)} rows"
    images = [_Image(dataset, i, people, pixels_per_degree, draw=draw) for i in range(len(dataset))]
    for i, image in counted(enumerate(images), len(images), "image", shown=progress, each=each):
        image.score(rows, seed + i)
    order = [*models, *controls, *(row for row in rows if row not in models)]
    return ScanpathTable(
        dataset=dataset.name,
        split=dataset.split,
        images=tuple(dataset.names),
        seed=seed,
        pixels_per_degree=pixels_per_degree,
        scores={row: _columns([image.scores.get(row, {}) for image in images]) for row in order},
        fixations=tuple(image.fixations for image in images),
        far=tuple(image.far for image in images),
        saccades={
            row: saccade_statistics(drawn, pixels_per_degree=pixels_per_degree)
            for row in order
            if (drawn := [path for image in images for path in image.drawn.get(row, ())])
        },
        notes=notes,
        part_of=part_of,
    )


def check_settings(rows: Iterable[str], seed: int = 0, pixels_per_degree: float | None = None) -> None:
    """Check what `evaluate_scanpaths` is to be asked for, before models are loaded.

    Args:
        rows: Names of the rows of models.
        seed: As `evaluate_scanpaths` takes it.
        pixels_per_degree: Likewise.

    Raises:
        SpecError: If a row is called as a control or a static density is, or a number is out of range.
    """
    check_range(0, 2**31, seed=seed)
    check_range(1e-3, 1e6, pixels_per_degree=pixels_per_degree)
    if taken := sorted(row for row in rows if row in CONTROLS or row.startswith(STATIC)):
        raise SpecError(f"no row can be called {taken[0]!r}, as one of the controls is: write NEW=SOURCE.")


def load_models(
    names: Mapping[str, str], dataset: FixationDataset, device: str = "auto"
) -> tuple[dict[str, SaliencyModel], tuple[str, ...]]:
    """Return models, and the warnings that belong to their scores; a density that several start from is loaded once.

    Args:
        names: Models, model.tags or checkpoint folders, by the name of the row.
        dataset: The split that they are to be scored on.
        device: Device of the models.
    """
    models, notes = {row: load(name, device=device) for row, name in names.items()}, list[str]()
    densities: dict[str, SaliencyModel] = {}
    for row, model in models.items():
        notes += overlap(model, dataset, row)
        if isinstance(model, ScanpathModel):
            if model.density not in densities:
                notes += overlap(model.density_model, dataset, f"{model.density}, the density of {row},")
                densities[model.density] = _Once(model.density_model)
            model.start_from(densities[model.density])
    return models, tuple(notes)


class _Once(SaliencyModel):
    """Another model, which is asked once for the density that several start from: it keeps that of the last image."""

    network: SaliencyModel

    def __init__(self, model: SaliencyModel) -> None:
        super().__init__(model.preprocess)
        self.network = model
        self._last: tuple[Tensor, Tensor] | None = None

    def infer(self, images: Sequence[Tensor], sizes: Sequence[Size] | None = None) -> list[Tensor]:
        """Return the log densities of one image, or of several, of the other model."""
        if sizes is None and len(images) == 1 and self._last is not None and torch.equal(images[0], self._last[0]):
            return [self._last[1]]
        found = self.network.infer(images, sizes)
        self._last = images[-1], found[-1]
        return found


def _with_static(models: Mapping[str, SaliencyModel]) -> dict[str, ScanpathModel]:
    """Return all as scanpath models, and the static density of each."""
    rows: dict[str, ScanpathModel] = {}
    for row, model in models.items():
        rows[row] = model if isinstance(model, ScanpathModel) else _static(model)
    for model in models.values():
        if isinstance(model, ScanpathModel) and (row := f"{STATIC}{model.density}") not in rows:
            rows[row] = _static(model.density_model)
    return rows


def _static(model: SaliencyModel) -> StaticModel:
    static = StaticModel()
    static.start_from(model)
    return static.to(model.device).eval()


class _Image:
    """What rows have on one image.

    Attributes:
        scores: By row and metric; those of densities are means over the fixations.
        fixations: Number of fixations whose likelihood is scored.
        far: Number of those that are a degree or more from the one before.
        drawn: The paths of each row.
    """

    def __init__(
        self, dataset: FixationDataset, index: int, people: People, pixels_per_degree: float | None, *, draw: bool
    ) -> None:
        self._dataset, self._index, self._size = dataset, index, dataset.size(index)
        self._paths, self._people, self._drawing = dataset.scanpaths(index), people.paths(index), draw
        self.scores = people.controls(index) if draw else {}
        self.drawn: dict[str, Sequence[Path]] = {"human": self._people} if draw else {}
        self.drawn |= {"human_shuffled": people.shuffled(index)} if draw else {}
        height, width = self._size
        targets = np.concatenate([np.zeros((0, 2)), *(path.points[1:, :2] for path in self._paths)])
        steps = np.concatenate([np.zeros(0), *(np.hypot(np.diff(path.x), np.diff(path.y)) for path in self._paths)])
        self._inside = ((targets >= -0.5) & (targets < [width - 0.5, height - 0.5])).all(1)
        self._long = self._inside & (steps >= (pixels_per_degree or np.inf))
        self.fixations, self.far = int(self._inside.sum()), int(self._long.sum())

    def score(self, rows: Mapping[str, ScanpathModel], seed: int) -> None:
        """Score all rows."""
        image = self._dataset.image(self._index)
        bits: dict[str, Floats] = {}
        for row, model in rows.items():
            stimulus = model.prepare(image)
            bits[row], nss, auc = self._conditional(model, stimulus)
            self.scores[row] = {"ll": _mean(bits[row][self._inside])}
            self.scores[row] |= {"nss": _mean(nss[self._inside]), "auc": _mean(auc[self._inside])}
            self.scores[row] |= {"ll_far": _mean(bits[row][self._long])}
            if self._drawing:
                self.drawn[row] = self._draw(model, stimulus, seed)
                self.scores[row] |= similarities(with_others(self.drawn[row], self._people), self._size)
        for row, model in rows.items():
            if not isinstance(model, StaticModel):
                self.scores[row]["order"] = _mean((bits[row] - bits[f"{STATIC}{model.density}"])[self._inside])

    def _conditional(self, model: ScanpathModel, stimulus: Stimulus) -> Floats:
        """Return bit, NSS and AUC of each fixation but the first of each path, (3, n); NaN outside the image.

        NSS and AUC are those of the grid. The bits are those of pixels: what a pixel has of its cell is added.
        """
        found = [np.zeros((3, 0))]
        cell_of, log_within = (each.flatten().numpy() for each in (stimulus.cell_of, stimulus.log_within))
        for path in self._paths:
            cells = model.log_conditional(stimulus, torch.from_numpy(path.histories(model.lags)))
            pixel = stimulus.pixel_index(path.x[1:], path.y[1:])
            row, column = np.divmod(cell_of[pixel], stimulus.grid[1])
            targets = np.where(pixel[:, None] < 0, np.nan, np.stack([column, row], axis=1))
            bits, nss, auc = (score(cells, targets) for score in _CONDITIONAL)
            pixels_a_cell = stimulus.log_within.numel() / np.prod(stimulus.grid)
            bits += (log_within[pixel] + np.log(pixels_a_cell)) / np.log(2)
            found.append(np.stack([bits, nss, auc]))
        return np.concatenate(found, axis=1)

    def _draw(self, model: ScanpathModel, stimulus: Stimulus, seed: int) -> list[Path]:
        """Draw a path for each person, from the same first fixation and as long."""
        if not self._people:
            return []
        past = np.full((len(self._people), 1, 3), np.nan)
        for row, path in zip(past, self._people, strict=True):
            row[0, : path.shape[1]] = path[0]
        drawn = model.continue_paths(stimulus, past, max(map(len, self._people)), seed)
        columns = 3 if np.isfinite(drawn[..., 2]).all() else 2
        return [path[: len(person), :columns] for path, person in zip(drawn, self._people, strict=True)]


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _columns(images: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return one score an image by metric, without metrics that no image has."""
    columns = {name: [image.get(name, float("nan")) for image in images] for name in METRICS}
    return {name: values for name, values in columns.items() if np.isfinite(values).any()}
