"""Draws from densities that do not depend on what is drawn beside them, nor on the order of a sum."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salzoo.components.stimulus import Stimulus

_UNIT = 2.0**40
"""Probabilities are rounded to whole multiples of its inverse, whose sums are exact in any order."""
_HALF = 2.0**26
"""A random number's first 26 bits choose the row of a cell, the other 27 its column."""


class Draws:
    """Random numbers of several paths: those of each path depend on the seed and the path's number alone.

    Args:
        seed: Of all of them.
        samples: Number of paths.
        steps: Number of fixations of each.
    """

    def __init__(self, seed: int, samples: int, steps: int) -> None:
        streams = [np.random.default_rng([seed, number]).random((steps, 3)) for number in range(samples)]
        self._uniform = np.stack(streams)

    def of(self, step: int) -> NDArray[np.float64]:
        """Return those of one step, (samples, 3) in [0, 1): for the cell, the pixel in it and the duration."""
        return self._uniform[:, step]


def draw_cells(log_probability: Tensor, uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw one cell from each of B distributions: its row, then its column, by inverting cumulative sums.

    Where probabilities differ in their last digits, as another machine computes them, a draw near the border of two
    cells may fall into the other one. Rows and columns have a few dozens of borders, all cells would have thousands.

    Args:
        log_probability: (B, rows, columns).
        uniform: (B,) in [0, 1).

    Returns:
        (B,) numbers of the cells, row by row.
    """
    parts = (log_probability.double().cpu().exp() * _UNIT).round().to(torch.int64)
    rest, first = np.modf(uniform * _HALF)
    row = _invert(parts.sum(2), first / _HALF)
    column = _invert(parts[torch.arange(len(parts)), row], rest)
    return (row * parts.shape[2] + column).numpy()


def _invert(parts: Tensor, uniform: NDArray[np.float64]) -> Tensor:
    """Return which of (B, n) parts the share `uniform` (B,) of their sum falls into."""
    sums = parts.cumsum(1)
    wanted = (torch.from_numpy(uniform) * sums[:, -1]).floor().to(torch.int64)
    return torch.searchsorted(sums, wanted[:, None], right=True)[:, 0]


def best_of(log_probability: Tensor, value: Tensor, candidates: int) -> Tensor:
    """Return the distribution of the best of several draws.

    That of all values up to one is a power of their cumulative probability; no draw is made.

    Args:
        log_probability: (B, rows, columns) of one draw; its exp sums to 1.
        value: (rows, columns) by which the best is chosen; of equal ones, the later cell.
        candidates: Number of draws.

    Returns:
        (B, rows, columns) float64 log probabilities.
    """
    order = value.flatten().argsort(stable=True)
    below = log_probability.flatten(1)[:, order].double().exp().cumsum(1)
    upto = torch.nn.functional.pad((below / below[:, -1:]) ** candidates, (1, 0))
    found = torch.empty_like(below)
    found[:, order] = upto.diff(dim=1).clamp_min(1e-300).log()
    return found.view(log_probability.shape)


def draw_pixels(stimulus: Stimulus, cells: NDArray[np.int64], uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw one pixel of each of (B,) cells by the static density, and return (B, 2) x and y."""
    order, first, sums = stimulus.by_cell
    low, high = sums[first[cells]], sums[first[cells + 1]]
    wanted = low + np.floor(uniform * (high - low)).astype(np.int64)
    pixel = order[np.searchsorted(sums, wanted, side="right") - 1]
    y, x = np.divmod(pixel, stimulus.size[1])
    return np.stack([x, y], axis=1).astype(np.float64)
