"""Which picture goes to which process, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import ConcatDataset, DistributedSampler

from salzoo.data.base import Item


class EpochSampler(DistributedSampler[Any]):
    """A `DistributedSampler` that yields (epoch, index), so that a `TrainingView` can draw its random numbers.

    Lightning calls `set_epoch` on it before each epoch, also after a resume.
    """

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield this process's share of the epoch."""
        return ((self.epoch, index) for index in super().__iter__())


class UnpaddedSampler(DistributedSampler[Any]):
    """Every index in exactly one process: evaluation must not count a picture twice, as padding to equal shares would.

    It is a `DistributedSampler` for Lightning to leave it in place.
    """

    def __iter__(self) -> Iterator[int]:
        """Yield this process's share, in order."""
        return iter(range(self.rank, len(self.dataset), self.num_replicas))  # type: ignore[arg-type]

    def __len__(self) -> int:
        """Return the size of this process's share."""
        return len(range(self.rank, len(self.dataset), self.num_replicas))  # type: ignore[arg-type]


class EpochConcat(ConcatDataset[Item]):
    """Several `TrainingView`s in a row, indexed by (epoch, index)."""

    def __getitem__(self, epoch_index: tuple[int, int]) -> Item:
        """Return the item of the view that the index falls into."""
        epoch, index = epoch_index
        for view, end in zip(self.datasets, self.cumulative_sizes, strict=True):
            if index < end:
                return view[epoch, index - end + len(view)]  # type: ignore[arg-type]
        raise IndexError(f"index {index} in {self.cumulative_sizes[-1]} pictures")
