"""DeepGaze I: `deepgaze1.pth` by formula, imported, says what the authors' code says of it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from importing import deepgaze, faults, formula

import salzoo
from salzoo.checkpoint.folder import read_config
from salzoo.components.saliency_model import SaliencyModel
from salzoo.errors import SalzooWarning, SpecError
from salzoo.models.deepgaze1 import DeepGazeINetwork

TENSORS = deepgaze.values(deepgaze.deepgaze1())
GOLDEN = formula.read_golden("deepgaze1")
CASES = [key for key in GOLDEN if key != "engine"]


def write(tensors: faults.Tensors, folder: Path) -> list[Path]:
    return [deepgaze.write(tensors, folder / "deepgaze1.pth")]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, SaliencyModel]:
    """Return the imported network with the uniform density and with the template."""
    folder = tmp_path_factory.mktemp("deepgaze1")
    np.save(folder / "centre.npy", deepgaze.centre_bias())
    files = write(TENSORS, folder)
    given = {False: None, True: folder / "centre.npy"}
    with pytest.warns(SalzooWarning, match="No centre bias was given, so it is uniform") as told:
        made = {k: salzoo.import_weights("deepgaze1", files, folder / str(k), centre_bias=v) for k, v in given.items()}
    assert len(told) == 1, "of the one without it"
    for template, checkpoint in made.items():
        imported = read_config(checkpoint).imported
        assert imported is not None
        assert [("No centre bias was given" in note) for note in imported.notes] == ([] if template else [True])
    return {k: salzoo.load(v) for k, v in made.items()}


@pytest.mark.parametrize("case", CASES)
def test_says_what_the_authors_network_says(models: dict[bool, SaliencyModel], case: str) -> None:
    said = deepgaze.say(models[", uniform" not in case], case)
    np.testing.assert_allclose(said, GOLDEN[case], atol=1e-4)


def test_an_image_of_1024_pixels_is_used_as_it_is(models: dict[bool, SaliencyModel]) -> None:
    image = torch.from_numpy(formula.image(1024, 683)).permute(2, 0, 1)
    model = models[True]
    with torch.inference_mode():
        expected = model.to_log_density(model(image[None]))[0]
    torch.testing.assert_close(torch.from_numpy(model.predict(image).log_density), expected, atol=1e-5, rtol=0)


def test_a_blur_that_is_cut_off_and_a_missing_template_are_noticed(models: dict[bool, SaliencyModel]) -> None:
    blur = cast("DeepGazeINetwork", models[True].network).blur
    try:
        blur.max_sigma_px = 4.0
        difference = np.abs(np.array(deepgaze.say(models[True], CASES[0])) - GOLDEN[CASES[0]])
    finally:
        blur.max_sigma_px = None
    assert difference.max() > 1e-3
    other = np.array(deepgaze.say(models[False], CASES[0])) - GOLDEN[CASES[0]]
    assert np.abs(other).max() > 1e-1


@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    tensors = {name: array for name, array in TENSORS.items() if kind != "constant" or "classifier" not in name}
    faults.check(kind, "deepgaze1", tensors, write, tmp_path, victim="readout_network.conv0.weight")


@pytest.mark.parametrize("name", ["finalizer.gauss.sigma", "finalizer.center_bias_weight"])
def test_refuses_what_no_blur_can_have(name: str, tmp_path: Path) -> None:
    faulty = {**TENSORS, name: np.float32(-1) * np.ones((2,) if "weight" in name else (), np.float32)}
    faults.refuses("deepgaze1", write(faulty, tmp_path), "log_sigma|centre_bias_weight", tmp_path / "out")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is not the file of deepgaze2e:salzoo.errors.SalzooWarning")
def test_refuses_the_other_deepgaze(tmp_path: Path) -> None:
    other = deepgaze.deepgaze2e(members=(), components=0) | {"models.0.finalizers.0.gauss.sigma": ()}
    path = deepgaze.write(deepgaze.values(other), tmp_path / "deepgaze2e.pth")
    faults.refuses("deepgaze1", [path], "features.features.1.features.0.weight", tmp_path / "out")
    faults.refuses("deepgaze2e", write(TENSORS, tmp_path), "lacks what becomes members.0", tmp_path / "out")


def test_refuses_a_template_of_another_size(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"centre_bias: got \[2, 3\], accepted is \[1024, 1024\]"):
        salzoo.import_weights("deepgaze1", write(TENSORS, tmp_path), tmp_path / "out", centre_bias=-np.ones((2, 3)))


def test_deepgaze2_says_why_it_cannot_be_imported(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="nothing public says what its variables are called; see `salzoo import --list"):
        salzoo.import_weights("deepgaze2", tmp_path / "DeepGazeII.ckpt.index")
