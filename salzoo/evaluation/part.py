"""A part of a split, scored for a quick look: which images, and how tables tell it."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from salzoo.data import FixationDataset, VideoDataset
from salzoo.errors import SpecError

D = TypeVar("D", FixationDataset, VideoDataset)


def spread(dataset: D, count: int | None) -> tuple[D, int | None]:
    """Return so many images (or videos) of a split, spread evenly over it, and how many it has.

    Args:
        dataset: One split of a dataset.
        count: How many, from 1; None for all.

    Returns:
        The part, in the order of the split, and the number of the whole; the split itself and None if that is all.
    """
    total = len(dataset)
    if count is None or count >= total:
        return dataset, None
    return dataset.only([dataset.names[i] for i in np.linspace(0, total - 1, count).round().astype(int)]), total


def how_many(count: int, part_of: int | None) -> str:
    """Return how many images were scored, in words.

    Example:
        >>> how_many(20, 100), how_many(100, None)
        ('20 of 100', '100')
    """
    return str(count) if part_of is None else f"{count} of {part_of}"


def require_whole(count: int, part_of: int | None) -> None:
    """Check that scores are of a whole split, as a checkpoint's config and card have them.

    Raises:
        SpecError: If they are of a part.
    """
    if part_of is not None:
        raise SpecError(
            f"scores of {how_many(count, part_of)} images are a quick look, and no numbers of a checkpoint: score all "
            "images of the split (without --images)."
        )
