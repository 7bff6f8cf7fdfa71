"""SAM's released weights: Keras 1 on Theano, in HDF5."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from importing import faults, formula, writers
from importing.oracles import sam
from torch import nn

import salzoo
from salzoo.checkpoint.folder import read_config
from salzoo.components.saliency_model import SaliencyModel
from salzoo.importing.maps import sam as mapping
from salzoo.importing.source import Files, Options, Source
from salzoo.weight_files import WeightFile

GOLDEN = formula.read_golden("sam")
FILES = {"vgg": "sam-vgg_salicon_weights.pkl", "resnet": "sam-resnet_salicon2017_weights.pkl"}
RELEASES = {"vgg": "sam_vgg", "resnet": "sam_resnet_2017"}
tensors = functools.lru_cache(maxsize=1)(sam.tensors)


def write(arrays: faults.Tensors, folder: Path, name: str = FILES["vgg"], **options: Any) -> list[Path]:
    """Write the authors' file; layers in the order in which their first array comes."""
    layers: dict[str, list[Any]] = {"input_1": []}
    for full, array in arrays.items():
        layer, _, weight = full.partition("/")
        layers.setdefault(layer, []).append((weight, array))
    writers.keras_hdf5(folder / name, list(layers.items()), **options)
    return [folder / name]


@pytest.fixture(scope="module", params=["vgg", pytest.param("resnet", marks=pytest.mark.slow)])
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Return which of the two networks, and the folder of its checkpoint."""
    kind, folder = request.param, tmp_path_factory.mktemp("sam")
    (path,) = write(tensors(kind), folder, FILES[kind], layout="model" if kind == "vgg" else "root")
    yield kind, salzoo.import_weights("sam", path, output=folder / "out")
    path.unlink()


@pytest.fixture(scope="module")
def model(imported: tuple[str, Path]) -> SaliencyModel:
    """Return the imported model."""
    return salzoo.load(imported[1])


def run(model: SaliencyModel) -> list[float]:
    """Return samples of the network's map of the golden's image, through the checkpoint's own photometry."""
    pixels = torch.from_numpy(formula.image(*GOLDEN["size"]).transpose(2, 0, 1).copy())[None]
    with torch.inference_mode():
        return formula.sample(model(pixels).numpy())


@pytest.mark.slow
def test_computes_what_theano_does(imported: tuple[str, Path], model: SaliencyModel) -> None:
    np.testing.assert_allclose(run(model), GOLDEN[imported[0]], atol=1e-4)
    made = read_config(imported[1]).imported
    assert made is not None
    assert made.release == RELEASES[imported[0]]
    assert model.preprocess.channel_order == "bgr"
    assert model.blur_px == 7


@pytest.mark.slow
def test_turned_kernels_and_the_lstm_make_a_difference(imported: tuple[str, Path], model: SaliencyModel) -> None:
    lstm, expected = model.network.lstm, GOLDEN[imported[0]]

    def off() -> float:
        return float(np.abs(np.subtract(run(model), expected)).max())

    lstm.attention = "mean"
    assert off() > 0.01
    lstm.attention, lstm.steps = "sum", 3
    assert off() > 0.01
    lstm.steps = 4
    kernels = [m.weight for m in model.network.modules() if isinstance(m, nn.Conv2d)]
    for kernel in kernels:
        kernel.data = kernel.data.flip(-2, -1)
    assert off() > 0.1
    for kernel in kernels:
        kernel.data = kernel.data.flip(-2, -1)
    assert off() < 1e-4


@pytest.mark.slow
@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    match = "28 arrays where the rest of SAM has 29" if kind == "missing" else None
    match = "30 arrays where the rest of SAM has 29" if kind == "surplus" else match
    faults.check(kind, "sam", tensors("vgg"), write, tmp_path, surplus="surplus/surplus_W", match=match)


@pytest.mark.parametrize("kind", ["vgg", pytest.param("resnet", marks=pytest.mark.slow)])
def test_without_names_the_order_tells(kind: str) -> None:
    arrays = {name: torch.from_numpy(array) for name, array in tensors(kind).items()}
    found = []
    for names in (list(arrays), [f"layer_{i}/param_{i}" for i in range(len(arrays))]):
        renamed = dict(zip(names, arrays.values(), strict=True))
        files = Files([Source(WeightFile(Path(FILES[kind]), "keras", renamed))])
        assert mapping.identify(files) == RELEASES[kind]
        found.append(dict(mapping.convert(files, RELEASES[kind], Options())))
        assert files.left() == []
    assert list(found[0]) == list(found[1])
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


def test_refuses_a_file_without_a_layer_of_its_backbone(tmp_path: Path) -> None:
    arrays = {name: array for name, array in tensors("vgg").items() if name.startswith("block1_conv1")}
    faults.refuses("sam", write(arrays, tmp_path), "no tensor block1_conv2/block1_conv2_W", tmp_path / "out")


def test_refuses_the_file_of_ml_net(tmp_path: Path) -> None:
    arrays = {f"convolution2d_{k}/convolution2d_{k}_W": np.eye(3, dtype=np.float32) for k in range(15)}
    faults.refuses("sam", write(arrays, tmp_path), "neither a VGG-16 .* nor a ResNet-50", tmp_path / "out")


def test_refuses_the_port_to_tensorflow(tmp_path: Path) -> None:
    paths = write({"conv1_conv/kernel:0": np.ones((7, 7, 3, 64), np.float32)}, tmp_path)
    faults.refuses("sam", paths, "later Keras, on TensorFlow", tmp_path / "out")
