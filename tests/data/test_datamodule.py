from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from data import make_tiny
from lightning.pytorch.cli import LightningCLI
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from salzoo.data import Augment, Batch, EvalBatch, SaliencyDataModule
from salzoo.data.samplers import EpochSampler, UnpaddedSampler
from salzoo.errors import DatasetNotFoundError, SpecError
from salzoo.images.preprocess import Preprocess

ALL = "osie,eyecrowd,scene500"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    for write in (make_tiny.osie, make_tiny.eyecrowd, make_tiny.scene500):
        write(folder)
    return folder


class Recorder(pl.LightningModule):
    """The least that the data module needs of a model; it remembers what it was fed."""

    def __init__(self) -> None:
        super().__init__()
        self.preprocess = Preprocess(size=(24, 40), fit="pad", resample="bilinear", pad_value=7)
        self.head = nn.Conv2d(3, 1, 1)
        self.trained: list[tuple[int, tuple[str, ...], float]] = []
        self.evaluated: list[EvalBatch] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        assert batch["image"].shape[1:] == (3, 24, 40)
        assert batch["image"].dtype == torch.uint8
        assert (batch["image"] == 7).all(1).any(), "the padding is the model's"
        assert batch["fixations"].dtype == torch.int32
        assert batch["density"].shape == batch["fixations"].shape == (len(batch["name"]), 24, 40)
        self.trained.append((self.current_epoch, tuple(batch["name"]), float(batch["image"].float().mean())))
        logits: Tensor = self.head(batch["image"] / 255)[:, 0]
        return (logits * batch["density"]).sum()

    def validation_step(self, batch: EvalBatch, batch_idx: int) -> None:
        self.evaluated.append(batch)

    test_step = validation_step

    def predict_step(self, batch: EvalBatch, batch_idx: int) -> list[str]:
        self.evaluated.append(batch)
        return batch["name"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 1e-3)


def trainer(root: Path, epochs: int) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        default_root_dir=root,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def test_fit_feeds_every_set_at_the_models_geometry(root: Path, tmp_path: Path) -> None:
    model, data = Recorder(), SaliencyDataModule(ALL, root, batch_size=5, eval_batch_size=3)
    trainer(tmp_path, 2).fit(model, data)
    first, second = ([names for epoch, names, _ in model.trained if epoch == e] for e in (0, 1))
    assert [len(names) for names in first] == [5, 5, 5, 5]  # 24 images, the rest is left out
    assert first != second
    assert Counter(len(batch["name"]) for batch in model.evaluated) == {3: 8}  # 4 images of 3 sets, twice
    for batch in model.evaluated:
        for image, fixations, density in zip(batch["image"], batch["fixations"], batch["density"], strict=True):
            assert image.shape[1:] == fixations.shape == density.shape
    assert len({image.shape for batch in model.evaluated for image in batch["image"]}) > 2


class SaveOnce(pl.Callback):
    """Saves a checkpoint after the second epoch, in one of Lightning's hooks, whose counters differ."""

    def __init__(self, hook: str, path: Path) -> None:
        self.hook, self.path = hook, path

    def _save(self, trainer: pl.Trainer, hook: str) -> None:
        if hook == self.hook and trainer.current_epoch == 1:
            trainer.save_checkpoint(self.path)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer, "train_epoch_end")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer, "validation_end")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("hook", ["train_epoch_end", "validation_end"])
def test_a_resumed_run_sees_the_same_images(root: Path, tmp_path: Path, workers: int, hook: str) -> None:
    def fit(resume: Path | None = None) -> list[tuple[int, tuple[str, ...], float]]:
        model, runner = Recorder(), trainer(tmp_path, 4)
        if resume is None:
            runner.callbacks.append(SaveOnce(hook, tmp_path / "2.ckpt"))  # type: ignore[attr-defined]
        data = SaliencyDataModule(ALL, root, batch_size=4, augment=Augment(0.5, 0.3), seed=7, num_workers=workers)
        runner.fit(model, data, ckpt_path=resume)
        return model.trained

    whole = fit()
    resumed = fit(tmp_path / "2.ckpt")
    assert [epoch for epoch, *_ in resumed] == [2] * 6 + [3] * 6
    assert resumed == whole[-len(resumed) :]


def test_the_seed_changes_order_and_augmentation(root: Path) -> None:
    def epoch(seed: int) -> tuple[list[str], int]:
        data = SaliencyDataModule(ALL, root, batch_size=24, seed=seed, size=(20, 30))
        (batch,) = data.train_dataloader()
        return batch["name"], int((batch["image"][..., :15].int() - batch["image"][..., 15:].int()).sum())

    assert epoch(1) == epoch(1)
    assert epoch(1)[0] != epoch(2)[0]
    assert epoch(1)[1] != epoch(2)[1]


def test_workers_change_nothing(root: Path) -> None:
    augment, size = Augment(0.5, 0.3), (20, 30)

    def batches(workers: int) -> list[dict[str, Any]]:
        data = SaliencyDataModule(ALL, root, batch_size=6, augment=augment, num_workers=workers, size=size)
        return list(data.train_dataloader())

    for alone, helped in zip(batches(0), batches(2), strict=True):
        assert alone["name"] == helped["name"]
        for key in ("image", "fixations", "density"):
            assert torch.equal(alone[key], helped[key])


@pytest.mark.parametrize("hook", ["test", "predict"])
def test_evaluation_takes_each_test_image_once(root: Path, tmp_path: Path, hook: str) -> None:
    model = Recorder()
    getattr(trainer(tmp_path, 1), hook)(model, SaliencyDataModule(ALL, root, eval_batch_size=4))
    sums = [int(image.sum()) for batch in model.evaluated for image in batch["image"]]
    assert len(set(sums)) == len(sums) == 15


def test_less_than_a_batch_is_still_trained_on(root: Path) -> None:
    (batch,) = SaliencyDataModule("osie", root, batch_size=50, size=(20, 30)).train_dataloader()
    assert len(batch["name"]) == 8
    assert len(list(SaliencyDataModule("osie", root, batch_size=8, size=(20, 30)).train_dataloader())) == 1


@pytest.mark.parametrize(("images", "processes"), [(10, 1), (10, 3), (7, 4), (2, 4)])
def test_evaluation_is_shared_without_repeats(images: int, processes: int) -> None:
    shares = [
        UnpaddedSampler(TensorDataset(torch.zeros(images)), processes, rank, shuffle=False) for rank in range(processes)
    ]
    assert sorted(index for share in shares for index in share) == list(range(images))
    assert [len(share) for share in shares] == [len(list(share)) for share in shares]


class Epochs(TensorDataset):
    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_training_is_shared_evenly(processes: int) -> None:
    datasets = [Epochs(torch.zeros(12)) for _ in range(processes)]
    shares = [EpochSampler(dataset, processes, rank, shuffle=True, seed=3) for rank, dataset in enumerate(datasets)]
    orders = []
    for epoch in (0, 5):
        for share in shares:
            share.set_epoch(epoch)
        assert {dataset.epoch for dataset in datasets} == {epoch}
        orders.append([index for share in shares for index in share])
        assert sorted(orders[-1]) == list(range(12))
    assert orders[0] != orders[1]


def test_a_loop_of_your_own(root: Path) -> None:
    """Without a Trainer: batches of the size that was given, new ones each epoch, the same for the same seed."""

    def epochs(workers: int) -> list[list[dict[str, Any]]]:
        data = SaliencyDataModule("osie", root, batch_size=4, num_workers=workers, size=(24, 120), fit="pad")
        loader, found = data.train_dataloader(), []
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            found.append(list(loader))
        return found

    first, second = epochs(0)
    assert [batch["image"].shape for batch in first] == [(4, 3, 24, 120)] * 2
    assert all((batch["image"][..., 0] == 128).all() for batch in first)  # padded beside, as the images are narrower
    assert [batch["name"] for batch in first] != [batch["name"] for batch in second]
    for one, other in zip([*first, *second], [batch for epoch in epochs(2) for batch in epoch], strict=True):
        assert torch.equal(one["image"], other["image"])
    (batch, *_) = SaliencyDataModule("osie", root).val_dataloader()
    assert len(batch["image"]) == len(batch["fixations"]) == 4


def test_repr(root: Path) -> None:
    data = SaliencyDataModule(ALL, "data", batch_size=5)
    assert repr(data) == str(data) == "SaliencyDataModule('osie,eyecrowd,scene500', root='data', batch_size=5)"


def test_train_points_and_sample_images_are_of_the_train_split(root: Path) -> None:
    data = SaliencyDataModule(ALL, root, batch_size=5, size=(24, 32))
    points = list(data.train_points())
    assert len(points) == 24
    assert all(len(fixations.inside(size)) == len(fixations) > 0 for fixations, size in points)
    batches = list(data.sample_images(12))
    assert [len(batch) for batch in batches] == [5, 5, 2]
    assert torch.equal(torch.cat(batches), torch.cat(list(data.sample_images(12))))
    assert sum(len(batch) for batch in data.sample_images(1000)) == 24
    names = [name for dataset in data.datasets("train") for name in dataset.names]
    assert [item["name"] for item in data.train_items(2)] == [names[0], names[-1]]
    assert [item["name"] for item in data.train_items(1000)] == names


def test_command_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*options: str) -> SaliencyDataModule:
        monkeypatch.setattr(sys, "argv", ["fit", f"--data.root={root}", *options])
        data: SaliencyDataModule = LightningCLI(
            Recorder,
            SaliencyDataModule,
            run=False,
            save_config_callback=None,
            seed_everything_default=False,
            trainer_defaults={"logger": False},
        ).datamodule
        return data

    data = parse("--data.sets=osie,scene500", "--data.augment.crop=0.1", "--data.size=[24,32]")
    assert (data.sets, data.augment, data.size) == (["osie", "scene500"], Augment(crop=0.1), (24, 32))
    data = parse("--data.sets=[osie,eyecrowd]", "--data.augment=null")
    assert (data.sets, data.augment, data.size) == (["osie", "eyecrowd"], None, None)


def test_errors(root: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="none twice"):
        SaliencyDataModule("osie,osie", root)
    with pytest.raises(SpecError, match="at least one"):
        SaliencyDataModule([], root)
    with pytest.raises(SpecError, match="Did you mean 'osie'"):
        SaliencyDataModule("osi", root).val_dataloader()
    with pytest.raises(SpecError, match="root must be the folder that holds"):  # same layout, so both would read it
        SaliencyDataModule("osie,eyecrowd", root / "osie").datasets("all")
    with pytest.raises(DatasetNotFoundError):
        SaliencyDataModule("osie", tmp_path).val_dataloader()
    with pytest.raises(SpecError, match=r"no size to train at: there is no Trainer .*size=\(height, width\)"):
        SaliencyDataModule("osie", root).train_dataloader()
    model = Recorder()
    del model.preprocess
    with pytest.raises(SpecError, match=r"no size to train at: the model has no preprocess\.size"):
        trainer(tmp_path, 1).fit(model, SaliencyDataModule("osie", root))


def test_readers_need_no_lightning() -> None:
    code = "import sys, salzoo.data; assert 'lightning' not in sys.modules and 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
