"""ML-Net's released weights: Keras 1 on Theano, in HDF5."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from importing import faults, formula, writers
from importing.oracles import mlnet
from torch import nn

import salzoo
from salzoo.components.saliency_model import SaliencyModel

GOLDEN = formula.read_golden("mlnet")
tensors = functools.cache(mlnet.tensors)


def write(arrays: faults.Tensors, folder: Path, **options: Any) -> list[Path]:
    """Write the authors' file; layers in the order in which their first array comes."""
    layers: dict[str, list[Any]] = {"input_1": []}
    for name, array in arrays.items():
        layer, _, weight = name.partition("/")
        layers.setdefault(layer, []).append((weight, array))
    path = folder / "mlnet_salicon_weights.pkl"
    writers.keras_hdf5(path, list(layers.items()), **options)
    return [path]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SaliencyModel]:
    """Return the imported model."""
    folder = tmp_path_factory.mktemp("mlnet")
    (path,) = write(tensors(), folder, layout="model")
    yield salzoo.load(salzoo.import_weights("mlnet", path, output=folder / "out"))
    path.unlink()


def run(model: SaliencyModel) -> list[float]:
    """Return samples of the network's map of the golden's image, through the checkpoint's own photometry."""
    pixels = torch.from_numpy(formula.image(*GOLDEN["size"]).transpose(2, 0, 1).copy())[None]
    with torch.inference_mode():
        return formula.sample(model(pixels).numpy())


@pytest.mark.slow
def test_computes_what_theano_does(model: SaliencyModel) -> None:
    np.testing.assert_allclose(run(model), GOLDEN["map"], atol=1e-4)


@pytest.mark.slow
def test_turned_kernels_and_the_priors_place_make_a_difference(model: SaliencyModel) -> None:
    network = model.network
    network.prior.upsampling = "bilinear"
    assert np.abs(np.subtract(run(model), GOLDEN["map"])).max() > 0.05
    network.prior.upsampling = "theano"
    kernels = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)]
    for kernel in kernels:
        kernel.data = kernel.data.flip(-2, -1)
    assert np.abs(np.subtract(run(model), GOLDEN["map"])).max() > 0.5
    for kernel in kernels:
        kernel.data = kernel.data.flip(-2, -1)


@pytest.mark.slow
def test_images_are_padded_as_by_the_authors(model: SaliencyModel) -> None:
    image = model.preprocess(formula.image(*GOLDEN["image"]))
    pixels = model.preprocess.normalize(image[None])
    np.testing.assert_allclose(formula.sample(pixels.numpy()), GOLDEN["pixels"], atol=1)  # theirs are bytes
    assert model.predict(formula.image(*GOLDEN["image"])).shape == tuple(GOLDEN["image"])


@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    match = "30 arrays where ML-Net has 31" if kind == "missing" else None
    match = "32 arrays where ML-Net has 31" if kind == "surplus" else match
    faults.check(kind, "mlnet", tensors(), write, tmp_path, surplus="surplus/surplus_W", match=match)


def test_refuses_the_port_to_pytorch(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"features.0.weight": torch.rand(64, 3, 3, 3), "prior": torch.rand(1, 1, 6, 8)}, path)
    faults.refuses("mlnet", [path], "is a torch file, but ML-Net was released as HDF5 of Keras 1", tmp_path / "out")


def test_refuses_a_port_to_tensorflow(tmp_path: Path) -> None:
    (path,) = write({"block1_conv1/kernel:0": np.ones((3, 3, 3, 64), np.float32)}, tmp_path)
    faults.refuses("mlnet", [path], "later Keras, on TensorFlow", tmp_path / "out")
