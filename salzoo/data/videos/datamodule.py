"""One or several datasets of videos, fed to a Lightning trainer as windows of frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader

from salzoo.data.base import Item, Split
from salzoo.data.datamodule import SaliencyDataModule, collate
from salzoo.data.fixations import Fixations
from salzoo.data.registry import load_video_dataset
from salzoo.data.samplers import UnpaddedSampler
from salzoo.data.transforms import Augment, ConcatViews
from salzoo.data.videos.base import VideoDataset
from salzoo.data.videos.windows import ClipView
from salzoo.errors import SpecError
from salzoo.images.geometry import Fit, Size


class VideoDataModule(SaliencyDataModule):
    """Feeds one dataset of videos, or several mixed, to a trainer or to a loop of your own.

    Training batches are stacked: `image` (N, T, 3, h, w) uint8, `fixations` (N, T, h, w) int32, `density`
    (N, T, h, w) float32. A model that remembers sees the frames of a window in their order; of any other, each frame is
    an image. Frames in which nobody fixates are shown to it, and not trained on. Batches to validate and test are
    lists of windows, (T, 3, H, W) each, at the clips' own sizes.

    Args:
        sets: Names of datasets of videos, as a list or separated by commas (`salzoo.data.list_video_datasets`).
        root: The folder that holds them; for a single one also its own folder.
        batch_size: Windows in a training batch, on each device.
        eval_batch_size: Windows in a batch of validation and test.
        length: Frames in a window.
        every: Take every so manyth frame.
        windows: Windows of each clip in an epoch, at random places; to validate and test, evenly spread.
        augment: Random changes of the training windows, alike in all their frames; None for none.
        num_workers: Processes that prepare windows; 0 does it in the main one.
        seed: Seed of the order and places of windows and of their augmentation.
        size: (height, width) of training frames, instead of the model's own.
        fit: How frames are brought to that size, instead of the model's own.
        sigma_px: Standard deviation of the blur of the densities, in pixels of the frames.
        pixels_per_degree: Blurs by one degree of visual angle instead.

    Raises:
        SpecError: If a dataset is unknown or named twice.
        DatasetNotFoundError: If a dataset is not there, when it is first needed.
    """

    def __init__(
        self,
        sets: list[str] | str = "videos",
        root: str | Path = "data",
        batch_size: int = 2,
        eval_batch_size: int = 1,
        length: int = 8,
        every: int = 1,
        windows: int = 1,
        augment: Augment | None = Augment(),
        num_workers: int = 0,
        seed: int = 0,
        size: Size | None = None,
        fit: Fit | None = None,
        sigma_px: float | None = None,
        pixels_per_degree: float | None = None,
    ) -> None:
        super().__init__(
            sets, root, batch_size, eval_batch_size, augment, num_workers, seed, size, fit, sigma_px, pixels_per_degree
        )
        self.length, self.every, self.windows = length, every, windows

    def datasets(self, split: Split) -> list[VideoDataset]:  # type: ignore[override]  # clips in place of images
        """Return one split of each dataset."""
        found = [
            load_video_dataset(name, self.root, split, sigma_px=self.sigma_px, pixels_per_degree=self.pixels_per_degree)
            for name in self.sets
        ]
        if len({dataset.root for dataset in found}) < len(found):
            raise SpecError(
                f"root must be the folder that holds {', '.join(self.sets)}, not that of one; got {self.root}"
            )
        return found

    def train_points(self) -> Iterator[tuple[Fixations, Size]]:
        """Yield the fixations and the (height, width) of some frames of each training clip."""
        for dataset in self.datasets("train"):
            for index in range(len(dataset)):
                size = dataset.clip(index).size
                for points in dataset.sample_points(index):
                    yield points, size

    def train_items(self, images: int) -> Iterator[Item]:
        """Yield training frames spread over the clips, at their own sizes with their ground truth.

        Args:
            images: How many; the middle frame of each clip if there are fewer clips.
        """
        clips = [(dataset, index) for dataset in self.datasets("train") for index in range(len(dataset))]
        for place in np.unique(np.linspace(0, len(clips) - 1, min(images, len(clips))).round().astype(int)):
            dataset, index = clips[place]
            window = dataset.window(index, len(dataset.clip(index)) // 2, 1)
            yield Item(
                image=window["image"][0],
                fixations=window["fixations"][0],
                density=window["density"][0],
                name=window["name"],
            )

    def sample_images(self, images: int) -> Iterator[Tensor]:
        """Yield (n, 3, h, w) uint8 batches of training frames spread over the clips, not augmented.

        Args:
            images: How many, in windows of `length` frames.
        """
        views = self._train_views(augment=None)
        count = min(len(views), -(-images // self.length))
        for index in np.unique(np.linspace(0, len(views) - 1, count).round().astype(int)):
            yield views[int(index)]["image"]

    def items(self, split: Split) -> Iterator[Item]:
        """Yield the windows that validation and test take."""
        for view in self._views(split):
            for index in range(len(view)):
                yield view[index]

    def _train_views(self, augment: Augment | None) -> ConcatViews:
        geometry: dict[str, Any] = self._geometry()
        return ConcatViews([self._view(each, augment=augment, **geometry) for each in self.datasets("train")])

    def _views(self, split: Split) -> list[ClipView]:
        return [self._view(each, size=None) for each in self.datasets(split)]

    def _view(self, dataset: VideoDataset, **options: Any) -> ClipView:
        shared: dict[str, Any] = {"length": self.length, "every": self.every, "windows": self.windows}
        return ClipView(dataset, seed=self.seed, **shared, **options)

    def _eval_loader(self, split: Split, *, scored: bool = True) -> DataLoader[Item]:
        windows = ConcatDataset[Any](self._views(split))
        sampler = UnpaddedSampler(windows, *self._share(), shuffle=False)
        return DataLoader(
            windows, batch_size=self.eval_batch_size, sampler=sampler, collate_fn=collate, **self._workers()
        )
