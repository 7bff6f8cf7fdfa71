from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from data import make_tiny

from salzoo.data import OSIE, Augment, Item, TrainingView
from salzoo.errors import SpecError
from salzoo.images.geometry import Fit

CENTRES = ((70.0, 45.0), (55.0, 60.0), (61.5, 50.25))  # x, y of a blob well inside each picture


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> OSIE:
    return OSIE(make_tiny.osie(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> OSIE:
    """Black pictures with one white blob, and two fixations exactly on its centre."""
    folder = tmp_path_factory.mktemp("blobs")
    rows, columns = np.mgrid[:100, :130]
    pictures, people = {}, []
    for number, (x, y) in enumerate(CENTRES):
        blob = 255 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 4.0**2))
        pictures[f"{number}.png"] = np.repeat(blob.round().astype(np.uint8)[..., None], 3, axis=2)
        people.append([([x, x], [y, y], [100.0, 100.0])])
    make_tiny.write_structs(folder, pictures, people, {"train": len(CENTRES)})
    return OSIE(folder)


def centroid(weights: torch.Tensor) -> tuple[float, float]:
    weights = weights.double() / weights.double().sum()
    columns, rows = torch.arange(weights.shape[1]), torch.arange(weights.shape[0])
    return float((weights.sum(0) * columns).sum()), float((weights.sum(1) * rows).sum())


@pytest.mark.parametrize("size", [(100, 130), (48, 64), (150, 150), (64, 37)])
@pytest.mark.parametrize("fit", ["squash", "pad"])
@pytest.mark.parametrize("augment", [None, Augment(1.0), Augment(0.0, 0.4), Augment(0.5, 0.4)], ids=str)
def test_points_stay_on_their_picture_content(
    blobs: OSIE, size: tuple[int, int], fit: Fit, augment: Augment | None
) -> None:
    view = TrainingView(blobs, size, fit, augment)
    for epoch in range(4):
        for index in range(len(view)):
            item = view[epoch, index]
            assert item["image"].dtype == torch.uint8
            assert item["image"].shape == (3, *size)
            assert int(item["fixations"].sum()) == 2
            assert float(item["density"].double().sum()) == pytest.approx(1, abs=1e-5)
            light = item["image"][0].double()
            blob = centroid(torch.where(item["image"][0] == 128, 0, light) if fit == "pad" else light)
            assert centroid(item["density"]) == pytest.approx(blob, abs=0.3)
            assert centroid(item["fixations"]) == pytest.approx(blob, abs=0.8)


def test_flip_and_crop_do_something(blobs: OSIE) -> None:
    plain, flipped = TrainingView(blobs, (100, 130))[0, 0], TrainingView(blobs, (100, 130), augment=Augment(1.0))[0, 0]
    assert torch.equal(flipped["image"], plain["image"].flip(-1))
    assert torch.equal(flipped["fixations"], plain["fixations"].flip(-1))
    crops = TrainingView(blobs, (100, 130), augment=Augment(0.0, 0.4))
    places = {centroid(crops[epoch, 0]["density"]) for epoch in range(20)}
    assert len(places) == 20
    assert np.ptp([x for x, _ in places]) > 20


def test_half_of_the_pictures_are_flipped(blobs: OSIE) -> None:
    plain, view = TrainingView(blobs, (25, 32))[0, 0], TrainingView(blobs, (25, 32), augment=Augment(0.5))
    same = sum(torch.equal(view[epoch, 0]["image"], plain["image"]) for epoch in range(200))
    assert 70 < same < 130


def test_the_blur_is_the_same_on_the_picture(blobs: OSIE) -> None:
    def spread(item: Item) -> tuple[float, float]:
        x, y = centroid(item["density"])
        density = item["density"].double()
        columns, rows = torch.arange(density.shape[1]), torch.arange(density.shape[0])
        return (
            float((density.sum(0) * (columns - x) ** 2).sum().sqrt()),
            float((density.sum(1) * (rows - y) ** 2).sum().sqrt()),
        )

    assert spread(blobs[0]) == pytest.approx((4, 4), rel=1e-3)  # 100 rows / 25
    assert spread(TrainingView(blobs, (150, 65))[0, 0]) == pytest.approx((2, 6), rel=1e-3)
    assert spread(TrainingView(blobs, (150, 260), "pad")[0, 0]) == pytest.approx((6, 6), rel=1e-3)


def test_padding_is_grey_and_empty(blobs: OSIE) -> None:
    item = TrainingView(blobs, (100, 200), "pad", Augment(1.0))[0, 0]
    for padding in (slice(0, 35), slice(165, 200)):
        assert (item["image"][..., padding] == 128).all()
        assert (item["density"][:, padding] == 0).all()
        assert (item["fixations"][:, padding] == 0).all()
    assert (item["density"][:, 35:165] > 0).any()


def test_a_view_without_augmentation_at_the_own_size_is_the_data_set(tiny: OSIE) -> None:
    for index in range(len(tiny)):
        item = tiny[index]
        height, width = item["fixations"].shape
        view = TrainingView(tiny, (height, width))[3, index]
        assert torch.equal(view["image"], item["image"])
        assert torch.equal(view["fixations"], item["fixations"])
        assert torch.equal(view["density"], item["density"])
        assert view["name"] == item["name"]


def test_an_item_depends_on_seed_epoch_and_index_only(tiny: OSIE) -> None:
    def view(seed: int = 0) -> TrainingView:
        return TrainingView(tiny, (24, 32), augment=Augment(0.5, 0.3), seed=seed)

    first, again = view(), view()
    backwards = {(e, i): again[e, i] for e in (2, 1, 0) for i in reversed(range(len(tiny)))}
    for (epoch, index), item in backwards.items():
        for key in ("image", "fixations", "density"):
            assert torch.equal(first[epoch, index][key], item[key])
    assert not torch.equal(first[0, 1]["image"], first[1, 1]["image"])
    assert not torch.equal(first[0, 1]["image"], view(seed=1)[0, 1]["image"])


def test_a_crop_never_loses_every_fixation(tmp_path: Path) -> None:
    corner = [([0.0], [0.0], [100.0])]
    make_tiny.write_structs(tmp_path, {"a.png": np.zeros((50, 50, 3), np.uint8)}, [corner], {"train": 1})
    view = TrainingView(OSIE(tmp_path), (20, 20), augment=Augment(0.0, 0.9))
    assert all(int(view[epoch, 0]["fixations"].sum()) == 1 for epoch in range(50))


def test_a_picture_nobody_looked_at(tmp_path: Path) -> None:
    make_tiny.write_structs(tmp_path, {"a.png": np.zeros((50, 50, 3), np.uint8)}, [[]], {"train": 1})
    item = TrainingView(OSIE(tmp_path), (20, 20), augment=Augment(0.5, 0.5))[0, 0]
    assert int(item["fixations"].sum()) == float(item["density"].sum()) == 0


@pytest.mark.parametrize("wrong", [{"flip": 1.1}, {"flip": -0.1}, {"crop": 1.0}, {"crop": -0.1}], ids=str)
def test_augment_checks_its_ranges(wrong: dict[str, float]) -> None:
    with pytest.raises(SpecError, match=r"flip must be in \[0, 1\] and crop in \[0, 1\)"):
        Augment(**wrong)
