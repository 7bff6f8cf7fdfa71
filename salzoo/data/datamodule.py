"""One or several datasets, fed to a Lightning trainer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader

from salzoo.data.base import EvalBatch, FixationDataset, Item, Split, prepare
from salzoo.data.fixations import Fixations
from salzoo.data.registry import load_dataset
from salzoo.data.samplers import EpochSampler, LateLoader, UnpaddedSampler
from salzoo.data.transforms import Augment, ConcatViews, TrainingView
from salzoo.errors import SpecError
from salzoo.images.geometry import Fit, Size


def collate(items: list[Item]) -> EvalBatch:
    """Keep images of different sizes side by side in lists."""
    return {key: [item[key] for item in items] for key in EvalBatch.__annotations__}  # type: ignore[return-value,literal-required]


class SaliencyDataModule(pl.LightningDataModule):
    """Feeds one dataset, or several mixed, to a trainer or to a loop of your own.

    Training batches are stacked: `image` (N, 3, h, w) uint8, `fixations` (N, h, w) int32, `density` (N, h, w) float32,
    in the geometry of the model's `preprocess`. Batches to validate, test and predict are an `EvalBatch`: lists at
    the images' own sizes. Training leaves out the images that do not fill a last batch (other ones each epoch, and
    batch normalisation never sees a batch of one), unless there is less than one batch.

    Without a `Trainer`, give `size` (and `fit`), and call `set_epoch(epoch)` on the `sampler` of the loader before each
    epoch, as Lightning does.

    Args:
        sets: Names of datasets, as a list or separated by commas (`salzoo.list_datasets`).
        root: The folder that holds them; for a single one also its own folder.
        batch_size: Images in a training batch, on each device.
        eval_batch_size: Images in a batch of validation, test and prediction, on each device.
        augment: Random changes of the training images; None for none.
        num_workers: Processes that prepare images; 0 does it in the main one.
        seed: Seed of the order of images and of their augmentation.
        size: (height, width) of training images, instead of the model's own.
        fit: How images are brought to that size, instead of the model's own; see `salzoo.images.geometry.fit_box`.
        sigma_px: Standard deviation of the blur of the densities, in pixels of the images.
        pixels_per_degree: Blurs by one degree of visual angle instead; without either, the blur is the dataset's own,
            usually 1/25 of the height.
        cache: Folder for the points of each split, so that no epoch reads annotation files (`salzoo.data.prepare`).
            Worth it for datasets with one file an image, SALICON above all.

    Raises:
        SpecError: If a dataset is unknown or named twice.
        DatasetNotFoundError: If a dataset is not there, when it is first needed.
    """

    def __init__(
        self,
        sets: list[str] | str = "osie",
        root: str | Path = "data",
        batch_size: int = 16,
        eval_batch_size: int = 8,
        augment: Augment | None = Augment(),
        num_workers: int = 0,
        seed: int = 0,
        size: Size | None = None,
        fit: Fit | None = None,
        sigma_px: float | None = None,
        pixels_per_degree: float | None = None,
        cache: str | Path | None = None,
    ) -> None:
        super().__init__()
        names = sets.split(",") if isinstance(sets, str) else sets
        self.sets = [name.strip() for name in names]
        if not self.sets or len(set(self.sets)) != len(self.sets):
            raise SpecError(f"sets must name at least one dataset, and none twice; got {sets!r}")
        self.root = root
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.augment, self.seed, self.size, self.fit = augment, seed, size, fit
        self.num_workers = num_workers
        self.sigma_px, self.pixels_per_degree = sigma_px, pixels_per_degree
        self.cache = cache

    def __repr__(self) -> str:
        """Return what is fed, from where and in which batches."""
        return f"SaliencyDataModule({','.join(self.sets)!r}, root={str(self.root)!r}, batch_size={self.batch_size})"

    __str__ = __repr__  # Lightning's makes all loaders

    def datasets(self, split: Split) -> list[FixationDataset]:
        """Return one split of each dataset."""
        found = [
            load_dataset(name, self.root, split, sigma_px=self.sigma_px, pixels_per_degree=self.pixels_per_degree)
            for name in self.sets
        ]
        if len({dataset.root for dataset in found}) < len(found):
            raise SpecError(
                f"root must be the folder that holds {', '.join(self.sets)}, not that of one; got {self.root}"
            )
        return found if self.cache is None else [prepare(dataset, self.cache) for dataset in found]

    def has_points(self, split: Split) -> bool:
        """Whether fixations are known as points in all datasets, and not only as maps."""
        return all(dataset.has_points for dataset in self.datasets(split))

    def train_points(self) -> Iterator[tuple[Fixations, Size]]:
        """Yield the fixations and the (height, width) of each training image, without decoding images."""
        for dataset in self.datasets("train"):
            for index in range(len(dataset)):
                yield dataset.fixations(index), dataset.size(index)

    def train_items(self, images: int) -> Iterator[Item]:
        """Yield training images spread over the datasets, at their own sizes with their ground truth, not augmented.

        Args:
            images: How many; all of them if there are fewer.
        """
        items = ConcatDataset[Item](self.datasets("train"))
        for index in _spread(images, len(items)):
            yield items[index]

    def sample_images(self, images: int) -> Iterator[Tensor]:
        """Yield (n, 3, h, w) uint8 batches of training images spread over the datasets, not augmented.

        They are the same in every process, so statistics measured on them need no exchange.

        Args:
            images: How many; all of them if there are fewer.
        """
        items = self._train_views(augment=None)
        chosen = _spread(images, len(items))
        for start in range(0, len(chosen), self.batch_size):
            yield torch.stack([items[index]["image"] for index in chosen[start : start + self.batch_size]])

    def items(self, split: Split) -> Iterator[Item]:
        """Yield the items of a split, at their own sizes."""
        return (dataset[i] for dataset in self.datasets(split) for i in range(len(dataset)))

    def train_dataloader(self) -> DataLoader[Item]:
        """Return shuffled and augmented batches of the train split.

        Raises:
            SpecError: If neither `size` nor the trainer's model says at which size to train.
        """
        views = self._train_views(self.augment)
        replicas, rank = self._share()
        sampler = EpochSampler(views, replicas, rank, shuffle=True, seed=self.seed)
        drop_last = len(sampler) >= self.batch_size
        return LateLoader(views, batch_size=self.batch_size, sampler=sampler, drop_last=drop_last, **self._workers())

    def val_dataloader(self) -> DataLoader[Item]:
        """Return the val split, each image at its own size."""
        return self._eval_loader("val")

    def test_dataloader(self) -> DataLoader[Item]:
        """Return the test split, each image at its own size."""
        return self._eval_loader("test")

    def predict_dataloader(self) -> DataLoader[Item]:
        """Return the test split, each image at its own size."""
        return self._eval_loader("test", scored=False)

    def _train_views(self, augment: Augment | None) -> ConcatViews:
        geometry = self._geometry()
        views = [TrainingView(each, augment=augment, seed=self.seed, **geometry) for each in self.datasets("train")]
        return ConcatViews(views)

    def _eval_loader(self, split: Split, *, scored: bool = True) -> DataLoader[Item]:
        datasets = self.datasets(split)
        for dataset in datasets if scored else ():
            dataset.require_fixations()
        images = ConcatDataset[Item](datasets)
        sampler = UnpaddedSampler(images, *self._share(), shuffle=False)
        return DataLoader(
            images, batch_size=self.eval_batch_size, sampler=sampler, collate_fn=collate, **self._workers()
        )

    def _workers(self) -> dict[str, Any]:
        """Return the options of the processes that prepare images."""
        pin = torch.cuda.is_available()
        return {"num_workers": self.num_workers, "persistent_workers": self.num_workers > 0, "pin_memory": pin}

    def _share(self) -> tuple[int, int]:
        """Return how many processes there are and which one this is."""
        return (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)

    def _geometry(self) -> dict[str, Any]:
        """Return how training images are fitted, as `TrainingView` takes it: size and fit given, or the model's own."""
        model = None if self.trainer is None else self.trainer.lightning_module
        preprocess: Any = getattr(model, "preprocess", None)
        size = self.size or getattr(preprocess, "size", None)
        if size is None:
            why = "there is no Trainer whose model tells it" if model is None else "the model has no preprocess.size"
            raise SpecError(f"no size to train at: {why}, so give SaliencyDataModule(..., size=(height, width))")
        own = {
            name: getattr(preprocess, name) for name in ("fit", "resample", "pad_value") if hasattr(preprocess, name)
        }
        return own | {"size": (size[0], size[1])} | ({"fit": self.fit} if self.fit else {})


def _spread(count: int, total: int) -> list[int]:
    """Return `count` indices of `total`, evenly spread; all if there are fewer."""
    indices: list[int] = torch.linspace(0, total - 1, min(count, total)).long().tolist()
    return indices
