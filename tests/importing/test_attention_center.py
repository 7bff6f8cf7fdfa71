"""Import of attention center against LiteRT, which ran the released graph with numbers by formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from importing import attention_center, faults, formula
from importing.writers_tflite import write_tflite
from numpy.typing import NDArray

import salzoo
from salzoo.errors import SalzooWarning

GOLDEN = formula.read_golden("attention_center")
REAL = Path(__file__).parents[3] / "shared/weights/attention_center/center.tflite"
REAL_LOGITS = [
    -15.67578, -15.06015, -16.9314, -17.65955, -13.36017, -14.68598, -18.12514, -13.82598, -18.10843, -21.89201,
]  # fmt: skip
"""Ten of LiteRT's, of the released file and the same image."""


def tensors() -> dict[str, NDArray[Any]]:
    return {name: attention_center.constant(name, tuple(shape), kind) for name, shape, kind in GOLDEN["tensors"]}


def write(content: faults.Tensors, folder: Path) -> list[Path]:
    return [write_tflite(folder / "center.tflite", content)]


def logits(folder: Path) -> NDArray[np.float32]:
    model = salzoo.load(folder)
    with torch.no_grad():
        found: NDArray[np.float32] = model(torch.from_numpy(attention_center.image()).permute(0, 3, 1, 2)).numpy()
    return found


def imported(content: faults.Tensors, folder: Path) -> Path:
    with pytest.warns(SalzooWarning, match="is not the file of attention_center that is known"):
        return salzoo.import_weights("attention_center", write(content, folder), output=folder / "out")


def test_as_litert_runs_the_released_graph(tmp_path: Path) -> None:
    found = np.array(formula.sample(logits(imported(tensors(), tmp_path))))
    golden = np.array(GOLDEN["logits"])
    np.testing.assert_allclose(1 / (1 + np.exp(-found)), 1 / (1 + np.exp(-golden)), rtol=0, atol=1e-4)
    np.testing.assert_allclose(found, golden, rtol=0, atol=5e-4)  # both are 1e-4 from float64


@pytest.mark.parametrize("swapped", [False, True])
def test_scale_and_shift_are_told_apart(swapped: bool, tmp_path: Path) -> None:
    """The file calls the scale `Reshape_1`: with the two exchanged the output is another one."""
    content = tensors()
    a, b = (f"MobilenetV3/expanded_conv_4/project/GroupNorm/{name}" for name in ("Reshape", "Reshape_1"))
    if swapped:
        content[a], content[b] = content[b], content[a]
    difference = np.abs(np.subtract(formula.sample(logits(imported(content, tmp_path))), GOLDEN["logits"])).max()
    assert (difference > 0.1) == swapped


@pytest.mark.skipif(not REAL.is_file(), reason="the released file is not beside the repository")
def test_the_released_file(tmp_path: Path) -> None:
    folder = salzoo.import_weights("attention_center", REAL, output=tmp_path / "out")
    found = logits(folder)
    np.testing.assert_allclose(formula.sample(found, 10), REAL_LOGITS, rtol=0, atol=5e-4)


@pytest.mark.filterwarnings("ignore::salzoo.errors.SalzooWarning")
@pytest.mark.parametrize("kind", sorted({*faults.KINDS} - {"constant"}))
def test_refuses(kind: str, tmp_path: Path) -> None:
    faults.check(kind, "attention_center", tensors(), write, tmp_path, victim="saliency/conv2d_2/Conv2D")


@pytest.mark.filterwarnings("ignore::salzoo.errors.SalzooWarning")
def test_refuses_a_kernel_of_one_number(tmp_path: Path) -> None:
    """The largest array of the file holds coordinates, so `faults` would not hit a weight."""
    content = tensors()
    content["saliency/conv2d_2/Conv2D"][:] = 0.5
    faults.refuses("attention_center", write(content, tmp_path), "no training", tmp_path / "out")


@pytest.mark.filterwarnings("ignore::salzoo.errors.SalzooWarning")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MobilenetV3/Conv/GroupNorm/add/y", 1e-3),
        ("MobilenetV3/expanded_conv/squeeze_excite/Conv_1/mul/y", 0.2),
        ("MobilenetV3/expanded_conv/project/Conv2D", 1.0),
    ],
)
def test_refuses_a_graph_with_other_numbers(name: str, value: float, tmp_path: Path) -> None:
    content = tensors()
    content[name] = np.full_like(content[name], value)
    faults.refuses("attention_center", write(content, tmp_path), "another graph", tmp_path / "out")


@pytest.mark.filterwarnings("ignore::salzoo.errors.SalzooWarning")
def test_refuses_another_network(tmp_path: Path) -> None:
    other = {"serving_default/conv/kernel": np.linspace(0, 1, 27, dtype=np.float16).reshape(1, 3, 3, 3)}
    faults.refuses("attention_center", write(other, tmp_path), "has no tensor MobilenetV3", tmp_path / "out")
