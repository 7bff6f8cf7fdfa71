"""DSCLRCN as its authors wrote it, imported and compared with OpenCV's Caffe and with LSTMs in NumPy."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from importing import faults, formula, writers
from importing.oracles import dsclrcn as oracle
from torch import Tensor

import salzoo
from salzoo.components.saliency_model import SaliencyModel
from salzoo.importing.maps import dsclrcn
from salzoo.importing.source import Files, Options, Source
from salzoo.registry import read_spec
from salzoo.weight_files import read

GOLDEN = formula.read_golden("dsclrcn")


@lru_cache(maxsize=1)
def tensors() -> faults.Tensors:
    return {f"{layer}.{k}": blob for layer, blobs in oracle.layers().items() for k, blob in enumerate(blobs)}


def write(content: faults.Tensors, folder: Path) -> Iterable[Path]:
    blobs: dict[str, list[np.ndarray]] = {}
    for name, array in content.items():
        blobs.setdefault(name.rpartition(".")[0], []).append(array)
    path = folder / "EF_ResNet50_ML_DSCLSTM_best.caffemodel"
    path.write_bytes(writers.caffemodel([(layer, "Convolution", each) for layer, each in blobs.items()]))
    return [path]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    files = Files([Source(read(path)) for path in write(tensors(), tmp_path_factory.mktemp("file"))])
    pairs = dict(dsclrcn.convert(files, "dsclrcn", Options()))
    assert not files.left()
    return pairs


def build(converted: dict[str, Tensor], **options: Any) -> SaliencyModel:
    (release,) = read_spec("dsclrcn").authors
    preprocess = {**release.preprocess, "size": list(oracle.SIZE)}
    with torch.device("meta"):  # no time for random weights
        model = salzoo.load("dsclrcn.paper", weights=None, preprocess=preprocess, **{**release.network, **options})
    model.network.load_state_dict(converted, assign=True)
    return model.cpu()


def image() -> Tensor:
    return torch.from_numpy(formula.image(*oracle.SIZE)).permute(2, 0, 1)[None]


def check(found: Tensor, name: str) -> None:
    expected = torch.tensor(GOLDEN[name])
    torch.testing.assert_close(
        torch.tensor(formula.sample(found.numpy())), expected, rtol=0, atol=1e-4 * float(expected.std())
    )


@pytest.mark.slow
def test_says_what_the_authors_code_says(converted: dict[str, Tensor]) -> None:
    model = build(converted)
    pixels = model.preprocess.normalize(model.preprocess.resize(image()))
    with torch.inference_mode():
        maps = model.network.backbone(pixels)
        check(maps[0], "res4f")
        check(maps[1], "res5c")
        check(model.network._context(pixels, maps), "context")
        check(model(image()), "logits")
        check(build(converted, scene_shown=False)(image()), "unshown")
        other = build(converted, columns="both")(image())
    expected = torch.tensor(GOLDEN["logits"])
    assert (torch.tensor(formula.sample(other.numpy())) - expected).abs().max() > 0.1 * expected.std()


@pytest.mark.slow
def test_imports(tmp_path: Path) -> None:
    folder = salzoo.import_weights("dsclrcn", list(write(tensors(), tmp_path)), tmp_path / "out")
    model = salzoo.load(folder, preprocess={"size": list(oracle.SIZE)})
    with torch.inference_mode():
        check(model(image()), "logits")


@pytest.mark.slow
@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    victim = "conv1.1" if kind == "missing" else "conv1.0"  # without its first blob a layer's second one is the first
    faults.check(kind, "dsclrcn", tensors(), write, tmp_path, victim=victim, surplus="surplus.0")


@pytest.mark.slow
def test_refuses_other_networks(tmp_path: Path) -> None:
    """AAshqar's port, the trunk alone, and a network whose context is not copied as it is."""
    port = tmp_path / "port.pth"
    torch.save({"local_feats.feats.0.weight": torch.rand(64, 3, 3, 3)}, port)
    faults.refuses("dsclrcn", [port], "AAshqar's port", tmp_path / "out")
    trunk = {name: array for name, array in tensors().items() if name.startswith(("res", "bn", "scale", "conv1."))}
    faults.refuses("dsclrcn", write(trunk, tmp_path), "context_row_raw", tmp_path / "out")
    other = {**tensors(), "context_row_raw.0": np.zeros((128, 1, 120, 1), np.float32)}
    faults.refuses("dsclrcn", write(other, tmp_path), "all 1", tmp_path / "out")
