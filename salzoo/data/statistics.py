"""What a new network is fitted to before training: points and images of the training split, from any loader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from salzoo.data.base import Item
from salzoo.data.fixations import Fixations
from salzoo.errors import DataError
from salzoo.images.geometry import Size

BATCH = (
    "salzoo trains on mappings with image (N, 3, h, w), fixations (N, h, w) integer counts and density (N, h, w) that "
    "sums to 1; of clips, (N, T, 3, h, w) and (N, T, h, w)"
)
"""What a training batch is, for messages."""


@runtime_checkable
class TrainingStatistics(Protocol):
    """What `SaliencyModel.fit_statistics` looks at: `SaliencyDataModule`, or any loader by `LoaderStatistics`."""

    def train_points(self) -> Iterator[tuple[Fixations, Size]]:
        """Yield the fixations and the (height, width) of each training image."""

    def train_items(self, images: int) -> Iterator[Item]:
        """Yield up to so many training images with their ground truth, not augmented."""

    def sample_images(self, images: int) -> Iterator[Tensor]:
        """Yield up to so many training images in batches (n, 3, h, w), as `SaliencyModel.forward` takes them."""


class LoaderStatistics:
    """Training statistics of a loader that knows nothing of salzoo: a plain `DataLoader`, or a user's data module.

    Args:
        loader: Yields batches: a mapping with `image` (N, 3, h, w), `fixations` (N, h, w) integer counts and `density`
            (N, h, w). It is run through a few times, augmentation and all.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self.loader = loader

    def train_points(self) -> Iterator[tuple[Fixations, Size]]:
        """Yield the fixations and the (height, width) of each training image."""
        for batch in self.loader:
            check_batch(batch, values=False)
            for counts in frames_of(batch)["fixations"]:
                rows, columns = counts.cpu().clamp_min(0).nonzero(as_tuple=True)
                each = counts[rows, columns].cpu().long().numpy()
                y, x = (np.repeat(axis.numpy(), each) for axis in (rows, columns))
                yield Fixations(x, y, np.zeros(len(x), dtype=np.int64)), (counts.shape[-2], counts.shape[-1])

    def train_items(self, images: int) -> Iterator[Item]:
        """Yield up to so many training images with their ground truth."""
        return islice(self._items(), images)

    def sample_images(self, images: int) -> Iterator[Tensor]:
        """Yield batches of training images until there are so many."""
        seen = 0
        for batch in self.loader:
            if seen >= images:
                return
            image = column(batch, "image").flatten(0, -4)
            seen += len(image)
            yield image

    def _items(self) -> Iterator[Item]:
        for batch in map(frames_of, self.loader):
            names = batch.get("name", [""] * len(column(batch, "image")))
            columns = (column(batch, key) for key in ("image", "fixations", "density"))
            for image, fixations, density, name in zip(*columns, names, strict=True):
                yield Item(image=image, fixations=fixations, density=density, name=name)


def frames_of(batch: Any, last: int | None = None) -> Any:
    """Return the frames of a batch of clips as one of images, those without a fixation left out; of images, itself.

    Args:
        batch: With `image` (N, T, 3, h, w), `fixations` and `density` (N, T, h, w).
        last: Take only so many frames at the end of each clip.
    """
    image = column(batch, "image")
    if image.ndim != 5:
        return batch
    parts = {key: column(batch, key)[:, -(last or 0) :].flatten(0, 1) for key in ("image", "fixations", "density")}
    seen = parts["density"].sum((-2, -1)) > 0
    names = [name for name in batch.get("name", [""] * len(image)) for _ in range(last or image.shape[1])]
    told = [name for name, one in zip(names, seen.tolist(), strict=True) if one]
    return {key: part[seen] for key, part in parts.items()} | {"name": told, "seen": seen}


def check_batch(batch: Any, *, values: bool) -> None:
    """Refuse a training batch that no loss understands.

    Args:
        batch: As a loader gives it.
        values: Look at the numbers too, which on a GPU waits for them.

    Raises:
        DataError: Naming what is wrong, and what a batch is.
    """
    image, fixations, density = (column(batch, key) for key in ("image", "fixations", "density"))
    wanted = (*image.shape[:-3], *image.shape[-2:])
    for name, maps in (("fixations", fixations), ("density", density)):
        if tuple(maps.shape) != wanted:
            raise DataError(f"{name} of a batch are {tuple(maps.shape)}, beside images {tuple(image.shape)}: {BATCH}.")
    if fixations.is_floating_point() or fixations.dtype == torch.bool or not density.is_floating_point():
        raise DataError(f"fixations of a batch are {fixations.dtype}, density is {density.dtype}: {BATCH}.")
    if values and not bool(torch.isfinite(density).all()):
        raise DataError(f"a density of a batch is not finite: {BATCH}.")
    if values and density.numel() and float((density.sum((-2, -1)) - 1).abs().min()) > 0.01:
        raise DataError(f"no density of a batch sums to 1, the first to {float(density[0].sum()):.3g}: {BATCH}.")
    if values and not bool((fixations != 0).any()):
        raise DataError(f"a batch has no fixation at all: {BATCH}.")


def column(batch: Any, key: str) -> Any:
    """Return one part of a batch.

    Raises:
        DataError: If the batch is no mapping that has it; the message says what a batch is.
    """
    try:
        return batch[key]
    except (KeyError, TypeError, IndexError) as error:
        got = f"keys {sorted(batch)}" if isinstance(batch, dict) else type(batch).__name__
        raise DataError(f"a batch has no {key!r}, it is {got}: {BATCH}.") from error
