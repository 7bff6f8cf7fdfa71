"""Prediction in bfloat16: asked for, close, and the same by every door."""

from pathlib import Path

import numpy as np
import pytest
import torch
from clips import disc_frames, write_clip
from torch import nn

import salzoo
from salzoo import SaliencyModel
from salzoo._precision import network_precision
from salzoo.cli import main
from salzoo.errors import SpecError
from salzoo.exporting import export
from salzoo.images.read import to_tensor
from salzoo.images.samples import sample_images


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    sample_images()["coffee"].save(path)
    return path


@pytest.mark.parametrize("name", ["unisal", "salgan", "deepgaze2e.small"])
def test_densities_differ_a_little(name: str, photo: Path) -> None:
    full, half = salzoo.load(name).predict(photo), salzoo.load(name, precision="bf16-mixed").predict(photo)
    assert half.log_density.dtype == np.float32
    assert half.density.sum(dtype=np.float64) == pytest.approx(1, abs=1e-5)
    moved = np.abs(full.density - half.density).sum() / 2
    assert 1e-5 < moved < 0.05


def test_every_door_predicts_alike(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = salzoo.load("juntingnet", precision="bf16-mixed").predict(photo).log_density
    words = ["predict", str(photo), "-m", "juntingnet", "--format", "npy", "--precision", "bf16-mixed", "-o"]
    for more in ([], ["--resume"]):
        out = tmp_path / "".join(["out", *more])
        assert main([*words, str(out), *more]) == 0
        np.testing.assert_allclose(np.load(out / "photo.npy"), np.exp(wanted), rtol=1e-4)
    words[words.index("bf16-mixed")] = "32-true"
    assert main([*words, str(tmp_path / "out--resume"), "--resume"]) == 2
    assert "bf16-mixed" in capsys.readouterr().err, "the maps of one folder are made in one way"


def test_training_has_the_precision_of_its_trainer(photo: Path) -> None:
    model = salzoo.load("juntingnet", precision="bf16-mixed")
    image = model.transform(photo)[None]
    assert model(image).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert model(image).dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["aim", "sun", "signature", "gbvs", "itti.motion"])
def test_formulas_stay_in_full_precision(name: str, photo: Path) -> None:
    halved, image = salzoo.load(name, precision="bf16-mixed"), to_tensor(photo)
    expected = salzoo.load(name).predict(image).density
    np.testing.assert_array_equal(halved.predict(image).density, expected)
    if name != "itti.motion":
        with torch.autocast("cpu", torch.bfloat16):
            np.testing.assert_array_equal(halved.predict(image).density, expected)


def test_a_clip_is_not_resumed_in_another_precision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_clip(tmp_path / "a.mkv", disc_frames(3))
    words = ["predict", str(clip), "-m", "juntingnet", "--format", "npy", "--resume", "-o", str(tmp_path / "out")]
    assert main([*words, "--precision", "bf16-mixed"]) == 0
    assert main(words) == 2
    assert "precision was 'bf16-mixed', is '32-true'" in capsys.readouterr().err
    assert main([*words, "--precision", "bf16-mixed"]) == 0


def test_half_weights_and_shapes_alone_are_not_cast(photo: Path) -> None:
    model = salzoo.load("juntingnet", precision="bf16-mixed").half()
    assert np.isfinite(model.predict(photo).log_density).all()
    image = torch.zeros(3, 48, 64, dtype=torch.uint8)
    (log_density,) = model.float().to("meta").log_densities([image])
    assert log_density.shape == (48, 64)


def test_an_export_is_in_full_precision(photo: Path, tmp_path: Path) -> None:
    model = salzoo.load("juntingnet", precision="bf16-mixed")
    assert export(model, tmp_path / "model.pt2", size=(48, 64)).difference < 1e-3
    assert model.precision == "bf16-mixed"


def test_from_pretrained_takes_it(photo: Path) -> None:
    model = SaliencyModel.from_pretrained("juntingnet", precision="bf16-mixed")
    expected = salzoo.load("juntingnet", precision="bf16-mixed").predict(photo).density
    np.testing.assert_array_equal(model.predict(photo).density, expected)


def test_what_is_refused() -> None:
    with pytest.raises(SpecError, match=r"precision='fp16' is not accepted: 32-true or bf16-mixed"):
        salzoo.load("juntingnet", precision="fp16")  # type: ignore[arg-type]


def test_the_device_is_the_models_where_the_network_holds_no_tensor() -> None:
    network = nn.Identity()
    with network_precision(network, torch.device("cpu"), "bf16-mixed"):
        assert torch.is_autocast_enabled("cpu")
    with network_precision(network, torch.device("meta"), "bf16-mixed"):
        assert not torch.is_autocast_enabled("cpu")
