"""TASED-Net's and ViNet's PyTorch files; tests/models/test_clip_networks.py shows that the networks are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from importing import faults, formula

import salzoo
from salzoo.checkpoint.folder import read_config
from salzoo.importing.maps import tasednet, vinet
from salzoo.models.tasednet import TASEDNetwork
from salzoo.models.vinet import ViNetNetwork

S_GROUPS = (32, 16, 8, 4, 2)


def tensors(name: str, **options: object) -> faults.Tensors:
    """Return the authors' file by formula, names and shapes as in a listing of the released class's state."""
    make, mapping = {"tasednet": (TASEDNetwork, tasednet), "vinet": (ViNetNetwork, vinet)}[name]
    with torch.device("meta"):
        own = make(**options).state_dict()  # type: ignore[operator]
    found: faults.Tensors = {}
    for theirs, ours in mapping.names():  # type: ignore[attr-defined]
        shape = tuple(own[ours].shape)
        array = formula.values(theirs, shape)
        if own[ours].dtype == torch.int64:
            array = np.array(7)
        elif theirs.endswith(("running_var", "weight")) and len(shape) == 1:
            array = 1 + array
        found[theirs] = array
    return found


def writer(name: str, prefix: str = "") -> Callable[[faults.Tensors, Path], list[Path]]:
    def write(arrays: faults.Tensors, folder: Path) -> list[Path]:
        torch.save({prefix + key: torch.from_numpy(np.array(a)) for key, a in arrays.items()}, folder / name)
        return [folder / name]

    return write


@pytest.mark.parametrize(
    ("model", "release", "count", "options"),
    [
        ("tasednet", "dhf1k", 513, {}),
        pytest.param("vinet", "dhf1k", 470, {}, marks=pytest.mark.slow),
        pytest.param("vinet", "vinet_s", 470, {"groups": S_GROUPS}, marks=pytest.mark.slow),
    ],
)
def test_every_tensor_finds_its_place(
    model: str, release: str, count: int, options: dict[str, object], tmp_path: Path
) -> None:
    arrays = tensors(model, **options)
    assert len(arrays) == count
    (path,) = writer("weights.pt", "module." if model == "tasednet" else "")(arrays, tmp_path)
    folder = salzoo.import_weights(model, path, output=tmp_path / "out")
    made = read_config(folder).imported
    assert made is not None
    assert made.release == release
    state = salzoo.load(folder).network.state_dict()
    mapping = {"tasednet": tasednet, "vinet": vinet}[model]
    for theirs, ours in mapping.names():
        np.testing.assert_array_equal(state[ours].numpy(), arrays[theirs])


@pytest.mark.parametrize("model", ["tasednet", "vinet"])
@faults.every_kind
def test_refuses(kind: str, model: str, tmp_path: Path) -> None:
    victim = {"tasednet": "convtsp2.0.weight", "vinet": "decoder.convtsp4.3.weight"}[model]
    faults.check(kind, model, tensors(model), writer("weights.pt"), tmp_path, victim=victim)


def test_refuses_the_file_of_the_other(tmp_path: Path) -> None:
    faults.refuses("vinet", writer("a.pt")(tensors("tasednet"), tmp_path), "decoder.convtsp1", tmp_path / "out")
    faults.refuses("tasednet", writer("b.pt")(tensors("vinet"), tmp_path), "convtsp4.13.weight", tmp_path / "out")
