"""DVA's released caffemodel, against OpenCV's Caffe engine on the authors' prototxt."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from importing import faults, formula
from importing.oracles import dva as oracle
from importing.writers import caffemodel
from torch import Tensor

import salzoo
from salzoo.components.saliency_model import SaliencyModel
from salzoo.importing.maps import dva
from salzoo.importing.source import Files, Options, Source
from salzoo.registry import read_spec
from salzoo.weight_files import read

tensors = functools.cache(oracle.tensors)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    files = Files([Source(read(path)) for path in oracle.write(tensors(), tmp_path_factory.mktemp("file"))])
    pairs = dict(dva.convert(files, "final", Options()))
    assert not files.left()
    return pairs


def maps(converted: dict[str, Tensor]) -> Tensor:
    """Return the combined map and those of the branches, (4, height, width)."""
    (release,) = read_spec("dva").authors
    preprocess = {**release.preprocess, "size": list(oracle.SIZE)}
    with torch.device("meta"):  # no time for random weights
        model: SaliencyModel = salzoo.load("dva.paper", weights=None, preprocess=preprocess, **release.network)
    model.network.load_state_dict(converted, assign=True)
    image = torch.from_numpy(formula.image(*oracle.SIZE)).permute(2, 0, 1)[None]
    seen = model.preprocess.resize(image)
    with torch.inference_mode():
        shown, trained = model(seen), model.train()(seen)
    assert torch.equal(shown, trained[:, :1]), "what is shown is the combined map"
    return trained[0]


def difference(found: Tensor, name: str) -> float:
    """Return the largest one, in deviations of what the authors' network says."""
    expected = torch.tensor(formula.read_golden("dva")[name])
    return float((torch.tensor(formula.sample(found.numpy())) - expected).abs().max() / expected.std())


def test_it_is_the_authors_network(converted: dict[str, Tensor]) -> None:
    found = maps(converted)
    assert found.shape == (4, *oracle.SIZE)
    for name, one in zip(oracle.OUTPUTS, found, strict=True):
        assert difference(one, name) < 1e-4
    swapped = {**converted, "fuse.weight": converted["fuse.weight"].flip(1)}
    assert difference(maps(swapped)[0], oracle.OUTPUTS[0]) > 0.1, "another order of the branches would show"
    assert difference(found[1].roll((-6, -6), (0, 1)), oracle.OUTPUTS[1]) > 0.1, "a crop from the middle would show"


@pytest.mark.slow
def test_imports(tmp_path: Path) -> None:
    folder = salzoo.import_weights("dva", oracle.write(tensors(), tmp_path), tmp_path / "dva.authors")
    model = salzoo.load(folder, preprocess={"size": list(oracle.SIZE)})
    image = torch.from_numpy(formula.image(*oracle.SIZE)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        assert difference(model(model.preprocess.resize(image))[0, 0], oracle.OUTPUTS[0]) < 1e-4


@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    faults.check(kind, "dva", tensors(), oracle.write, tmp_path, victim="attention3_pred.1", surplus="deconv3_3.0")


def test_refuses_the_backbone_alone(tmp_path: Path) -> None:
    """VGG-16, from which the authors began, has the same names and ends with fc8."""
    layers = [(name.removesuffix(".0"), "Convolution", [tensors()[name], tensors()[f"{name[:-1]}1"]])
              for name in tensors() if name.startswith("conv") and name.endswith(".0")]  # fmt: skip
    path = tmp_path / "VGG_ILSVRC_16_layers.caffemodel"
    path.write_bytes(caffemodel(layers))
    faults.refuses("dva", [path], r"no tensor deconv5_1\.0", tmp_path / "out")
