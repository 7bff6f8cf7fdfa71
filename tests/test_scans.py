"""Scans of datasets' folders: what desktops left is no data, what is left out is told, what is locked is one error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from data import make_tiny
from data.studies import images
from PIL import Image

from salzoo.data import CAT2000, MIT1003, OSIE, SALICON, FixationDataset, FixationFolder
from salzoo.data.map_folder import MapFolder
from salzoo.errors import ImageError, SalzooError, SalzooWarning
from salzoo.images.formats import list_files
from salzoo.images.read import find_images, to_array

APPLE_DOUBLE = bytes.fromhex("0005160700020000") + b"Mac OS X        " + bytes(100)
Make = Callable[[Path], Path]
SETS: dict[str, tuple[type[FixationDataset], Make]] = {
    "osie": (OSIE, make_tiny.osie),
    "salicon": (SALICON, make_tiny.salicon),
    "mit1003": (MIT1003, make_tiny.mit1003),
    "cat2000": (CAT2000, make_tiny.cat2000),
}


def litter(root: Path) -> None:
    """Put a companion beside every file, and a folder of them into every folder, as archives from macOS do."""
    for folder, _, files in list(os.walk(root)):
        (Path(folder) / "__MACOSX").mkdir()
        for name in files:
            (Path(folder) / f"._{name}").write_bytes(APPLE_DOUBLE)
            (Path(folder) / "__MACOSX" / f"._{name}").write_bytes(APPLE_DOUBLE)
        for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "~$fix.csv"):
            (Path(folder) / name).write_bytes(APPLE_DOUBLE)


@pytest.mark.parametrize("name", SETS)
def test_litter_changes_no_dataset(name: str, tmp_path: Path) -> None:
    kind, make = SETS[name]
    root = make(tmp_path)
    before = kind(root, "all")
    names, points = before.names, [before[i]["fixations"] for i in range(len(before))]
    litter(root)
    after = kind(root, "all")
    assert after.names == names
    for index, counts in enumerate(points):
        np.testing.assert_array_equal(after[index]["fixations"], counts)


@pytest.mark.parametrize("folder", ["fixations", "maps"])
def test_what_is_left_out_beside_the_fixations_is_told(folder: str, tmp_path: Path) -> None:
    sizes = images(tmp_path / "images", 8)
    (tmp_path / folder).mkdir()
    for name, size in sizes.items():
        if folder == "maps":
            Image.effect_noise(size[::-1], 30).save(tmp_path / folder / name)
        else:
            np.savez(tmp_path / folder / name.replace(".png", ".npz"), x=[5.0, 9.5], y=[6.0, 7.5])
    (tmp_path / folder / "p99.heic").write_bytes(b"x")
    with pytest.warns(SalzooWarning, match=rf"left out 1 in .*{folder}, of formats that are not read: p99\.heic"):
        dataset = FixationFolder(tmp_path, "all")
    assert dataset.names == sorted(sizes)


def test_a_map_of_a_format_that_is_not_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.psd").write_bytes(b"8BPS")
    with pytest.raises(ImageError, match=r"no map for 1 of 1 images, the first is 'a'.*; not read: a\.psd"):
        MapFolder(tmp_path, ["a.jpg"])


def test_maps_below_are_listed_but_not_in_hidden_folders(tmp_path: Path) -> None:
    for place in ("cat/a.png", ".ipynb_checkpoints/a.png", "__MACOSX/cat/a.png", "cat/.trash/a.png", "@eaDir/a.png"):
        (tmp_path / place).parent.mkdir(parents=True)
        Image.new("L", (4, 3), 9).save(tmp_path / place)
    assert MapFolder(tmp_path, ["a.jpg"]).paths == [tmp_path / "cat/a.png"]
    assert [path.name for path in list_files(tmp_path, deep=True).found] == ["a.png"]
    assert list_files(tmp_path).found == ()


@contextmanager
def nobody() -> Iterator[None]:
    """Let permissions count, also where the tests run as root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other permissions")
def test_locked_files_and_folders(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    root = tmp_path / "study"
    names = list(images(root / "images", 8))
    (root / "fix.csv").write_text(
        "\n".join(["image,x,y", *[f"{name},{x},{y}" for name in names for x, y in ((22.5, 14), (42, 34))]])
    )
    first, second = root / "images" / names[0], root / "images" / names[1]

    def listed() -> None:
        to_array(find_images([first, second])[0])  # one that is locked stops no other

    def study() -> None:
        FixationFolder(root, "all")

    def maps() -> None:
        MapFolder(root / "images", names)

    locks: list[tuple[Path, int, Callable[[], None]]] = [(first, 0, listed), (first.parent, 0o444, listed)]
    locks += [(root / "images", 0, study), (root, 0, study), (root / "fix.csv", 0, study), (root / "images", 0, maps)]
    for path, mode, read in locks:
        usual = path.stat().st_mode
        path.chmod(mode)
        try:
            with nobody(), pytest.raises(SalzooError, match="Permission denied") as caught:
                read()
            assert "\n" not in str(caught.value)
        finally:
            path.chmod(usual)
    with nobody():
        assert len(FixationFolder(root, "all")) == 8
