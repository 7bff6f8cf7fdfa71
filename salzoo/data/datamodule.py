"""One or several data sets, fed to a Lightning trainer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from salzoo.data.base import EvalBatch, FixationDataset, Item, Split
from salzoo.data.fixations import Fixations
from salzoo.data.points_cache import prepare
from salzoo.data.registry import load_dataset
from salzoo.data.samplers import EpochConcat, EpochSampler, UnpaddedSampler
from salzoo.data.transforms import Augment, TrainingView
from salzoo.errors import SpecError
from salzoo.images.geometry import Fit, Size


def collate(items: list[Item]) -> EvalBatch:
    """Keep pictures of different sizes side by side in lists."""
    return {key: [item[key] for item in items] for key in EvalBatch.__annotations__}  # type: ignore[return-value,literal-required]


class SaliencyDataModule(pl.LightningDataModule):
    """Feeds one data set, or several mixed, to a trainer.

    Training batches are stacked: `image` (N, 3, h, w) uint8, `fixations` (N, h, w) int16, `density` (N, h, w) float32,
    at the size and fit of the model's `preprocess`. Batches to validate, test and predict are an `EvalBatch`: lists at
    the pictures' own sizes. Training leaves out the rest that does not fill a batch (another one each epoch, and batch
    normalisation never sees a batch of one), unless there is less than one batch.

    Args:
        sets: Names of data sets, as a list or separated by commas.
        root: The folder that holds them; for one set alone also its own folder.
        batch_size: Of training, on each device.
        eval_batch_size: Of validation, test and prediction, on each device.
        augment: Random changes of the training pictures; None for none.
        num_workers: Processes that prepare pictures, 0 to do it in the main one.
        seed: Of the order and the augmentation.
        size: (height, width) of training pictures, instead of the model's own.
        sigma_px: Blur of the densities in pixels of the pictures.
        pixels_per_degree: Blur of the densities by one degree instead; without either it is the set's own, usually
            1/25 of the height.
        cache: Folder for the points of each split, so that no epoch reads annotation files (`salzoo.data.prepare`).
            Worth it for sets with one file a picture, SALICON above all.

    Raises:
        SpecError: If a set is unknown or named twice.
        DatasetNotFoundError: If a set is not there, when it is first needed.
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
        sigma_px: float | None = None,
        pixels_per_degree: float | None = None,
        cache: str | Path | None = None,
    ) -> None:
        super().__init__()
        names = sets.split(",") if isinstance(sets, str) else sets
        self.sets = [name.strip() for name in names]
        if not self.sets or len(set(self.sets)) != len(self.sets):
            raise SpecError(f"sets must name at least one data set, and none twice; got {sets!r}")
        self.root = root
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.augment, self.seed, self.size = augment, seed, size
        self.num_workers = num_workers
        self.sigma_px, self.pixels_per_degree = sigma_px, pixels_per_degree
        self.cache = cache

    def datasets(self, split: Split) -> list[FixationDataset]:
        """Return one split of each set."""
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
        """Whether fixations are known as points in all sets, and not only as maps."""
        return all(dataset.has_points for dataset in self.datasets(split))

    def train_points(self) -> Iterator[tuple[Fixations, Size]]:
        """Yield the fixations and the (height, width) of each training picture, without decoding pictures."""
        for dataset in self.datasets("train"):
            for index in range(len(dataset)):
                yield dataset.fixations(index), dataset.size(index)

    def train_items(self, pictures: int) -> Iterator[Item]:
        """Yield training pictures spread over the sets, at their own sizes with their ground truth, not augmented."""
        items = ConcatDataset[Item](self.datasets("train"))
        for index in _spread(pictures, len(items)):
            yield items[index]

    def calibration_images(self, pictures: int) -> Iterator[Tensor]:
        """Yield (n, 3, h, w) uint8 batches of training pictures spread over the sets, not augmented.

        They are the same in every process, so statistics measured on them need no exchange.
        """
        items = self._train_pictures(augment=None)
        chosen = _spread(pictures, len(items))
        for start in range(0, len(chosen), self.batch_size):
            yield torch.stack([items[0, index]["image"] for index in chosen[start : start + self.batch_size]])

    def train_dataloader(self) -> DataLoader[Item]:
        """Return shuffled and augmented batches of the train split."""
        pictures = self._train_pictures(self.augment)
        replicas, rank = self._share()
        sampler = EpochSampler(pictures, replicas, rank, shuffle=True, seed=self.seed)
        return self._loader(
            pictures, batch_size=self.batch_size, sampler=sampler, drop_last=len(sampler) >= self.batch_size
        )

    def val_dataloader(self) -> DataLoader[Item]:
        """Return the val split, each picture at its own size."""
        return self._eval_loader("val")

    def test_dataloader(self) -> DataLoader[Item]:
        """Return the test split, each picture at its own size."""
        return self._eval_loader("test")

    def predict_dataloader(self) -> DataLoader[Item]:
        """Return the test split, each picture at its own size."""
        return self._eval_loader("test", scored=False)

    def _train_pictures(self, augment: Augment | None) -> EpochConcat:
        size, fit = self._geometry()
        return EpochConcat([TrainingView(each, size, fit, augment, self.seed) for each in self.datasets("train")])

    def _eval_loader(self, split: Split, *, scored: bool = True) -> DataLoader[Item]:
        datasets = self.datasets(split)
        for dataset in datasets if scored else ():
            dataset.require_fixations()
        pictures = ConcatDataset[Item](datasets)
        sampler = UnpaddedSampler(pictures, *self._share(), shuffle=False)
        return self._loader(pictures, batch_size=self.eval_batch_size, sampler=sampler, collate_fn=collate)

    def _loader(self, pictures: Dataset[Item], **options: Any) -> DataLoader[Item]:
        return DataLoader(
            pictures,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            **options,
        )

    def _share(self) -> tuple[int, int]:
        """Return how many processes there are and which one this is."""
        return (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)

    def _geometry(self) -> tuple[Size, Fit]:
        """Return the size and the fit of training pictures: the model's own."""
        preprocess = None if self.trainer is None else getattr(self.trainer.lightning_module, "preprocess", None)
        size = self.size or getattr(preprocess, "size", None)
        if size is None:
            raise SpecError("no size to train at: the model has no preprocess.size, so give size=(height, width)")
        return (size[0], size[1]), getattr(preprocess, "fit", "squash")


def _spread(count: int, total: int) -> list[int]:
    """Return `count` indices of `total`, evenly spread; all if there are fewer."""
    indices: list[int] = torch.linspace(0, total - 1, min(count, total)).long().tolist()
    return indices
