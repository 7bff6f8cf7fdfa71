"""JuntingNet's pickles of a whole nolearn object, two networks, against Theano's operations and SciPy's blur."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from importing import faults, formula
from importing.oracles import juntingnet as oracle
from importing.writers import Made, Named, instance, python2_pickle

import salzoo
from salzoo.importing.rules import rotate

CLASSES = {"conv": "conv.Conv2DLayer", "hidd": "dense.DenseLayer", "outp": "dense.DenseLayer"}


def variable(array: np.ndarray) -> Made:
    """Return a variable as Theano 0.7 pickles one of a graphics card."""
    value = Made(Named("theano.sandbox.cuda.type", "CudaNdarray_unpickler"), (array,))
    container = instance("theano.gof.link", "Container", {"storage": [value], "readonly": False, "name": None})
    return instance("theano.sandbox.cuda.var", "CudaNdarraySharedVariable", {"container": container, "name": "W"})


def network(arrays: faults.Tensors) -> Any:
    """Return a trained network of nolearn, with layers, functions that share its variables, and momentum."""
    layers: dict[str, dict[str, Any]] = {"input": {"shape": (None, 3, 96, 96)}}
    for name, array in arrays.items():
        layer, _, attribute = name.partition(".")
        layers.setdefault(layer, {})[attribute] = variable(array)
    made, before = [], None
    for name, state in layers.items():
        kind = f"lasagne.layers.{CLASSES.get(name[:4], 'input.InputLayer')}"
        before = instance(*kind.rsplit(".", 1), state | {"input_layer": before, "name": name})
        made.append([name, before])
    values = [state[key] for state in layers.values() for key in "Wb" if key in state]
    momentum = [variable(np.full_like(array, 0.25)) for array in list(arrays.values())[:4]]
    state = {
        "_output_layer": before,
        "train_iter_": Made(Named("theano.compile.function_module", "_constructor_Function"), (None, values, momentum)),
        "layers_": Made(Named("collections", "OrderedDict"), (made,)),
        "on_epoch_finished": [instance("__main__", "AdjustVariable", {"ls": np.linspace(0.05, 0.0001, 1200)})],
        "train_history_": [{"epoch": 1, "train_loss": 0.5}],
        "verbose": 1,
    }
    return instance("nolearn.lasagne.base", "NeuralNet", state)


def write(arrays: faults.Tensors, folder: Path) -> list[Path]:
    path = folder / "shallow_net.pickle"
    path.write_bytes(python2_pickle(network(arrays)))
    return [path]


@pytest.mark.parametrize("which", ["script", pytest.param("figure", marks=pytest.mark.slow)])
def test_it_is_the_authors_network(which: str, tmp_path: Path) -> None:
    golden = formula.read_golden("juntingnet")[which]
    files = write(oracle.tensors(which), tmp_path)
    model = salzoo.load(salzoo.import_weights("juntingnet", files, tmp_path / "juntingnet.authors"))
    assert model.config.imported.release == f"salicon_{which}"
    image = torch.from_numpy(formula.image(oracle.SIDE, oracle.SIDE)).permute(2, 0, 1)[None]
    assert torch.equal(model.preprocess.resize(image), image.float() / 255)
    with torch.inference_mode():
        blurred, raw = model(image), model.train()(image)
    np.testing.assert_allclose(formula.sample(raw), golden["map"], atol=1e-4)
    np.testing.assert_allclose(formula.sample(blurred), golden["blurred"], atol=1e-4)
    kernel = model.network.features[0].weight
    kernel.data = rotate(kernel.data)
    with torch.inference_mode():
        unturned = formula.sample(model(image))
    assert np.abs(np.subtract(unturned, golden["map"])).max() > 0.01, "no rotation would show"


def test_the_name_of_the_file_tells_isun(tmp_path: Path) -> None:
    (path,) = write(oracle.tensors("script"), tmp_path)
    path = path.rename(tmp_path / "JuntingNet_iSUN.pickle")
    model = salzoo.load(salzoo.import_weights("juntingnet", path, tmp_path / "out"))
    assert model.config.imported.release == "isun_script"
    assert model.config.trained_on == ("isun:train",)


@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    victim, match = "output.b", None
    if kind == "surplus":  # in a pickle of a whole training run only a layer is one too many
        match = r"weights W have \[4, 4, 4, 2, 2, 1\] axes"
    faults.check(kind, "juntingnet", oracle.tensors("script"), write, tmp_path, victim, "more.W", match)


def test_refuses_a_network_between_the_two(tmp_path: Path) -> None:
    arrays = oracle.tensors("script")
    arrays["conv3.W"], arrays["conv3.b"] = arrays["conv3.W"][:32], arrays["conv3.b"][:32]
    faults.refuses("juntingnet", write(arrays, tmp_path), "has 32 channels; that of", tmp_path / "out")


def test_refuses_the_pickled_vgg_of_lasagne(tmp_path: Path) -> None:
    path = tmp_path / "vgg16.pkl"
    path.write_bytes(python2_pickle({"param values": [oracle.tensors("script")["conv1.W"]], "mean value": [1.0]}))
    faults.refuses("juntingnet", [path], r"axes; JuntingNet, pickled by nolearn", tmp_path / "out")
