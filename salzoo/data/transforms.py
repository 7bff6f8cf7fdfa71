"""Datasets as a network is trained on them: one size, augmented, the same in every run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset

from salzoo.data.base import FixationDataset, Item
from salzoo.data.fixations import Fixations
from salzoo.errors import SpecError
from salzoo.images.gaussian import gaussian_blur
from salzoo.images.geometry import PAD_GREY, Fit, Size, fit_box
from salzoo.images.resample import Resample, resize_image

BLUR_PX = 4.0
"""Largest standard deviation of the blur of an augmented image, in pixels of what the network sees."""


@dataclass(frozen=True)
class Augment:
    """Random changes of a training image, made to its fixations as well.

    Args:
        flip: Probability of mirroring left to right.
        crop: Largest share of the height, and independently of the width, that is cut off. A crop that would lose every
            fixation is not made.
        grey: Probability of losing the colours (luma of BT.601).
        blur: Probability of losing sharpness, by a Gaussian of up to `BLUR_PX`; people are assumed to look at the same
            places, which they nearly do (Judd, Durand & Torralba, JoV 2011).

    Raises:
        SpecError: If `crop` is outside [0, 1) or another outside [0, 1].
    """

    flip: float = 0.5
    crop: float = 0.0
    grey: float = 0.0
    blur: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        shares = all(0 <= share <= 1 for share in (self.flip, self.grey, self.blur))
        if not (shares and 0 <= self.crop < 1):
            raise SpecError(f"flip, grey and blur must be in [0, 1] and crop in [0, 1), got {self}")

    def worsen(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Take colours or sharpness away, by chance.

        Args:
            image: (..., 3, h, w) uint8 RGB at the network's size; several are worsened alike.
            rng: Source of the chance; without `grey` and `blur` nothing is drawn.
        """
        if self.grey and rng.random() < self.grey:
            from kornia.color import rgb_to_grayscale  # slow to import, and what predicts needs none

            image = (rgb_to_grayscale(image / 255) * 255).round().to(torch.uint8).expand_as(image).contiguous()
        if self.blur and rng.random() < self.blur:
            sigma = float(rng.uniform(0.2, BLUR_PX))
            side = 2 * min(math.ceil(3 * sigma), min(_size(image)) - 1) + 1
            blurred = gaussian_blur(image.flatten(0, -4).float(), (side, side), sigma)
            image = blurred.round().to(torch.uint8).view_as(image)
        return image


class SharedEpoch:
    """The epoch of a dataset of random items, in shared memory: a loader keeps its worker processes between epochs."""

    def __init__(self) -> None:
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Share the epoch again, which a copy does not."""
        self.__dict__.update(state)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Draw the random numbers of this epoch from now on, also in worker processes that are running already."""
        self._epoch.fill_(epoch)


class TrainingView(SharedEpoch, Dataset[Item]):
    """A dataset resized to one size and augmented; its items have one shape, so any `DataLoader` can stack them.

    The random numbers of an item depend on the seed, the epoch and the index only, so workers, the number of devices
    and a resumed run change nothing. `set_epoch` before each epoch gives new ones. Maps are made after the geometry,
    from the moved points: no fixation is lost, doubled or blurred by resampling, and the density's mass is 1 at every
    size.

    Args:
        dataset: Where images and fixations come from.
        size: (height, width) of what is returned.
        fit: `squash` or `pad`, as in `fit_box`; padding has no fixations and no density.
        augment: Random changes; None for none.
        seed: Seed of the random numbers.
        resample: How images are resized, as in `resize_image`.
        pad_value: Grey of the padding, from 0 to 255.

    Raises:
        DataError: If the fixations of the split are not public.
    """

    def __init__(
        self,
        dataset: FixationDataset,
        size: Size,
        fit: Fit = "squash",
        augment: Augment | None = None,
        seed: int = 0,
        *,
        resample: Resample = "antialiased",
        pad_value: int = PAD_GREY,
    ) -> None:
        dataset.require_fixations()
        self.dataset, self.size, self.fit, self.augment, self.seed = dataset, size, fit, augment, seed
        self.resample, self.pad_value = resample, pad_value
        super().__init__()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> Item:
        """Return image and maps at `size`."""
        index = range(len(self))[index]  # from the end if negative; an IndexError, which ends a for loop, beyond it
        image, points = self.dataset.image(index), self.dataset.fixations(index)
        sigma = self.dataset.sigma(_size(image))  # of the whole image: a crop enlarges its blur with its content
        flip = False
        if self.augment is not None:
            rng = np.random.default_rng((self.seed, int(self._epoch), index))
            flip = bool(rng.random() < self.augment.flip)
            image, points = _crop(image, points, self.augment.crop, rng)
        old = _size(image)
        top, left, *box = fit_box(old, self.size, self.fit)
        new = (box[0], box[1])
        image = resize_image(image[None], new, self.resample)[0]
        points = points.resized(old, new)
        if self.augment is not None:
            image = self.augment.worsen(image[None], rng)[0]
        if flip:
            image, points = image.flip(-1), points.flipped(new[1])
        density = points.density(new, (sigma * new[0] / old[0], sigma * new[1] / old[1]))
        margins = (left, self.size[1] - left - new[1], top, self.size[0] - top - new[0])
        return Item(
            image=F.pad(image, margins, value=self.pad_value),
            fixations=F.pad(points.counts(new), margins),
            density=F.pad(density, margins),
            name=self.dataset.names[index],
        )


class EpochDataset(Protocol):
    """Items by index that may change from epoch to epoch, as those of a `TrainingView`."""

    def set_epoch(self, epoch: int) -> None:
        """Give the items of this epoch from now on."""

    def __len__(self) -> int:
        """Return the number of items."""

    def __getitem__(self, index: int, /) -> Item:
        """Return one item."""


class ConcatViews(ConcatDataset[Item]):
    """Several `TrainingView`s in a row.

    Args:
        views: The views.
    """

    def __init__(self, views: Sequence[EpochDataset]) -> None:
        super().__init__(views)  # type: ignore[arg-type]  # torch asks for its own class
        self.views = views

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of each view."""
        for view in self.views:
            view.set_epoch(epoch)


def _size(image: Tensor) -> Size:
    return image.shape[-2], image.shape[-1]


def _crop(image: Tensor, points: Fixations, share: float, rng: np.random.Generator) -> tuple[Tensor, Fixations]:
    """Cut up to `share` of each side off, at a random place."""
    height, width = _size(image)
    cut = (rng.random(2) * share * (height, width)).astype(int)
    top, left = rng.integers(cut + 1)
    size = int(height - cut[0]), int(width - cut[1])
    kept = points.cropped(int(top), int(left), size)
    if len(points) and not len(kept):
        return image, points
    return image[:, top : top + size[0], left : left + size[1]], kept
