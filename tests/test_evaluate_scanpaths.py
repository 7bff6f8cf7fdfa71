"""`evaluate --scanpaths` on a miniature of OSIE: every number against one that is worked out another way."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import scripts

import salzoo
from salzoo.checkpoint.publishing import check
from salzoo.cli import main
from salzoo.components.scanpath_model import ScanpathModel
from salzoo.data import FixationDataset, load_dataset
from salzoo.errors import PublishError, SpecError
from salzoo.evaluation.scanpaths import ScanpathTable, evaluate_scanpaths, load_models
from salzoo.evaluation.scanpaths.table import apart
from salzoo.evaluation.statistics import interval, of_ratio
from salzoo.metrics.scanpaths import dtw, multimatch, saccade_statistics

PPD = 6.0


@pytest.fixture(scope="module")
def osie(tiny_data: Path) -> FixationDataset:
    return load_dataset("osie", tiny_data, "train")


@pytest.fixture(scope="module")
def model() -> ScanpathModel:
    found = salzoo.load("wta")
    assert isinstance(found, ScanpathModel)
    found.start_from(salzoo.load("centre_bias"))
    return found


@pytest.fixture(scope="module")
def table(osie: FixationDataset, model: ScanpathModel) -> ScanpathTable:
    rows = {"wta": model, "uniform": salzoo.load("uniform")}
    return evaluate_scanpaths(rows, osie, pixels_per_degree=PPD, progress=False)


def test_rows_are_models_then_people_then_static_densities(table: ScanpathTable) -> None:
    controls = ["human", "human_other_image", "human_shuffled"]
    assert list(table.scores) == ["wta", "uniform", *controls, "static:deepgaze2.lite"]
    assert not {"ll", "order"} & set(table.rows["human"])
    assert table.rows["uniform"]["ll"] == pytest.approx(0, abs=1e-6)
    assert table.rows["uniform"]["auc"] == 0.5


def by_hand(osie: FixationDataset, model: ScanpathModel) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Bits of all fixations that are scored, and whether each is a degree away, image by image."""
    bits, far = [], []
    for i in range(len(osie)):
        height, width = osie.size(i)
        stimulus = model.prepare(osie.image(i))
        found = [model.step_log_likelihoods(stimulus, path) for path in osie.scanpaths(i)]
        each = np.concatenate(found) / math.log(2) + math.log2(height * width)
        steps = np.concatenate([np.hypot(np.diff(path.x), np.diff(path.y)) for path in osie.scanpaths(i)])
        bits.append(each[np.isfinite(each)])
        far.append((steps >= PPD)[np.isfinite(each)])
    return bits, far


def test_the_likelihood_is_the_mean_over_fixations(
    table: ScanpathTable, osie: FixationDataset, model: ScanpathModel
) -> None:
    bits, far = by_hand(osie, model)
    made = sum(len(path) - 1 for i in range(len(osie)) for path in osie.scanpaths(i))
    assert sum(table.fixations) == sum(map(len, bits)) == made - 1  # one is outside of the image
    row = table.rows["wta"]
    assert row["ll"] == pytest.approx(np.concatenate(bits).mean())
    assert row["ll"] != pytest.approx(np.mean([each.mean() for each in bits]), abs=1e-4)  # images differ in number
    assert row["ll_far"] == pytest.approx(np.concatenate(bits)[np.concatenate(far)].mean())
    assert 0 < sum(table.far) < sum(table.fixations)
    assert row["order"] == pytest.approx(row["ll"] - table.rows["static:deepgaze2.lite"]["ll"])
    low, high = table.intervals()["wta"]["ll"]
    assert low < row["ll"] < high


def test_people_are_compared_with_all_others(table: ScanpathTable, osie: FixationDataset) -> None:
    dtws, directions = [], []
    for i in range(len(osie)):
        paths = [path.points for path in osie.scanpaths(i)]
        pairs = list(permutations(paths, 2))
        dtws.append(np.mean([dtw(a, b)[0] for a, b in pairs]))
        directions.append(np.mean([multimatch(a, b, osie.size(i)).direction[0] for a, b in pairs]))
    assert table.rows["human"]["dtw"] == pytest.approx(np.mean(dtws))
    assert table.rows["human"]["mm_direction"] == pytest.approx(np.mean(directions))
    assert table.rows["human_other_image"]["dtw"] > table.rows["human"]["dtw"]
    everybody = [path for i in range(len(osie)) for path in osie.scanpaths(i)]
    assert table.saccades["human"] == saccade_statistics(everybody, pixels_per_degree=PPD)
    assert table.saccades["human_shuffled"] != table.saccades["human"]
    assert table.saccades["wta"]["saccades"] == table.saccades["human"]["saccades"]  # paths as long as people's


def test_how_far_saccades_are_from_peoples(table: ScanpathTable) -> None:
    found, people = table.saccades["wta"], table.saccades["human"]
    far = apart(table.saccades)
    assert far["human"] == {"amplitude": 0, "direction": 0}
    ratios = [found[f"amplitude_q{q}"] / people[f"amplitude_q{q}"] for q in (25, 50, 75)]
    assert far["wta"]["amplitude"] == pytest.approx(max(abs(ratio - 1) for ratio in ratios))
    directions = [abs(found[name] - people[name]) for name in ("E", "NE", "N", "NW", "W", "SW", "S", "SE")]
    assert far["wta"]["direction"] == pytest.approx(max(directions))
    assert table.to_json()["apart"]["wta"] == far["wta"]
    assert f"| {far['wta']['amplitude']:.0%} | {far['wta']['direction']:.3f} |" in table.to_markdown()
    assert apart({"wta": found}) == {}


def test_a_part_of_a_split_has_no_numbers_for_a_card(table: ScanpathTable) -> None:
    assert table.measured("wta", "commit").images == len(table.images)
    with pytest.raises(SpecError, match=r"scores of \d+ of 90 images are a quick look, and no numbers of a checkpoint"):
        replace(table, part_of=90).measured("wta", "commit")


def test_the_seed_says_what_is_drawn(osie: FixationDataset) -> None:
    one, again, other = (
        evaluate_scanpaths({"uniform": salzoo.load("uniform")}, osie, seed=seed, progress=False) for seed in (3, 3, 4)
    )
    assert one.to_csv() == again.to_csv()
    assert one.rows["uniform"]["dtw"] != other.rows["uniform"]["dtw"]
    assert one.rows["uniform"]["ll"] == other.rows["uniform"]["ll"]
    assert "ll_far" not in one.rows["uniform"]  # nobody said how many pixels a degree has


def test_without_drawing_the_likelihoods_are_the_same(
    table: ScanpathTable, osie: FixationDataset, model: ScanpathModel
) -> None:
    found = evaluate_scanpaths({"wta": model}, osie, pixels_per_degree=PPD, draw=False, progress=False)
    assert found.rows["wta"] == {name: table.rows["wta"][name] for name in ("ll", "order", "ll_far", "nss", "auc")}
    assert (list(found.scores), found.saccades) == (["wta", "static:deepgaze2.lite"], {})
    assert "Drawn paths" not in found.to_markdown()


def test_a_mean_over_fixations_as_values_of_images() -> None:
    values, counts = np.array([1.0, 3.0, np.nan, 2.0]), np.array([10, 30, 5, 0])
    found = of_ratio(values, counts)
    assert np.nanmean(found) == pytest.approx((1 * 10 + 3 * 30) / 40)
    np.testing.assert_array_equal(np.isnan(found), [False, False, True, True])
    np.testing.assert_allclose(of_ratio(values[:2], [4, 4]), values[:2])
    assert interval(of_ratio([2.0, 2.0, 2.0], [1, 50, 3])) == pytest.approx((2, 2))  # numbers alone are no uncertainty


def test_a_density_of_several_is_loaded_once(osie: FixationDataset) -> None:
    models, _ = load_models({"a": "wta", "b": "wta", "c": "uniform"}, osie, "cpu")
    assert models["a"].density_model is models["b"].density_model  # type: ignore[attr-defined]
    expected = salzoo.load("deepgaze2").log_densities([osie.image(0)])[0]
    for _ in range(2):
        np.testing.assert_array_equal(models["a"].log_densities([osie.image(0)])[0], expected)
    assert (models["b"].log_densities([osie.image(1)])[0].shape) == osie.size(1)


def test_command(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "chance=uniform", "--scanpaths", "--data", "osie", "--root", str(tiny_data), "--images", "2"]
    files = ["--json", str(tmp_path / "t.json"), "--csv", str(tmp_path / "t.csv")]
    assert main([*words, *files, "--split", "all", "--seed", "2", "--intervals"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("The likelihood ranks models") < shown.index("| chance | 0.000 ± 0.000 |") < shown.index("human")
    content = json.loads((tmp_path / "t.json").read_text())
    assert (content["seed"], content["images"], content["rows"]["chance"]["auc"]) == (2, 2, 0.5)
    assert "osie all, 2 of 17 images, " in shown
    assert content["part_of"] == 17
    assert content["intervals"]["human"]["dtw"][0] is not None
    assert main(["evaluate", str(tmp_path / "t.csv")]) == 1
    assert "t.csv has scores of scanpaths, which are not read back" in capsys.readouterr().err
    lines = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert len(lines) == 2 * 4
    assert lines[0]["row"] == "chance"
    assert int(lines[0]["fixations"]) > 0


def test_rows_go_into_config_and_card_and_then_it_can_be_published(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = salzoo.load("cle", weights=None, density="uniform", cells=12)
    folder = tmp_path / "cle.lite"
    model.save_pretrained(folder, license="apache-2.0")
    with pytest.raises(PublishError, match=r"no measured numbers: `salzoo evaluate .* --scanpaths --data SET"):
        check(folder)
    words = ["evaluate", f"mine={folder}", "--scanpaths", "--data", "osie", "--root", str(tiny_data)]
    assert main([*words, "--split", "test", "--record", "--json", str(tmp_path / "t.json")]) == 0
    scores = json.loads((tmp_path / "t.json").read_text())["rows"]["mine"]
    (row,) = check(folder).measured
    assert (row.dataset, row.split, row.convention) == ("osie", "test", "scanpath")
    assert row.scores == {name: round(scores[name], 5) for name in ("ll", "order", "nss", "auc")}
    card = (folder / "README.md").read_text()
    assert f"| osie | test | {row.images} | {scores['ll']:.3f} | {scores['order']:.3f} |" in card
    assert "## Measured: the next fixation" in card
    assert "Convention" not in card
    assert main([*words, "--images", "1", "--record"]) == 2
    assert "--record is for all images" in capsys.readouterr().err


def test_a_benchmark_keeps_the_commit_that_it_began_with(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = scripts.load("benchmarks/scanpaths.py")
    monkeypatch.setattr(script, "FILE", tmp_path / "scanpaths.json")
    for name in ("eyecrowd", "scene500"):
        script.measure(["wta.base"], name, str(tiny_data), "test", "began")
    content = json.loads((tmp_path / "scanpaths.json").read_text())
    assert {at for found in content.values() for at in found["commits"].values()} == {"began"}
    script.record("scanpath_speed", "a part", {"slowest": 1.0}, keep=False, at="began")
    assert '"commit": "began"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "more", "told"),
    [
        (["uniform"], ["--folds", "2"], "--folds is for maps"),
        (["uniform"], ["--compare", "uniform", "wta"], "--compare is for maps"),
        (["uniform"], ["--baselines", ""], "--baselines is for maps"),
        (["uniform"], ["--metric-specific"], "leave it out; --split, --images, --seed, --device, --pixels-per-degree,"),
        (["human=uniform"], [], "no row can be called 'human'"),
        (["static:a=uniform"], [], "no row can be called 'static:a', as one of the controls is: write NEW=SOURCE"),
        (["uniform"], ["--pixels-per-degree", "-1"], "pixels_per_degree=-1.0 is not accepted: from 0.001"),
        (["uniform"], ["--pixels-per-degree", "0"], "pixels_per_degree=0.0 is not accepted: from 0.001"),
        (["uniform"], ["--seed", "-1"], "seed=-1 is not accepted: from 0"),
    ],
)
def test_what_does_not_go_with_scanpaths_is_told_before_data_and_models_are_read(
    words: list[str], more: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", *words, "missing=no/such/folder", "--scanpaths", "--data", "osie", "--root", str(tmp_path)]
    assert main([*words, *more]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
