"""DeepGaze III: `deepgaze3.pth` by formula, imported, says what the authors' code says of it after each history."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from importing import deepgaze, faults, formula

import salzoo
from salzoo.checkpoint.loading import build
from salzoo.components.scanpath_model import ScanpathModel
from salzoo.importing.maps.deepgaze3 import convert
from salzoo.importing.source import Files, Options, Source
from salzoo.registry import read_spec
from salzoo.weight_files import WeightFile

GOLDEN = formula.read_golden("deepgaze3")
CASES = [key for key in GOLDEN if key != "engine"]
UNKNOWN = "ignore:.*is not the file of deepgaze3:salzoo.errors.SalzooWarning"


@pytest.fixture(scope="module")
def model() -> ScanpathModel:
    """Return the release's network with the tensors of the file, each of which is used or left on purpose."""
    spec = read_spec("deepgaze3")
    with torch.device("meta"):
        built = build(spec, "paper", spec.authors[0].network, spec.authors[0].preprocess)
    arrays = deepgaze.values(deepgaze.deepgaze3())
    theirs = {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}
    files = Files([Source(WeightFile(Path("deepgaze3.pth"), "torch", theirs))])
    built.network.load_state_dict(dict(convert(files, "deepgaze3", Options(deepgaze.centre_bias()))), assign=True)
    assert not files.left()
    assert isinstance(built, ScanpathModel)
    return built.to("cpu").eval()


def say(model: ScanpathModel, case: str) -> list[float]:
    """Return the log density after the history of a golden (`128x192, 4 fixations`), at the image's own size."""
    size, count = case.removesuffix(" fixations").split(", ")
    height, width = map(int, size.split("x"))
    past = [place for place in deepgaze.history(height, width, int(count)) if place[0] == place[0]]
    image = torch.from_numpy(formula.image(height, width)).permute(2, 0, 1)
    model.preprocess = replace(model.preprocess, size=(height, width))
    model.cells = max(height, width)  # one a pixel
    return formula.sample(model.conditional(image, past[::-1]).log_density)


@pytest.mark.parametrize("case", CASES)
def test_says_what_the_authors_network_says(model: ScanpathModel, case: str) -> None:
    """Also on odd sides; the public call, through cells and back to pixels."""
    np.testing.assert_allclose(say(model, case), GOLDEN[case], atol=1e-4)


def test_two_fixations_in_the_wrong_order_are_noticed(model: ScanpathModel) -> None:
    case = CASES[0]
    encodings = model.network.components[0].scanpath.encodings
    weights = [encoding.weight.data for encoding in encodings]
    try:
        for encoding, weight in zip(encodings, weights[::-1], strict=True):
            encoding.weight.data = weight
        assert np.abs(np.array(say(model, case)) - GOLDEN[case]).max() > 1e-3
    finally:
        for encoding, weight in zip(encodings, weights, strict=True):
            encoding.weight.data = weight


@pytest.mark.slow
@pytest.mark.filterwarnings(UNKNOWN)
def test_the_whole_file_is_imported(tmp_path: Path) -> None:
    np.save(tmp_path / "centre.npy", deepgaze.centre_bias())
    path = deepgaze.write(deepgaze.values(deepgaze.deepgaze3()), tmp_path / "deepgaze3.pth")
    made = salzoo.import_weights("deepgaze3", path, tmp_path / "made", centre_bias=tmp_path / "centre.npy")
    model = salzoo.load(made)
    assert isinstance(model, ScanpathModel)
    np.testing.assert_allclose(say(model, CASES[0]), GOLDEN[CASES[0]], atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings(UNKNOWN)
@pytest.mark.parametrize("kind", [kind for kind in faults.KINDS if kind != "constant"])  # that is DenseNet's classifier
def test_refuses(kind: str, tmp_path: Path) -> None:
    def write(tensors: faults.Tensors, folder: Path) -> list[Path]:
        return [deepgaze.write(tensors, folder / "deepgaze3.pth")]

    tensors = deepgaze.values(deepgaze.deepgaze3())
    victim = "scanpath_networks.9.encoding0.convolutions.3.weight"
    faults.check(kind, "deepgaze3", tensors, write, tmp_path, victim=victim)
