"""SALICON, MIT1003 and CAT2000 in the other forms in which people have them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import make_tiny, matlab73
from numpy.typing import NDArray
from PIL import Image
from scipy import sparse
from scipy.io import savemat

from salzoo.data import CAT2000, ISUN, MIT1003, SALICON, FixationDataset, load_dataset, prepare
from salzoo.data._matlab import load_mat, open_mat
from salzoo.errors import DataError, DatasetNotFoundError

Write = Callable[[Path, NDArray[Any]], None]
FORMS: dict[str, tuple[str, Write]] = {
    "lsun": (".mat", lambda path, matrix: savemat(path, {"I": matrix.astype(np.uint8)})),
    "doubles": (".mat", lambda path, matrix: savemat(path, {"I": matrix.astype(np.float64)}, do_compression=True)),
    "sparse": (".mat", lambda path, matrix: savemat(path, {"fixLocs": sparse.csc_matrix(matrix.astype(float))})),
    "flags": (".mat", lambda path, matrix: savemat(path, {"fixLocs": sparse.csc_matrix(matrix)})),
    "old": (".mat", lambda path, matrix: savemat(path, {"I": sparse.csc_matrix(matrix.astype(float))}, format="4")),
    "hdf5": (".mat", lambda path, matrix: matlab73.save(path, {"I": sparse.csc_matrix(matrix.astype(float))})),
    "png": (".png", lambda path, matrix: Image.fromarray(matrix.astype(np.uint8) * 255).save(path)),
    "ones": (".PNG", lambda path, matrix: Image.fromarray(matrix.astype(np.uint8)).save(path, "PNG")),
    "colours": (".png", lambda path, matrix: Image.fromarray(matrix.astype(np.uint8) * 255).convert("RGB").save(path)),
    "npy": (".npy", lambda path, matrix: np.save(path, matrix)),
    "npz": (".npz", lambda path, matrix: np.savez_compressed(path, fixations=matrix)),
}


def api_json(folder: Path, part: str, seed: int = 3, **changed: Any) -> Path:
    """Write the JSON of SALICON's API beside the images of `make_tiny.salicon`."""
    images, annotations = [], []
    _, people = make_tiny.draw(seed)
    for path in sorted((folder / "images" / part).glob("*.jpg")):
        number = int(path.stem[-12:])
        images.append({"id": number, "file_name": path.name, "height": 48, "width": 64, "license": 1})
        for worker, (x, y, _) in enumerate(people[number - 5]):
            points = np.stack([y, x], 1).round() + 1
            annotations.append({"id": len(annotations), "image_id": number, "worker_id": 70 + worker})
            annotations[-1]["fixations"] = points.astype(int).tolist()
    content = {"info": {"year": 2015}, "images": images, "licenses": [], "annotations": annotations}
    path = folder / f"annotations/fixations_{part}2014r1.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**content, "type": "fixations", **changed}), encoding="utf-8")
    return path


class TestJson:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Return SALICON's images with its JSON alone."""
        folder = make_tiny.salicon(tmp_path)
        shutil.rmtree(folder / "fixations")
        for part in ("train", "val"):
            api_json(folder, part)
        return folder

    def test_row_and_column_from_1_one_entry_a_worker(self, folder: Path) -> None:
        dataset = load_dataset("salicon2015", folder, "all")
        assert (dataset.name, len(dataset), dataset.dropped) == ("salicon2015", 12, 1)
        _, people = make_tiny.draw(3)
        for index, name in enumerate(dataset.names):
            for observer, (x, y, _) in enumerate(people[int(name[-9:-4]) - 5]):
                points = dataset.read_points(index).of(observer)
                np.testing.assert_array_equal(points.x, x.round())
                np.testing.assert_array_equal(points.y, y.round())
        assert SALICON(folder).name == "salicon_of_unknown_year"
        before = dataset.read_points(3).x
        (folder / "annotations").rename(folder / "fixations")
        np.testing.assert_array_equal(SALICON(folder, "all").read_points(3).x, before)
        assert len(SALICON(folder, "test")) == 5

    def test_a_worker_who_comes_twice_is_one_observer(self, folder: Path) -> None:
        entry = {"image_id": 5, "worker_id": 9, "fixations": [[1, 2], [3, 4]]}
        others = [{"image_id": k, "worker_id": 1, "fixations": []} for k in range(6, 13)]
        api_json(folder, "train", annotations=[entry, {**entry, "worker_id": 8}, entry, *others])
        points = SALICON(folder).read_points(0)
        assert points.observer.tolist() == [0, 0, 0, 0, 1, 1]
        assert points.x.tolist() == [1, 3] * 3
        assert points.y.tolist() == [0, 2] * 3

    def test_names_are_cocos_without_a_list_of_images(self, folder: Path, tmp_path: Path) -> None:
        before = SALICON(folder).read_points(4)
        path = folder / "annotations/fixations_train2014r1.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        del content["images"]
        path.write_text(json.dumps(content, indent=1), encoding="utf-16")
        points = prepare(SALICON(folder), tmp_path / "cache").fixations(4)
        np.testing.assert_array_equal(points.x, before.x)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"annotations": []}, "it has no annotations"),
            ({"annotations": [{"image_id": 5}]}, "entry 0 of annotations is not as expected: KeyError"),
            ({"annotations": [{"image_id": 5, "fixations": [[1, 2, 3]]}]}, r"\[row, column\], got shape \(1, 3\)"),
            ({"annotations": [{"image_id": 5, "fixations": [["1", "2"]]}]}, r"\[row, column\]"),
            ({"annotations": [{"image_id": 5, "fixations": [[float("nan"), 2]]}]}, "finite"),
            ({"annotations": [{"image_id": 77, "fixations": [[1, 2]]}]}, "annotations of 1 images, such as 77"),
            ({"annotations": [[5]]}, "entry 0 of annotations"),
        ],
    )
    def test_entries_that_are_none(self, changed: dict[str, Any], message: str, folder: Path) -> None:
        api_json(folder, "train", **changed)
        with pytest.raises(DataError, match=rf"train2014r1\.json is not SALICON's JSON: .*{message}"):
            SALICON(folder)

    def test_damaged_missing_and_double(self, folder: Path) -> None:
        path = folder / "annotations/fixations_train2014r1.json"
        whole = path.read_text(encoding="utf-8")
        for text in ("", "[]", whole[:-40], whole[: len(whole) // 2], '{"annotations": ' + "[" * 100_000):
            path.write_text(text, encoding="utf-8")
            with pytest.raises(DataError, match=r"train2014r1\.json is not SALICON's JSON"):
                SALICON(folder)
        path.write_text(whole, encoding="utf-8")
        (folder / "annotations/fixations_train2014examples.json").write_text(whole, encoding="utf-8")
        with pytest.raises(DataError, match=r"examples\.json, fixations_train2014r1\.json, all .* train: keep one"):
            SALICON(folder)
        (folder / "annotations/fixations_train2014examples.json").unlink()
        (folder / "images/train/COCO_train2014_000000000007.jpg").unlink()
        with pytest.raises(DatasetNotFoundError, match=r"1 images, such as COCO_train2014_000000000007\.jpg, missing"):
            SALICON(folder)
        api_json(folder, "train", annotations=[{"image_id": 8, "worker_id": 1, "fixations": [[1, 1]]}])
        with pytest.raises(DatasetNotFoundError, match=r"has no fixations on 6 of 7 images, such as COCO_train2014_0"):
            SALICON(folder)
        (folder / "fixations/train").mkdir(parents=True)
        with pytest.raises(DataError, match=r"fixations twice, in fixations, fixations_train2014r1\.json"):
            SALICON(folder)
        shutil.rmtree(folder / "fixations")
        path.unlink()
        with pytest.raises(DatasetNotFoundError, match=r"no fixations_train2014\.json in"):
            SALICON(folder)


@pytest.mark.parametrize("form", FORMS)
class TestMatrices:
    def check(self, dataset: FixationDataset, images: list[Any], people: Any, place: Callable[[str], int]) -> None:
        for index, name in enumerate(dataset.names):
            expected = make_tiny.count(people[place(name)], images[place(name)].shape) > 0
            assert (dataset[index]["fixations"].numpy() == expected).all()
            assert set(dataset.read_points(index).observer) == {0}

    def test_salicon(self, form: str, tmp_path: Path) -> None:
        folder, (images, people) = make_tiny.salicon(tmp_path), make_tiny.draw(3)
        shutil.rmtree(folder / "fixations")
        (folder / "fixation").mkdir()  # flat, as for LSUN 2015
        for number in range(12):
            part = "train" if number < 8 else "val"
            matrix = make_tiny.count(people[number], images[number].shape) > 0
            suffix, write = FORMS[form]
            write(folder / f"fixation/COCO_{part}2014_{number + 5:012d}{suffix}", matrix)
        for split, count in (("train", 8), ("val", 4)):
            dataset = SALICON(folder, split, edition=2015)  # type: ignore[arg-type]
            assert (len(dataset), dataset.dropped) == (count, 0)
            self.check(dataset, images, people, lambda name: int(name[-9:-4]) - 5)

    def test_cat2000(self, form: str, tmp_path: Path) -> None:
        folder, (images, people) = make_tiny.cat2000(tmp_path), make_tiny.draw(7)
        names = CAT2000(folder, "all").names
        for name in names:
            path = folder / "trainSet/FIXATIONLOCS" / name
            path.with_suffix(".mat").unlink()
            suffix, write = FORMS[form]
            number = 2 * (int(name[-7:-4]) - 1) + name.startswith("Social")
            write(path.with_suffix(suffix), make_tiny.count(people[number], images[number].shape) > 0)
        self.check(CAT2000(folder, "all"), images, people, lambda n: 2 * (int(n[-7:-4]) - 1) + n.startswith("Social"))

    def test_mit1003(self, form: str, tmp_path: Path) -> None:
        folder, (images, people) = make_tiny.mit1003(tmp_path, raw=False), make_tiny.draw(5)
        for number, path in enumerate(sorted((folder / "ALLFIXATIONMAPS").glob("*_fixPts.jpg"))):
            path.unlink()
            suffix, write = FORMS[form]
            write(path.with_suffix(suffix), make_tiny.count(people[number], images[number].shape) > 0)
        self.check(MIT1003(folder, "all"), images, people, lambda name: int(name[1:6]))


def test_what_is_not_understood_is_named(tmp_path: Path) -> None:
    folder = make_tiny.salicon(tmp_path)
    for path in (folder / "fixations/train").iterdir():
        path.rename(path.with_suffix(".pkl"))
    with pytest.raises(
        DatasetNotFoundError, match=r"0005\.pkl, .* are of no form that is read, which are \.mat, \.npz"
    ):
        SALICON(folder)


def test_a_blurred_map_in_place_of_points(tmp_path: Path) -> None:
    folder = make_tiny.salicon(tmp_path)
    for path in (folder / "fixations/train").iterdir():
        path.unlink()
        shutil.copy(folder / "maps/train" / f"{path.stem}.png", path.with_suffix(".png"))
    with pytest.raises(DataError, match=r"000000000005\.png is not 0 in .*: that is a blurred map, not fixations"):
        SALICON(folder, edition=2015)[0]


def test_raw_gaze_under_another_name(tmp_path: Path) -> None:
    dataset = MIT1003(make_tiny.mit1003(tmp_path), "all")
    expected = dataset.read_points(0)
    for path in dataset.annotation_paths(0):
        (record,) = open_mat(path).values()
        savemat(path, {"x": record.read()})
    np.testing.assert_array_equal(dataset.read_points(0).x, expected.x)


def test_isun_with_names_and_matrices(tmp_path: Path) -> None:
    folder, (images, people) = make_tiny.isun(tmp_path), make_tiny.draw(4)
    for name in ("fixation", "saliency"):
        (folder / name).mkdir()
    for number in range(12):
        matrix = make_tiny.count(people[number], images[number].shape) > 0
        savemat(folder / f"fixation/sun_{number}.mat", {"I": matrix})
        savemat(folder / f"saliency/sun_{number}.mat", {"I": images[number][..., 0] / 255})
    before = ISUN(folder, "all")
    assert set(before.read_points(0).observer) == {0, 1, 2}  # the struct arrays tell more
    for name in ("training", "validation"):
        records = load_mat(folder / f"{name}.mat", name, simplify=False)
        savemat(folder / f"{name}.mat", {name: records[["image"]].astype([("image", object)])})
    after = ISUN(folder, "all")
    assert after.names == before.names
    for index, name in enumerate(after.names):
        number = int(name[4:-4])
        expected = make_tiny.count(people[number], images[number].shape) > 0
        assert (after[index]["fixations"].numpy() == expected).all()
        red = images[number][..., 0].astype(float)
        np.testing.assert_allclose(after.provided_density(index), red / red.sum(), rtol=1e-5)
    assert len(ISUN(folder, "test")) == 5


def test_salicons_maps_for_lsun(tmp_path: Path) -> None:
    folder = make_tiny.salicon(tmp_path)
    expected = SALICON(folder).provided_density(1)
    shutil.rmtree(folder / "maps")
    (folder / "saliency").mkdir()
    name = Path(SALICON(folder).names[1]).stem
    savemat(folder / f"saliency/{name}.mat", {"I": expected.numpy() * 3})
    np.testing.assert_allclose(SALICON(folder).provided_density(1), expected, rtol=1e-6)
    savemat(folder / f"saliency/{name}.mat", {"I": expected.numpy() * -3})
    with pytest.raises(DataError, match="is not finite and positive: no density"):
        SALICON(folder).provided_density(1)
