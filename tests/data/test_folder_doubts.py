"""A study of one's own: everything doubtful is an error or a counted drop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from data.studies import Row, rows, same, write
from PIL import Image

from salzoo.data import FixationFolder
from salzoo.errors import DataError, DatasetNotFoundError, ImageError, SpecError


def test_drops_are_counted(study: tuple[Path, list[Row]]) -> None:
    root, content = study
    bad: list[Row] = [
        *({**content[0], "x": text} for text in ("", "NaN", ".", "NA")),
        {**content[1], "duration": 0},
        {**content[1], "duration": 0},  # counted once, as a blink
        {**content[1], "duration": ""},
        content[2],
        content[2],
        {**content[3], "x": -20},
    ]
    write(root / "fixations.csv", content + bad)
    dataset = FixationFolder(root, "all")
    assert dataset.study.dropped == {"no coordinates (NaN)": 4, "no duration (blink)": 3, "duplicate": 2}
    assert dataset.dropped == 1
    assert sum(len(dataset.fixations(i)) for i in range(len(dataset))) == len(content)

    plain = [{key: row[key] for key in ("image", "x", "y")} for row in (*content, content[2])]
    write(root / "fixations.csv", plain)
    dataset = FixationFolder(root, "all")
    assert (dataset.study.repeated, dataset.study.dropped.get("duplicate")) == (1, None), "may be two looks"
    assert sum(len(dataset.fixations(i)) for i in range(len(dataset))) == len(plain)


def swap(row: Row) -> Row:
    return {**row, "x": row["y"], "y": row["x"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda row: {**row, "x": row["x"] / 100, "y": row["y"] / 100},
            r"most x are from 0\.\d+ to 0\.\d+ and most y .*: say \"units\": \"fractions\"",
        ),
        (lambda row: {**row, "x": row["x"] + 500}, "100% of the points lie outside .*those of the screen"),
        (
            lambda row: {**row, "x": str(row["x"]).replace(".", ",")},
            r"line \d+: x is '[\d,]+', .* decimal sign, say decimal=",
        ),
        (lambda row: {**row, "y": "left"}, r"line 2: y is 'left', not a number"),
        (lambda row: {**row, "image": row["image"].replace("p1", "q1")}, r"10 images .* the first is 'q10\.png'"),
    ],
)
def test_doubtful_rows_are_errors(study: tuple[Path, list[Row]], change: Callable[[Row], Row], message: str) -> None:
    root, content = study
    write(root / "fixations.csv", [change(row) for row in content])
    with pytest.raises(DataError, match=message):
        FixationFolder(root)


def test_swapped_axes(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for i in range(10):
        Image.new("RGB", (80, 50)).save(tmp_path / f"images/{i}.png")
    content = rows({f"{i}.png": (50, 80) for i in range(10)})
    write(tmp_path / "fixations.csv", content)
    same(FixationFolder(tmp_path, "all"), content)
    write(tmp_path / "fixations.csv", [swap(row) for row in content])
    with pytest.raises(DataError, match=r'swapped: say "columns": \{"x": "y", "y": "x"\} in study\.json'):
        FixationFolder(tmp_path)
    same(FixationFolder(tmp_path, "all", columns={"x": "y", "y": "x"}), content)


def test_one_based_numbers(study: tuple[Path, list[Row]]) -> None:
    root, content = study
    whole = [{**row, "x": int(row["x"]) + 1, "y": int(row["y"]) + 1} for row in content]
    whole[0]["x"] = FixationFolder(root, "all").size(int(whole[0]["image"][1:3]))[1]
    write(root / "fixations.csv", whole)
    with pytest.raises(
        DataError, match=r"as if the first pixel were 1: say \"origin\": 1 in study.json, or \"origin\": 0"
    ):
        FixationFolder(root)
    assert FixationFolder(root, "all", origin=0).dropped == 1
    assert FixationFolder(root, "all", origin=1).dropped == 0


def test_explicit_pixels_are_believed(study: tuple[Path, list[Row]]) -> None:
    root, content = study
    write(root / "fixations.csv", [{**row, "x": row["x"] / 100, "y": row["y"] / 100} for row in content])
    assert FixationFolder(root, "all", units="pixels").fixations(0).x.max() < 1
    write(root / "fixations.csv", content)
    with pytest.raises(DataError, match="fractions of the image, but coordinates go up to"):
        FixationFolder(root, units="fractions")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; it needs a header with image, x, y"),
        ("image,x,y\n", "has no rows"),
        ("image,x,y\np00.png,1\n", "line 2 has 2 cells, the header has 3"),
        ("image,x,x\np00.png,1,2\n", "several columns called 'x'"),
        ("image,X,y\np00.png,1,2\n", r"no column 'x', only image, X, y; name yours as columns=\{'x': 'X'\}"),
        (b"image,x,y\np\0000.png,1,2\n", "is not text: it holds zero bytes"),
    ],
)
def test_a_broken_table(study: tuple[Path, list[Row]], text: str | bytes, message: str) -> None:
    root, _ = study
    (root / "fixations.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        FixationFolder(root)


def test_what_is_missing_is_named(study: tuple[Path, list[Row]], tmp_path: Path) -> None:
    root, content = study
    with pytest.raises(DatasetNotFoundError, match="there is no folder"):
        FixationFolder(root / "nowhere")
    (root / "images/p05.png").unlink()
    with pytest.raises(DataError, match=r"1 images that are not in .*images, the first is 'p05\.png'"):
        FixationFolder(root)
    write(root / "fixations.csv", [row for row in content if row["image"] not in ("p05.png", "p06.png")])
    assert FixationFolder(root).study.unseen == ("p06.png",)
    (root / "fixations.csv").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"no fixations in .*columns image, x, y, a folder fixations/"):
        FixationFolder(root)
    (root / "images").rename(root / "photos")
    with pytest.raises(DatasetNotFoundError, match=r"no images in .*images, stimuli, pictures"):
        FixationFolder(root)


def test_doubtful_images_are_errors(study: tuple[Path, list[Row]]) -> None:
    root, _ = study
    Image.new("RGB", (5, 5)).save(root / "images/p00.jpg")
    with pytest.raises(DataError, match=r"p00\.jpg and p00\.png: two images must differ"):
        FixationFolder(root)
    (root / "images/p00.jpg").unlink()
    turned = Image.open(root / "images/p00.png")
    exif = turned.getexif()
    exif[274] = 6
    turned.save(root / "images/p00.png", exif=exif)
    with pytest.raises(ImageError, match=r"p00\.png has to be rotated .*EXIF orientation 6"):
        FixationFolder(root)
    (root / "images/p00.png").write_bytes(b"GIF89a?")
    with pytest.raises(ImageError, match=r"p00\.png is not an image in a format"):
        FixationFolder(root)
    (root / "stimuli").mkdir()
    Image.new("RGB", (5, 5)).save(root / "stimuli/p00.png")
    with pytest.raises(SpecError, match="images in images and in stimuli"):
        FixationFolder(root)
