"""SALICON and iSUN, and what all sets with a hidden split share, on miniatures in the layouts of their downloads."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data import make_tiny
from PIL import Image
from scipy.io import savemat

from salzoo.data import CAT2000, ISUN, MIT1003, SALICON, FixationDataset, SaliencyDataModule, TrainingView, load_dataset
from salzoo.errors import DataError, DatasetNotFoundError, ImageError, SpecError

HDF5 = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jun  5 12:00:00 2017 HDF5 schema 1.00 ."
HDF5 = HDF5.ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" * 64
"""The first bytes of what MATLAB's save(..., '-v7.3') writes."""

WITH_POINTS = [
    pytest.param(SALICON, make_tiny.salicon, 3, id="salicon"),
    pytest.param(ISUN, make_tiny.isun, 4, id="isun"),
    pytest.param(MIT1003, make_tiny.mit1003, 5, id="mit1003"),
]
HIDDEN_TEST = pytest.mark.parametrize(
    ("reader", "write"), [(SALICON, make_tiny.salicon), (ISUN, make_tiny.isun), (CAT2000, make_tiny.cat2000)]
)


def number(name: str) -> int:
    """Return the place of a SALICON, iSUN or MIT1003 image in what was drawn."""
    digits = {"C": lambda: int(name[-9:-4]) - 5, "s": lambda: int(name[4:-4]), "i": lambda: int(name[1:6])}
    return digits[name[0]]()


@pytest.mark.parametrize(("reader", "write", "seed"), WITH_POINTS)
def test_points_are_exact(
    reader: type[FixationDataset], write: Callable[[Path], Path], seed: int, tmp_path: Path
) -> None:
    write(tmp_path)
    dataset = reader(tmp_path, "all")  # the parent folder will do
    _, people = make_tiny.draw(seed)
    assert len(dataset) == (17 if reader is MIT1003 else 12)
    for index, name in enumerate(dataset.names):
        for observer, (x, y, _) in enumerate(people[number(name)]):
            points = dataset.fixations(index).of(observer)
            np.testing.assert_allclose(points.x, x[x < 999], atol=1e-9)
            np.testing.assert_allclose(points.y, y[x < 999], atol=1e-9)
    assert dataset.dropped == 1  # the one at x = 1000
    assert set(dataset.fixations(0).observer) == {0, 1, 2}  # the last one did not look


@pytest.mark.parametrize(("reader", "write", "seed"), WITH_POINTS)
def test_items_show_where_people_looked(
    reader: type[FixationDataset], write: Callable[[Path], Path], seed: int, tmp_path: Path
) -> None:
    dataset = reader(write(tmp_path), "train")
    for index in range(len(dataset)):
        item = dataset[index]
        assert item["image"].shape == (3, *dataset.size(index))
        assert item["fixations"].shape == item["density"].shape == dataset.size(index)
        assert float(item["density"].double().sum()) == pytest.approx(1, abs=1e-5)
        red, _, blue = item["image"].float()  # fails if x and y change places: people look at the coloured blob
        coloured = red - blue
        assert (coloured * item["fixations"]).sum() / item["fixations"].sum() > 4 * coloured.mean()


@HIDDEN_TEST
def test_a_test_split_has_images_only(
    reader: type[FixationDataset], write: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = write(tmp_path)
    dataset = reader(folder, "test")
    assert len(dataset) == 5
    assert not dataset.has_fixations
    assert len(dataset.fixations(0)) == dataset.dropped == 0
    item = dataset[0]
    assert item["image"].float().std() > 5
    assert item["fixations"].eq(0).all()
    assert item["density"].eq(0).all()
    with pytest.raises(DataError, match=r"fixations of split 'test' are not public.*salzoo data submit"):
        TrainingView(dataset, (24, 32))
    assert reader(folder, "val").sibling("test").names == dataset.names
    assert dataset.sibling("train").has_fixations


def test_a_data_module_predicts_a_hidden_split_and_refuses_to_score_it(tmp_path: Path) -> None:
    make_tiny.isun(tmp_path)
    data = SaliencyDataModule("isun", tmp_path)
    (batch,) = data.predict_dataloader()
    assert len(batch["name"]) == 5
    with pytest.raises(DataError, match="not public"):
        data.test_dataloader()


@HIDDEN_TEST
def test_a_split_has_the_images_of_no_other(
    reader: type[FixationDataset], write: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = write(tmp_path)
    train, val, every, test = (reader(folder, split).names for split in ("train", "val", "all", "test"))
    assert sorted(train + val) == sorted(every)
    assert len(train) > len(val) > 0
    assert not set(every) & set(test)


class TestSALICON:
    def test_the_edition_is_in_every_name(self, tmp_path: Path) -> None:
        make_tiny.salicon(tmp_path / "a", edition=2015)
        make_tiny.salicon(tmp_path / "b", edition=2017)
        assert SALICON(tmp_path / "a").name == "salicon_of_unknown_year"  # nothing tells
        assert SALICON(tmp_path / "a", edition=2015).name == "salicon2015"
        assert SALICON(tmp_path / "b").name == "salicon2017"  # mouse tracks tell
        assert load_dataset("salicon2017", tmp_path / "b", "val").name == "salicon2017"
        assert SALICON(tmp_path / "a", "val", edition=2015).sibling("train").name == "salicon2015"
        with pytest.raises(SpecError, match="'salicon2015' or 'salicon2017'"):
            load_dataset("salicon", tmp_path / "a")
        with pytest.raises(SpecError, match="unknown edition 2016"):
            SALICON(tmp_path / "a", edition=2016)  # type: ignore[arg-type]

    def test_the_folders_name_tells(self, tmp_path: Path) -> None:
        folder = make_tiny.salicon(tmp_path, name="SALICON2015")
        assert SALICON(tmp_path).name == "salicon2015"
        with pytest.raises(DataError, match=r"asked for \(2017\) must not contradict each other"):
            SALICON(folder, edition=2017)
        (folder / "fixations").rename(folder / "fixations2017")
        with pytest.raises(DataError, match="must not contradict each other"):
            SALICON(folder)
        (folder / "fixations2017").rename(folder / "fixations")
        with pytest.raises(DatasetNotFoundError, match="nor a folder named salicon or salicon2017"):
            SALICON(tmp_path, edition=2017)

    def test_two_editions_side_by_side(self, tmp_path: Path) -> None:
        for edition in (2015, 2017):
            make_tiny.salicon(tmp_path, edition, edition=edition, name=f"SALICON{edition}")
        with pytest.raises(DataError, match="holds both editions; give edition="):
            SALICON(tmp_path)
        assert SALICON(tmp_path, edition=2017).root.name == "SALICON2017"
        old, new = (SALICON(tmp_path, edition=edition).fixations(0).x for edition in (2015, 2017))
        assert len(old) != len(new) or not np.allclose(old, new)

    def test_two_editions_of_fixations_on_the_same_images(self, tmp_path: Path) -> None:
        folder = make_tiny.salicon(tmp_path / "a")
        other = make_tiny.salicon(tmp_path / "b", 33, edition=2017)
        (folder / "fixations").rename(folder / "fixations2015")
        shutil.copytree(other / "fixations", folder / "fixations2017")
        with pytest.raises(DataError, match="fixations2015, fixations2017: more than one edition"):
            SALICON(folder)
        for edition, seed in ((2015, 3), (2017, 33)):
            dataset = SALICON(folder, edition=edition)
            assert dataset.name == f"salicon{edition}"
            x, _, _ = make_tiny.draw(seed)[1][2][0]
            np.testing.assert_allclose(dataset.fixations(2).of(0).x, x)

    def test_two_editions_mixed_in_one_folder(self, tmp_path: Path) -> None:
        folder = make_tiny.salicon(tmp_path / "a")
        other = make_tiny.salicon(tmp_path / "b", edition=2017)
        for path in sorted((other / "fixations/train").iterdir())[:2]:
            shutil.copy(path, folder / "fixations/train")
        dataset = SALICON(folder, edition=2015)
        with pytest.raises(DataError, match=r"000000000005\.mat has mouse tracks outside.*or both mixed"):
            dataset[0]
        assert dataset[3]["fixations"].sum() > 0

    def test_blur_and_published_maps(self, tmp_path: Path) -> None:
        folder = make_tiny.salicon(tmp_path)
        dataset = SALICON(folder)
        assert dataset.sigma((480, 640)) == 19
        assert SALICON(folder, sigma_px=5).sigma((480, 640)) == 5
        with Image.open(folder / "maps/train" / f"{Path(dataset.names[2]).stem}.png") as grey:
            expected = np.asarray(grey, dtype=np.float64)
        np.testing.assert_allclose(dataset.provided_density(2), expected / expected.sum(), rtol=1e-6)
        shutil.rmtree(folder / "maps")
        with pytest.raises(DatasetNotFoundError, match="there is no"):
            dataset.provided_density(2)

    def test_swapped_coordinates_are_counted(self, tmp_path: Path) -> None:
        dataset = SALICON(make_tiny.salicon(tmp_path))
        assert dataset.dropped == 1
        (path,) = dataset.annotation_paths(2)  # 40 x 72
        gaze = np.empty((1, 1), dtype=[("fixations", object)])
        gaze[0, 0] = (np.array([[20.0, 60.0], [20.0, 72.0], [10.0, 30.0]]),)  # y, x
        savemat(path, {"gaze": gaze})
        assert dataset.dropped == 3
        assert dataset[2]["fixations"].nonzero().tolist() == [[29, 9]]

    def test_images_in_one_folder(self, tmp_path: Path) -> None:
        folder = make_tiny.salicon(tmp_path)
        nested = {split: SALICON(folder, split).names for split in ("train", "val", "test")}
        for path in list((folder / "images").glob("*/*.jpg")):
            path.rename(folder / "images" / path.name)
        for child in list((folder / "images").iterdir()):
            if child.is_dir():
                child.rmdir()
        assert {split: SALICON(folder, split).names for split in nested} == nested
        assert SALICON(folder).image(0).shape[0] == 3

    def test_wrong_level_and_missing_files(self, tmp_path: Path) -> None:
        folder = make_tiny.salicon(tmp_path)
        with pytest.raises(DatasetNotFoundError, match=r"no fixations and no images in .*images.*SALICON has them"):
            SALICON(folder / "images")
        (folder / "fixations/train/COCO_train2014_000000000007.mat").unlink()
        with pytest.raises(DatasetNotFoundError, match=r"1 of 8 files, such as COCO_train2014_000000000007\.mat"):
            SALICON(folder)
        (folder / "images/val/COCO_val2014_000000000014.jpg").unlink()
        with pytest.raises(DatasetNotFoundError, match=r"1 images, such as COCO_val2014_000000000014\.jpg, missing"):
            SALICON(folder, "val")
        shutil.rmtree(folder / "fixations")
        with pytest.raises(DatasetNotFoundError, match=r"no fixations in .*SALICON, .*SALICON is the data of"):
            SALICON(folder)
        assert len(SALICON(folder, "test")) == 5  # needs none

    def test_damaged_records(self, tmp_path: Path) -> None:
        dataset = SALICON(make_tiny.salicon(tmp_path, broken=True))
        with pytest.raises(DataError, match=r"000000000006\.mat: .*must be N x 2 matrices.*\(4, 3\)"):
            dataset[1]
        assert dataset[2]["fixations"].sum() > 0
        (path,) = dataset.annotation_paths(2)
        whole = path.read_bytes()
        for broken, message in (
            (whole[: len(whole) // 2], "is the download complete"),
            (b"<html>quota exceeded", "is the download complete"),
            (HDF5, "cannot be read as a MATLAB file"),
        ):
            path.write_bytes(broken)
            with pytest.raises(DataError, match=message):
                dataset[2]
        savemat(path, {"gaze": np.zeros((3, 2))})
        with pytest.raises(DataError, match="a struct array with a field fixations"):
            dataset[2]
        savemat(path, {"other": np.zeros((3, 2))})
        with pytest.raises(DataError, match="no variable 'gaze', only other"):
            dataset[2]
        path.unlink()
        with pytest.raises(DatasetNotFoundError, match="there is no"):
            dataset[2]


class TestISUN:
    def test_damaged_records(self, tmp_path: Path) -> None:
        folder = make_tiny.isun(tmp_path, broken=True)
        with pytest.raises(DataError, match=r"training\.mat: record 2 .*\(4, 3\)"):
            ISUN(folder)[0]
        assert ISUN(folder, "val")[0]["fixations"].sum() > 0
        (folder / "testing.mat").write_bytes(HDF5)
        with pytest.raises(DataError, match=r"testing\.mat cannot be read as a MATLAB file"):
            ISUN(folder, "test")

    def test_missing_files(self, tmp_path: Path) -> None:
        folder = make_tiny.isun(tmp_path)
        (folder / "images/sun_9.jpg").unlink()
        with pytest.raises(DatasetNotFoundError, match=r"1 of 4 files, such as sun_9\.jpg"):
            ISUN(folder, "val")
        (folder / "validation.mat").unlink()
        with pytest.raises(DatasetNotFoundError, match=r"no validation\.mat in .*TurkerGaze"):
            ISUN(folder, "val")
        assert len(ISUN(folder)) == 8

    def test_names_may_lie_in_cells(self, tmp_path: Path) -> None:
        names = ISUN(make_tiny.isun(tmp_path)).names
        cell = np.empty((1, 1), dtype=object)
        cell[0, 0] = "sun_3.jpg"
        struct = np.empty((1, 1), dtype=[("image", object)])
        struct[0, 0] = (cell,)
        savemat(tmp_path / "iSUN/testing.mat", {"testing": struct})
        assert ISUN(tmp_path, "test").names == ["sun_3.jpg"]
        assert names == [f"sun_{i}.jpg" for i in range(8)]


def test_an_image_with_transparency_and_one_that_is_none(tmp_path: Path) -> None:
    dataset = SALICON(make_tiny.salicon(tmp_path))
    height, width = dataset.size(0)
    Image.new("RGBA", (width, height), (10, 20, 30, 0)).save(dataset.image_path(0), format="PNG")
    assert dataset.image(0).eq(255).all()
    dataset.image_path(1).write_bytes(b"<html>")
    with pytest.raises(ImageError, match="is not an image in a format"):
        dataset[1]
