"""The examples run as they stand, on miniatures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import scripts
import torch
from loopback_hub import LoopbackHub

import salzoo
from salzoo.checkpoint.folder import read_config
from salzoo.data import FixationFolder
from salzoo.evaluation.scoring import evaluate, predictor
from salzoo.images.samples import pop_out

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def finetune(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the example with fewer and smaller displays, of which each split has some."""
    module = scripts.load("examples/finetune_own_data.py")
    monkeypatch.setattr(module, "DISPLAYS", 24)

    def small(kind: str, seed: int) -> object:
        picture, (x, y) = pop_out(kind, seed)  # type: ignore[arg-type]
        return picture.resize((160, 120)), (x // 4, y // 4)

    monkeypatch.setattr(module, "pop_out", small)
    return module


def test_finetune_own_data(
    finetune: ModuleType, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    options = ["--trainer.max_epochs=2", "--training.lr=0.01", "--trainer.accelerator=cpu"]
    (table,) = finetune.main(["-o", str(output), "--model", str(tiny_checkpoint), *options]).tables
    assert list(table.scores)[:2] == ["before", "after"]
    assert table.rows["before"] != table.rows["after"]

    test = FixationFolder(output / "study", "test")
    folder = output / "deepgaze2.lite"
    start, tuned = salzoo.load(tiny_checkpoint), salzoo.load(folder)
    again = evaluate({"before": predictor(start), "after": predictor(tuned)}, test)
    for row, tolerance in (("before", 1e-6), ("after", 2e-3)):  # what is stored is rounded to half precision
        assert again.rows[row]["nss"] == pytest.approx(table.rows[row]["nss"], abs=tolerance)
    trunk = start.network.state_dict()
    assert all(
        torch.equal(tensor, trunk[name])
        for name, tensor in tuned.network.state_dict().items()
        if name.startswith(("backbone.", "standardise."))
    )
    assert not torch.equal(tuned.network.centre_bias.log_density, start.network.centre_bias.log_density)

    config = read_config(folder)
    assert config.provenance is not None
    assert config.provenance.data == ("osie:train", "folder:train")
    assert config.provenance.command.startswith("python examples/finetune_own_data.py -o")
    printed = capsys.readouterr().out
    assert "| after |" in printed
    assert f"Wrote {folder}" in printed


def test_the_demonstration_is_a_sound_study(finetune: ModuleType, tmp_path: Path) -> None:
    study = FixationFolder(finetune.demonstration(tmp_path), "all")
    assert json.loads((tmp_path / "study.json").read_text())["columns"]["x"] == "FIX_X"
    assert len(study) == 24
    assert all(len(FixationFolder(tmp_path, split)) for split in ("train", "val", "test"))  # type: ignore[arg-type]
    for i, name in enumerate(study.names):
        target = np.array(pop_out(name[: name.index("_")], int(name[-7:-4]))[1]) // 4  # type: ignore[arg-type]
        points = study.fixations(i)
        near = np.hypot(points.x - target[0], points.y - target[1]) < 24
        assert near.sum() >= 2 * finetune.OBSERVERS - 2, "two of five looks of everyone"


@pytest.mark.slow
def test_publish_your_own(tmp_path: Path) -> None:
    """As a user runs it, onto a Hub on this machine; whoever has the class and its YAML loads it from there."""
    with LoopbackHub() as server:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        own = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_writer"}
        environment = {**kept, **own, "HF_HUB_DISABLE_XET": "1"}
        command = [sys.executable, str(EXAMPLES / "publish_your_own.py"), "--repo", "ana/blobs"]
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        repo = server.repos["ana/blobs"]
        assert repo.branches["main"] in run.stdout
        load = f"""import sys; sys.path.insert(0, {str(EXAMPLES)!r})
import salzoo; salzoo.register("runs/blobs/blobs.yaml"); print(salzoo.load("hf://ana/blobs").config.tag)"""
        run = subprocess.run(
            [sys.executable, "-c", load], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert run.stdout.split() == ["mine"], run.stderr
    rows = json.loads(repo.commits[repo.branches["main"]].files["config.json"])["measured"]
    assert rows[0]["scores"]["nss"] > 3  # the centre bias of these displays has 2.2


def test_popout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = scripts.load("examples/popout.py")
    kept = tmp_path / "found.json"
    kept.write_text('{"bms": {"shares": {}}, "itti": {"shares": {}}}')
    words = ["itti", "signature", "uniform", "--displays", "3", "-o", str(tmp_path / "figure.png"), "--json", str(kept)]
    shares = module.main(words)
    assert {name: one["shares"] for name, one in json.loads(kept.read_text()).items()} == {"bms": {}, **shares}
    assert shares["itti"] == {"colour": 1, "orientation": 1, "size": 1}
    assert shares["signature"]["colour"] == 1
    assert shares["signature"]["orientation"] < 1  # the spectrum's signs do not tell orientations apart
    assert set(shares["uniform"].values()) == {0}  # a flat map points nowhere
    assert "| itti | 100% | 100% | 100% |" in capsys.readouterr().out
    assert (tmp_path / "figure.png").stat().st_size > 1000
