"""Fixations in their order, as items and batches for a `DataLoader`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from salzoo.data.base import FixationDataset
from salzoo.images.scanpath import Scanpath


class ScanpathItem(TypedDict):
    """One image and the scanpaths of all its observers."""

    image: Tensor  # (3, H, W) uint8, RGB
    scanpaths: list[Scanpath]  # one an observer
    name: str


class ScanpathBatch(TypedDict):
    """The N scanpaths on several images; what a shorter path does not have is NaN."""

    image: list[Tensor]  # (3, H, W) uint8 RGB each, at its own size
    name: list[str]
    of_image: Tensor  # (N,) int64, which of the images each path is on
    points: Tensor  # (N, T, 2) float64, x and y in pixels of that image
    duration: Tensor  # (N, T) float64, ms; NaN throughout if the dataset has none
    onset: Tensor  # likewise: when each fixation began, from where the dataset counts
    length: Tensor  # (N,) int64, number of fixations


class ScanpathDataset(Dataset[ScanpathItem]):
    """The scanpaths of a dataset that keeps the order of fixations, image by image.

    Args:
        dataset: Any dataset with `has_order`, as `OSIE(root)`.

    Raises:
        DataError: If it does not keep the order.

    Example:
        >>> loader = DataLoader(ScanpathDataset(OSIE("data")), 4, collate_fn=collate_scanpaths)  # doctest: +SKIP
    """

    def __init__(self, dataset: FixationDataset) -> None:
        dataset.require_order()
        self.dataset = dataset

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> ScanpathItem:
        """Return an image and its scanpaths."""
        paths = self.dataset.scanpaths(index)
        return ScanpathItem(image=self.dataset.image(index), scanpaths=paths, name=self.dataset.names[index])


def collate_scanpaths(items: Sequence[ScanpathItem]) -> ScanpathBatch:
    """Make a batch of items: images stay lists, as they differ in size; all paths are padded to the longest."""
    paths = [path for item in items for path in item["scanpaths"]]
    longest = max(map(len, paths), default=0)
    padded = np.full((len(paths), longest, 4), np.nan)
    for row, path in zip(padded, paths, strict=True):
        for place, column in enumerate((path.x, path.y, path.duration, path.onset)):
            if column is not None:
                row[: len(path), place] = column
    of_image = [number for number, item in enumerate(items) for _ in item["scanpaths"]]
    return ScanpathBatch(
        image=[item["image"] for item in items],
        name=[item["name"] for item in items],
        of_image=torch.tensor(of_image, dtype=torch.int64),
        points=torch.from_numpy(padded[..., :2].copy()),
        duration=torch.from_numpy(padded[..., 2].copy()),
        onset=torch.from_numpy(padded[..., 3].copy()),
        length=torch.tensor([len(path) for path in paths], dtype=torch.int64),
    )
