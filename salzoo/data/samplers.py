"""Which image goes to which process, in which order, and from when on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, DistributedSampler


class EpochSampler(DistributedSampler[Any]):
    """A `DistributedSampler` that hands the epoch on to its dataset, a `TrainingView` or `ConcatViews`.

    Lightning calls `set_epoch` on it before each epoch, also after a resume; a loop of your own calls
    `loader.sampler.set_epoch(epoch)`.
    """

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, on which the order and the augmentation depend."""
        super().set_epoch(epoch)
        self.dataset.set_epoch(epoch)  # type: ignore[attr-defined]


class LateLoader(DataLoader[Any]):
    """A `DataLoader` that starts when its first batch is asked for, not when its iterator is made.

    Lightning makes the iterator of a resumed run before it sets the epoch of the sampler; workers that started at once
    would prepare images in the order of another epoch.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator, which starts late
        """Yield batches."""
        yield from super().__iter__()


class UnpaddedSampler(DistributedSampler[Any]):
    """Every index in exactly one process: evaluation must not count an image twice, as padding to equal shares would.

    It is a `DistributedSampler` so that Lightning leaves it in place.
    """

    def __iter__(self) -> Iterator[int]:
        """Yield this process's share, in order."""
        return iter(range(self.rank, len(self.dataset), self.num_replicas))  # type: ignore[arg-type]

    def __len__(self) -> int:
        """Return the size of this process's share."""
        return len(range(self.rank, len(self.dataset), self.num_replicas))  # type: ignore[arg-type]
