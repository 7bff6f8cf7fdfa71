"""Whether a density means what it says: is the region that holds 80 % of it looked at 80 % of the time?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from salzoo.data import FixationDataset, Item
from salzoo.errors import DataError

Floats = NDArray[np.float64]
LEVELS: Final = tuple(k / 20 for k in range(1, 20))
"""Shares of a density at which reliability is asked for."""


@dataclass(frozen=True)
class Reliability:
    """What densities expect of fixations, and what was measured.

    Args:
        looked_at: Share of the fixations within the smallest region that holds each of `LEVELS` of the density, a mean
            over images.
        expected_bits: Log-likelihood that a density gives its own samples, in bit over a uniform one, by image.
        measured_bits: Log-likelihood of the fixations, likewise.
    """

    looked_at: tuple[float, ...]
    expected_bits: tuple[float, ...]
    measured_bits: tuple[float, ...]

    @property
    def error(self) -> float:
        """Expected calibration error of mass: mean distance of `looked_at` from `LEVELS`, 0 to 1."""
        return float(np.abs(np.subtract(self.looked_at, LEVELS)).mean())


def reliability(predict: Callable[[int, Item], Tensor], dataset: FixationDataset) -> Reliability:
    """Measure how reliable densities are on the images of a split; images weigh alike, and fixations of one image.

    Args:
        predict: Index and item of an image to its (H, W) density, as `salzoo.evaluation.scoring.predictor` makes it.
        dataset: The split.

    Raises:
        DataError: If nobody looked at any of its images.
    """
    looked, expected, measured = [], [], []
    for index in range(len(dataset)):
        item = dataset[index]
        if not item["fixations"].any():
            continue
        density = predict(index, item).double()
        density = density / density.sum()
        looked.append(_within(density, item["fixations"]))
        bits = (density * density.numel()).log2()
        expected.append(float((density * bits).nansum()))  # a place of density 0 gives nothing
        counts = item["fixations"].double()
        measured.append(float(bits[counts > 0] @ counts[counts > 0] / counts.sum()))
    if not looked:
        raise DataError(f"{dataset.name} {dataset.split} has no fixations: reliability is about where people looked.")
    return Reliability(tuple(np.mean(looked, axis=0).tolist()), tuple(expected), tuple(measured))


def _within(density: Tensor, fixations: Tensor) -> Floats:
    """Return the share of the fixations within the densest region of each of `LEVELS`.

    Pixels of equal density have no order: a region that takes in a share of them has that share of their fixations.
    """
    values, group = np.unique(-density.flatten().numpy(), return_inverse=True)
    mass = np.bincount(group) * -values
    above = np.cumsum(mass) - mass
    counts = fixations.flatten().numpy()
    seen = np.bincount(group, counts) / counts.sum()
    known = seen > 0
    inside = (np.array(LEVELS)[:, None] - above[known]) / np.maximum(mass[known], 1e-300)
    return np.asarray(inside.clip(0, 1) @ seen[known])
