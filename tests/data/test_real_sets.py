"""The real sets, where they lie beside the repository. The figures are those of these copies, all splits together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude

from salzoo.data import OSIE, EyeCrowd, FixationDataset, Fixations, Scene500
from salzoo.data.base import Split

ROOT = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="the real datasets are not beside the repository")

every = pytest.mark.parametrize("reader", [OSIE, EyeCrowd, Scene500], ids=lambda reader: reader.name)


def swapped(points: Fixations) -> Fixations:
    return Fixations(points.y, points.x, points.observer)


@pytest.mark.parametrize(
    ("reader", "split", "images", "fixations"),
    [
        (OSIE, "train", 450, 63067), (OSIE, "val", 50, 7121), (OSIE, "test", 100, 14067), (OSIE, "all", 600, 84255),
        (EyeCrowd, "train", 300, 75906), (EyeCrowd, "val", 40, 10121), (EyeCrowd, "test", 60, 15200),
        (Scene500, "train", 300, 26298), (Scene500, "val", 40, 3521), (Scene500, "test", 60, 5271),
    ],
)  # fmt: skip
def test_counts(reader: type[FixationDataset], split: Split, images: int, fixations: int) -> None:
    dataset = reader(ROOT, split)
    assert len(dataset) == images
    assert sum(len(dataset.fixations(index)) for index in range(images)) == fixations
    assert dataset.dropped == 0


@every
def test_shipped_splits_are_those_of_the_sets(reader: type[FixationDataset]) -> None:
    shipped = Path(__file__).parents[2] / "salzoo" / "data" / "splits" / f"{reader.name}.json"
    assert shipped.read_bytes() == (ROOT / reader.name / "splits.json").read_bytes()


@every
def test_a_row_is_not_a_column(reader: type[FixationDataset]) -> None:
    dataset = reader(ROOT, "val")
    total = lost = 0
    for index in range(len(dataset)):
        points = dataset.fixations(index)
        total += len(points)
        lost += len(points) - len(swapped(points).inside(dataset.size(index)))
    assert lost > 0.01 * total


def test_a_row_is_not_a_column_in_square_images_either() -> None:
    dataset = Scene500(ROOT, "val")  # half of its images are square: no point leaves the frame when swapped
    right, wrong = [], []
    for index in range(len(dataset)):
        size = dataset.size(index)
        if size[0] == size[1]:
            edges = gaussian_filter(gaussian_gradient_magnitude(dataset.image(index).float().mean(0).numpy(), 2), 10)
            z = (edges - edges.mean()) / edges.std()
            points = dataset.fixations(index)
            right.append((z * points.counts(size).numpy()).sum() / len(points))
            wrong.append((z * swapped(points).counts(size).numpy()).sum() / len(points))
    assert len(right) > 10
    assert np.mean(right) > 0.6  # people look where there are edges
    assert np.mean(wrong) < 0.3


def test_item_of_its_own_size() -> None:
    item = OSIE(ROOT, "val")[0]
    assert item["name"] == "1003.jpg"
    assert item["image"].shape == (3, 600, 800)
    assert float(item["density"].double().sum()) == pytest.approx(1, abs=1e-5)
    # Again from the file, by the rule of the set's own code: round, then count from 1.
    records = loadmat(ROOT / "osie/data/eye/fixations.mat", simplify_cells=True)["fixations"]
    (people,) = (record["subjects"] for record in records if record["img"] == "1003.jpg")
    pixels = [(round(y) - 1, round(x) - 1) for p in people for x, y in zip(p["fix_x"], p["fix_y"], strict=True)]
    ties = sum(value % 1 == 0.5 for p in people for key in ("fix_x", "fix_y") for value in p[key])
    counts = np.zeros((600, 800), int)
    np.add.at(counts, tuple(np.transpose(pixels)), 1)
    assert np.abs(counts - item["fixations"].numpy()).sum() <= 2 * ties
    assert counts.sum() == int(item["fixations"].sum()) == 127
