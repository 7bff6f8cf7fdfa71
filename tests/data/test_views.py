from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data import make_tiny
from torch.utils.data import DataLoader

from salzoo.data import OSIE, Augment, Item, TrainingView
from salzoo.data.transforms import ConcatViews
from salzoo.errors import SpecError
from salzoo.images.geometry import Fit

CENTRES = ((70.0, 45.0), (55.0, 60.0), (61.5, 50.25))  # x, y of a blob well inside each image


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> OSIE:
    return OSIE(make_tiny.osie(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> OSIE:
    """Black images with one white blob, and two fixations exactly on its centre."""
    folder = tmp_path_factory.mktemp("blobs")
    rows, columns = np.mgrid[:100, :130]
    images, people = {}, []
    for number, (x, y) in enumerate(CENTRES):
        blob = 255 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 4.0**2))
        images[f"{number}.png"] = np.repeat(blob.round().astype(np.uint8)[..., None], 3, axis=2)
        people.append([([x, x], [y, y], [100.0, 100.0])])
    make_tiny.write_structs(folder, images, people, {"train": len(CENTRES)})
    return OSIE(folder)


def at(view: TrainingView, epoch: int, index: int) -> Item:
    view.set_epoch(epoch)
    return view[index]


def centroid(weights: torch.Tensor) -> tuple[float, float]:
    weights = weights.double() / weights.double().sum()
    columns, rows = torch.arange(weights.shape[1]), torch.arange(weights.shape[0])
    return float((weights.sum(0) * columns).sum()), float((weights.sum(1) * rows).sum())


@pytest.mark.parametrize("size", [(100, 130), (48, 64), (150, 150), (64, 37)])
@pytest.mark.parametrize("fit", ["squash", "pad"])
@pytest.mark.parametrize("augment", [None, Augment(1.0), Augment(0.0, 0.4), Augment(0.5, 0.4)], ids=str)
def test_points_stay_on_their_image_content(
    blobs: OSIE, size: tuple[int, int], fit: Fit, augment: Augment | None
) -> None:
    view = TrainingView(blobs, size, fit, augment)
    for epoch in range(4):
        view.set_epoch(epoch)
        for item in view:
            assert item["image"].dtype == torch.uint8
            assert item["image"].shape == (3, *size)
            assert int(item["fixations"].sum()) == 2
            assert float(item["density"].double().sum()) == pytest.approx(1, abs=1e-5)
            light = item["image"][0].double()
            blob = centroid(torch.where(item["image"][0] == 128, 0, light) if fit == "pad" else light)
            assert centroid(item["density"]) == pytest.approx(blob, abs=0.3)
            assert centroid(item["fixations"]) == pytest.approx(blob, abs=0.8)


def test_flip_and_crop_do_something(blobs: OSIE) -> None:
    plain, flipped = TrainingView(blobs, (100, 130))[0], TrainingView(blobs, (100, 130), augment=Augment(1.0))[0]
    assert torch.equal(flipped["image"], plain["image"].flip(-1))
    assert torch.equal(flipped["fixations"], plain["fixations"].flip(-1))
    crops = TrainingView(blobs, (100, 130), augment=Augment(0.0, 0.4))
    places = {centroid(at(crops, epoch, 0)["density"]) for epoch in range(20)}
    assert len(places) == 20
    assert np.ptp([x for x, _ in places]) > 20


def test_half_of_the_images_are_flipped(blobs: OSIE) -> None:
    plain, view = TrainingView(blobs, (25, 32))[0], TrainingView(blobs, (25, 32), augment=Augment(0.5))
    same = sum(torch.equal(at(view, epoch, 0)["image"], plain["image"]) for epoch in range(200))
    assert 70 < same < 130


def test_the_blur_is_the_same_on_the_image(blobs: OSIE) -> None:
    def spread(item: Item) -> tuple[float, float]:
        x, y = centroid(item["density"])
        density = item["density"].double()
        columns, rows = torch.arange(density.shape[1]), torch.arange(density.shape[0])
        return (
            float((density.sum(0) * (columns - x) ** 2).sum().sqrt()),
            float((density.sum(1) * (rows - y) ** 2).sum().sqrt()),
        )

    assert spread(blobs[0]) == pytest.approx((4, 4), rel=1e-3)  # 100 rows / 25
    assert spread(TrainingView(blobs, (150, 65))[0]) == pytest.approx((2, 6), rel=1e-3)
    assert spread(TrainingView(blobs, (150, 260), "pad")[0]) == pytest.approx((6, 6), rel=1e-3)


def test_padding_is_grey_and_empty(blobs: OSIE) -> None:
    item = TrainingView(blobs, (100, 200), "pad", Augment(1.0))[0]
    for padding in (slice(0, 35), slice(165, 200)):
        assert (item["image"][..., padding] == 128).all()
        assert (item["density"][:, padding] == 0).all()
        assert (item["fixations"][:, padding] == 0).all()
    assert (item["density"][:, 35:165] > 0).any()


def test_a_view_without_augmentation_at_the_own_size_is_the_data_set(tiny: OSIE) -> None:
    for index in range(len(tiny)):
        item = tiny[index]
        height, width = item["fixations"].shape
        view = at(TrainingView(tiny, (height, width)), 3, index)
        assert torch.equal(view["image"], item["image"])
        assert torch.equal(view["fixations"], item["fixations"])
        assert torch.equal(view["density"], item["density"])
        assert view["name"] == item["name"]


def test_an_item_depends_on_seed_epoch_and_index_only(tiny: OSIE) -> None:
    def view(seed: int = 0) -> TrainingView:
        return TrainingView(tiny, (24, 32), augment=Augment(0.5, 0.3), seed=seed)

    first, again = view(), view()
    backwards = {(e, i): at(again, e, i) for e in (2, 1, 0) for i in reversed(range(len(tiny)))}
    for (epoch, index), item in backwards.items():
        for key in ("image", "fixations", "density"):
            assert torch.equal(at(first, epoch, index)[key], item[key])
    assert not torch.equal(at(first, 0, 1)["image"], at(first, 1, 1)["image"])
    assert not torch.equal(at(first, 0, 1)["image"], view(seed=1)[1]["image"])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("made", [lambda view: view, copy.deepcopy, lambda view: ConcatViews([view, view])])
def test_a_plain_loader_sees_each_epoch(tiny: OSIE, workers: int, made: Callable[[TrainingView], Any]) -> None:
    """Also worker processes that live on from one epoch to the next, and those of a copy."""
    view = made(TrainingView(tiny, (24, 32), augment=Augment(0.5, 0.3), seed=5))
    loader = DataLoader(view, batch_size=4, num_workers=workers, persistent_workers=workers > 0)
    fresh = TrainingView(tiny, (24, 32), augment=Augment(0.5, 0.3), seed=5)
    seen = []
    for epoch in (0, 1, 7, 1):
        view.set_epoch(epoch)
        seen.append(torch.cat([batch["image"] for batch in loader]))
        expected = torch.stack([at(fresh, epoch, index)["image"] for index in range(len(fresh))])
        assert torch.equal(seen[-1], expected.repeat(len(view) // len(fresh), 1, 1, 1))
    assert not torch.equal(seen[0], seen[1])


def test_a_plain_loader_shuffles_and_stacks(tiny: OSIE) -> None:
    batches = list(DataLoader(TrainingView(tiny, (24, 32)), batch_size=4, shuffle=True))
    assert [tuple(batch["image"].shape) for batch in batches] == [(4, 3, 24, 32)] * 2
    assert sorted(name for batch in batches for name in batch["name"]) == sorted(tiny.names)


def test_a_view_is_indexed_as_a_list(tiny: OSIE) -> None:
    view = TrainingView(tiny, (24, 32), augment=Augment(0.5, 0.3))
    assert torch.equal(view[-1]["image"], view[len(view) - 1]["image"])
    with pytest.raises(IndexError):
        view[len(view)]


def test_a_crop_never_loses_every_fixation(tmp_path: Path) -> None:
    corner = [([0.0], [0.0], [100.0])]
    make_tiny.write_structs(tmp_path, {"a.png": np.zeros((50, 50, 3), np.uint8)}, [corner], {"train": 1})
    view = TrainingView(OSIE(tmp_path), (20, 20), augment=Augment(0.0, 0.9))
    assert all(int(at(view, epoch, 0)["fixations"].sum()) == 1 for epoch in range(50))


def test_an_image_nobody_looked_at(tmp_path: Path) -> None:
    make_tiny.write_structs(tmp_path, {"a.png": np.zeros((50, 50, 3), np.uint8)}, [[]], {"train": 1})
    item = TrainingView(OSIE(tmp_path), (20, 20), augment=Augment(0.5, 0.5))[0]
    assert int(item["fixations"].sum()) == float(item["density"].sum()) == 0


def test_colours_and_sharpness_go_by_chance(tiny: OSIE) -> None:
    def images(augment: Augment | None) -> torch.Tensor:
        view = TrainingView(tiny, (48, 64), augment=augment)
        return torch.stack([at(view, epoch, index)["image"] for epoch in range(4) for index in range(len(view))])

    plain = images(None)
    grey = images(Augment(0, grey=1))
    luma = (plain.double() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    assert all((channel.double() - luma).abs().max() < 0.6 for channel in grey.unbind(1))
    blurred = images(Augment(0, blur=1))
    assert (blurred.double().mean((-2, -1)) - plain.double().mean((-2, -1))).abs().max() < 8
    assert blurred.int().diff().abs().sum() < 0.8 * plain.int().diff().abs().sum()
    some = images(Augment(0, grey=0.5, blur=0.5))
    kinds = [(torch.equal(a[0], a[1]), torch.equal(a, b)) for a, b in zip(some, plain, strict=True)]
    assert {(False, True), (True, False), (False, False)} == set(kinds)


@pytest.mark.parametrize(
    "wrong",
    [{"flip": 1.1}, {"flip": -0.1}, {"crop": 1.0}, {"crop": -0.1}, {"grey": 2}, {"blur": -1}, {"grey": math.nan}],
    ids=str,
)
def test_augment_checks_its_ranges(wrong: dict[str, float]) -> None:
    with pytest.raises(SpecError, match=r"flip, grey and blur must be in \[0, 1\] and crop in \[0, 1\)"):
        Augment(**wrong)
