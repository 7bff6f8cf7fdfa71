"""A study of which only maps are left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from data.studies import images
from numpy.typing import NDArray
from PIL import Image

from salzoo.data import Augment, FixationFolder, SaliencyDataModule, TrainingView
from salzoo.errors import DataError, ImageError, SalzooError
from salzoo.metrics import functional


@pytest.fixture
def mapped(tmp_path: Path) -> tuple[Path, dict[str, NDArray[np.float64]]]:
    """Return a study that has only maps, and their densities."""
    sizes, maps = images(tmp_path / "images"), {}
    (tmp_path / "maps").mkdir()
    for k, (name, (height, width)) in enumerate(sizes.items()):
        y, x = np.mgrid[:height, :width]
        bump = np.exp(-((x - width * 0.3) ** 2 + (y - height * (0.2 + k / 100)) ** 2) / 50)
        grey = np.round(255 * bump).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / "maps" / name)
        maps[name] = grey / grey.sum()
    return tmp_path, maps


def test_maps_without_fixations(mapped: tuple[Path, dict[str, NDArray[np.float64]]]) -> None:
    root, maps = mapped
    dataset = FixationFolder(root, "all")
    for i, name in enumerate(dataset.names):
        np.testing.assert_allclose(dataset[i]["density"].numpy(), maps[name], rtol=1e-5, atol=1e-9)
    assert repr(dataset).endswith("images, maps without fixation points>")
    view = TrainingView(dataset, (30, 40), "pad", Augment(1.0, 0.2))
    for i in range(5):
        item = view[i]
        assert item["density"].shape == (30, 40)
        assert float(item["density"].double().sum()) == pytest.approx(1, abs=1e-5)
        column = float((item["density"].sum(0) * torch.arange(40)).sum())
        assert column > 20, "flipped with its image: people looked left"
    (batch,) = SaliencyDataModule("folder", root, batch_size=18, size=(30, 40)).train_dataloader()
    assert batch["density"].sum((1, 2)).allclose(torch.ones(18))


def test_what_needs_points_says_so(mapped: tuple[Path, dict[str, NDArray[np.float64]]]) -> None:
    root, _ = mapped
    dataset = FixationFolder(root, "all")
    item = dataset[0]
    assert functional.cc(item["density"][None], item["density"][None]).item() == pytest.approx(1)
    for metric in (functional.nss, functional.auc_judd):
        with pytest.raises(SalzooError, match="counts"):
            metric(item["density"][None], item["fixations"][None])
    with pytest.raises(DataError, match="only maps, no fixations"):
        dataset.fixations(0).x  # noqa: B018
    with pytest.raises(DataError, match="only maps"):
        dataset.fixations(0).observer.max()


def test_doubtful_maps_are_errors(mapped: tuple[Path, dict[str, NDArray[np.float64]]]) -> None:
    root, _ = mapped
    path = root / "maps/p00.png"
    grey = Image.open(path).copy()
    grey.transpose(Image.Transpose.TRANSPOSE).save(path)
    with pytest.raises(ImageError, match="of another shape than its image"):
        FixationFolder(root, "all")[0]
    Image.merge("RGB", (grey, grey, Image.new("L", grey.size))).save(path)
    with pytest.raises(ImageError, match="is coloured; a map must be grey"):
        FixationFolder(root, "all")[0]
    Image.merge("RGB", (grey, grey, grey)).resize((grey.width * 2, grey.height * 2)).save(path)
    assert float(FixationFolder(root, "all")[0]["density"].sum()) == pytest.approx(1, abs=1e-5)
    path.unlink()
    assert FixationFolder(root, "all").study.unseen == ("p00.png",)
