"""Integer counts of fixations, and the values of maps at the fixated pixels."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salzoo.errors import ImageError, SalzooError
from salzoo.metrics import _checks
from salzoo.metrics._checks import Array, any_true, check_batch

SMOOTH = 1 / 4
"""Sum of the differences between neighbours on a line, as a share of the sum, below which a map is a blurred one: of a
Gaussian of sigma pixels it is 0.8 / sigma, of chance counts over 0.25 even where 20 fixations fall into each pixel."""


class FixationsTypeError(SalzooError, TypeError, ValueError):
    """Fixations that are not integer counts; a TypeError, and a ValueError as it may be a blurred map."""


class Counts:
    """Checked counts of fixations.

    Args:
        fixations: (N, H, W), integer or boolean.
        name: Name of the argument in error texts.
        pooled: Whether they may be those of a whole dataset, of which every pixel may have many.

    Raises:
        FixationsTypeError: If they are floating point, or a blurred map in integers: it gives a plausible, wrong score.
        ImageError: If a count is negative.
    """

    def __init__(self, fixations: Tensor, name: str = "fixations", *, pooled: bool = False) -> None:
        check_batch(name, fixations)
        if fixations.is_floating_point() or fixations.is_complex():
            raise FixationsTypeError(
                f"{name} must hold integer counts, got {fixations.dtype}: it looks like a density. "
                "CC, SIM, KLDiv and EMD want the density; AUC, NSS and InfoGain want the fixations"
            )
        self.name = name
        self.size = (fixations.shape[1], fixations.shape[2])
        self.flat = fixations.flatten(1)
        if self.flat.dtype == torch.bool:
            self.flat = self.flat.to(torch.uint8)
        if self.flat.device.type == "mps":
            self.flat = self.flat.cpu()
        self.pooled = pooled
        if not _checks.on_cpu(self.flat):  # on the CPU `pixels` sees it
            if any_true(self.flat < 0):
                self._refuse_negative()
            pixels = self.flat.shape[1]
            if any_true((self.flat.sum(1) > pixels) & ((self.flat != 0).sum(1) > sparse(pixels))):
                self._refuse_blurred()

    @cached_property
    def pixels(self) -> list[tuple[Array, Array]]:
        """For each image the sorted flat indices of the fixated pixels and the counts there, on the CPU."""
        found = []
        for row in self.flat.cpu().numpy():
            index = nonzero(row)
            found.append((index, row[index]))
            if (row[index] < 0).any():
                self._refuse_negative()
            if len(index) > sparse(len(row)) and row.sum(dtype=np.int64) > len(row):
                self._refuse_blurred()
        return found

    def at(self, *maps: Tensor, repeats: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Take the values of maps (N, M) at the fixated pixels.

        Args:
            maps: Each (N, M).
            repeats: Weigh a pixel by its count; if false each fixated pixel weighs 1.

        Returns:
            Weights (N, K) in float64, 0 where an image has fewer than K fixated pixels, and the values of each map
            (N, K). On the CPU K is the largest number of fixated pixels; elsewhere K = M and nothing is gathered.
        """
        if not _checks.on_cpu(self.flat):
            return (self.flat if repeats else self.flat != 0).double(), maps
        width = max((len(index) for index, _ in self.pixels), default=0)
        index = np.zeros((len(self.pixels), max(width, 1)), np.int64)
        weights = np.zeros(index.shape)
        for i, (where, count) in enumerate(self.pixels):
            index[i, : len(where)] = where
            weights[i, : len(where)] = count if repeats else 1.0
        at = torch.from_numpy(index)
        return torch.from_numpy(weights), tuple(m.gather(1, at) for m in maps)

    def _refuse_negative(self) -> None:
        raise ImageError(f"{self.name} must hold counts, got negative ones, the smallest {int(self.flat.min())}")

    def _refuse_blurred(self) -> None:
        """Raise if neighbours on a line hardly differ: of counts that high they do, by chance alone."""
        if self.pooled:
            return
        for row in self.flat.cpu().numpy().astype(np.float64):
            number, fixated = row.sum(), np.count_nonzero(row)
            steps = np.abs(np.diff(row.reshape(self.size), axis=1)).sum()
            if fixated > sparse(len(row)) and number > len(row) and steps < SMOOTH * number:
                raise FixationsTypeError(
                    f"{self.name} must hold counts of fixations, got {number:.0f} smoothly spread over {fixated} of "
                    f"{len(row)} pixels: it looks like a blurred map. CC, SIM, KLDiv and EMD want that, as density; "
                    "AUC, NSS and InfoGain want the number of fixations in each pixel"
                )


def sparse(pixels: int) -> float:
    """Return up to how many fixated pixels counts are taken as they are; beyond, `SMOOTH` is looked at, too."""
    return max(pixels / 4, 64)  # in a few pixels smoothness is chance


def nonzero(row: Array) -> NDArray[np.intp]:
    """Indices of what is not 0; where that is very little, looking at 8 bytes at once takes half the time."""
    if row.nbytes % 8 or not row.flags.c_contiguous:
        return np.flatnonzero(row.astype(np.bool_))
    mask = row.view(np.uint64) != 0
    if np.count_nonzero(mask) * 16 > len(mask):
        return np.flatnonzero(row.astype(np.bool_))
    width = 8 // row.itemsize
    near = (np.flatnonzero(mask)[:, None] * width + np.arange(width)).ravel()
    return np.compress(row[near], near)
