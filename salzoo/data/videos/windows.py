"""Clips as windows of frames: items that a `DataLoader` makes batches of."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from salzoo.data.fixations import Fixations
from salzoo.data.transforms import Augment, SharedEpoch
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


class ClipView(SharedEpoch, Dataset[ClipItem]):
    """Windows of clips as a network is trained on them: one size, at random places, the same in every run.

    As `TrainingView` for images: what is random depends on the seed, the epoch and the index alone, and all frames of a
    window are changed alike. Maps are made after the geometry, from the moved points, unless densities are maps.

    Args:
        dataset: Where clips come from.
        size: (height, width) of what is returned; None for the clips' own sizes.
        length: Frames in a window.
        every: Take every so manyth frame.
        windows: Windows of each clip in an epoch.
        fit: `squash` or `pad`.
        augment: Random changes, with a `size` alone; None for none, and windows evenly spread instead of at random.
        seed: Seed of the random numbers.
        resample: How frames are resized.
        pad_value: Grey of the padding, from 0 to 255.

    Raises:
        DataError: If the fixations of the split are not public.
        SpecError: If a number is below 1.
    """

    def __init__(
        self,
        dataset: VideoDataset,
        size: Size | None,
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
        if min(length, every, windows) < 1:
            raise SpecError(f"length={length}, every={every}, windows={windows} are not accepted: at least 1")
        self.dataset, self.size, self.length, self.every, self.windows = dataset, size, length, every, windows
        self.fit, self.augment, self.seed, self.resample, self.pad_value = fit, augment, seed, resample, pad_value
        super().__init__()

    def __len__(self) -> int:
        """Return the number of windows in an epoch."""
        return len(self.dataset) * self.windows

    def __getitem__(self, index: int) -> ClipItem:
        """Return a window at `size`."""
        index = range(len(self))[index]
        clip, number = index % len(self.dataset), index // len(self.dataset)
        last = max(len(self.dataset.clip(clip)) - (self.length - 1) * self.every - 1, 0)
        if self.augment is None or self.size is None:
            return self._fitted(clip, round(last * (number + 0.5) / self.windows), None)
        rng = np.random.default_rng((self.seed, int(self._epoch), index))
        return self._fitted(clip, int(rng.integers(last + 1)), rng)

    def _fitted(self, clip: int, first: int, rng: np.random.Generator | None) -> ClipItem:
        """Return a window, cropped, resized and flipped as a whole."""
        item = self.dataset.window(clip, first, self.length, self.every)
        if self.size is None:
            return item
        image, given = item["image"], item["density"]
        points = [self.dataset.fixations(clip, n) for n in self._numbers(clip, first)]
        sigma = self.dataset.sigma(_size(image))  # of the whole frame: a crop enlarges its blur with its content
        flip = False
        if rng is not None and self.augment is not None:
            flip = bool(rng.random() < self.augment.flip)
            image, points, given = _crop(image, points, given, self.augment.crop, rng)
        old = _size(image)
        top, left, *box = fit_box(old, self.size, self.fit)
        new = (box[0], box[1])
        image = resize_image(image, new, self.resample)
        if rng is not None and self.augment is not None:
            image = self.augment.worsen(image, rng)
        blur = (sigma * new[0] / old[0], sigma * new[1] / old[1])
        moved = [each.resized(old, new) for each in points]
        if self.dataset.has_maps:
            density = F.interpolate(given[:, None], new, mode="area")[:, 0]
            density = density / density.sum((-2, -1), keepdim=True).clamp_min(1e-20)
        else:
            density = torch.stack([each.density(new, blur) for each in moved])
        counts = torch.stack([each.counts(new) for each in moved])
        if flip:
            image, counts, density = image.flip(-1), counts.flip(-1), density.flip(-1)
        margins = (left, self.size[1] - left - new[1], top, self.size[0] - top - new[0])
        return ClipItem(
            image=F.pad(image, margins, value=self.pad_value),
            fixations=F.pad(counts, margins),
            density=F.pad(density, margins),
            time_s=item["time_s"],
            name=item["name"],
            first=first,
        )

    def _numbers(self, clip: int, first: int) -> list[int]:
        """Return the numbers of a window's frames; the last one is repeated where the clip ends."""
        last = (len(self.dataset.clip(clip)) - 1 - first) // self.every
        return [first + min(i, last) * self.every for i in range(self.length)]


def _size(image: Tensor) -> Size:
    return image.shape[-2], image.shape[-1]


def _crop(
    image: Tensor, points: list[Fixations], density: Tensor, share: float, rng: np.random.Generator
) -> tuple[Tensor, list[Fixations], Tensor]:
    """Cut up to `share` of each side off, at a random place, unless that would lose every fixation of a frame."""
    height, width = _size(image)
    cut = (rng.random(2) * share * (height, width)).astype(int)
    top, left = (int(each) for each in rng.integers(cut + 1))
    size = int(height - cut[0]), int(width - cut[1])
    kept = [each.cropped(top, left, size) for each in points]
    if any(len(before) and not len(after) for before, after in zip(points, kept, strict=True)):
        return image, points, density
    box = (..., slice(top, top + size[0]), slice(left, left + size[1]))
    return image[box], kept, density[box]
