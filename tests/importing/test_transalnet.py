"""TranSalNet's files as the authors save them, against their code: `oracles/transalnet.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from importing import faults, formula, transalnet
from models import peers
from torch import Tensor

import salzoo
from salzoo.importing.maps import transalnet as mapping
from salzoo.importing.source import Files, Options, Source
from salzoo.weight_files import WeightFile

GOLDEN = formula.read_golden("transalnet")
SHAPES = {"resnet50": transalnet.with_resnet50(), "densenet161": transalnet.densenet161()}
PEERS = {"resnet50": "transalnet", "densenet161": "transalnet_dense"}


def save(tensors: faults.Tensors, path: Path) -> Path:
    """Write a file as the authors' notebook does."""
    torch.save({name: torch.from_numpy(np.asarray(array)) for name, array in tensors.items()}, path)
    return path


@pytest.mark.parametrize("release", SHAPES)
def test_every_tensor_comes_from_where_the_public_network_has_it(release: str) -> None:
    """The names of `peers/`, under which both networks are equal; each tensor of the file is one number of its own."""
    marks = {name: float(k) for k, name in enumerate(SHAPES[release], start=1)}
    tensors = {name: torch.tensor(marks[name]).expand(shape) for name, shape in SHAPES[release].items()}
    files = Files([Source(WeightFile(Path("transalnet.pth"), "torch", tensors))])
    assert mapping.identify(files) == release
    names = peers.read(PEERS[release])["names"]
    for ours, tensor in mapping.convert(files, release, Options()):
        theirs = peers.public_name(ours, names)
        parts = list(theirs["cat"]) if isinstance(theirs, dict) else [theirs]
        assert tensor.unique_consecutive().tolist() == [marks[part] for part in parts], ours
    assert not files.left()


@pytest.mark.slow
@pytest.mark.parametrize("release", SHAPES)
def test_says_what_the_authors_code_says(release: str, tmp_path: Path) -> None:
    path = save(transalnet.values(SHAPES[release]), tmp_path / "TranSalNet.pth")
    model = salzoo.load(salzoo.import_weights("transalnet", path, output=tmp_path / "out"))
    assert model.config is not None
    assert model.config.imported is not None
    assert model.config.imported.release == release

    def saliency(image: np.ndarray, model: salzoo.SaliencyModel = model) -> Tensor:
        with torch.inference_mode():
            return model(model.preprocess(image)[None]).sigmoid()

    whole = saliency(formula.image(288, 384))
    np.testing.assert_allclose(formula.sample(whole), GOLDEN[release], atol=1e-4)
    assert (
        np.abs(np.subtract(formula.sample(saliency(formula.image(288, 384)[..., ::-1])), GOLDEN[release])).max() > 0.01
    )
    padded = formula.image(144, 160)  # OpenCV rounds what it enlarges
    np.testing.assert_allclose(formula.sample(saliency(padded)), GOLDEN[f"{release}_padded"], atol=1e-2)
    density = model.predict(padded).density
    restored = np.array(GOLDEN[f"{release}_restored"])
    found = np.array(formula.sample(density))
    np.testing.assert_allclose(found / found.mean(), restored / restored.mean(), atol=1e-2)


@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    def write(tensors: faults.Tensors, folder: Path) -> list[Path]:
        return [save(tensors, folder / "TranSalNet_Res.pth")]

    faults.check(kind, "transalnet", thin("resnet50"), write, tmp_path, victim="decoder.conv1.weight")


def test_refuses_other_files(tmp_path: Path) -> None:
    trunk = tmp_path / "resnet50-0676ba61.pth"
    torch.save(torchvision.models.resnet50().state_dict(), trunk)
    faults.refuses("transalnet", [trunk], "is no TranSalNet", tmp_path / "out")
    dense = save(thin("densenet161"), tmp_path / "TranSalNet_Dense.pth")
    faults.refuses("transalnet", [dense], "Another port, variant", tmp_path / "out", release="resnet50")


def thin(release: str) -> faults.Tensors:
    """Return tensors all of whose rows are the first one: of no use, but of the right shapes and soon made."""
    shapes = {name: (1, *shape[1:]) if shape else () for name, shape in SHAPES[release].items()}
    first = transalnet.values(shapes)
    return {name: np.broadcast_to(first[name], shape).copy() for name, shape in SHAPES[release].items()}
