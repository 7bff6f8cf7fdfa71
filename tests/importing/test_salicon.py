"""Three ports of SALICON as their authors wrote them, imported and compared with engines that are not ours."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from importing import faults, formula, writers
from importing.oracles import salicon as oracle
from torch import Tensor

import salzoo
from salzoo.components.saliency_model import SaliencyModel
from salzoo.importing.maps import salicon
from salzoo.importing.source import Files, Options, Source
from salzoo.registry import read_spec
from salzoo.weight_files import read

GOLDEN = formula.read_golden("salicon")
PORTS = list(oracle.SIZES)


@lru_cache(maxsize=1)
def tensors(port: str) -> faults.Tensors:
    return oracle.tensors(port)


def write(content: faults.Tensors, folder: Path) -> Iterable[Path]:
    """Write a port's file, told by the names."""
    if "Sal_map.weight" in content:
        path = folder / "salicon_model.pth"
        torch.save({name: torch.from_numpy(array) for name, array in content.items()}, path)
    elif "saliency_map/saliency_map/bias:0" in content:
        path = folder / "model_lr0.01_loss_crossentropy.h5"
        layers: dict[str, list[tuple[str, np.ndarray]]] = {"input_1": []}
        for name, array in content.items():
            layer, _, weight = name.partition("/")
            layers.setdefault(layer, []).append((weight, array))
        writers.keras_hdf5(path, list(layers.items()), layout="model")
    else:
        path = folder / "salicon_osie.caffemodel"
        blobs: dict[str, list[np.ndarray]] = {}
        for name, array in content.items():
            blobs.setdefault(name.rpartition(".")[0], []).append(array)
        path.write_bytes(writers.caffemodel([(layer, "Convolution", each) for layer, each in blobs.items()]))
    return [path]


def logits(model: SaliencyModel, port: str) -> Tensor:
    image = torch.from_numpy(formula.image(*oracle.SIZES[port])).permute(2, 0, 1)
    with torch.inference_mode():
        return torch.tensor(formula.sample(model(model.preprocess.resize(image[None])).numpy()))


def close(found: Tensor, port: str) -> bool:
    expected = torch.tensor(GOLDEN[port])
    return found.shape == expected.shape and bool((found - expected).abs().max() < 1e-4 * expected.std())


WRONG: dict[str, dict[str, Any]] = {
    "nkuhzx": {"coarse": "average"},
    "salicontf": {"upsampling": "nearest"},
    "opensalicon": {"ceil": False},
}
"""What would make another network of the same tensors."""


@pytest.mark.parametrize("port", PORTS)
def test_says_what_the_authors_code_says(port: str, tmp_path: Path) -> None:
    """Without the checkpoint that an import writes and tries out, which takes a minute at 1200 x 1600."""
    files = Files([Source(read(path)) for path in write(tensors(port), tmp_path)])
    assert salicon.identify(files) == port
    release = next(one for one in read_spec("salicon").authors if one.name == port)
    converted = dict(salicon.convert(files, port, Options()))
    assert not files.left()
    preprocess = {**release.preprocess, "size": list(oracle.SIZES[port])}
    for wrong in ({}, WRONG[port]):
        with torch.device("meta"):  # no time for random weights
            model = salzoo.load("salicon.paper", weights=None, preprocess=preprocess, **{**release.network, **wrong})
        model.network.load_state_dict(converted, assign=True)
        model.cpu()
        assert close(logits(model, port), port) == (not wrong)
        if port == "nkuhzx" and not wrong:
            shown = model.predict(formula.image(*oracle.SIZES[port])).density
            assert np.corrcoef(formula.sample(shown), GOLDEN["map"])[0, 1] > 0.999


@pytest.mark.slow
@pytest.mark.parametrize("port", PORTS)
def test_imports(port: str, tmp_path: Path) -> None:
    folder = salzoo.import_weights("salicon", list(write(tensors(port), tmp_path)), tmp_path / "out")
    model = salzoo.load(folder, preprocess={"size": list(oracle.SIZES[port])})
    assert model.config is not None
    assert model.config.imported is not None
    assert model.config.imported.release == port
    assert close(logits(model, port), port)


@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    faults.check(kind, "salicon", tensors("nkuhzx"), write, tmp_path)


def test_refuses_other_networks(tmp_path: Path) -> None:
    """A VGG-16 alone, and OpenSALICON's file from before its training, whose head is 0."""
    half = {name: array for name, array in tensors("opensalicon").items() if name.startswith("conv")}
    faults.refuses("salicon", write(half, tmp_path), "none of the three ports", tmp_path / "out")
    untrained = {**tensors("opensalicon"), "saliency_map.0": np.zeros((1, 1024, 1, 1), np.float32)}
    faults.refuses("salicon", write(untrained, tmp_path), "no training", tmp_path / "out")
