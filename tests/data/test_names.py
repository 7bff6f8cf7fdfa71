"""One rule by which names mean images: in tables, lists, folders of maps and of fixations."""

from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from data.studies import Row, write
from PIL import Image

from salzoo.data import FixationFolder
from salzoo.data.map_folder import MapFolder
from salzoo.data.names import Names
from salzoo.errors import DataError, DatasetNotFoundError

FILES = [normalize("NFD", "straße über.jpg"), "IMG_1.JPG", "img.v2.png", "a.png", "A b.png"]
MEANT = [
    (normalize("NFC", "straße über.jpg"), 0),
    (normalize("NFC", "STRASSE ÜBER"), 0),
    ("img_1.jpg", 1),
    ("img_1.bmp", 1),
    ("C:\\exp\\Img_1.JPEG", 1),
    ("img.v2", 2),
    ("IMG.V2.tif", 2),
    ("stim/a.png", 3),
    (" a ", 3),
    ("a b", 4),
]


@pytest.mark.parametrize(("label", "place"), MEANT)
def test_one_file_fits(label: str, place: int) -> None:
    assert Names(FILES).find(label) == FILES[place]


@pytest.mark.parametrize("label", ["img.png", "img", "img.v3", "b.png", "", "stim/", "../"])
def test_no_file_fits(label: str) -> None:
    assert Names(FILES).find(label) is None


def test_only_what_is_unique_fits() -> None:
    names = Names(["a.png", "A.png", "b.png", "b.jpg"])
    assert [names.find(label) for label in ("a.png", "A.png", "b.jpg", "b.png")] == ["a.png", "A.png", "b.jpg", "b.png"]
    assert [names.find(label) for label in ("A.PNG", "b", "b.tif", "B.PNG")] == ["A.png", None, None, "b.png"]
    assert Names(["image_01.png", "x.png"]).hint("Image_1.png") == "; did you mean 'image_01.png'?"
    assert Names(["image_01.png"]).hint("dog.png") == ""


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, list[str]]:
    """Return a study of images with awkward names, and how a table on another computer calls them."""
    (tmp_path / "images").mkdir()
    told = {FILES[0]: normalize("NFC", FILES[0]), "IMG_1.JPG": "img_1.jpg", "p1.jpg": "p1.bmp", "q.png": "x\\q"}
    for i, name in enumerate(told):
        Image.new("RGB", (60 + i, 50)).save(tmp_path / "images" / name)
    rows: list[Row] = [{"image": t, "x": 20 + 5 * k, "y": 10 + 5 * k} for t in told.values() for k in range(5)]
    write(tmp_path / "fixations.csv", rows)
    return tmp_path, sorted(told)


def test_a_table_from_another_computer(study: tuple[Path, list[str]]) -> None:
    root, names = study
    dataset = FixationFolder(root, "all")
    assert dataset.names == names
    assert [dataset.fixations(i).x.tolist() for i in range(4)] == [[20, 25, 30, 35, 40]] * 4


def test_the_nearest_name_is_told(study: tuple[Path, list[str]]) -> None:
    root, _ = study
    write(root / "fixations.csv", [{"image": "IMG1.JPG", "x": 20, "y": 20}])
    with pytest.raises(DataError, match=r"the first is 'IMG1.JPG'; did you mean 'IMG_1.JPG'"):
        FixationFolder(root)


def test_lists_and_maps_from_another_computer(study: tuple[Path, list[str]]) -> None:
    root, names = study
    told = ["P1.png", "img_1.jpg", normalize("NFC", FILES[0])]
    (root / "splits.json").write_text(json.dumps({"train": told[:2], "val": told[2:]}))
    assert FixationFolder(root, "train").names == ["p1.jpg", "IMG_1.JPG"]
    assert FixationFolder(root, "val").names == [FILES[0]]
    assert FixationFolder(root, "val").split_of("IMG_1.JPG") == "train"
    (root / "splits.json").write_text(json.dumps({"train": told[:2], "val": ["P1"]}))
    with pytest.raises(DataError, match=r"more than once, the first is p1\.jpg"):
        FixationFolder(root, "train")
    (root / "splits.json").write_text(json.dumps({"train": ["IMG__1.JPG"]}))
    with pytest.raises(DatasetNotFoundError, match=r"did you mean 'IMG_1\.JPG'"):
        FixationFolder(root, "train")
    (root / "splits.json").unlink()
    (root / "fixations.csv").unlink()
    (root / "maps").mkdir()
    for stem in ("P1", "img_1", normalize("NFC", Path(FILES[0]).stem), "q"):
        Image.new("L", (60, 50), 9).save(root / "maps" / f"{stem}.PNG")
    maps = MapFolder(root / "maps", names)
    assert [normalize("NFC", path.stem).lower() for path in maps.paths] == ["img_1", "p1", "q", "straße über"]
    assert maps.eight_bit
    assert np.allclose(maps.read(0, (50, 60)), 9)
    assert FixationFolder(root, "all").names == names


def test_fixations_an_image_from_another_computer(study: tuple[Path, list[str]]) -> None:
    root, _ = study
    (root / "fixations.csv").unlink()
    (root / "fixations").mkdir()
    for i, stem in enumerate(("P1", "img_1", normalize("NFC", Path(FILES[0]).stem))):
        np.savez(root / "fixations" / f"{stem}.npz", x=[20.5 + i, 30], y=[20, 30])
    dataset = FixationFolder(root, "all")
    assert {name: dataset.fixations(i).x[0] for i, name in enumerate(dataset.names)} == {
        "p1.jpg": 20.5,
        "IMG_1.JPG": 21.5,
        FILES[0]: 22.5,
    }
    assert [path.stem for path in dataset.annotation_paths(0)] == ["img_1"]
    assert dataset.study.unseen == ("q.png",)


def test_equal_names_in_two_folders_are_not_one_image(study: tuple[Path, list[str]]) -> None:
    root, _ = study
    write(root / "fixations.csv", [{"image": f"{above}q.png", "x": 20, "y": 20} for above in ("dog/", "cat/")])
    with pytest.raises(DataError, match=r"has 'cat/q.png' and 'dog/q.png', and one image q.png for both"):
        FixationFolder(root)
