"""The `salzoo` command: exit codes, one clear line, nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from PIL import Image

import salzoo
from salzoo.checkpoint.config import WEIGHTS
from salzoo.cli import main
from salzoo.evaluation.baselines import ROWS

ROOT = Path(salzoo.__file__).parents[1]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with five pictures of different sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        pixels = rng.integers(0, 256, (30 + i, 40 - i, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"picture{i}.png")
    return folder


def usage_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that wrong words give, with exit code 2."""
    try:
        code = main(words)
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.count("\n") == 1, err
    assert err.startswith("salzoo")
    return err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "COMMAND"),
        (["paint"], "paint"),
        (["list", "--jsom"], "unknown argument --jsom"),
        (["info", "centre_bais"], "Did you mean 'centre_bias'?"),
        (["info", "salgan.large"], "it has lite, paper"),
        (["predict", "PHOTOS", "-o", "out"], "-m/--model"),
        (["predict", "PHOTOS", "-m", "uniform"], "-o/--output"),
        (["predict", "-m", "uniform", "-o", "out"], "INPUT"),
        (["predict", "PHOTOS", "-m", "unifrom", "-o", "out"], "Did you mean 'uniform'?"),
        (["predict", "PHOTOS", "-m", "uniform", "-o", "out", "--format", "gif"], "invalid choice: 'gif'"),
        (
            ["predict", "PHOTOS", "-m", "uniform", "-o", "out", "--batch-size", "0"],
            "'0' is not a whole number of at least 1",
        ),
        (["predict", "PHOTOS", "-m", "uniform", "-o", "out", "--batch-size", "x"], "'x' is not a whole number"),
        (["predict", "PHOTOS", "-m", "uniform", "-o", "out", "--workers", "0"], "--workers"),
        (["predict", "PHOTOS", "-m", "uniform", "-o", "out", "--colour"], "unknown argument --colour"),
        (["evaluate", "uniform", "--data", "osie"], "--root"),
        (["evaluate", "uniform", "--data", "osle", "--root", "."], "unknown data set 'osle'; did you mean 'osie'?"),
        (["fit"], "NAME"),
        (["fit", "uniform", "-o", "out"], "uniform has nothing to learn"),
    ],
)
def test_usage_errors_exit_with_2_and_one_line(
    words: list[str], said: str, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    assert said in usage_error([str(photos) if word == "PHOTOS" else word for word in words], capsys)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "option", ["--trainer.max_epoch=3", "--model.colour=red", "--model.lr=fast", "--nonsense", "--config=no.yaml"]
)
def test_wrong_fit_options_exit_with_2(
    option: str, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    err = usage_error([*tiny_models.fit_words("deepgaze2", tiny_data, tmp_path), option], capsys)
    assert option.split("=")[0].lstrip("-").split(".")[-1] in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "nowhere.jpg", "-m", "uniform", "-o", "out"], "nowhere.jpg"),
        (["predict", "*.jpg", "-m", "uniform", "-o", "out"], "matches 0"),
        (["predict", ".", "-m", "uniform", "-o", "out"], "holds no picture"),
        (["predict", "photos", "-m", "./nowhere", "-o", "out"], "nowhere is not a checkpoint folder"),
        (["evaluate", "uniform", "--data", "osie", "--root", "nowhere"], "no folder nowhere"),
        (
            ["fit", "deepgaze2", "-o", "out", "--data", "osie", "--root", "nowhere", "--ckpt_path", "last"],
            "no checkpoint",
        ),
    ],
)
def test_what_is_not_there_is_told_in_one_line(
    words: list[str], said: str, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    assert main(words) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not list(Path().glob("out/**/*.png"))


def test_list_and_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[2:].split()[0] for line in lines] == salzoo.list_models()
    assert [line[0] == "*" for line in lines] == [n in salzoo.list_models(trained=True) for n in salzoo.list_models()]
    assert main(["list", "*gan", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["salgan"]
    assert main(["list", "x*"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["info", "uniform", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == salzoo.info("uniform")
    assert main(["info", "salgan.paper"]) == 0
    assert "vgg16.tv_in1k" in capsys.readouterr().out


@pytest.mark.parametrize(
    "code",
    [
        "import salzoo; salzoo.list_models(); salzoo.list_models(trained=True)",
        "import salzoo; salzoo.info('salgan')",
        "from salzoo.cli import main; assert main(['list']) == 0",
        "from salzoo.cli import main; assert main(['predict', 'nowhere.jpg', '-m', 'uniform', '-o', 'out']) == 1",
    ],
)
def test_no_torch_until_a_model_is_needed(code: str) -> None:
    code += "; import sys; assert not {'torch', 'lightning', 'timm', 'huggingface_hub'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)


def test_predict_writes_every_format(
    photos: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "out"
    formats = [word for kind in ("png", "npy", "tiff", "overlay") for word in ("--format", kind)]
    words = ["predict", str(photos), "-m", str(tiny_checkpoint), "-o", str(out), *formats, "--batch-size", "2"]
    assert main(words) == 0
    assert "5 of 5 pictures, 20 files" in capsys.readouterr().out
    endings = (".npy", ".png", ".tiff", "_overlay.jpg")
    assert sorted(path.name for path in out.iterdir()) == [f"picture{i}{end}" for i in range(5) for end in endings]
    model = salzoo.load(tiny_checkpoint)
    for i in range(5):
        m = model.predict(photos / f"picture{i}.png")
        np.testing.assert_allclose(np.load(out / f"picture{i}.npy"), m.density, rtol=1e-5)
        np.testing.assert_array_equal(read(out / f"picture{i}.tiff"), np.load(out / f"picture{i}.npy"))
        np.testing.assert_allclose(read(out / f"picture{i}.png"), m.saliency * 255, atol=1)
        assert read(out / f"picture{i}_overlay.jpg").shape == (30 + i, 40 - i, 3)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture, dtype=np.float32)


def test_predict_takes_files_folders_and_globs(photos: Path, tmp_path: Path) -> None:
    words = [str(photos / "picture3.png"), str(photos / "*[12].png")]
    assert main(["predict", *words, "-m", "uniform", "-o", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "picture1.png",
        "picture2.png",
        "picture3.png",
    ]


def test_predict_goes_on_past_what_cannot_be_read(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Empty, truncated, of one pixel, and no picture at all, among good ones."""
    (photos / "picture1.png").write_bytes(b"")
    whole = (photos / "picture2.png").read_bytes()
    (photos / "picture2.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (1, 1)).save(photos / "picture3.png")
    (photos / "picture4.png").write_text("not a picture")
    assert main(["predict", str(photos), "-m", "uniform", "-o", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert "1 of 5 pictures" in out
    lines = [line for line in err.splitlines() if line.startswith("salzoo: ")]
    assert [Path(line.split(": ")[1]).name for line in lines] == [f"picture{i}.png" for i in (1, 2, 3, 4)]
    assert "0 bytes" in lines[0]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["picture0.png"]


def test_predict_refuses_a_picture_that_is_huge(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1300)  # picture4 has 34 x 36 = 1224, picture0 30 x 40 = 1200
    Image.new("RGB", (40, 40)).save(photos / "huge.png")
    assert main(["predict", str(photos), "-m", "uniform", "-o", str(tmp_path / "out")]) == 1
    assert "huge.png" in capsys.readouterr().err
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_two_pictures_with_one_stem_are_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (4, 4)).save(photos / "picture0.jpg")
    assert "would both write picture0" in usage_error(
        ["predict", str(photos), "-m", "uniform", "-o", str(tmp_path / "out")], capsys
    )
    assert not (tmp_path / "out").exists()


def test_a_map_that_cannot_be_written_is_named(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "picture2.png").mkdir(parents=True)
    assert main(["predict", str(photos), "-m", "uniform", "-o", str(tmp_path / "out")]) == 1
    assert "picture2.png: cannot write" in capsys.readouterr().err
    assert len(list((tmp_path / "out").glob("*.png"))) == 5
    assert not list((tmp_path / "out").glob(".*"))


def test_an_output_that_is_a_file_is_told(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("")
    assert main(["predict", str(photos), "-m", "uniform", "-o", str(tmp_path / "out")]) in (1, 2)
    assert str(tmp_path / "out") in capsys.readouterr().err


def test_damaged_weights_exit_with_1(
    photos: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray((tiny_checkpoint / WEIGHTS).read_bytes())
    content[len(content) // 2] ^= 1
    (tiny_checkpoint / WEIGHTS).write_bytes(content)
    assert main(["predict", str(photos), "-m", str(tiny_checkpoint), "-o", str(tmp_path / "out")]) == 1
    assert "damaged" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_cuda_that_is_not_there_is_told(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    words = ["predict", str(photos), "-m", "uniform", "-o", str(tmp_path / "out"), "--device", "cuda"]
    assert "finds no CUDA device" in usage_error(words, capsys)


@pytest.mark.filterwarnings("ignore:constant predictions are scored at chance")  # the row `uniform`
def test_evaluate_prints_a_table_and_writes_it(
    tiny_data: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "table.json"
    words = ["evaluate", str(tiny_checkpoint), "--data", "osie", "--root", str(tiny_data), "--json", str(file)]
    assert main(words) == 0
    out = capsys.readouterr().out
    table = json.loads(file.read_text())
    assert (table["dataset"], table["split"], table["images"]) == ("osie", "test", 5)
    rows = table["rows"]
    assert list(rows) == [str(tiny_checkpoint), *ROWS]
    assert (rows["uniform"]["nss"], rows["uniform"]["auc_judd"]) == (0, 0.5)
    assert rows["centre_bias_train"]["ig"] == pytest.approx(0, abs=1e-6)
    assert rows["gold"]["nss"] > rows["centre_bias"]["nss"] > 0
    for row, scores in rows.items():
        (line,) = (line for line in out.splitlines() if line.startswith(f"| {row} |"))
        assert all(f" {score:z.3f}" in line for score in scores.values())


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["predict", "--help"], ["fit", "--help"]])
def test_help_and_version_exit_with_0(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert not end.value.code
    assert "salzoo" in capsys.readouterr().out


def test_a_map_never_replaces_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    assert main(["predict", str(tmp_path / "a.png"), "-m", "uniform", "-o", str(tmp_path)]) == 2
    assert "would replace the picture" in capsys.readouterr().err
    assert (tmp_path / "a.png").read_bytes() == before


def test_a_missing_picture_among_others_is_named_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.png")
    words = [
        "predict",
        str(tmp_path / "a.png"),
        str(tmp_path / "gone.png"),
        "-m",
        "uniform",
        "-o",
        str(tmp_path / "out"),
    ]
    assert main(words) == 1
    assert (tmp_path / "out" / "a.png").is_file()
    assert "gone.png" in capsys.readouterr().err
