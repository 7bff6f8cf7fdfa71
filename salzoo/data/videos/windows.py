"""Clips as windows of frames: items that a `DataLoader` makes batches of."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from salzoo.data.transforms import Augment
from salzoo.data.videos.base import ClipItem, VideoDataset
from salzoo.errors import SpecError
from salzoo.images.geometry import PAD_GREY, Fit, Size, fit_box
from salzoo.images.resample import Resample, resize_image


class ClipWindows(Dataset[ClipItem]):
    """All windows of the clips of a dataset, one after the other, at the clips' own sizes.

    Items of clips of one size can be stacked by any `DataLoader`; `ClipView` has all at one size.

    Args:
        dataset: Any dataset of videos, as `DHF1K(root)`.
        length: Frames in a window. The last frame of a clip that ends before is repeated, with its truth.
        every: Take every so manyth frame.
        stride: Frames from the beginning of a window to that of the next; by default windows do not overlap.

    Raises:
        SpecError: If a number is below 1.

    Example:
        >>> loader = DataLoader(ClipWindows(DHF1K("data"), length=16), batch_size=2)  # doctest: +SKIP
    """

    def __init__(self, dataset: VideoDataset, length: int = 16, every: int = 1, stride: int | None = None) -> None:
        step = length * every if stride is None else stride
        if min(length, every, step) < 1:
            raise SpecError(f"length={length}, every={every} and stride={stride} are not accepted: at least 1")
        self.dataset, self.length, self.every = dataset, length, every
        self._places = [
            (index, first) for index in range(len(dataset)) for first in range(0, len(dataset.clip(index)), step)
        ]

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self._places)

    def __getitem__(self, index: int) -> ClipItem:
        """Return a window."""
        clip, first = self._places[index]
        return self.dataset.window(clip, first, self.length, self.every)


class ClipView(Dataset[ClipItem]):
    """Windows of clips as a network is trained on them: one size, at random places, the same in every run.

    As `TrainingView` for images: what is random depends on the seed, the epoch and the index alone, and all frames of a
    window are changed alike. Maps are made after the geometry, from the moved points, unless densities are maps.

    Args:
        dataset: Where clips come from.
        size: (height, width) of what is returned.
        length: Frames in a window.
        every: Take every so manyth frame.
        windows: Windows of each clip in an epoch.
        fit: `squash` or `pad`.
        augment: Of which `flip` is used; None for none. None also takes windows evenly spread instead of at random.
        seed: Seed of the random numbers.
        resample: How frames are resized.
        pad_value: Grey of the padding, from 0 to 255.

    Raises:
        DataError: If the fixations of the split are not public.
        SpecError: If a number is below 1, or a crop is wanted.
    """

    def __init__(
        self,
        dataset: VideoDataset,
        size: Size,
        length: int = 16,
        every: int = 1,
        windows: int = 1,
        *,
        fit: Fit = "squash",
        augment: Augment | None = None,
        seed: int = 0,
        resample: Resample = "antialiased",
        pad_value: int = PAD_GREY,
    ) -> None:
        dataset.require_fixations()
        if min(length, every, windows) < 1 or (augment is not None and augment.crop):
            raise SpecError(
                f"length={length}, every={every}, windows={windows} and augment={augment} are not accepted: numbers "
                "from 1, and no crop of clips"
            )
        self.dataset, self.size, self.length, self.every, self.windows = dataset, size, length, every, windows
        self.fit, self.augment, self.seed, self.resample, self.pad_value = fit, augment, seed, resample, pad_value
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Share the epoch again, which a copy does not."""
        self.__dict__.update(state)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Draw the random numbers of this epoch from now on, also in worker processes that are running already."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """Return the number of windows in an epoch."""
        return len(self.dataset) * self.windows

    def __getitem__(self, index: int) -> ClipItem:
        """Return a window at `size`."""
        index = range(len(self))[index]
        clip, number = index % len(self.dataset), index // len(self.dataset)
        last = max(len(self.dataset.clip(clip)) - (self.length - 1) * self.every - 1, 0)
        if self.augment is None:
            first, flip = round(last * (number + 0.5) / self.windows), False
        else:
            rng = np.random.default_rng((self.seed, int(self._epoch), index))
            first, flip = int(rng.integers(last + 1)), bool(rng.random() < self.augment.flip)
        item = self.dataset.window(clip, first, self.length, self.every)
        return self._fitted(item, clip, flip=flip)

    def _fitted(self, item: ClipItem, clip: int, *, flip: bool) -> ClipItem:
        """Bring a window to `size`."""
        old: Size = (item["image"].shape[-2], item["image"].shape[-1])
        top, left, *box = fit_box(old, self.size, self.fit)
        new = (box[0], box[1])
        image = resize_image(item["image"], new, self.resample)
        counts = torch.stack([_moved(each, new) for each in item["fixations"]])
        density = self._densities(item, clip, old, new)
        if flip:
            image, counts, density = image.flip(-1), counts.flip(-1), density.flip(-1)
        margins = (left, self.size[1] - left - new[1], top, self.size[0] - top - new[0])
        return ClipItem(
            image=F.pad(image, margins, value=self.pad_value),
            fixations=F.pad(counts, margins),
            density=F.pad(density, margins),
            time_s=item["time_s"],
            name=item["name"],
            first=item["first"],
        )

    def _densities(self, item: ClipItem, clip: int, old: Size, new: Size) -> Tensor:
        """Return (T, h, w): maps that come with the dataset by area, others blurred anew from the points."""
        if self.dataset.has_maps:
            small = F.interpolate(item["density"][:, None], new, mode="area")[:, 0]
            return small / small.sum((-2, -1), keepdim=True).clamp_min(1e-20)
        sigma = self.dataset.sigma(old)
        blur = (sigma * new[0] / old[0], sigma * new[1] / old[1])
        numbers = [item["first"] + i * self.every for i in range(self.length)]
        last = len(self.dataset.clip(clip)) - 1
        kept = [n if n <= last else numbers[0] + (last - numbers[0]) // self.every * self.every for n in numbers]
        found = {n: self.dataset.fixations(clip, n).resized(old, new).density(new, blur) for n in dict.fromkeys(kept)}
        return torch.stack([found[n] for n in kept])


def _moved(counts: Tensor, new: Size) -> Tensor:
    """Move counts to the pixels of another size; none is lost."""
    y, x = counts.nonzero(as_tuple=True)
    found = torch.zeros(new, dtype=counts.dtype)
    at = ((2 * y + 1) * new[0] // (2 * counts.shape[0]), (2 * x + 1) * new[1] // (2 * counts.shape[1]))
    return found.index_put_(at, counts[y, x], accumulate=True)
