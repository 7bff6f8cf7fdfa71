"""EML-NET's files as the authors save them, against their code: `oracles/emlnet.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from importing import emlnet, faults, formula
from torch import Tensor

import salzoo
from salzoo.components.saliency_model import SaliencyModel

GOLDEN = formula.read_golden("emlnet")
NAMES = {"imagenet": "res_imagenet.pth", "places": "res_places.pth", "decoder": "res_decoder.pth"}


def save(tensors: faults.Tensors, path: Path, prefix: str = "") -> Path:
    """Write a file as the authors' `save_model` does, `prefix` as under DataParallel."""
    state = {prefix + name: torch.from_numpy(np.asarray(array)) for name, array in tensors.items()}
    torch.save({"state_dict": state}, path)
    return path


def write(folder: Path, *parts: str, prefix: str = "") -> list[Path]:
    """Write some of the three files, and return them in that order."""
    shapes = {"imagenet": emlnet.backbone, "places": emlnet.backbone, "decoder": emlnet.decoder}
    return [save(emlnet.values(shapes[part](), part), folder / NAMES[part], prefix) for part in parts]


def pixels(size: tuple[int, int]) -> Tensor:
    return torch.from_numpy(formula.image(*size).transpose(2, 0, 1)[None]).float() / 255


def saliency(model: SaliencyModel, size: tuple[int, int]) -> list[float]:
    """Return samples of the sigmoid map of an image that is not resized."""
    with torch.inference_mode():
        return formula.sample(model.network(pixels(size)).sigmoid())


@pytest.mark.slow
def test_one_backbone_says_what_the_authors_code_says(tmp_path: Path) -> None:
    (path,) = write(tmp_path, "imagenet", prefix="module.")
    model = salzoo.load(salzoo.import_weights("emlnet", path, output=tmp_path / "one"))
    assert model.config is not None
    assert model.config.imported is not None
    assert (model.config.imported.release, model.config.license) == ("imagenet", "LicenseRef-none")
    np.testing.assert_allclose(saliency(model, (96, 128)), GOLDEN["one"], atol=1e-4)
    other = salzoo.load(
        "emlnet.paper", weights=None, backbones=("resnet50.tv_in1k",), feature_nodes=((2, 4, 8, 16, 32),)
    )
    other.network.load_state_dict(model.network.state_dict())  # combined at the image's size, as two backbones are
    assert np.abs(np.subtract(saliency(other, (96, 128)), GOLDEN["one"])).max() > 0.01
    renamed = path.rename(tmp_path / "model.pth.tar")
    faults.refuses("emlnet", [renamed], "release='imagenet' or 'places'", tmp_path / "out")


@pytest.mark.slow
def test_two_backbones_and_their_decoder_say_what_the_authors_code_says(tmp_path: Path) -> None:
    """In any order; the map is blurred and stretched as by their script, at their size."""
    files = write(tmp_path, "decoder", "places", "imagenet")
    model = salzoo.load(salzoo.import_weights("emlnet", files, output=tmp_path / "out"))
    np.testing.assert_allclose(saliency(model, (96, 128)), GOLDEN["combined"], atol=1e-4)
    density = model.predict(formula.image(480, 640)).density
    stretched = np.array(GOLDEN["stretched"])
    places = np.linspace(0, density.size - 1, len(stretched)).astype(int)
    np.testing.assert_allclose(density.ravel()[places] / density.max(), stretched, atol=2e-4)
    for source, name in zip((files[2], files[1]), ("a.pth", "b.pth"), strict=True):
        source.rename(tmp_path / name)
    unnamed = [tmp_path / "b.pth", tmp_path / "a.pth", files[0]]  # the wrong order, and no name that tells
    swapped = salzoo.load(salzoo.import_weights("emlnet", unnamed, output=tmp_path / "swapped"))
    assert np.abs(np.subtract(saliency(swapped, (96, 128)), GOLDEN["combined"])).max() > 0.01


@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    def write_one(tensors: faults.Tensors, folder: Path) -> list[Path]:
        return [save(tensors, folder / NAMES["imagenet"])]

    faults.check(kind, "emlnet", thin(), write_one, tmp_path, victim="conv1.weight")


def test_refuses_other_files(tmp_path: Path) -> None:
    classifier = tmp_path / "resnet50-0676ba61.pth"
    torch.save(torchvision.models.resnet50().state_dict(), classifier)
    faults.refuses("emlnet", [classifier], "no backbone of EML-NET", tmp_path / "out")
    image, decoder = save(thin(), tmp_path / "image.pth"), write(tmp_path, "decoder")[0]
    faults.refuses("emlnet", [image, decoder], r"3 file\(s\), res_imagenet.pth", tmp_path / "out")
    faults.refuses("emlnet", [image, decoder, classifier], r"1 backbone\(s\) and 1 decoder", tmp_path / "out")


def thin() -> faults.Tensors:
    """Return a backbone all of whose kernels are its first one's: of no use, but of the right shapes and soon made."""
    shapes = emlnet.backbone()
    first = emlnet.values({name: (1, *shape[1:]) if shape else () for name, shape in shapes.items()}, "thin")
    return {name: np.broadcast_to(first[name], shape).copy() for name, shape in shapes.items()}
