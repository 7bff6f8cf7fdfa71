from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from data import make_tiny
from PIL import Image

from salzoo.data import (
    ISUN,
    MIT300,
    MIT1003,
    OSIE,
    SALICON,
    FixationDataset,
    FixationFolder,
    Fixations,
    SaliencyDataModule,
    prepare,
)
from salzoo.errors import DataError


def columns(points: Fixations) -> list[list[float] | None]:
    every = (points.x, points.y, points.observer, points.duration)
    return [None if column is None else column.tolist() for column in every]


def forbid_reading(dataset: FixationDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: FixationDataset, index: int) -> Fixations:
        raise AssertionError("an annotation file is read")

    monkeypatch.setattr(type(dataset), "read_points", read)


@pytest.mark.parametrize(
    ("reader", "write"),
    [(SALICON, make_tiny.salicon), (MIT1003, make_tiny.mit1003), (ISUN, make_tiny.isun), (OSIE, make_tiny.osie)],
)
def test_the_same_points_from_one_file(reader, write, tmp_path, monkeypatch):
    dataset = reader(write(tmp_path / "data"), "train")
    expected = [columns(dataset.fixations(i)) for i in range(len(dataset))]
    dropped = dataset.dropped
    assert prepare(dataset, tmp_path / "cache") is dataset
    again = prepare(reader(tmp_path / "data", "train"), tmp_path / "cache")
    forbid_reading(dataset, monkeypatch)
    for each in (dataset, again, pickle.loads(pickle.dumps(again))):
        assert [columns(each.fixations(i)) for i in range(len(each))] == expected
        assert each.dropped == dropped
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_file_that_changes_is_read_again(tmp_path):
    folder = make_tiny.salicon(tmp_path / "data")
    before = prepare(SALICON(folder), tmp_path / "cache").fixations(2)
    source, target = (next(iter(SALICON(folder).annotation_paths(i))) for i in (3, 2))
    target.write_bytes(source.read_bytes())
    os.utime(target, ns=(1, 1))  # also an older one
    after = prepare(SALICON(folder), tmp_path / "cache").fixations(2)
    assert columns(after) != columns(before)
    np.testing.assert_array_equal(after.x, SALICON(folder).fixations(2).x)


def test_options_and_editions_do_not_share_points(tmp_path):
    folder = make_tiny.mit1003(tmp_path / "data")
    few, many = (prepare(MIT1003(folder, first_fixation=f), tmp_path / "cache").read_points(0) for f in (False, True))
    assert len(few) < len(many)
    salicon = make_tiny.salicon(tmp_path / "data")
    for edition in (None, 2015):
        prepare(SALICON(salicon, edition=edition), tmp_path / "cache")
    names = {path.name.split("-")[0] for path in (tmp_path / "cache").iterdir()}
    assert names == {"mit1003", "salicon2015", "salicon_of_unknown_year"}


def test_nothing_is_left_of_a_failure(tmp_path):
    dataset = SALICON(make_tiny.salicon(tmp_path / "data", broken=True))
    with pytest.raises(DataError, match="N x 2"):
        prepare(dataset, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_siblings_are_prepared_and_hidden_splits_left_alone(tmp_path, monkeypatch):
    dataset = prepare(ISUN(make_tiny.isun(tmp_path / "data"), "val"), tmp_path / "cache")
    expected = columns(ISUN(tmp_path / "data").fixations(1))
    train, test = dataset.sibling("train"), dataset.sibling("test")
    forbid_reading(dataset, monkeypatch)
    assert columns(train.fixations(1)) == expected
    assert len(test.fixations(0)) == 0
    images = prepare(MIT300(make_tiny.mit300(tmp_path / "data")), tmp_path / "other")
    assert not (tmp_path / "other").exists()
    assert len(images.fixations(0)) == 0


def test_a_data_module_reads_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny.salicon(tmp_path / "data")
    without = SaliencyDataModule("salicon2015", tmp_path / "data", eval_batch_size=4)
    (expected,) = without.val_dataloader()
    data = SaliencyDataModule("salicon2015", tmp_path / "data", eval_batch_size=4, cache=tmp_path / "cache")
    data.datasets("val")
    forbid_reading(data.datasets("val")[0], monkeypatch)
    (batch,) = data.val_dataloader()
    for one, other in zip(batch["density"], expected["density"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_study_of_maps_has_no_points_to_prepare(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "maps").mkdir()
    for number in range(4):
        Image.new("RGB", (12, 10)).save(tmp_path / "images" / f"{number}.png")
        Image.new("L", (12, 10), 9).save(tmp_path / "maps" / f"{number}.png")
    dataset = prepare(FixationFolder(tmp_path, "all"), tmp_path / "cache")
    assert float(dataset[0]["density"].sum()) == pytest.approx(1)
    assert not (tmp_path / "cache").exists()
