"""MSI-Net: TensorFlow's frozen graphs and SavedModels, against TensorFlow's own operations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from importing import faults, formula, writers
from importing.oracles import msinet as oracle

import salzoo

TENSORS = oracle.tensors()
CONSTANTS = {"Reshape": np.float32([[[[*oracle.MEAN]]]]), "add/x": np.float32(1e-7)}
"""What else a frozen graph holds."""


def write(tensors: faults.Tensors, folder: Path, name: str = "model_salicon_cpu.pb") -> list[Path]:
    path = folder / name
    constants = [writers.const_node(name, np.asarray(array)) for name, array in CONSTANTS.items()]
    path.write_bytes(writers.graph_def(tensors, more=constants))
    return [path]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("msinet")
    return salzoo.import_weights("msinet", write(TENSORS, folder), output=folder / "out")


def maps_of(folder: Path) -> np.ndarray:
    model = salzoo.load(folder)
    image = torch.from_numpy(formula.image(*oracle.SIZE)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        return model.network(model.preprocess.normalize(image))[0, 0].numpy()


@pytest.mark.slow
def test_the_network_is_the_authors(imported: Path) -> None:
    golden, ours = formula.read_golden("msinet"), maps_of(imported)
    np.testing.assert_allclose(formula.sample(ours), golden["map"], atol=1e-4)
    assert np.abs(np.subtract(formula.sample(ours, 40), golden["half_pixel"])).max() > 0.05, "torch's up-sampling"


@pytest.mark.slow
def test_a_density_is_the_authors(imported: Path) -> None:
    """Their 1e-7 of the sum at 240 x 320."""
    model, ours = salzoo.load(imported), torch.from_numpy(maps_of(imported))
    density = model.to_log_density(ours[None, None])[0].exp()
    floored = ours + 1e-7 * 240 * 320 * ours.mean()
    torch.testing.assert_close(density, floored / floored.sum(), rtol=0.01, atol=1e-9)


def test_images_are_brought_to_size_as_the_authors_do(imported: Path) -> None:
    preprocess, golden = salzoo.load(imported).preprocess, formula.read_golden("msinet")
    for size, name in ((oracle.IMAGE, "shrunk"), ((100, 120), "grown")):
        ours = 255 * preprocess(formula.image(*size)).permute(1, 2, 0).numpy()
        np.testing.assert_allclose(formula.sample(ours, 1000), golden[name], atol=0.1)  # bicubic weights have 10 bits


@pytest.mark.slow
def test_the_saved_model_of_the_hub_is_the_same(imported: Path, tmp_path: Path) -> None:
    path = tmp_path / "saved_model.pb"
    path.write_bytes(writers.saved_model({"__inference_pruned_1": {**TENSORS, **CONSTANTS}}))
    folder = salzoo.import_weights("msinet", path, output=tmp_path / "out")
    assert imported_of(folder) == "hub"
    np.testing.assert_array_equal(maps_of(folder), maps_of(imported))


def imported_of(folder: Path) -> str:
    config = salzoo.load(folder).config
    assert config is not None
    assert config.imported is not None
    return config.imported.release


@pytest.mark.slow
def test_other_sets_have_sizes_of_their_own(tmp_path: Path) -> None:
    files = write(TENSORS, tmp_path, "model_mit1003_gpu.pb")
    folder = salzoo.import_weights("msinet", files, output=tmp_path / "out")
    assert imported_of(folder) == "mit1003"
    assert salzoo.load(folder).preprocess.size == (360, 360)


@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    faults.check(kind, "msinet", TENSORS, write, tmp_path, victim="aspp/conv2/kernel")


def test_refuses_the_converted_network_of_another_format(tmp_path: Path) -> None:
    path = tmp_path / "msinet.npz"
    np.savez(path, *list(TENSORS.values())[:4])
    faults.refuses("msinet", [path], "not a graph or a checkpoint of TensorFlow", tmp_path / "out")


def test_refuses_two_tensors_of_one_name(tmp_path: Path) -> None:
    doubled = {**TENSORS, "teacher/aspp/conv2/bias": TENSORS["aspp/conv2/bias"] + 1}
    faults.refuses("msinet", write(doubled, tmp_path), "2 tensors that end in aspp/conv2/bias", tmp_path / "out")
