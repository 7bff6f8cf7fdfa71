"""The fixations of a whole data set, from which ShuffledAUC takes its negatives."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from salzoo.errors import DataError
from salzoo.metrics._checks import fixation_counts


class FixationPool:
    """All fixations of a data set, to be had at any image size without those of the image itself.

    Fixations of images of other sizes are scaled to the image's size and truncated to pixels, as pysaliency does. The
    pool is made once, before predictions are scored: what it gives depends neither on the order of images nor on the
    number of processes.

    Args:
        maps: The fixation counts (H, W) of each image of the data set, once, in any order.

    Example:
        >>> maps = torch.tensor([[[1, 0, 0]], [[0, 2, 0]], [[0, 1, 1]]])
        >>> FixationPool(maps).others(maps[:1])
        tensor([[[0, 3, 1]]])
    """

    def __init__(self, maps: Iterable[Tensor]) -> None:
        columns = [torch.zeros(5, 0, dtype=torch.int64)]
        for counts in maps:
            y, x = fixation_counts(counts[None], "maps").view(counts.shape).cpu().nonzero(as_tuple=True)
            height, width = (torch.full_like(y, side) for side in counts.shape)
            columns.append(torch.stack([y, x, height, width, counts.cpu()[y, x].long()]))
        self._points = torch.cat(columns, 1)
        self._latest: dict[tuple[int, int], Tensor] = {}

    def counts(self, height: int, width: int) -> Tensor:
        """Return the counts (height, width) of all fixations at that size."""
        size = (height, width)
        if size not in self._latest:
            if len(self._latest) == 8:  # a data set may have hundreds of sizes
                del self._latest[next(iter(self._latest))]
            y, x, heights, widths, count = self._points
            y, x = (y * (height / heights.double())).long(), (x * (width / widths.double())).long()
            self._latest[size] = torch.zeros(size, dtype=torch.int32).index_put_((y, x), count.int(), accumulate=True)
        return self._latest[size]

    def others(self, fixations: Tensor) -> Tensor:
        """Return the counts (N, H, W) of the fixations in all images but the given one.

        Args:
            fixations: (N, H, W) counts of images that are in the pool.

        Raises:
            DataError: If the pool lacks fixations of an image: it was made from another data set.
        """
        rest = self.counts(*fixations.shape[1:]).to(fixations.device) - fixations
        if not rest.is_meta and rest.numel() and int(torch.aminmax(rest).min) < 0:
            raise DataError("the pool lacks fixations of this image; make it from the data set that is evaluated")
        return rest
