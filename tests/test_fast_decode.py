"""Fast decoding: JPEGs at a fraction of their size, where the network sees less, and maps of the full size."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import ExifTags, Image

import salzoo
from salzoo.cli import main
from salzoo.components.saliency_model import SaliencyModel
from salzoo.errors import ImageError, SpecError
from salzoo.images.geometry import Size
from salzoo.images.preprocess import Preprocess
from salzoo.images.read import read_file, to_tensor
from salzoo.images.samples import pop_out
from salzoo.prediction.batch import Job, predict_many
from salzoo.prediction.files import predict_files
from salzoo.prediction.formats import Format

HEIGHT, WIDTH = 768, 1024


@pytest.fixture(scope="module")
def model() -> SaliencyModel:
    return salzoo.load("juntingnet")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a JPEG of four times what the network is to see."""
    file = tmp_path_factory.mktemp("photos") / "photo.jpg"
    picture().save(file, quality=90)
    return file


def picture(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    return pop_out("colour")[0].resize((width, height), Image.Resampling.BICUBIC)


def enough(size: Size) -> Size:
    """Of (192, 256) a quarter is enough, and of (256, 192) is not."""
    return 40, 64


def jpeg(image: Image.Image, orientation: int = 1) -> bytes:
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = orientation
    image.save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def far(small: torch.Tensor, full: torch.Tensor) -> float:
    """Return the mean difference, of 255, from means over the pixels of the image."""
    factor = full.shape[-1] // small.shape[-1]
    return float((small.float() - F.avg_pool2d(full.float(), factor)).abs().mean())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_enough_is_said_of_the_upright_image(orientation: int) -> None:
    stored = picture(192, 256) if orientation >= 5 else picture(256, 192)
    data = jpeg(stored, orientation)
    pixels, size = read_file(data, "a.jpg", enough)
    assert size == (192, 256)
    assert pixels.shape == (3, 48, 64)
    assert far(pixels, to_tensor(data)) < 2, "turned as the image in full"
    data = jpeg(stored.transpose(Image.Transpose.ROTATE_90), orientation)
    pixels, size = read_file(data, "a.jpg", enough)
    assert (size, pixels.shape) == ((256, 192), (3, 128, 96)), "not a quarter, which has 48 columns"


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_any_mode_of_jpeg(mode: str) -> None:
    data = jpeg(picture(256, 192).convert(mode))
    pixels, size = read_file(data, "a.jpg", enough)
    assert (size, pixels.shape) == ((192, 256), (3, 48, 64))
    assert far(pixels, to_tensor(data)) < 2


def test_what_is_no_fraction_is_decoded_in_full() -> None:
    buffer = io.BytesIO()
    picture(256, 192).save(buffer, "PNG")
    assert torch.equal(read_file(buffer.getvalue(), "a.png", enough).pixels, to_tensor(buffer.getvalue()))
    for width, height in ((257, 193), (250, 191), (126, 78)):  # sides that nothing divides, and too small ones
        data = jpeg(picture(width, height))
        pixels, size = read_file(data, "a.jpg", enough)
        assert size == (height, width)
        assert torch.equal(pixels, to_tensor(data))
    assert read_file(jpeg(picture(1028, 772)), "a.jpg", enough).pixels.shape == (3, 193, 257), "eight divides neither"


def test_a_broken_file_is_told_as_ever() -> None:
    with pytest.raises(ImageError, match=r"cannot decode 'a\.jpg'"):
        read_file(jpeg(picture())[:2000], "a.jpg", enough)
    with pytest.raises(ImageError, match=r"'a\.jpg' is empty"):
        read_file(b"", "a.jpg", enough)


def test_enough_is_twice_what_the_network_sees() -> None:
    assert Preprocess((96, 128)).enough((3000, 4000)) == (192, 256)
    assert Preprocess((96, 96), "pad").enough((3000, 4000)) == (144, 192), "without the grey around"
    assert Preprocess((96, 96), resample="bilinear").enough((3000, 4000)) == (3000, 4000), "which leaves pixels out"


def test_geometry_is_that_of_the_image() -> None:
    """At a fraction an image of 100 x 400 would be one of 50 x 200, which `within` does not enlarge."""
    preprocess = Preprocess((320, 320), "within")
    assert preprocess.resize(torch.rand(1, 3, 50, 200), (100, 400)).shape == (1, 3, 80, 320)
    assert preprocess.resize(torch.rand(1, 3, 50, 200)).shape == (1, 3, 50, 200)


def test_maps_have_the_full_size(model: SaliencyModel, photo: Path, tmp_path: Path) -> None:
    exact = model.predict(photo).density
    found = {}
    for fast in (False, True):
        report = predict_files(model, [photo], tmp_path / str(fast), formats=["npy"], fast_decode=fast)
        (outcome,) = report.outcomes
        assert outcome.size == (HEIGHT, WIDTH)
        found[fast] = np.load(outcome.files[0])
        assert found[fast].shape == (HEIGHT, WIDTH)
        assert found[fast].sum(dtype=np.float64) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(found[False], exact, rtol=1e-5)
    largest = abs(found[True] - exact).max() / exact.max()
    assert 1e-4 < largest < 0.05, "another one, and close"


def test_the_command_and_jobs_decode_alike(
    model: SaliencyModel, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict_files(model, [photo], tmp_path / "python", formats=["npy"], fast_decode=True)
    wanted = np.load(tmp_path / "python/photo.npy")
    words = ["predict", str(photo), "-m", "juntingnet", "--format", "npy", "--fast-decode", "-o"]
    for more in ([], ["--resume"], ["--shard-size", "1"]):
        out = tmp_path / "".join(["out", *more])
        assert main([*words, str(out), *more]) == 0
        if "--shard-size" in more:
            with tarfile.open(next(out.glob("*.tar"))) as tar:
                member = tar.extractfile("photo.npy")
                assert member is not None
                got = np.load(io.BytesIO(member.read()))
        else:
            got = np.load(out / "photo.npy")
        np.testing.assert_allclose(got, wanted, rtol=1e-5)
    words.remove("--fast-decode")
    assert main([*words, str(tmp_path / "out--resume"), "--resume"]) == 2
    assert "fast_decode" in capsys.readouterr().err, "the maps of one folder are made in one way"


def test_images_that_are_shown_are_decoded_in_full(
    model: SaliencyModel, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[Format] = ["png", "overlay"]
    with pytest.raises(SpecError, match=r"overlay shows the image.*png, npy, tiff, mat, csv"):
        predict_files(model, [photo], tmp_path / "out", formats=shown, fast_decode=True)
    with pytest.raises(SpecError, match="overlay shows the image"):
        predict_many(Job("juntingnet", (str(photo),), str(tmp_path / "out"), tuple(shown), fast_decode=True))
    assert main(["predict", str(photo), "--format", "fog", "--fast-decode", "-o", str(tmp_path / "out")]) == 2
    assert "fog shows the image" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
