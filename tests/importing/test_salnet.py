"""SalNet's released caffemodel, against OpenCV's Caffe engine on the authors' prototxt."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from importing import faults, formula
from importing.oracles import salnet as oracle
from importing.writers import caffemodel

import salzoo

tensors = functools.cache(oracle.tensors)


def test_it_is_the_authors_network(tmp_path: Path) -> None:
    golden = formula.read_golden("salnet")
    folder = salzoo.import_weights("salnet", oracle.write(tensors(), tmp_path), tmp_path / "salnet.authors")
    preprocess = salzoo.load(folder).config.preprocess | {"size": [oracle.LARGEST] * 2}
    model = salzoo.load(folder, preprocess=preprocess)
    seen = model.preprocess(formula.image(*oracle.IMAGE))
    with torch.inference_mode():
        output = model(seen[None])[0, 0]
    assert list(output.shape) == golden["shape"]
    np.testing.assert_allclose(formula.sample(output), golden["output"], atol=1e-4)
    wrong = model.network.column.conv4
    wrong.weight.data = wrong.weight.data.flip(-2, -1)
    with torch.inference_mode():
        turned = formula.sample(model(seen[None])[0, 0])
    assert np.abs(np.subtract(turned, golden["output"])).max() > 0.01, "a rotated kernel would show"


@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    faults.check(kind, "salnet", tensors(), oracle.write, tmp_path, victim="conv9.1", surplus="conv10.0")


def test_refuses_another_network_of_caffe(tmp_path: Path) -> None:
    """VGG-16, as in the SALICON of others, has conv1_1 where this has conv1."""
    noise = formula.values("vgg", (64, 3, 3, 3))
    path = tmp_path / "salicon_osie.caffemodel"
    path.write_bytes(caffemodel([("conv1_1", "Convolution", [noise, noise[:, 0, 0, 0]])]))
    faults.refuses("salnet", [path], r"no tensor conv1\.0 .*near it: conv1_1\.0", tmp_path / "out")


@pytest.mark.parametrize("size", [(683, 1024), (37, 5), (9, 200)])
def test_any_image_gives_a_map(size: tuple[int, int]) -> None:
    """Poolings with a window of 3 have a smallest image."""
    model = salzoo.load("salnet", weights=None, backbone="vgg_cnn_m", column=(4, 4, 4, 4, 4), feature_nodes=(),
                        frozen=False, stride=4, preprocess={"size": [320, 320], "fit": "within"})  # fmt: skip
    assert model.predict(formula.image(*size)).density.shape == size
