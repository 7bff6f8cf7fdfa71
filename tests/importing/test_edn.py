"""eDN's released SVM, against the release's whole way from an image to a map in NumPy, SciPy and Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from importing import faults, formula
from importing.oracles import edn as oracle
from importing.writers import liblinear, table
from PIL import Image

import salzoo
from salzoo.errors import SalzooWarning
from salzoo.metrics import functional
from salzoo.models.edn import to_yuv_bytes

REAL = Path(__file__).parents[3] / "shared" / "weights" / "edn"
NAMES = {832: "plain", 833: "centre"}

pytestmark = pytest.mark.filterwarnings("ignore:.* is not the file of mit1003.*:salzoo.errors.SalzooWarning")


def write(arrays: faults.Tensors, folder: Path) -> list[Path]:
    arrays = dict(arrays)
    svm, whiten = folder / "svm-slm", folder / "whiten-slm"
    svm.write_text(liblinear(arrays.pop("svm", np.ones(0))))
    whiten.write_text(table([np.resize(column, len(arrays["column.0"])) for column in arrays.values()]))
    return [svm, whiten]


def stretched(density: np.ndarray) -> list[float]:
    return formula.sample((density - density.min()) / (density.max() - density.min()))


@pytest.mark.parametrize("features", NAMES)
def test_the_map_is_the_releases(features: int, tmp_path: Path) -> None:
    files = write(oracle.tensors(features), tmp_path)
    folder = salzoo.import_weights(
        "edn", files[::-1], tmp_path / "edn.authors"
    )  # the order of the files does not matter
    assert salzoo.load(folder).config.imported.release == ("mit1003" if features == 833 else "mit1003_without_centre")
    preprocess = salzoo.load(folder).config.preprocess | {"size": list(oracle.SIZE)}
    model = salzoo.load(folder, preprocess=preprocess)
    golden, image = formula.read_golden("edn")[NAMES[features]], formula.image(*oracle.IMAGE)
    with torch.inference_mode():
        margins = model(model.preprocess(image)[None])
    np.testing.assert_allclose(formula.sample(margins), golden["margins"], atol=1e-3)  # float32, roots of tenth powers
    np.testing.assert_allclose(stretched(model.predict(image).density), golden["map"], atol=1e-4)
    model.network.eight_bits = False
    assert np.abs(np.subtract(stretched(model.predict(image).density), golden["map"])).max() > 1e-4, "bytes matter"


def test_colours_are_pillows_to_the_bit() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    pixels[0, :2] = [[0, 0, 0], [255, 255, 255]]
    ours = to_yuv_bytes(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())[0].permute(1, 2, 0)
    assert np.array_equal(ours.numpy(), np.asarray(Image.fromarray(pixels).convert("YCbCr")))
    dark = to_yuv_bytes(torch.tensor([50.0, 100.0]).expand(1, 3, 1, 2))
    assert dark[0, 0].tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("kind", "victim", "match"),
    [
        ("missing", "column.1", r"no tensor column\.1"),
        ("surplus", "column.1", r"no place for: column\.2"),
        ("shape", "svm", "SVM has 834 weights, those of the release 832 or"),
        ("nan", "column.1", "(?i)nan|finite"),
    ],
)
def test_refuses(kind: str, victim: str, match: str, tmp_path: Path) -> None:
    faults.check(kind, "edn", oracle.tensors(833), write, tmp_path, victim, "column.2", match)


def test_refuses_the_halves_of_both_releases(tmp_path: Path) -> None:
    arrays = oracle.tensors(833) | {"svm": oracle.tensors(832)["svm"]}
    faults.refuses("edn", write(arrays, tmp_path), r"shape \[834\].* needs \[833\]", tmp_path / "out")


@pytest.mark.parametrize("count", [100, 834])
def test_refuses_the_svm_of_other_features(count: int, tmp_path: Path) -> None:
    files = write(oracle.tensors(833) | {"svm": np.linspace(0, 1, count)}, tmp_path)
    faults.refuses("edn", files, f"SVM has {count} weights, those of the release 832 or", tmp_path / "out")


@pytest.mark.skipif(not REAL.is_dir(), reason="the released files are not here")
@pytest.mark.parametrize(
    ("end", "name", "auc", "nss"), [("-cntr", "centre", 0.9075, 1.565), ("", "plain", 0.896, 1.384)]
)
def test_the_released_files_on_their_example(end: str, name: str, auc: float, nss: float, tmp_path: Path) -> None:
    said: list[str] = []
    files = [REAL / f"svm-slm{end}", REAL / f"whiten-slm{end}"]
    folder = salzoo.import_weights("edn", files, tmp_path / "edn.authors", report=said.append)
    assert sum("is the known file" in line for line in said) == 2
    density = salzoo.load(folder).predict(REAL / "img.jpg").density
    np.testing.assert_allclose(stretched(density), formula.read_golden("edn")[f"real {name}"]["map"], atol=1e-4)
    fixations = torch.from_numpy(np.asarray(Image.open(REAL / "img_fixPts.jpg").convert("L")) > 200).long()[None]
    maps = torch.from_numpy(density)[None].double()
    assert functional.auc_judd(maps, fixations=fixations).item() == pytest.approx(auc, abs=2e-3)
    assert functional.nss(maps, fixations=fixations).item() == pytest.approx(nss, abs=5e-3)


def test_other_files_than_the_known_ones_are_told(tmp_path: Path) -> None:
    with pytest.warns(SalzooWarning, match="is not the file of mit1003 that is known"):
        salzoo.import_weights("edn", write(oracle.tensors(833), tmp_path), tmp_path / "edn.authors")
