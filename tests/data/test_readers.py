from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from data import make_tiny
from PIL import Image
from scipy.io import savemat

from salzoo.data import MIT300, OSIE, EyeCrowd, FixationDataset, Scene500, list_datasets, load_dataset
from salzoo.errors import DataError, DatasetNotFoundError, ImageError, SpecError

Write = Callable[[Path], Path]
SETS = [(OSIE, make_tiny.osie), (EyeCrowd, make_tiny.eyecrowd), (Scene500, make_tiny.scene500)]
both = pytest.mark.parametrize(("reader", "write"), SETS, ids=[reader.name for reader, _ in SETS])


@both
def test_reads_its_layout(reader: type[FixationDataset], write: Write, tmp_path: Path) -> None:
    folder = write(tmp_path)
    assert {split: len(reader(folder, split)) for split in ("train", "val", "test", "all")} == {
        "train": 8, "val": 4, "test": 5, "all": 17
    }  # fmt: skip
    dataset = reader(tmp_path, "all")  # the parent folder will do
    assert dataset.dropped == 1
    assert reader(folder, "val").dropped == 0
    for index in range(len(dataset)):
        item, points, size = dataset[index], dataset.fixations(index), dataset.size(index)
        assert item["image"].dtype == torch.uint8
        assert item["image"].shape == (3, *size)
        assert item["density"].shape == item["fixations"].shape == size
        assert item["fixations"].sum() == len(points) > 0
        assert float(item["density"].double().sum()) == pytest.approx(1, abs=1e-5)
        assert set(points.observer) == {0, 1, 2}
        assert points.duration is not None
        assert 100 <= points.duration.min() <= points.duration.max() <= 400
        # People look at the blob, the one thing without blue: fails if x and y, or red and blue, change places.
        red, _, blue = item["image"].float()
        coloured = red - blue
        assert (coloured * item["fixations"]).sum() / len(points) > 4 * coloured.mean()


@both
def test_coordinates_are_exact(reader: type[FixationDataset], write: Write, tmp_path: Path) -> None:
    write(tmp_path)
    _, people = make_tiny.draw({"osie": 0, "eyecrowd": 1, "scene500": 2}[reader.name])
    dataset = reader(tmp_path, "all")
    for index, observers in enumerate(people):
        for number, (x, y, _) in enumerate(observers):
            points = dataset.fixations(index).of(number)
            np.testing.assert_allclose(points.x, x[x < 999], atol=1e-9)
            np.testing.assert_allclose(points.y, y[x < 999], atol=1e-9)


def test_blur(tmp_path: Path) -> None:
    folder = make_tiny.osie(tmp_path)
    assert OSIE(folder).sigma((600, 800)) == 24
    assert OSIE(folder, sigma_px=5).sigma((600, 800)) == 5
    narrow, wide = OSIE(folder, sigma_px=2)[1]["density"], OSIE(folder, pixels_per_degree=9)[1]["density"]
    assert narrow.max() > 2 * wide.max()
    with pytest.raises(SpecError, match="one of them"):
        OSIE(folder, sigma_px=2, pixels_per_degree=30)
    with pytest.raises(SpecError, match="above 0"):
        OSIE(folder, sigma_px=0)


def test_splits_beside_the_set_come_first_then_the_shipped_ones(tmp_path: Path) -> None:
    folder = make_tiny.osie(tmp_path)
    (folder / "splits.json").write_text(json.dumps({"train": [], "val": ["1002.jpg"], "test": []}), encoding="utf-8")
    assert OSIE(folder, "val").names == ["1002.jpg"]
    (folder / "splits.json").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"450 images, such as .* split 'train' missing"):
        OSIE(folder)
    assert len(OSIE(folder, "all")) == 17


@pytest.mark.parametrize("name", ["osie", "eyecrowd", "scene500"])
def test_shipped_splits_do_not_overlap(name: str) -> None:
    path = Path(__file__).parents[2] / "salzoo" / "data" / "splits" / f"{name}.json"
    splits = json.loads(path.read_text(encoding="utf-8"))
    names = [name for split in ("train", "val", "test") for name in splits[split]]
    assert len(set(names)) == len(names) > 0


def test_unknown_split_and_set(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"unknown split 'valid'; accepted: train, val, test, all"):
        OSIE(make_tiny.osie(tmp_path), "valid")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"unknown dataset 'OISE'\. Did you mean 'osie'\?"):
        load_dataset("OISE", tmp_path)
    assert isinstance(load_dataset("osie", tmp_path, "val"), OSIE)


def test_every_name_is_listed_and_read() -> None:
    names = list_datasets()
    assert names == sorted(names)
    assert {"osie", "salicon2017", "mit300", "folder"} <= set(names)
    with pytest.raises(SpecError, match="Known: " + ", ".join(names)):
        load_dataset("nothing of that kind", ".")


def test_reprs_say_what_was_opened(tmp_path: Path) -> None:
    folder = make_tiny.osie(tmp_path)
    assert repr(OSIE(folder, "val")) == f"<OSIE 'osie', split='val', root={str(folder)!r}: 4 images>"
    hidden = repr(MIT300(make_tiny.mit300(tmp_path)))
    assert hidden.startswith("<MIT300 'mit300', split='test', root=")
    assert hidden.endswith("images, fixations not public>")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"no folder .*nowhere.*Journal of Vision"):
        OSIE(tmp_path / "nowhere")
    with pytest.raises(
        DatasetNotFoundError, match=r"no data/eye/fixations\.mat and no data/stimuli .* folder named osie"
    ):
        OSIE(tmp_path)
    folder = make_tiny.osie(tmp_path)
    (folder / "data/stimuli/1003.jpg").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"1 of 8 images, such as 1003\.jpg, of split 'train'"):
        OSIE(tmp_path)
    dataset = OSIE(tmp_path, "val")
    dataset.image_path(0).unlink()
    with pytest.raises(DatasetNotFoundError, match="there is no"):
        dataset[0]
    (folder / "data/eye/fixations.mat").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"no data/eye/fixations\.mat in .*osie\. OSIE is"):
        OSIE(tmp_path)


@both
def test_a_damaged_mat_is_an_error(reader: type[FixationDataset], write: Write, tmp_path: Path) -> None:
    path = write(tmp_path) / reader.annotations
    whole = path.read_bytes()
    good = reader(tmp_path, "val")[0]["fixations"]
    for broken in (b"", b"not a mat file", whole[: len(whole) // 2], whole[:200]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"fixations\.mat"):
            reader(tmp_path, "val")[0]
    path.write_bytes(whole)  # a repaired file is read again
    assert torch.equal(reader(tmp_path, "val")[0]["fixations"], good)
    savemat(path, {"gaze": np.zeros((3, 4))})
    with pytest.raises(DataError, match="no variable 'fixations', only gaze"):
        reader(tmp_path, "val")[0]
    savemat(path, {"fixations": np.zeros((3, 4))})
    with pytest.raises(DataError, match=r"fixations\.mat"):
        reader(tmp_path, "val")[0]


def test_an_unexpected_record_is_an_error(tmp_path: Path) -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    one = [([3.0], [4.0], [100.0])]
    uneven = [([3.0, 5.0], [4.0], [100.0])]
    make_tiny.write_structs(tmp_path, {"a.png": image, "b.png": image}, [one, uneven], {"train": 2})
    with pytest.raises(DataError, match="record 2 is not a struct of img and subjects"):
        OSIE(tmp_path)[0]


def test_an_image_without_record_is_an_error(tmp_path: Path) -> None:
    folder = make_tiny.scene500(tmp_path)
    Image.new("RGB", (20, 20)).save(folder / "data/stimuli/900.jpg")
    dataset = Scene500(folder, "all")
    with pytest.raises(DataError, match=r"no fixations record for the image 900\.jpg"):
        dataset[len(dataset) - 1]


def test_one_image_with_one_observer_and_one_without(tmp_path: Path) -> None:
    # MATLAB files do not tell a list of one from its only element.
    one = [([3.0], [4.0], [100.0])]
    make_tiny.write_structs(tmp_path, {"a.png": np.zeros((20, 30, 3), np.uint8)}, [one], {"train": 1})
    item = OSIE(tmp_path)[0]
    assert item["fixations"].nonzero().tolist() == [[4, 3]]
    nobody = tmp_path / "nobody"
    make_tiny.write_structs(nobody, {"a.png": np.zeros((20, 30, 3), np.uint8)}, [[]], {"train": 1})
    assert OSIE(nobody)[0]["density"].eq(0).all()


def test_images_that_are_not_rgb(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    clear = np.concatenate([rgb, np.zeros((20, 30, 1), np.uint8)], axis=2)
    images = {"clear.png": clear, "grey.png": rgb[..., 0], "rgb.png": rgb}
    make_tiny.write_structs(tmp_path, images, [[], [], []], {"train": 3})
    seen_through, grey, colour = (OSIE(tmp_path).image(i).permute(1, 2, 0).numpy() for i in range(3))
    assert (seen_through == 255).all()
    assert (grey == rgb[..., :1]).all()
    assert (colour == rgb).all()
    Image.fromarray(rng.integers(0, 60000, (20, 30)).astype(np.uint16)).save(tmp_path / "data/stimuli/grey.png")
    with pytest.raises(ImageError, match=r"grey\.png.*not 8 bit"):
        OSIE(tmp_path)[1]
    (tmp_path / "data/stimuli/rgb.png").write_bytes(b"GIF89a?")
    with pytest.raises(ImageError, match=r"rgb\.png is not an image"):
        OSIE(tmp_path)[2]


def test_an_exif_rotation_is_not_followed(tmp_path: Path) -> None:
    folder = make_tiny.osie(tmp_path)
    path = OSIE(folder).image_path(0)
    with Image.open(path) as image:
        exif = image.getexif()
        exif[274] = 6  # "turn by 90 degrees"
        image.save(path, exif=exif, quality=95)
    dataset = OSIE(folder)
    assert dataset.image(0).shape[1:] == dataset.size(0) == make_tiny.SIZES[0]
