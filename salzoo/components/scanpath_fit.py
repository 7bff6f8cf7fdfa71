"""Fitting a scanpath model: the most likely parameters, by gradient, given the scanpaths of training images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from salzoo._progress import counted
from salzoo.components.scanpath_model import ScanpathModel
from salzoo.components.stimulus import Stimulus
from salzoo.data.base import FixationDataset
from salzoo.data.scanpaths import ScanpathDataset, collate_scanpaths
from salzoo.data.statistics import TrainingStatistics
from salzoo.errors import DataError, SpecError

if TYPE_CHECKING:
    from salzoo.data.datamodule import SaliencyDataModule


@dataclass(frozen=True, eq=False)
class SeenImage:
    """An image and how people looked at it.

    Args:
        stimulus: Of the image.
        paths: (N, T, 3) float32 x and y in pixels of the stimulus and duration in ms, one row an observer; NaN after
            the end of a shorter path.
        cells: (N, T) int64 number of the cell of each fixation, -1 outside the image and after the end.
    """

    stimulus: Stimulus
    paths: Tensor
    cells: Tensor

    def steps(self, lags: int) -> tuple[Tensor, Tensor]:
        """Return every fixation but the first of each path, and what was before it.

        Args:
            lags: How much of it.

        Returns:
            (M, lags, 3) histories, the latest last and NaN where there is none, and (M,) cells; none outside the image.
        """
        padded = nn.functional.pad(self.paths, (0, 0, lags, 0), value=torch.nan)
        histories = padded.unfold(1, lags, 1)[:, 1 : self.paths.shape[1]].movedim(-1, -2)
        inside = self.cells[:, 1:] >= 0
        return histories[inside], self.cells[:, 1:][inside]


def with_scanpaths(data: TrainingStatistics, model: str) -> SaliencyDataModule:
    """Return `data`, if it is what has the order of fixations, too.

    Raises:
        SpecError: If it is no `SaliencyDataModule`.
    """
    from salzoo.data.datamodule import SaliencyDataModule  # brings Lightning

    if not isinstance(data, SaliencyDataModule):
        raise SpecError(f"{model} is fitted to scanpaths: give it a SaliencyDataModule, as `salzoo fit` does.")
    return data


def look(
    model: ScanpathModel, datasets: Sequence[FixationDataset], *, images: int | None = None, reduce: bool = True
) -> Iterator[SeenImage]:
    """Yield the images of datasets, with their scanpaths; how far it is is told on stderr.

    An image on which nobody made a second fixation inside it has nothing to predict, and is passed over.

    Args:
        model: Its `prepare` makes the stimuli.
        datasets: With the order of fixations.
        images: How many at most, spread evenly over each dataset; None for all.
        reduce: Let each cell of the grid be a pixel: a fiftieth of the memory, for models that only see cells.

    Raises:
        DataError: If no image is left.
    """
    empty = True
    most = None if images is None else -(-images // len(datasets))
    chosen = [
        (scanpaths, index)
        for scanpaths in map(ScanpathDataset, datasets)
        for index in np.linspace(0, len(scanpaths) - 1, min(len(scanpaths), most or len(scanpaths))).astype(int)
    ]
    for scanpaths, index in counted(chosen, len(chosen), "image"):
        batch = collate_scanpaths([scanpaths[index]])
        stimulus = model.prepare(batch["image"][0])
        points = batch["points"]
        if reduce:
            points = stimulus.to_cells(points)
            stimulus = Stimulus(stimulus.log_cells.float(), max(stimulus.grid))
        pixels = stimulus.pixel_index(*points.flatten(0, 1).T.numpy())
        inside = stimulus.cell_of.flatten()[torch.from_numpy(pixels.clip(0))]
        cells = torch.where(torch.from_numpy(pixels) < 0, -1, inside).view(points.shape[:2])
        if not (cells[:, 1:] >= 0).any():
            continue
        empty = False
        yield SeenImage(stimulus, torch.cat([points, batch["duration"][..., None]], dim=-1).float(), cells)
    if empty:
        raise DataError("the training images have no saccades: no path has a second fixation inside its image.")


def maximise(
    network: nn.Module,
    images: Sequence[SeenImage],
    log_likelihood: Callable[[SeenImage, np.random.Generator], Tensor],
    *,
    epochs: int,
    lr: float,
    batch: int,
    weight_decay: float = 0.0,
) -> None:
    """Fit the trainable parameters of a network, by AdamW under a one-cycle schedule.

    Args:
        network: Has them.
        images: What was seen.
        log_likelihood: Returns (n,) log-likelihoods of fixations on an image, of which it may draw a few.
        epochs: How often each image is taken.
        lr: Peak of the learning rate.
        batch: Images a step.
        weight_decay: As `torch.optim.AdamW` takes it.
    """
    generator = np.random.default_rng(0)
    steps = max(1, len(images) // batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * steps, pct_start=0.15)
    orders = [generator.permutation(len(images))[: steps * batch] for _ in range(epochs)]
    batches = [order[step * batch : (step + 1) * batch] for order in orders for step in range(steps)]
    for chosen in counted(batches, len(batches), "step"):
        values = torch.cat([log_likelihood(images[i], generator) for i in chosen])
        optimizer.zero_grad()
        loss: Tensor = -values.mean()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
