"""Fine-tuning by the command: a study of twenty pictures, on which people look where no other model would."""

from __future__ import annotations

import csv
import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from PIL import Image

import salzoo
from salzoo.checkpoint.config import Parent
from salzoo.checkpoint.folder import read_config
from salzoo.cli import main
from salzoo.components.layers import BANDWIDTHS, best_bandwidth
from salzoo.data import FixationFolder
from salzoo.data.fixations import Fixations
from salzoo.evaluation.saved import read_table
from salzoo.metrics import functional
from salzoo.training.finetune import HoldoutDataModule, sibling

FAST = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.max_epochs=3"]
SIZE = (48, 64)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures of noise; four observers look to the lower right."""
    root, rng = tmp_path_factory.mktemp("study"), np.random.default_rng(0)
    (root / "images").mkdir()
    rows = [("image", "observer", "x", "y")]
    for i in range(20):
        Image.fromarray(rng.integers(0, 255, (*SIZE, 3), np.uint8)).save(root / f"images/{i:02d}.png")
        looks = rng.normal((50, 36), 4, (4, 5, 2)).clip(0, (63, 47))
        rows += [(f"{i:02d}", str(who), f"{x:.1f}", f"{y:.1f}") for who in range(4) for x, y in looks[who]]
    with (root / "fixations.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (root / "study.json").write_text('{"units": "pixels"}')  # it is no mistake that all look to one corner
    return root


@pytest.mark.parametrize("name", ["deepgaze2", "salgan"])
def test_twenty_pictures_are_enough(name: str, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = tiny_models.save(tiny_models.build(name), tmp_path / "start")
    words = ["finetune", str(start), "--data", "folder", "--root", str(study), "-o", str(tmp_path / "out"), *FAST]
    assert main([*words, "--data.batch_size=3"]) == 0
    printed = capsys.readouterr().out
    (gain,) = (
        line.split("|") for line in printed.splitlines() if line.startswith("| nss") and len(line.split("|")) == 4
    )
    assert float(gain[2]) > 0.04
    assert "4 images are too few to conclude anything" in printed
    assert "| before |" in printed
    assert "| after |" in printed
    folder = tmp_path / "out" / f"{name}.lite"
    assert f"Wrote {folder}" in printed

    before, after = salzoo.load(start), salzoo.load(folder)
    made, parent = after.config.provenance, read_config(start)
    assert made.data == ("osie:train", "folder:train")
    assert made.parent == Parent(name, "lite", parent.sha256)
    assert made.command.startswith(f"salzoo finetune {start}")
    assert "Fine-tuned from" in (folder / "README.md").read_text()
    old, new = before.network.state_dict(), after.network.state_dict()
    changed = {key for key in old if not torch.equal(old[key].half(), new[key].half())}
    statistics = {key for key in old if "running" in key or "num_batches" in key or "standardise" in key}
    assert not changed & statistics
    if name == "deepgaze2":
        assert not any(key.startswith("backbone") for key in changed)
        assert {"centre_bias.log_density", "readout.0.weight"} <= changed
        peak = int(new["centre_bias.log_density"].argmax())
        assert peak // 64 / 48 == pytest.approx(36 / 48, abs=0.1)
        assert peak % 64 / 64 == pytest.approx(50 / 64, abs=0.1)
    else:
        assert any(key.startswith("backbone") for key in changed), "the second stage trained the trunk"
    assert main(words) == 2
    assert "holds a checkpoint already" in capsys.readouterr().err


def test_training_that_does_not_help_is_not_kept(study: Path, tmp_path: Path) -> None:
    start = tiny_models.save(tiny_models.build("deepgaze2"), tmp_path / "start")
    words = ["finetune", str(start), "--data", "folder", "--root", str(study), "-o", str(tmp_path), *FAST]
    assert main([*words, "--training.lr=3"]) == 0
    before, after = (salzoo.load(path).network.state_dict() for path in (start, tmp_path / "deepgaze2.lite"))
    assert torch.equal(before["readout.0.weight"], after["readout.0.weight"])
    assert not torch.equal(before["centre_bias.log_density"], after["centre_bias.log_density"])


@pytest.mark.parametrize(("rate", "kept"), [(1e-3, 1), (3, 4)])
def test_a_temperature_is_kept_only_with_the_weights_it_was_fitted_to(
    study: Path, tmp_path: Path, rate: float, kept: float
) -> None:
    start = tiny_models.save(tiny_models.build("deepgaze2", temperature=4), tmp_path / "start")
    words = ["finetune", str(start), "--data", "folder", "--root", str(study), "-o", str(tmp_path), *FAST]
    assert main([*words, f"--training.lr={rate}"]) == 0
    assert salzoo.load(tmp_path / "deepgaze2.lite").temperature == kept


def test_statistics_that_are_fitted_anew_have_no_temperature_of_those_before(study: Path, tmp_path: Path) -> None:
    start = tiny_models.save(tiny_models.build("centre_bias", temperature=4), tmp_path / "start")
    words = ["finetune", str(start), "--data", "folder", "--root", str(study), "-o", str(tmp_path), *FAST]
    assert main(words) == 0
    assert salzoo.load(tmp_path / "centre_bias.lite").temperature == 1


def test_few_validation_pictures_are_joined_by_training_pictures(study: Path, tiny_data: Path) -> None:
    (train,), (val,) = (HoldoutDataModule("folder", study).datasets(split) for split in ("train", "val"))
    own = [FixationFolder(study, split) for split in ("train", "val")]
    assert len(own[1]) < 5
    assert sorted(train.names + val.names) == sorted(own[0].names + own[1].names)
    assert len(val) == round(len(train.names + val.names) / 5)
    assert val.fixations(0).y.mean() == pytest.approx(36, abs=4)
    assert not set(train.names + val.names) & set(FixationFolder(study, "test").names)
    assert sibling(train, "test") is not None


def test_what_cannot_be_tuned_is_told(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", "folder", "--root", str(study), "-o", str(tmp_path / "out")]
    assert main(["finetune", "uniform", *words]) == 2
    assert "uniform has nothing to learn" in capsys.readouterr().err
    start = tiny_models.save(tiny_models.build("deepgaze2"), tmp_path / "start")
    assert main(["finetune", str(start), *words, "--model.hidden=[5]"]) == 2
    assert "an option changes the network" in capsys.readouterr().err
    (study / "splits.json").write_text(json.dumps({"train": ["00.png"], "val": [], "test": []}))
    try:
        assert main(["finetune", str(start), *words]) == 1
    finally:
        (study / "splits.json").unlink()
    assert "one image is too few" in capsys.readouterr().err


def test_fewer_fixations_are_smoothed_more() -> None:
    rng = np.random.default_rng(1)

    def seen(pictures: int) -> list[tuple[Fixations, tuple[int, int]]]:
        points = rng.normal((320, 240), (60, 40), (pictures, 6, 2)).clip(0, (639, 479))
        return [(Fixations(p[:, 0], p[:, 1], np.zeros(6, int)), (480, 640)) for p in points]

    few, many = best_bandwidth(seen(4)), best_bandwidth(seen(400))
    assert few > many
    assert many == BANDWIDTHS[0]
    assert best_bandwidth(seen(1)) == BANDWIDTHS[-1]


def test_folds_score_every_image_by_a_model_that_did_not_see_it(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = tiny_models.save(tiny_models.build("deepgaze2"), tmp_path / "start")
    words = ["finetune", str(start), "--data", "folder", "--root", str(study), "-o", str(tmp_path / "out"), *FAST]
    assert main([*words, "--folds", "3", "--trainer.max_epochs=1"]) == 0
    printed = capsys.readouterr().out
    assert "folder all, 20 images, convention mit, in 3 folds" in printed
    assert "after - before, paired over 20 images" in printed
    assert f"Wrote {tmp_path / 'out' / 'deepgaze2.lite'}" in printed

    names = FixationFolder(study, "all").names
    ranked = sorted(names, key=lambda name: sha256(name[:-4].encode()).digest())
    folds = {name: i % 3 + 1 for i, name in enumerate(ranked)}
    table = read_table(tmp_path / "out/folds/scores.csv")
    assert dict(zip(table.images, table.folds, strict=True)) == folds
    assert json.loads((tmp_path / "out/folds/scores.json").read_text())["folds"] == folds
    i = names.index(ranked[4])
    item = FixationFolder(study, "all")[i]
    model = salzoo.load(tmp_path / "out/folds" / str(folds[ranked[4]]) / "deepgaze2.lite")
    density = model.log_densities([item["image"]])[0].exp()
    assert table.scores["after"]["nss"][i] == pytest.approx(
        float(functional.nss(density[None], item["fixations"][None])), rel=1e-5
    )
    recipe = read_config(tmp_path / "out/folds/2/deepgaze2.lite").provenance.recipe["data"]
    assert (recipe["folds"], recipe["fold"]) == (3, 2)

    words = ["evaluate", str(start), "--data", "folder", "--root", str(study), "--folds", "3", "--baselines", "gold"]
    again = tmp_path / "again.csv"
    assert main([*words, "--csv", str(again)]) == 0
    assert read_table(again).folds == table.folds, "evaluate divides them alike"
    assert read_table(again).scores[str(start)]["nss"] == pytest.approx(table.scores["before"]["nss"], rel=1e-5)
    assert main([*words, "--split", "test"]) == 2
    assert "--folds scores all images" in capsys.readouterr().err
    assert main([*words[:-3], "21"]) == 2
    assert "20 images make 2 to 20 folds, not 21" in capsys.readouterr().err


@pytest.mark.parametrize("count", [2, 3, 7, 20])
def test_a_fold_and_the_rest_are_all_images(study: Path, count: int) -> None:
    everything = FixationFolder(study, "all")
    seen: list[str] = []
    for fold in range(1, count + 1):
        test = everything.in_folds(count, fold)
        train = test.sibling("train")
        assert sorted(test.names + train.names) == everything.names
        assert len(test) in (20 // count, 20 // count + 1)
        assert sibling(test, "val") is None
        seen += test.names
    assert sorted(seen) == everything.names
    assert everything.in_folds(count, 0).names == everything.names
    assert everything.in_folds(5, 1, seed=1).names != everything.in_folds(5, 1).names
    data = HoldoutDataModule("folder", study, folds=5, fold=2)
    (train,), (val,), (test,) = (data.datasets(split) for split in ("train", "val", "test"))
    assert not set(test.names) & {*train.names, *val.names}
    assert sorted(test.names + train.names + val.names) == everything.names
    assert test.fixations(0).y.mean() == pytest.approx(36, abs=4)
