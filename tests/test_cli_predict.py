"""`salzoo predict`: every format, the defaults, and what cannot be read or written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import salzoo
from salzoo.checkpoint.config import WEIGHTS
from salzoo.cli import main
from salzoo.registry import RECOMMENDED


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with five images of different sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        pixels = rng.integers(0, 256, (30 + i, 40 - i, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"image{i}.png")
    return folder


def test_predict_of_an_image_alone(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shipped weights of the recommended model, and a folder in the working directory."""
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "photos/image0.png"]) == 0
    assert capsys.readouterr().out == "1 of 1 images, 1 files in predictions\n"
    assert [path.name for path in Path("predictions").iterdir()] == ["image0.png"]
    expected = salzoo.load(RECOMMENDED).predict(photos / "image0.png").saliency
    np.testing.assert_allclose(read(tmp_path / "predictions/image0.png"), expected * 255, atol=1)
    assert salzoo.info(RECOMMENDED)["name"] == RECOMMENDED == "deepgaze2e"


def test_predict_writes_every_format(
    photos: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "out"
    formats = [word for kind in ("png", "npy", "tiff", "overlay") for word in ("--format", kind)]
    words = ["predict", str(photos), "-m", str(tiny_checkpoint), "-o", str(out), *formats, "--batch-size", "2"]
    assert main(words) == 0
    assert "5 of 5 images, 20 files" in capsys.readouterr().out
    endings = (".npy", ".png", ".tiff", "_overlay.jpg")
    assert sorted(path.name for path in out.iterdir()) == [f"image{i}{end}" for i in range(5) for end in endings]
    model = salzoo.load(tiny_checkpoint)
    for i in range(5):
        m = model.predict(photos / f"image{i}.png")
        np.testing.assert_allclose(np.load(out / f"image{i}.npy"), m.density, rtol=1e-5)
        np.testing.assert_array_equal(read(out / f"image{i}.tiff"), np.load(out / f"image{i}.npy"))
        np.testing.assert_allclose(read(out / f"image{i}.png"), m.saliency * 255, atol=1)
        assert read(out / f"image{i}_overlay.jpg").shape == (30 + i, 40 - i, 3)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image, dtype=np.float32)


def test_predict_takes_files_folders_and_globs(photos: Path, tmp_path: Path) -> None:
    words = [str(photos / "image3.png"), str(photos / "*[12].png")]
    assert main(["predict", *words, "-m", "uniform", "-o", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "image1.png",
        "image2.png",
        "image3.png",
    ]


def test_predict_goes_on_past_what_cannot_be_read(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Empty, truncated, of one pixel, and no image at all, among good ones."""
    (photos / "image1.png").write_bytes(b"")
    whole = (photos / "image2.png").read_bytes()
    (photos / "image2.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (1, 1)).save(photos / "image3.png")
    (photos / "image4.png").write_text("not an image")
    assert main(["predict", str(photos), "-m", "uniform", "-o", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert "1 of 5 images" in out
    lines = [line for line in err.splitlines() if line.startswith("salzoo: ")]
    assert [Path(line.split(": ")[1]).name for line in lines] == [f"image{i}.png" for i in (1, 2, 3, 4)]
    assert "0 bytes" in lines[0]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["image0.png"]


def test_predict_refuses_an_image_that_is_huge(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1300)  # image4 has 34 x 36 = 1224, image0 30 x 40 = 1200
    Image.new("RGB", (40, 40)).save(photos / "huge.png")
    assert main(["predict", str(photos), "-m", "uniform", "-o", str(tmp_path / "out")]) == 1
    assert "huge.png" in capsys.readouterr().err
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_two_images_with_one_stem_are_refused(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (4, 4)).save(photos / "image0.jpg")
    assert main(["predict", str(photos), "-m", "uniform", "-o", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "would both write image0" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_map_that_cannot_be_written_is_named(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "image2.png").mkdir(parents=True)
    assert main(["predict", str(photos), "-m", "uniform", "-o", str(tmp_path / "out")]) == 1
    assert "image2.png: cannot write" in capsys.readouterr().err
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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_not_there_is_told(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", str(photos), "-m", "uniform", "-o", str(tmp_path / "out"), "--device", "cuda"]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search("'cuda' is not available here|finds no CUDA device", err)
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_map_never_replaces_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    assert main(["predict", str(tmp_path / "a.png"), "-m", "uniform", "-o", str(tmp_path)]) == 2
    assert "would replace the image" in capsys.readouterr().err
    assert (tmp_path / "a.png").read_bytes() == before


def test_a_missing_image_among_others_is_named_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_a_wrong_name_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    program = (
        "import sys; from salzoo.cli import main; "
        f"assert main(['predict', {str(tmp_path / 'a.png')!r}, '-m', 'salgann']) == 2; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_command_predicts_without_lightning_what_python_predicts_with_it(photos: Path, tmp_path: Path) -> None:
    """Nor with anything else that only training and measuring need."""
    heavy = {"lightning", "torchmetrics", "kornia", "scipy", "matplotlib", "pandas"}
    words = ["salzoo", "predict", str(photos / "image0.png"), "-m", "deepgaze2", "-o", str(tmp_path), "--format", "npy"]
    program = (
        f"import sys; sys.argv = {words}; from salzoo.cli import main; assert main() == 0; "
        f"assert not (found := {heavy} & set(sys.modules)), found; assert 'salzoo.data.datasets' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    expected = salzoo.load("deepgaze2").predict(photos / "image0.png").log_density
    np.testing.assert_allclose(np.load(tmp_path / "image0.npy"), np.exp(expected), rtol=1e-5)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_list_in_the_encodings_of_windows(photos: Path, tmp_path: Path, encoding: str) -> None:
    (photos / "image0.png").rename(photos / "straße.png")
    (tmp_path / "list.txt").write_text(f"{photos / 'straße.png'}\n", encoding=encoding)
    assert main(["predict", f"@{tmp_path / 'list.txt'}", "-m", "signature", "-o", str(tmp_path / "out")]) == 0
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["straße.png"]


def test_a_list_that_is_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.txt").write_bytes(b"a\0b")
    assert main(["predict", f"@{tmp_path / 'list.txt'}", "-m", "signature", "-o", str(tmp_path / "out")]) == 2
    assert "list.txt is not text: it holds zero bytes" in capsys.readouterr().err
