"""MIT1003, MIT300 and CAT2000, on miniatures in the layouts of their downloads."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from data import make_tiny, matlab_map
from PIL import Image
from scipy.io import savemat

from salzoo.data import CAT2000, MIT300, MIT1003
from salzoo.data.registry import load_dataset
from salzoo.errors import DataError, DatasetNotFoundError, SpecError


class TestMIT1003:
    def test_durations_and_the_first_fixation(self, tmp_path: Path) -> None:
        folder = make_tiny.mit1003(tmp_path)
        kept, every = MIT1003(folder, "all"), MIT1003(folder, "all", first_fixation=True)
        assert kept.observers == ["CNG", "ajs", "emb", "ya"]
        _, people = make_tiny.draw(5)
        for index, observers in enumerate(people):
            height, width = kept.size(index)
            for observer, (_, _, duration) in enumerate(observers):
                samples = np.round(duration * 0.24) + 10
                points = every.read_points(index).of(observer)
                assert (points.x[0], points.y[0]) == (width / 2, height / 2)
                np.testing.assert_allclose(points.duration[1:], (samples - 1) * 1000 / 240)
                assert len(kept.read_points(index).of(observer)) == len(points) - 1
        assert every.sibling("val").first_fixation

    def test_saccades_are_no_fixations(self, tmp_path: Path) -> None:
        dataset = MIT1003(make_tiny.mit1003(tmp_path), "all", first_fixation=True)
        jump = np.concatenate([np.tile([3.0, 4.0], (60, 1)), np.tile([400.0, 300.0], (60, 1))])
        jitter = jump + np.random.default_rng(0).normal(0, 1, jump.shape)
        path = next(iter(dataset.annotation_paths(0)))
        savemat(path, {path.stem[:63]: {"DATA": {"eyeData": jitter}}}, long_field_names=True)
        points = dataset.read_points(0).of(0)
        np.testing.assert_allclose(np.stack([points.x, points.y], 1), [[3, 4], [400, 300]], atol=0.5)

    def test_maps_of_points(self, tmp_path: Path) -> None:
        folder = make_tiny.mit1003(tmp_path, raw=False)
        Image.new("L", (9, 9)).save(folder / "ALLFIXATIONMAPS/i05june05_static_street_boston_p1010764fixPts.jpg")
        dataset = MIT1003(folder, "all")
        images, people = make_tiny.draw(5)
        for index, (image, observers) in enumerate(zip(images, people, strict=True)):
            expected = make_tiny.count(observers, image.shape) > 0
            assert (dataset[index]["fixations"].numpy() == expected).all()
        assert dataset.observers == []
        assert float(dataset.provided_density(0).sum()) == pytest.approx(1)
        with pytest.raises(SpecError, match=r"has no first fixations; unpack DATA\.zip"):
            MIT1003(folder, "all", first_fixation=True)

    def test_archives_unpacked_into_folders_of_their_names(self, tmp_path: Path) -> None:
        folder = make_tiny.mit1003(tmp_path)
        expected = MIT1003(folder, "all").fixations(3).x
        for name in ("ALLSTIMULI", "DATA"):
            (folder / name).rename(folder / "moved")
            (folder / name).mkdir()
            (folder / "moved").rename(folder / name / name)
        np.testing.assert_array_equal(MIT1003(folder, "all").fixations(3).x, expected)

    def test_splits_are_a_rule_or_the_users(self, tmp_path: Path) -> None:
        folder = make_tiny.mit1003(tmp_path)
        parts = {split: MIT1003(folder, split).names for split in ("train", "val", "test")}
        assert sorted(name for names in parts.values() for name in names) == MIT1003(folder, "all").names
        assert {split: len(names) for split, names in parts.items()} == {"train": 13, "val": 2, "test": 2}
        for path in sorted((folder / "ALLSTIMULI").iterdir())[:9]:
            path.unlink()  # who is in which split does not depend on who else is there
        assert set(MIT1003(folder, "train").names) < set(parts["train"])
        name = parts["train"][-1]
        (folder / "splits.json").write_text(f'{{"val": ["{name}"]}}', encoding="utf-8")
        assert MIT1003(folder, "val").names == [name]

    def test_damaged_records(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"CNG/i00001.*is not a struct with DATA\(1\)\.eyeData"):
            MIT1003(make_tiny.mit1003(tmp_path / "raw", broken=True), "all")[1]
        with pytest.raises(DataError, match=r"fixPts\.jpg is \(48, 64\) .*its image \(64, 48\)"):
            MIT1003(make_tiny.mit1003(tmp_path / "maps", raw=False, broken=True), "all")[1]
        (path,) = (tmp_path / "raw").glob("MIT1003/DATA/emb/i00004*.mat")
        path.unlink()
        with pytest.raises(DatasetNotFoundError, match=r"1 of 17 files, such as i00004.*DATA/emb"):
            MIT1003(tmp_path / "raw", "all")
        shutil.rmtree(tmp_path / "raw/MIT1003/DATA")
        with pytest.raises(DatasetNotFoundError, match=r"no DATA or ALLFIXATIONMAPS in .*DATA\.zip \(raw gaze\)"):
            MIT1003(tmp_path / "raw")

    def test_gaze_that_is_not_in_pixels(self, tmp_path: Path) -> None:
        dataset = MIT1003(make_tiny.mit1003(tmp_path), "all")
        path = next(iter(dataset.annotation_paths(0)))
        gaze = np.random.default_rng(0).uniform(0.1, 1, (700, 2))
        savemat(path, {path.stem[:63]: {"DATA": {"eyeData": gaze}}}, long_field_names=True)
        with pytest.raises(DataError, match=r"CNG/i00000.*\.mat: x and y must be in pixels"):
            dataset.read_points(0)

    def test_nobody_with_open_eyes(self, tmp_path: Path) -> None:
        dataset = MIT1003(make_tiny.mit1003(tmp_path), "all")
        for path, gaze in zip(dataset.annotation_paths(0), (np.full((700, 2), -1.0), np.empty((0, 2))), strict=False):
            savemat(path, {path.stem[:63]: {"DATA": {"eyeData": gaze}}}, long_field_names=True)
        assert set(dataset.fixations(0).observer) == {2}


class TestMIT300:
    def test_images_in_order(self, tmp_path: Path) -> None:
        dataset = MIT300(make_tiny.mit300(tmp_path))
        assert dataset.names == [f"i{i}.jpg" for i in range(1, 18)]
        assert not dataset.has_fixations
        assert dataset[9]["fixations"].sum() == 0
        assert MIT300(tmp_path, "all").names == dataset.names

    def test_what_it_has_not(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetNotFoundError, match=r"1 of 17 files, such as i9\.jpg, missing in .*BenchmarkIMAGES"):
            MIT300(make_tiny.mit300(tmp_path, broken=True))
        with pytest.raises(SpecError, match="mit300: unknown split 'train'; accepted: test, all"):
            MIT300(tmp_path, "train")
        with pytest.raises(DatasetNotFoundError, match=r"MIT300 has them, give that folder.*BenchmarkIMAGES\.zip"):
            MIT300(tmp_path / "MIT300/BenchmarkIMAGES")


def drawn(name: str) -> int:
    """Return which of the drawn images `<category>/NNN.jpg` of the miniature CAT2000 is."""
    return 2 * (int(name[-7:-4]) - 1) + name.startswith("Social")


class TestCAT2000:
    def test_pixels_and_categories(self, tmp_path: Path) -> None:
        dataset = CAT2000(make_tiny.cat2000(tmp_path), "all")
        images, people = make_tiny.draw(7)
        for index, name in enumerate(dataset.names):
            assert dataset.category(index) in ("Action", "Social")
            place = drawn(name)
            expected = make_tiny.count(people[place], images[place].shape) > 0
            assert (dataset[index]["fixations"].numpy() == expected).all()
        assert dataset.sigma((1080, 1920)) == 40
        assert float(dataset.provided_density(0).sum()) == pytest.approx(1)

    def test_the_only_matrix_of_another_name(self, tmp_path: Path) -> None:
        dataset = CAT2000(make_tiny.cat2000(tmp_path), "all")
        (path,) = dataset.annotation_paths(0)
        matrix = np.zeros(dataset.size(0))
        matrix[3, 7] = 1
        savemat(path, {"anything": matrix})
        assert dataset[0]["fixations"].nonzero().tolist() == [[3, 7]]
        savemat(path, {"one": matrix, "other": matrix})
        with pytest.raises(DataError, match=r"holds one, other; .* is needed, or one called fixLocs or fixations or I"):
            dataset[0]

    def test_damaged_and_missing_files(self, tmp_path: Path) -> None:
        folder = make_tiny.cat2000(tmp_path, broken=True)
        dataset = CAT2000(folder, "all")
        with pytest.raises(DataError, match=r"Social/001\.mat is \(48, 64\) .*its image \(64, 48\)"):
            dataset[dataset.names.index("Social/001.jpg")]
        (folder / "trainSet/FIXATIONLOCS/Action/005.mat").unlink()
        with pytest.raises(DatasetNotFoundError, match=r"1 of 6 files, such as 005\.mat, .*Action"):
            CAT2000(folder, "all")
        shutil.rmtree(folder / "testSet")
        with pytest.raises(DatasetNotFoundError, match=r"no testSet/Stimuli in .*testSet\.zip"):
            CAT2000(folder, "test")

    def test_observers_are_told_apart(self, tmp_path: Path) -> None:
        folder = make_tiny.cat2000(tmp_path)
        dataset = load_dataset("cat2000_observers", folder, "all")
        assert isinstance(dataset, CAT2000)
        assert dataset.name == "cat2000_observers"
        assert dataset.names == CAT2000(folder, "all").names
        _, people = make_tiny.draw(7)
        for index, name in enumerate(dataset.names):
            points = dataset.read_points(index)
            for observer, (x, y, _) in enumerate(people[drawn(name)]):
                np.testing.assert_allclose(points.of(observer).x, x, atol=1e-9)
                np.testing.assert_allclose(points.of(observer).y, y, atol=1e-9)
        assert dataset.sibling("val").observers
        shutil.rmtree(folder / "trainSet/FIXATIONLOCS")
        assert len(CAT2000(folder, "all", observers=True)) == len(dataset)

    def test_damaged_and_missing_observers(self, tmp_path: Path) -> None:
        folder = make_tiny.cat2000(tmp_path, broken=True)
        dataset = CAT2000(folder, "all", observers=True)
        with pytest.raises(DataError, match=r"allFixData\.mat does not hold a containers\.Map .*N x 2 or more, got"):
            dataset[0]
        file = folder / "trainSet/allFixData.mat"
        matlab_map.save(file, "allData", {"Action/001.jpg": np.empty((0, 0), object)})
        assert len(dataset.read_points(dataset.names.index("Action/001.jpg"))) == 0
        with pytest.raises(DataError, match=r"no fixations for the image Social/001\.jpg"):
            dataset.read_points(dataset.names.index("Social/001.jpg"))
        savemat(file, {"allData": np.eye(3)})
        with pytest.raises(DataError, match=r"allFixData\.mat does not hold a containers\.Map"):
            dataset[0]
        file.unlink()
        with pytest.raises(DatasetNotFoundError, match=r"no trainSet/allFixData\.mat in"):
            CAT2000(folder, "all", observers=True)

    def test_an_exif_rotation_is_not_followed(self, tmp_path: Path) -> None:
        dataset = CAT2000(make_tiny.cat2000(tmp_path), "test")
        before = dataset.image(0)
        with Image.open(dataset.image_path(0)) as image:
            exif = image.getexif()
            exif[274] = 6
            image.save(dataset.image_path(0), exif=exif, quality="keep")
        torch.testing.assert_close(dataset.image(0).float(), before.float(), atol=12, rtol=0)  # JPEG, twice
