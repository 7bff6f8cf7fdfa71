"""SalGAN's released generator: 54 arrays in an .npz, against Theano's convolutions."""

from __future__ import annotations

import copy
import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from importing import faults, formula
from importing.oracles import salgan as oracle
from torch import nn

import salzoo
from salzoo.importing.rules import rotate

tensors = functools.cache(oracle.tensors)


def write(arrays: faults.Tensors, folder: Path) -> list[Path]:
    path = folder / "gen_modelWeights0090.npz"
    np.savez(path, **arrays)
    return [path]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> salzoo.SaliencyModel:
    """Return the imported network, which sees the oracle's few pixels."""
    work = tmp_path_factory.mktemp("salgan")
    folder = salzoo.import_weights("salgan", write(tensors(), work), work / "salgan.authors")
    preprocess = salzoo.load(folder).config.preprocess | {"size": list(oracle.SIZE)}
    return salzoo.load(folder, preprocess=preprocess)


def logits_of(model: salzoo.SaliencyModel) -> list[float]:
    image = torch.from_numpy(formula.image(*oracle.IMAGE)).permute(2, 0, 1)[None]
    seen = (model.preprocess.resize(image) * 255).round() / 255  # bytes, which is what the release resizes
    with torch.inference_mode():
        return formula.sample(model(seen))


@pytest.mark.slow
def test_it_is_the_authors_network(small: salzoo.SaliencyModel) -> None:
    golden = formula.read_golden("salgan")
    np.testing.assert_allclose(logits_of(small), golden["logits"], atol=1e-4)
    ours = formula.sample(small.predict(formula.image(*oracle.IMAGE)).density)
    assert np.corrcoef(ours, golden["map"])[0, 1] > 0.999, "theirs has 122 grey values, enlarged by a cubic kernel"


@pytest.mark.slow
@pytest.mark.parametrize("part", ["backbone", "decoder"])
def test_a_wrong_rotation_would_show(part: str, small: salzoo.SaliencyModel) -> None:
    turned = copy.deepcopy(small)
    for layer in turned.network.get_submodule(part).modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = rotate(layer.weight.data)
    assert np.corrcoef(logits_of(turned), formula.read_golden("salgan")["logits"])[0, 1] < 0.9


@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    faults.check(kind, "salgan", tensors(), write, tmp_path, surplus="arr_54")


def test_refuses_the_students_teacher(tmp_path: Path) -> None:
    """FastSal's teacher is a SalGAN that others trained anew, in PyTorch."""
    path = tmp_path / "gen_42.pt"
    torch.save({"0.weight": torch.randn(64, 3, 3, 3), "0.bias": torch.randn(64)}, path)
    faults.refuses("salgan", [path], "arr_0|gen_42", tmp_path / "out")
