"""Import of FastSal against the authors' own classes, in files as they save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from importing import fastsal, faults, formula
from numpy.typing import NDArray

import salzoo
from salzoo.checkpoint.folder import read_config

GOLDEN = formula.read_golden("fastsal")
pytestmark = pytest.mark.filterwarnings("ignore:.* is not the file of:salzoo.errors.SalzooWarning")


def tensors(kind: str) -> dict[str, NDArray[Any]]:
    decoder = {name: tuple(shape) for name, shape in GOLDEN["tensors"][kind]}
    return {name: fastsal.constant(name, shape) for name, shape in {**fastsal.encoder(), **decoder}.items()}


def saved(content: faults.Tensors, path: Path) -> Path:
    """Write what `save_epoch` of the authors' utils.py writes: the student and, now and then, the optimiser."""
    student = {fastsal.as_saved(name): torch.from_numpy(np.array(array)) for name, array in content.items()}
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.01, "params": [0]}]}
    torch.save({"student_model": student, "optimizer": optimizer}, path)
    return path


def logits(folder: Path) -> list[float]:
    model = salzoo.load(folder)
    with torch.no_grad():
        return formula.sample(model.network(torch.from_numpy(fastsal.image())).numpy())


@pytest.mark.parametrize("name", ["salicon_A", "coco_C"])
def test_as_the_authors_classes(name: str, tmp_path: Path) -> None:
    kind = name[-1]
    folder = salzoo.import_weights("fastsal", saved(tensors(kind), tmp_path / f"{name}.pth"), output=tmp_path / "out")
    np.testing.assert_allclose(logits(folder), GOLDEN["logits"][kind], rtol=1e-4, atol=1e-4)
    config = read_config(folder)
    assert config.network["readout"] == ("sigmoid" if name.startswith("salicon") else "softmax")
    assert config.imported is not None
    assert config.imported.release == name


def test_counters_of_batches_are_missing_all_or_none(tmp_path: Path) -> None:
    """PyTorch before 0.4.1 wrote none; one that is missing among others is as any tensor."""
    content = tensors("C")
    counters = [name for name in content if name.endswith("num_batches_tracked")]
    path = saved({name: content[name] for name in content if name not in counters}, tmp_path / "coco_C.pth")
    folder = salzoo.import_weights("fastsal", path, output=tmp_path / "out")
    np.testing.assert_allclose(logits(folder), GOLDEN["logits"]["C"], rtol=1e-4, atol=1e-4)
    del content[counters[-1]]
    faults.refuses("fastsal", [saved(content, path)], "num_batches_tracked", tmp_path / "other")


def test_another_order_of_the_mixers_is_another_network(tmp_path: Path) -> None:
    """The comparison can fail: two normalisations of a mixer exchanged, which fit each other."""
    content = tensors("A")
    a, b = (f"adp2.inv_block.conv.{layer}.1.bias" for layer in (0, 1))
    content[a], content[b] = content[b], content[a]
    folder = salzoo.import_weights("fastsal", saved(content, tmp_path / "salicon_A.pth"), output=tmp_path / "out")
    assert np.abs(np.subtract(logits(folder), GOLDEN["logits"]["A"])).max() > 0.01


@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    faults.check(
        kind,
        "fastsal",
        tensors("C"),
        lambda content, folder: [saved(content, folder / "salicon_C.pth")],
        tmp_path,
        victim="adaptation_layer.layers.2.0.weight",
        match="lacks what becomes adapters.2.0.weight" if kind == "missing" else None,
    )


def test_refuses_the_other_model(tmp_path: Path) -> None:
    path = saved(tensors("A"), tmp_path / "salicon_A.pth")
    faults.refuses("fastsal", [path], r"shape|no place", tmp_path / "out", release="salicon_C")


def test_refuses_a_student_that_cannot_predict_yet(tmp_path: Path) -> None:
    content = {name: array for name, array in tensors("C").items() if not name.startswith("comb")}
    path = saved(content, tmp_path / "salicon_salgan_pretrain.pth")
    faults.refuses("fastsal", [path], "no read-out", tmp_path / "out")


def test_refuses_the_teacher(tmp_path: Path) -> None:
    path = tmp_path / "gen_42.pt"
    torch.save({"state_dict": {"0.weight": torch.ones(64, 3, 3, 3), "60.weight": torch.ones(1, 64, 1, 1)}}, path)
    faults.refuses("fastsal", [path], "is the teacher of FastSal", tmp_path / "out")


def test_asks_what_a_renamed_file_learned_from(tmp_path: Path) -> None:
    path = saved(tensors("A"), tmp_path / "weights.pth")
    faults.refuses("fastsal", [path], "give --release salicon_A or --release coco_A", tmp_path / "out")
    salzoo.import_weights("fastsal", path, output=tmp_path / "out", release="coco_A")
    assert read_config(tmp_path / "out").network["readout"] == "softmax"
