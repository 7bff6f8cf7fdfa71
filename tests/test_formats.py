"""One rule everywhere for what is an image file: formats from an allow-list, suffixes in any case, no hidden files."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data.studies import images
from numpy.typing import NDArray
from PIL import Image

from salzoo.data import FixationFolder
from salzoo.data.base import list_images, open_image
from salzoo.data.map_folder import MapFolder
from salzoo.errors import ImageError, SalzooWarning
from salzoo.images.formats import FORMATS, SUFFIXES, Listing, list_files
from salzoo.images.read import find_images, read_file, to_array

APPLE_DOUBLE = bytes.fromhex("0005160700020000") + b"Mac OS X        " + bytes(100)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n(x) run\nshowpage\n%%EOF\n"
HEIC = b"\0\0\0\x18ftypheic" + bytes(100)


@pytest.fixture
def rgb() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)


def foreign(rgb: NDArray[np.uint8]) -> dict[str, bytes]:
    """Files of formats that Pillow has a parser for and salzoo does not open."""
    files = {"eps": EPS, "psd": b"8BPS\0\1" + bytes(100), "heic": HEIC}
    for kind in ("PCX", "SGI", "ICO", "DDS"):
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, kind)
        files[kind.lower()] = buffer.getvalue()
    return files


READERS: dict[str, Callable[[Path], object]] = {
    "to_array": to_array,
    "read_file": lambda path: read_file(path.read_bytes(), path.name),
    "datasets": lambda path: open_image(path, lambda image: image.size),
    "maps": lambda path: MapFolder(path.parent, [path.name]).read(0, (16, 20)),
}


@pytest.mark.parametrize("reader", READERS)
def test_no_other_parser_sees_a_file(reader: str, rgb: NDArray[np.uint8], tmp_path: Path) -> None:
    for kind, data in foreign(rgb).items():
        path = tmp_path / f"{kind}.jpg"
        path.write_bytes(data)
        with pytest.raises(ImageError, match="not an image in a format that salzoo reads") as caught:
            READERS[reader](path)
        assert path.name in str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        ("jfif", "JPEG"),
        ("JPE", "JPEG"),
        ("mpo", "MPO"),
        ("tga", "TGA"),
        ("pnm", "PPM"),
        ("dib", "DIB"),
        ("TIF", "TIFF"),
    ],
)
def test_every_suffix_of_a_format_is_an_image(suffix: str, kind: str, rgb: NDArray[np.uint8], tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rgb).save(path, kind)
    with Image.open(path) as image:
        wanted = np.asarray(image.convert("RGB"))
    for found in (
        find_images([tmp_path]),
        find_images([tmp_path / "*"]),
        [tmp_path / n for n in list_images(tmp_path)],
    ):
        assert found == [path]
        np.testing.assert_array_equal(to_array(found[0]), wanted)


def test_formats_are_those_of_this_pillow() -> None:
    assert {"PNG", "JPEG", "MPO", "BMP", "GIF", "TIFF", "PPM", "TGA"} <= set(FORMATS)
    assert not {"EPS", "PDF", "PSD", "FITS", "WMF", "GRIB", "HDF5"} & set(FORMATS)
    assert all(Image.registered_extensions()[suffix] in FORMATS for suffix in SUFFIXES)


def test_what_a_folder_leaves_out_is_counted_and_named(tmp_path: Path) -> None:
    for name in ("a.png", "b.JPG", "c.heic", "notes.txt", ".d.png", "._a.png", "Thumbs.db", "desktop.ini", ".DS_Store"):
        (tmp_path / name).write_bytes(HEIC)
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX/e.png").write_bytes(HEIC)
    (tmp_path / "f.png").symlink_to(tmp_path / "gone.png")  # for whoever reads it to report
    names = [[path.name for path in files] for files in (list_files(tmp_path).found, list_files(tmp_path).left_out)]
    assert names == [["a.png", "b.JPG", "f.png"], ["c.heic", "notes.txt"]]
    assert [path.name for path in list_files(tmp_path).unreadable] == ["c.heic"]
    for pattern in (tmp_path, tmp_path / "**" / "*"):
        with pytest.warns(SalzooWarning, match=r"left out 2 in .*c\.heic, notes\.txt; convert images to PNG"):
            assert [path.name for path in find_images([pattern])] == ["a.png", "b.JPG", "f.png"]
    with pytest.warns(SalzooWarning, match=r"left out 1 in .*: c\.heic"):
        assert list_images(tmp_path) == ["a.png", "b.JPG", "f.png"]


def test_a_long_list_names_images_first() -> None:
    paths = [*(Path(f"{k}.txt") for k in range(20)), Path("z.CR2")]
    with pytest.warns(SalzooWarning, match=r"left out 21 in here, .*: z\.CR2, 0\.txt, .*, \.\.\.; convert"):
        Listing((), tuple(paths)).warn("here", paths)


def test_the_command_says_it_in_a_line(rgb: NDArray[np.uint8], tmp_path: Path) -> None:
    Image.fromarray(rgb).save(tmp_path / "a.jpe", "JPEG")
    (tmp_path / "IMG_1.HEIC").write_bytes(HEIC)
    command = [sys.executable, "-m", "salzoo", "predict", str(tmp_path), "-m", "signature", "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("1 of 1 images")
    assert (
        f"salzoo: warning: left out 1 in folder '{tmp_path}', of formats that are not read: IMG_1.HEIC" in done.stderr
    )
    assert "formats.py" not in done.stderr


@pytest.mark.parametrize("source", ["table", "npz", "maps"])
def test_companions_of_a_desktop_are_no_data(source: str, tmp_path: Path) -> None:
    names = list(images(tmp_path / "images"))
    points = np.array([[22.5, 14], [42, 34]])
    if source == "table":
        rows = [f"{name},{x},{y}" for name in names for x, y in points]
        (tmp_path / "fix.csv").write_text("\n".join(["image,x,y", *rows]))
        (tmp_path / "._fix.csv").write_bytes(APPLE_DOUBLE)
    elif source == "npz":
        (tmp_path / "fixations").mkdir()
        for name in names:
            path = tmp_path / "fixations" / f"{Path(name).stem}.NPZ"
            with path.open("wb") as file:
                np.savez(file, x=points[:, 0], y=points[:, 1])
            path.with_name("._" + path.name).write_bytes(APPLE_DOUBLE)
    else:
        (tmp_path / "maps").mkdir()
        for name in names:
            with Image.open(tmp_path / "images" / name) as image:
                image.convert("L").save(tmp_path / "maps" / f"{Path(name).stem}.PNG", "PNG")
            (tmp_path / "maps" / f"._{Path(name).stem}.PNG").write_bytes(APPLE_DOUBLE)
    for name in names:
        (tmp_path / "images" / f"._{name}").write_bytes(APPLE_DOUBLE)
    (tmp_path / "images" / "Thumbs.db").write_bytes(APPLE_DOUBLE)
    dataset = FixationFolder(tmp_path, "all")
    assert dataset.names == sorted(names)
    assert dataset.study.unseen == ()
    assert float(dataset[0]["density"].sum()) == pytest.approx(1, abs=1e-5)


def test_images_of_a_study_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    names = list(images(tmp_path / "images"))
    (tmp_path / "fix.csv").write_text(
        "\n".join(["image,x,y", *[f"{name},{x},{y}" for name in names for x, y in ((22.5, 14), (42, 34))]])
    )
    (tmp_path / "images" / "DSC_1.NEF").write_bytes(HEIC)
    with pytest.warns(SalzooWarning, match=r"left out 1 in .*images, of formats that are not read: DSC_1\.NEF"):
        FixationFolder(tmp_path, "all")


@pytest.mark.parametrize("suffix", [".PNG", ".Npy", ".TIFF", ".jfif", ".pgm"])
def test_maps_have_suffixes_in_any_case(suffix: str, tmp_path: Path) -> None:
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    with (tmp_path / f"a{suffix}").open("wb") as file:
        if suffix == ".Npy":
            np.save(file, grey)
        else:
            Image.fromarray(grey).save(file, {".jfif": "JPEG", ".pgm": "PPM", ".TIFF": "TIFF"}.get(suffix, "PNG"))
    found = MapFolder(tmp_path, ["a.jpg"]).read(0, (4, 6)).numpy()
    np.testing.assert_allclose(found, grey, atol=3 if suffix == ".jfif" else 0)


def test_what_cannot_be_looked_at_stops_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    for bad in (tmp_path / ("x" * 300 + ".png"), tmp_path / "a.png" / "b.png", "~nosuchuser/c.png"):
        paths = find_images([tmp_path / "a.png", bad])
        assert [path.name for path in paths] == ["a.png", Path(bad).name]
        with pytest.raises(ImageError, match=r"no such file|File name too long"):
            to_array(paths[1])


def test_images_in_subfolders_are_counted(tmp_path: Path) -> None:
    """Three of four images were left out without a word."""
    for name in ("a.png", "b/c.png", "b/d/e.JPG", ".git/g.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3)).save(tmp_path / name, "PNG")
    with pytest.warns(SalzooWarning, match=r"left out 2 images in subfolders .*; to search its subfolders too pass '"):
        assert find_images([tmp_path]) == [tmp_path / "a.png"]
    assert len(find_images([tmp_path / "**" / "*"])) == 3
