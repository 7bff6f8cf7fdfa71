"""`salzoo predict`: maps as text and MATLAB files, fog and crops, areas of interest, JSON, and exit codes."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import salzoo
from salzoo.cli import EXIT_CODES, main
from salzoo.data.map_folder import MapFolder

MODEL = "centre_bias"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with three images of different sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        pixels = rng.integers(0, 256, (60 + i, 80 - i, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"image{i}.png")
    return folder


def predict(photos: Path, *words: str, out: str = "out") -> tuple[int, Path]:
    folder = photos.parent / out
    return main(["predict", str(photos), "-m", MODEL, "-o", str(folder), *words]), folder


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


# ---- formats


def test_numbers_for_other_programs(photos: Path) -> None:
    code, out = predict(photos, "--format", "csv", "--format", "mat")
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        f"image{i}{end}" for i in range(3) for end in (".csv", ".mat")
    ]
    model, names = salzoo.load(MODEL), [f"image{i}.png" for i in range(3)]
    for i, name in enumerate(names):
        m = model.predict(photos / name)
        text = np.loadtxt(out / f"image{i}.csv", delimiter=",", dtype=np.float32)
        np.testing.assert_array_equal(text, m.density)
        read = MapFolder(out, names).read(i, m.shape)  # what `salzoo evaluate --maps` does
        np.testing.assert_array_equal(read.numpy(), m.density)


def test_images_that_show_the_map(photos: Path) -> None:
    code, out = predict(photos, "--format", "fog", "--format", "crop", "--aspect", "1:2")
    assert code == 0
    model = salzoo.load(MODEL)
    for i in range(3):
        photo = photos / f"image{i}.png"
        m, image = model.predict(photo), Image.open(photo)
        box = m.crop(aspect=0.5)
        assert (box[3] - box[1], box[2] - box[0]) == (60 + i, 30 + i // 2)  # 30.5 is rounded to the even 30
        for name, wanted in (("crop", image.crop(box)), ("fog", m.fog(image))):
            buffer = io.BytesIO()
            wanted.save(buffer, "JPEG", quality=95)
            np.testing.assert_array_equal(pixels(out / f"image{i}_{name}.jpg"), pixels(buffer))  # type: ignore[arg-type]


def test_a_crop_in_pixels(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = predict(photos, "--format", "crop", "--size", "79x20")
    assert code == 1
    assert [path.name for path in sorted(out.iterdir())] == ["image0_crop.jpg", "image1_crop.jpg"]
    assert pixels(out / "image0_crop.jpg").shape == (20, 79, 3)
    told = "image2.png: a size is (height, width) in whole pixels, from 1 to those of the map, (62, 78); got [20, 79]"
    assert told in capsys.readouterr().err


def test_every_format_in_shards_and_with_a_manifest(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for kind in ("png", "overlay", "fog", "crop", "csv", "mat") for word in ("--format", kind)]
    words += ["--size", "20x30"]
    assert predict(photos, *words)[0] == 0
    plain = {path.name: path.read_bytes() for path in (photos.parent / "out").iterdir()}
    assert predict(photos, *words, "--resume", out="resumed")[0] == 0
    resumed = {p.name: p.read_bytes() for p in (photos.parent / "resumed").iterdir() if p.name.startswith("image")}
    assert resumed == plain
    assert predict(photos, *words, "--resume", out="resumed")[0] == 0
    assert predict(photos, *words[:-1], "20x31", "--resume", out="resumed")[0] == 2  # another job
    assert "holds another job" in capsys.readouterr().err
    code, out = predict(photos, *words, "--shard-size", "3", out="shards")
    assert code == 0
    (shard,) = out.glob("*.tar")
    with tarfile.open(shard) as tar:
        packed = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]
    for kind in ("overlay", "fog", "crop"):
        assert packed.pop(f"image1.{kind}.jpg") == plain[f"image1_{kind}.jpg"]
    for suffix in ("png", "csv", "mat"):
        assert packed.pop(f"image1.{suffix}") == plain[f"image1.{suffix}"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "crop"], "--format crop goes with one of --aspect W:H and --size WxH"),
        (["--aspect", "1:1"], "--format crop goes with one of"),
        (["--format", "crop", "--aspect", "1:1", "--size", "3x4"], "--format crop goes with one of"),
        (["--format", "crop", "--aspect", "16/9"], "'16/9' is not W:H"),
        (["--format", "crop", "--aspect", "1:0"], "'1:0' is not W:H"),
        (["--format", "crop", "--aspect", "1:nan"], "'1:nan' is not W:H"),
        (["--format", "crop", "--size", "20"], "'20' is not WxH"),
        (["--format", "crop", "--size", "0x9"], "'0x9' is not WxH"),
        (["--aoi", "areas.csv", "--format", "csv", "--resume"], "--aoi does not go with --resume"),
        (["--aoi", "areas.csv", "--format", "csv", "--engine", "ray"], "--aoi does not go with --engine ray"),
        (["--json", "--shard-size", "9"], "--json does not go with --shard-size"),
        (["--aoi", "none.csv", "--format", "csv"], "there is no file of areas none.csv"),
    ],
)
def test_options_that_do_not_go_together(
    photos: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code, _ = predict(photos, *words)
    except SystemExit as end:  # argparse
        code = int(str(end.code))
    out, err = capsys.readouterr()
    assert (code, err.count("\n")) == (2, 1)
    assert told in err
    assert (told in json.loads(out)["error"]) if "--json" in words else not out
    assert not (photos.parent / "out").exists()


# ---- areas of interest


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_shares_of_areas(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = photos.parent / "aoi.csv"
    file.write_text("image;name;x0;y0;x1;y1\nIMAGE0;logo;0;0;20,5;30\nimage2.jpg;logo;5;5;9;9\n;middle;20;15;60;45\n")
    code, out = predict(photos, "--aoi", str(file), "--format", "csv", "--format", "png")
    assert code == 0
    assert capsys.readouterr().out == f"3 of 3 images, 4 files in {out}\n"
    assert sorted(path.name for path in out.iterdir()) == ["areas.csv", *(f"image{i}.png" for i in range(3))]
    rows = table(out / "areas.csv")
    assert [(row["image"], row["area"]) for row in rows] == [
        ("image0.png", "logo"),
        ("image0.png", "middle"),
        ("image1.png", "middle"),
        ("image2.png", "logo"),
        ("image2.png", "middle"),
    ]
    boxes = {"image0.png": {"logo": (0, 0, 20.5, 30)}, "image1.png": {}, "image2.png": {"logo": (5, 5, 9, 9)}}
    for row in rows:
        m = salzoo.load(MODEL).predict(photos / row["image"])
        found = m.regions(boxes[row["image"]] | {"middle": (20, 15, 60, 45)})[row["area"]]
        numbers = [float(row[name]) for name in ("share", "area_share", "lift", "rank")]
        assert numbers == pytest.approx([found.share, found.area_share, found.lift, found.rank], rel=1e-5)


def test_names_are_no_formulas_and_no_folder_is_left_empty(photos: Path) -> None:
    for name in ("-a", "b"):
        (photos / name).mkdir()
        shutil.copy(photos / "image0.png", photos / name)
    (photos / "aoi.csv").write_text('name,x0,y0,x1,y1\n"=1+1",0,0,20,30\n\'@logo,5,5,9,9\n')
    words = ["-m", MODEL, "--aoi", str(photos / "aoi.csv"), "-o", str(photos / "out")]
    assert main(["predict", str(photos / "*/*.png"), *words]) == 0
    assert [path.name for path in (photos / "out").iterdir()] == ["areas.csv"]
    assert [(row["image"], row["area"]) for row in table(photos / "out/areas.csv")] == [
        ("'-a/image0.png", "'=1+1"),
        ("'-a/image0.png", "''@logo"),
        ("b/image0.png", "'=1+1"),
        ("b/image0.png", "''@logo"),
    ]


def test_areas_as_json_with_a_mask(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[10:40, 20:50] = 1  # a label, not white
    Image.fromarray(mask).save(photos.parent / "mask.png")
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(photos.parent / "empty.png")
    areas = [
        {"image": "photos/image0.png", "name": "box", "x0": 20, "y0": 10, "x1": 50, "y1": 40},
        {"image": "image0", "name": "mask", "mask": "mask.png"},
        {"image": "image0", "name": "nothing", "mask": "empty.png"},
        {"name": "all", "x0": 0, "y0": 0, "x1": 80, "y1": 62},
    ]
    (photos.parent / "aoi.json").write_text(json.dumps(areas))
    code, out = predict(photos, "--aoi", str(photos.parent / "aoi.json"))
    assert code == 0
    box, masked, nothing, *whole = table(out / "areas.csv")
    capsys.readouterr()
    predict(photos, "--aoi", str(photos.parent / "aoi.json"), "--format", "csv", "--json")
    printed = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)  # NaN is no JSON
    assert printed["images"][0]["areas"]["nothing"]["lift"] is None
    assert {**box, "area": ""} == {**masked, "area": ""}
    assert [nothing[name] for name in ("share", "area_share", "lift", "rank")] == ["0", "0", "", "4"]
    assert [(row["share"], row["lift"]) for row in whole] == [("1", "1")] * 3


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.csv", "image,name,x0,y0,x1\na,b,1,2,3\n", "a.csv has no column 'y1', only image, name, x0, y0, x1"),
        ("a.csv", "name,x0,y0,x1,y1\nb,1,2,3,four\n", "a.csv, line 2: y1 is 'four', not a number"),
        ("a.csv", "name,x0,y0,x1,y1\nb,1,2,3,4\nc,5,2,3,4\n", "a.csv, line 3: area 'c' is (5, 2, 3, 4); a box is"),
        ("a.csv", "name,x0,y0,x1,y1\nb,1,2,3,\n", "a.csv, line 2: area 'b' has x0, y0, x1;"),
        ("a.csv", "name,x0,y0,x1,y1\n,1,2,3,4\n", "a.csv, line 2: the area has no name"),
        ("a.csv", "name,x0,y0,x1,y1\n", "a.csv lists no area"),
        ("a.csv", "name,x0,y0,x1,y1\nb,1,2,3,4\nb,2,2,3,4\n", "a.csv, line 3: image0.png has an area 'b' already, of "),
        ("a.csv", "image,name,mask\nimage1,b,gone.png\n", "a.csv, line 2: area 'b': there is no mask "),
        (
            "a.csv",
            "image,name,x0,y0,x1,y1\nimag0.png,b,1,2,3,4\n",
            "no input is called 'imag0.png'; did you mean 'image0.png'",
        ),
        ("a.csv", "name,x0,y0,x1,y1,x0\nb,1,2,3,4,2\n", "a.csv has two columns 'x0'"),
        ("a.csv", "", "a.csv is empty; it needs a header with name, x0, y0, x1, y1"),
        ("a.json", "{}", "a.json holds dict, not a list"),
        ("a.json", '[{"name": "b", "x0": "1"}]', "a.json, entry 1: x0 is '1', not a number"),
        ("a.json", '[{"name": "b", "box": 1}]', "a.json, entry 1 has the key 'box'"),
        ("a.json", '[{"name": "b"}]', "a.json, entry 1: area 'b' has neither;"),
        ("a.json", "[", "a.json"),
        ("a.json", f'[{{"name": "b", "x0": -1{"0" * 400}}}]', "a.json, entry 1: x0 is -1000"),
        ("a.json", '[{"name": "\\ud800", "x0": 1, "y0": 2, "x1": 3, "y1": 4}]', "half a character, '\\ud800'"),
    ],
)
def test_files_of_areas_that_cannot_be_right(
    photos: Path, name: str, text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos.parent / name).write_text(text)
    code, out = predict(photos, "--aoi", str(photos.parent / name), "--format", "csv")
    err = capsys.readouterr().err
    assert code == 2
    assert err.count("\n") == 1
    assert told in err
    assert not out.exists()


def test_an_area_outside_of_its_image_is_told_and_the_rest_goes_on(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = photos.parent / "aoi.csv"
    file.write_text("image,name,x0,y0,x1,y1\nimage0,b,1,2,3,4\nimage1,far,100,2,300,4\ngone.png,b,1,2,3,4\n")
    with (
        pytest.warns(UserWarning, match="left out areas of 1 images.*line 4: no input is called 'gone.png'"),
        pytest.warns(UserWarning, match=r"has no area in 1 of 3 images, the first is image2.png"),
    ):
        code, out = predict(photos, "--aoi", str(file), "--format", "csv")
    assert code == 1
    err = capsys.readouterr().err
    assert "aoi.csv, line 3, area 'far': the box (100, 2, 300, 4) holds nothing of the image, which has 79 x 61" in err
    assert [row["image"] for row in table(out / "areas.csv")] == ["image0.png"]


def test_images_of_one_name_are_told_apart_by_their_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("cat", "dog"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 6)).save(tmp_path / folder / "1.png")
    file, words = tmp_path / "aoi.tsv", ["predict", str(tmp_path / "cat"), str(tmp_path / "dog"), "-m", "uniform"]
    words += ["-o", str(tmp_path / "out"), "--aoi", str(file), "--format", "csv"]
    file.write_text("image\tname\tx0\ty0\tx1\ty1\ncat/1.png\tb\t0\t0\t4\t6\ndog\\1.png\tb\t0\t0\t2\t6\n")
    assert main(words) == 0
    assert [(row["image"], row["share"]) for row in table(tmp_path / "out" / "areas.csv")] == [
        ("cat/1.png", "0.5"),
        ("dog/1.png", "0.25"),
    ]
    file.write_text("image\tname\tx0\ty0\tx1\ty1\n1.png\tb\t0\t0\t4\t6\n")
    assert main(words) == 2
    assert "line 2: image '1.png' may be" in capsys.readouterr().err


def test_the_table_never_replaces_its_areas(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = photos.parent / "out" / "areas.csv"
    file.parent.mkdir()
    file.write_text("name,x0,y0,x1,y1\nb,1,2,3,4\n")
    assert predict(photos, "--aoi", str(file), "--format", "csv")[0] == 2
    assert "would replace" in capsys.readouterr().err
    assert file.read_text().startswith("name")


# ---- JSON and exit codes


def test_json_of_what_became_of_each_image(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "image1.png").write_bytes(b"no image")
    file = photos.parent / "aoi.csv"
    file.write_text("image,name,x0,y0,x1,y1\nimage0,b,1,2,3,4\nimage2,b,1,2,3,4\n")
    with pytest.warns(UserWarning, match="has no area in 1 of 3"):
        code, out = predict(photos, "--json", "--format", "npy", "--aoi", str(file), "--format", "csv")
    assert code == 1
    printed, err = capsys.readouterr()
    content: dict[str, Any] = json.loads(printed)
    assert f"2 of 3 images, 3 files in {out}" in err
    images = content.pop("images")
    assert content == {
        "schema": 1, "salzoo": salzoo.__version__, "model": MODEL, "output": str(out), "error": None
    }  # fmt: skip
    assert [each["image"] for each in images] == [str(photos / f"image{i}.png") for i in range(3)]
    keys = ["image", "error", "files", "size", "peak", "seconds", "areas"]
    assert [list(each) for each in images] == [keys] * 3
    assert images[1] | {"error": None} == dict.fromkeys(keys) | {"image": images[1]["image"], "files": [], "areas": {}}
    assert "is not an image" in images[1]["error"]
    for i in (0, 2):
        m = salzoo.load(MODEL).predict(photos / f"image{i}.png")
        assert images[i]["files"] == [str(out / f"image{i}.npy")]
        assert images[i]["size"] == {"height": 60 + i, "width": 80 - i}
        assert m.peak == (images[i]["peak"]["x"], images[i]["peak"]["y"])
        assert 0 < images[i]["seconds"] < 60
        assert images[i]["areas"]["b"]["share"] == pytest.approx(m.share((1, 2, 3, 4)))


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["nowhere.jpg"], 1, "no such file or folder: 'nowhere.jpg'"),
        (["photos", "-m", "no_such_model"], 2, "Unknown model 'no_such_model'"),
        (["photos", "-o", "photos/image0.png/out"], 2, "cannot make the folder photos/image0.png/out"),
        (["@list.txt"], 2, "cannot read the list list.txt"),
    ],
)
def test_json_of_a_run_that_is_refused(
    words: list[str],
    code: int,
    told: str,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(photos.parent)
    assert main(["predict", "-m", MODEL, *words, "--json"]) == code
    out, err = capsys.readouterr()
    content: dict[str, Any] = json.loads(out)
    assert list(content) == ["schema", "salzoo", "model", "output", "error", "images"]
    assert content["images"] == []
    assert told in content["error"]
    assert err == f"salzoo: {content['error']}\n"
    assert sorted(path.name for path in photos.parent.iterdir()) == ["photos"]


def test_exit_codes_are_as_the_help_says(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """But for 130, which `test_predict_faults.py` and `test_cli_faults.py` send a signal for."""
    for told in ("0 all is done", "1 some of the work failed", "2 usage error", "130 interrupted"):
        assert told in EXIT_CODES
    assert predict(photos)[0] == 0
    assert main(["predict", str(photos), "-m", "no_such_model", "-o", str(photos.parent / "none")]) == 2
    assert not (photos.parent / "none").exists()
    (photos / "image1.png").write_bytes(b"no image")
    assert predict(photos)[0] == 1
    assert "image1.png" in capsys.readouterr().err
