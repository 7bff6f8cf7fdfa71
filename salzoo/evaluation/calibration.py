"""Whether a density means what it says: is the region that holds 80 % of it looked at 80 % of the time?

And the temperature with which it does: Guo, Pleiss, Sun & Weinberger, ICML 2017 (arXiv:1706.04599), Sec. 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from salzoo.data import FixationDataset, Item
from salzoo.errors import DataError

Floats = NDArray[np.float64]
BINS, LOWEST = 4096, -80.0
"""Values of a log density that `fit_temperature` tells apart in an image, and the least of them."""
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
    for density, item in _densities(predict, dataset):
        looked.append(_within(density, item["fixations"]))
        bits = (density * density.numel()).log2()
        expected.append(float((density * bits).nansum()))  # a place of density 0 gives nothing
        counts = item["fixations"].double()
        measured.append(float(bits[counts > 0] @ counts[counts > 0] / counts.sum()))
    return Reliability(tuple(np.mean(looked, axis=0).tolist()), tuple(expected), tuple(measured))


def fit_temperature(predict: Callable[[int, Item], Tensor], dataset: FixationDataset, *more: FixationDataset) -> float:
    """Return the temperature T of `SaliencyModel` with which densities p^(1 / T) make a split's fixations most likely.

    Images weigh alike, and fixations of one image. The likelihood has one maximum, which bisection finds to 0.1 %.

    Args:
        predict: As `reliability` takes it, of a model whose temperature is 1; of another, T is a factor to its own.
        dataset: The split; not the one that the result is judged by.
        more: Splits of other sets, for one T of all their images.

    Returns:
        T from 0.1 to 10; below 1 the model is not sure enough.

    Raises:
        DataError: If nobody looked at any of its images.
    """
    values, counts, looked = [], [], []
    for density, item in chain.from_iterable(_densities(predict, split) for split in (dataset, *more)):
        logs = density.log().clamp_min(LOWEST)
        fixations = item["fixations"].double()
        looked.append(float((logs * fixations).sum() / fixations.sum()))
        count, edges = np.histogram(logs.numpy(), BINS)
        counts.append(count)
        values.append((edges[1:] + edges[:-1]) / 2)
    value, count = np.stack(values), np.stack(counts)
    low, high = np.log(0.1), np.log(10)
    while high - low > 1e-3:
        middle = (low + high) / 2
        weight = count * np.exp((value - value.max(1, keepdims=True)) / np.exp(middle))
        expected = (weight * value).sum(1) / weight.sum(1)
        low, high = (low, middle) if np.mean(looked - expected) > 0 else (middle, high)  # looked at more: sharpen
    return float(np.exp((low + high) / 2))


def _densities(predict: Callable[[int, Item], Tensor], dataset: FixationDataset) -> Iterator[tuple[Tensor, Item]]:
    """Yield the normalised densities of the images that somebody looked at, of which there must be one."""
    empty = True
    for index in range(len(dataset)):
        item = dataset[index]
        if item["fixations"].any():
            density = predict(index, item).double()
            empty = False
            yield density / density.sum(), item
    if empty:
        raise DataError(f"{dataset.name} {dataset.split} has no fixations: this is about where people looked.")


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
