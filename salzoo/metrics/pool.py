"""The fixations of a whole dataset, from which ShuffledAUC takes its negatives."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from salzoo.metrics._checks import Array
from salzoo.metrics._fixations import Counts
from salzoo.metrics._maps import to_tensor


class FixationPool:
    """All fixations of a dataset, at any image size; ShuffledAUC takes those of the scored image away.

    Fixations of images of other sizes are scaled to the image's size and truncated to pixels, as pysaliency does. The
    pool is made once, before predictions are scored: what it gives depends neither on the order of images nor on the
    number of processes.

    Args:
        maps: The fixation counts (H, W) of each image of the dataset, once, in any order.

    Example:
        >>> maps = [torch.tensor([[1, 0, 0]]), torch.tensor([[0, 2, 0, 0, 0, 1]])]
        >>> FixationPool(maps).counts(1, 3)
        tensor([[3, 0, 1]])
    """

    def __init__(self, maps: Iterable[Tensor | ArrayLike]) -> None:
        columns = [torch.zeros(5, 0, dtype=torch.int64)]
        for each in maps:
            fixations = to_tensor("maps", each)
            ((index, count),) = Counts(fixations[None], "maps").pixels
            height, width = fixations.shape
            y, x, c = (torch.from_numpy(a.astype(np.int64)) for a in (index // width, index % width, count))
            columns.append(torch.stack([y, x, torch.full_like(y, height), torch.full_like(y, width), c]))
        self._points = torch.cat(columns, 1)
        self._latest: dict[tuple[int, int], tuple[Array, Array]] = {}

    def pixels(self, height: int, width: int) -> tuple[Array, Array]:
        """Return the sorted flat indices of all fixated pixels at that size, and the counts there in float64."""
        size = (height, width)
        if size not in self._latest:
            if len(self._latest) == 8:  # a dataset may have hundreds of sizes
                del self._latest[next(iter(self._latest))]
            y, x, heights, widths, count = self._points
            y, x = y * height // heights, x * width // widths  # whole numbers: 197 * (1 / 197) is below 1
            at, inverse = torch.unique(y * width + x, return_inverse=True)
            counts = torch.bincount(inverse, count, minlength=len(at))
            self._latest[size] = at.numpy(), counts.double().numpy()
        return self._latest[size]

    def counts(self, height: int, width: int) -> Tensor:
        """Return the counts (height, width) of all fixations at that size."""
        index, count = (torch.from_numpy(a) for a in self.pixels(height, width))
        return torch.zeros(height * width, dtype=torch.int64).index_copy_(0, index, count.long()).view(height, width)
