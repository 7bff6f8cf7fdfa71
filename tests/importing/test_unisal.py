"""UNISAL: the authors' PyTorch file, against their own class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from importing import faults, formula
from importing.oracles import unisal as oracle

import salzoo
from salzoo.errors import SalzooWarning

TENSORS = oracle.tensors()


def write(tensors: faults.Tensors, folder: Path, name: str = "weights_best.pth") -> list[Path]:
    path = folder / name
    torch.save({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()}, path)
    return [path]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unisal")
    with pytest.warns(SalzooWarning, match="not the file of best that is known"):
        return salzoo.import_weights("unisal", write(TENSORS, folder), output=folder / "out")


def test_the_network_is_the_authors(imported: Path) -> None:
    golden, model = formula.read_golden("unisal"), salzoo.load(imported)
    with torch.no_grad():  # not inference mode, where batch norms are folded
        logits = model.network(torch.from_numpy(oracle.pixels())[None])
    ours = model.to_log_density(model.preprocess.restore(logits, oracle.IMAGE))[0].numpy()
    np.testing.assert_allclose(formula.sample(ours), golden["log_density"], atol=1e-4)
    assert np.abs(np.subtract(formula.sample(ours, 40), golden["other_domain"])).max() > 1, "of another domain"


def test_images_are_brought_to_size_as_the_authors_do(imported: Path) -> None:
    """But for Pillow's rounding to bytes, which cuts off a little more of the overshoot at 1 pixel in 5,000."""
    model, image = salzoo.load(imported), formula.image(*oracle.IMAGE)
    pixels = model.preprocess.normalize(model.preprocess(image)[None])[0].numpy()
    difference = np.abs(pixels - oracle.pixels())
    assert np.quantile(difference, 0.999) < 1.1 / 255 / 0.224
    assert difference.max() < 0.1
    ours = formula.sample(model.predict(image).log_density)
    assert np.corrcoef(ours, formula.read_golden("unisal")["log_density"])[0, 1] > 0.9, (
        "random layers amplify the rounding"
    )


def test_the_name_tells_the_release(tmp_path: Path) -> None:
    with pytest.warns(SalzooWarning, match="not the file of mit1003 that is known"):
        folder = salzoo.import_weights(
            "unisal", write(TENSORS, tmp_path, "weights_ft_mit1003.pth"), output=tmp_path / "out"
        )
    config = salzoo.load(folder).config
    assert config is not None
    assert "mit1003:all" in config.trained_on


@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    with pytest.warns(SalzooWarning, match="not the file"):
        faults.check(kind, "unisal", TENSORS, write, tmp_path, victim="skip_2x.reduction.0.weight")


def test_refuses_a_file_of_another_network(tmp_path: Path) -> None:
    other = {name.removeprefix("cnn."): array for name, array in TENSORS.items() if name.startswith("cnn.")}
    with pytest.warns(SalzooWarning, match="not the file"):
        faults.refuses("unisal", write(other, tmp_path), "coarse_gaussians_salicon", tmp_path / "out")
