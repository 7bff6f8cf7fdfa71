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


class FixationsTypeError(SalzooError, TypeError, ValueError):
    """Fixations that are not integer counts; a TypeError, and a ValueError as it may be a blurred map."""


class Counts:
    """Checked counts of fixations.

    Args:
        fixations: (N, H, W), integer or boolean.
        name: Name of the argument in error texts.

    Raises:
        FixationsTypeError: If they are floating point: a blurred map gives a plausible, wrong score.
        ImageError: If a count is negative.
    """

    def __init__(self, fixations: Tensor, name: str = "fixations") -> None:
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
        if not _checks.on_cpu(self.flat) and any_true(self.flat < 0):  # on the CPU `pixels` sees it
            self._refuse_negative()

    @cached_property
    def pixels(self) -> list[tuple[Array, Array]]:
        """For each image the sorted flat indices of the fixated pixels and the counts there, on the CPU."""
        found = []
        for row in self.flat.cpu().numpy():
            index = nonzero(row)
            found.append((index, row[index]))
            if (row[index] < 0).any():
                self._refuse_negative()
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
