"""The loss study, whole, on miniature sets: trials, resuming, processes, report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from salzoo.cli import main
from salzoo.studies import loss_study
from salzoo.studies.loss_study import Result, Trial, mean_ranks

CHOSEN = ("mse", "kl - cc")


@pytest.fixture(scope="module")
def folder(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished study."""
    folder = tmp_path_factory.mktemp("study")
    words = ["study", "losses", "--data", "osie,eyecrowd", "--root", str(tiny_data), "-o", str(folder)]
    assert main([*words, "--losses", ",".join(CHOSEN), "--seeds", "2", "--epochs", "1"]) == 0
    return folder


@pytest.mark.slow
def test_every_loss_seed_and_set_is_run_once(folder: Path) -> None:
    results = json.loads((folder / "results.json").read_text())
    trials = [tuple(r["trial"][key] for key in ("model", "dataset", "loss", "seed")) for r in results]
    first = {("quest", data, loss, seed) for data in ("osie", "eyecrowd") for loss in CHOSEN for seed in (0, 1)}
    second = {("deepgaze2", "osie", loss, seed) for loss in CHOSEN for seed in (0, 1)}
    floor = {("centre_bias", data, None, 0) for data in ("osie", "eyecrowd")}
    assert sorted(trials, key=str) == sorted(first | second | floor, key=str)
    assert len(list((folder / "trials").iterdir())) == len(trials)
    for result in results:
        assert len(result["val"]) == len(result["test"]) == 9
        assert bool(result["curve"]) == (result["trial"]["loss"] is not None)


def test_the_report_says_what_was_measured(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert "## osie and eyecrowd together" in text
    assert text.count("by seed) on `test`, of 2.") == 9  # best single loss, combination and MSE: together and by set
    assert "## osie\n" in text
    assert "## eyecrowd\n" in text
    assert "second architecture: deepgaze2" in text
    assert "| kl - cc | +1 kl -1 cc |" in text
    for image in ("auc_osie.png", "auc_eyecrowd.png", "ranks.png"):
        assert (folder / image).stat().st_size > 5000
    results = json.loads((folder / "results.json").read_text())
    nss = [r["test"]["nss"] for r in results if r["trial"]["loss"] == "mse" and r["trial"]["model"] == "quest"][:3:2]
    assert f"{sum(nss) / 2:.3f} ± " in text


@pytest.mark.slow
def test_a_stopped_study_goes_on_in_processes_with_the_same_numbers(folder: Path, tiny_data: Path) -> None:
    trial = Trial("quest", "osie", "mse", 1, 1)
    other = Trial("quest", "osie", "kl - cc", 1, 1)
    before = {each: json.loads((folder / "trials" / each.file).read_text()) for each in (trial, other)}
    for each in before:
        (folder / "trials" / each.file).unlink()
    again = loss_study.Study(folder, ("osie", "eyecrowd"), tiny_data, losses=CHOSEN, seeds=2, epochs=1)
    again.run(workers=2)
    for each, old in before.items():
        new = json.loads((folder / "trials" / each.file).read_text())
        assert new["test"] == old["test"]
        assert new["curve"] == old["curve"]


def test_a_report_of_what_there_is_runs_nothing(folder: Path, tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "trials").mkdir()
    for trial in (Trial("centre_bias", "osie", None, 0, 0), Trial("quest", "osie", "mse", 0, 1)):
        (tmp_path / "trials" / trial.file).write_text((folder / "trials" / trial.file).read_text())
    words = ["study", "losses", "--data", "osie", "--root", str(tiny_data), "-o", str(tmp_path), "--report"]
    words += ["--epochs", "1"]
    assert main(words) == 0
    assert "2 trials" in (tmp_path / "README.md").read_text()
    assert len(list((tmp_path / "trials").iterdir())) == 2


def test_a_result_is_kept_under_all_that_it_depends_on() -> None:
    trial = Trial("quest", "osie", "kl", 0, 1)
    others = [
        Trial("quest", "osie", "kl", 1, 1),
        Trial("quest", "osie", "kl", 0, 2),
        Trial("quest", "osie", "mse", 0, 1),
        Trial("quest", "eyecrowd", "kl", 0, 1),
        Trial("deepgaze2", "osie", "kl", 0, 1),
    ]
    assert len({each.file for each in (trial, *others)}) == 6


def test_mean_ranks_by_hand() -> None:
    def result(loss: str, seed: int, nss: float, kld: float) -> Result:
        scores = {"nss": nss, "kld": kld}
        return Result(Trial("quest", "osie", loss, seed, 1), "0" * 40, 1.0, (), scores, scores)

    results = [
        result("kl", 0, 1.0, 0.5),
        result("kl", 1, 3.0, 0.5),
        result("mse", 0, 1.9, 0.6),
        result("cc", 0, 2.5, 0.7),
    ]
    assert mean_ranks(results, "test") == {"kl": 1.5, "mse": 2.5, "cc": 2.0}


def test_an_unknown_loss_is_told(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["study", "losses", "--data", "osie", "--root", str(tiny_data), "-o", str(tmp_path), "--losses", "kld"]
    assert main(words) == 2
    assert "the study has no loss 'kld'; it has 'mse'" in capsys.readouterr().err
