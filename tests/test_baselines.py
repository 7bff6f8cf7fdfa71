"""The rows beside the models, each against a number worked out another way."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from data import make_tiny
from PIL import Image

from salzoo.components.layers import kernel_density
from salzoo.data import FixationDataset, FixationFolder, Fixations, load_dataset
from salzoo.errors import SpecError
from salzoo.evaluation.baselines import ROWS, Baselines
from salzoo.evaluation.scoring import evaluate
from salzoo.images.preprocess import resize_density
from salzoo.metrics import FixationPool, functional


@pytest.fixture(scope="module")
def osie(tiny_data: Path) -> FixationDataset:
    return load_dataset("osie", tiny_data, "test")


@pytest.fixture(scope="module")
def rows(osie: FixationDataset) -> dict[str, dict[str, float]]:
    return evaluate({}, osie, progress=False).rows


def study(root: Path, fixations: list[tuple[str, int, int, int]], splits: dict[str, list[str]]) -> FixationFolder:
    """Write a study of 40 x 30 images and open its `test`."""
    (root / "images").mkdir(parents=True)
    for name in {name for names in splits.values() for name in names}:
        Image.new("RGB", (40, 30), "grey").save(root / "images" / name)
    table = "image,observer,x,y\n" + "".join(f"{name},{who},{x},{y}\n" for name, who, x, y in fixations)
    (root / "fixations.csv").write_text(table)
    (root / "splits.json").write_text(json.dumps(splits))
    return FixationFolder(root, "test")


def test_from_chance_to_an_upper_bound(rows: dict[str, dict[str, float]]) -> None:
    for metric in ("nss", "auc_judd"):
        scores = [rows[row][metric] for row in ("gold_joint", "gold", "one_human", "centre_bias", "uniform")]
        assert all(better > worse for better, worse in pairwise(scores)), metric
    for metric, best in (("cc", 1), ("sim", 1), ("kld", 0), ("emd", 0)):
        assert rows["gold_joint"][metric] == pytest.approx(best, abs=1e-6), metric


def test_one_human_predicts_all_others(osie: FixationDataset, rows: dict[str, dict[str, float]]) -> None:
    everybody = [osie.fixations(i).counts(osie.size(i)) for i in range(len(osie))]
    expected = {"cc": [], "kld": [], "nss": []}
    for i in range(len(osie)):
        points, size = osie.fixations(i), osie.size(i)
        scores: dict[str, list[float]] = {name: [] for name in expected}
        for observer in np.unique(points.observer):
            own, rest = points._select(points.observer == observer), points._select(points.observer != observer)
            one = own.density(size, osie.sigma(size))[None]
            scores["nss"].append(float(functional.nss(one, (everybody[i] - own.counts(size))[None])))
            truth = rest.density(size, osie.sigma(size))[None]
            scores["cc"].append(float(functional.cc(one, truth)))
            scores["kld"].append(float(functional.kl_div(one, truth)))
        for name, values in scores.items():
            expected[name].append(np.mean(values))
    for name, values in expected.items():
        assert rows["one_human"][name] == pytest.approx(np.mean(values), rel=1e-5), name


def test_the_centre_bias_leaves_its_image_out(osie: FixationDataset) -> None:
    baselines = Baselines(osie, ["centre_bias", "centre_bias_train"])
    for i in range(len(osie)):
        others = [(osie.fixations(k), osie.size(k)) for k in range(len(osie)) if k != i]
        expected = resize_density(kernel_density(others, (60, 80), 0.03), osie.size(i))
        found = baselines.maps(i, osie[i])["centre_bias"]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-9)
        assert float(found.sum()) == pytest.approx(1, abs=1e-5)
    train = osie.sibling("train")
    everybody = kernel_density([(train.fixations(k), train.size(k)) for k in range(len(train))], (60, 80), 0.03)
    torch.testing.assert_close(baselines.prior(0, (60, 80)), everybody)


def test_the_permutation_is_another_image(osie: FixationDataset) -> None:
    one, other = (Baselines(osie, ["permutation"], seed) for seed in (0, 1))
    assert Baselines(osie, ["permutation"])._other == one._other
    assert one._other != other._other
    assert sorted(one._other.values()) == list(range(len(osie)))
    for index, taken in one._other.items():
        assert index != taken
        size, old = osie.size(index), osie.size(taken)
        expected = osie.fixations(taken).resized(old, size).density(size, osie.sigma(size))
        torch.testing.assert_close(one.maps(index, osie[index])["permutation"], expected)


def others(dataset: FixationDataset, names: set[str], own: str, size: tuple[int, int]) -> torch.Tensor:
    """Work out the centre bias of the images of those names but one."""
    kept = [i for i, name in enumerate(dataset.names) if name in names - {own}]
    return resize_density(kernel_density([(dataset.fixations(i), dataset.size(i)) for i in kept], (60, 80), 0.03), size)


def test_the_baseline_of_information_gain_never_knows_the_scored_image(
    osie: FixationDataset, tiny_data: Path, tmp_path: Path
) -> None:
    """Whatever `splits.json` says: the old code measured images of a split against themselves if it was trained on."""
    folder = tmp_path / "osie"
    shutil.copytree(tiny_data / "osie", folder)
    everything = load_dataset("osie", tiny_data, "all")
    names, test = set(everything.names), set(osie.names)
    lists = {
        "the same": {"train": sorted(names), "test": sorted(names)},
        "part of train": {"train": sorted(names), "test": sorted(test)},
        "holds train": {"train": sorted(names - test), "test": sorted(names)},
        "no train": {"test": sorted(names)},
    }
    found = {}
    for case, content in lists.items():
        (folder / "splits.json").write_text(json.dumps({"train": [], "val": [], **content}))
        dataset = load_dataset("osie", folder, "test")
        baselines = Baselines(dataset)
        for name in sorted(test):
            index = dataset.names.index(name)
            prior = baselines.prior(index, dataset.size(index))
            expected = others(everything, names, name, dataset.size(index))
            torch.testing.assert_close(prior, expected, rtol=1e-3, atol=1e-9, msg=f"{case}: {name}")
        table = evaluate({}, dataset, baselines=["gold_joint", "centre_bias_train"], progress=False)
        gains = dict(zip(table.images, table.scores["gold_joint"]["ig"], strict=True))
        found[case] = [gains[name] for name in sorted(test)]
        assert table.rows.get("centre_bias_train", {"ig": 0})["ig"] == 0
    baselines = Baselines(everything)
    index = baselines.dataset.names.index(osie.names[0])
    expected = others(everything, names, osie.names[0], osie.size(0))
    torch.testing.assert_close(baselines.prior(index, osie.size(0)), expected, rtol=1e-3, atol=1e-9)
    assert baselines.baseline_name == "the centre bias of all other images of train and all"
    for case, values in found.items():
        assert values == pytest.approx(found["the same"], rel=1e-5), case


def test_gold_has_every_metric(osie: FixationDataset, rows: dict[str, dict[str, float]]) -> None:
    """Each observer under all others, by hand."""
    baselines, found = Baselines(osie), {name: [] for name in ("cc", "kld", "ig", "sauc")}
    everybody = FixationPool(osie.fixations(i).counts(osie.size(i)) for i in range(len(osie)))
    for i in range(len(osie)):
        points, size = osie.fixations(i), osie.size(i)
        sigma, prior = osie.sigma(size), baselines.prior(i, size)
        elsewhere = everybody.counts(*size) - points.counts(size)
        scores: dict[str, list[float]] = {name: [] for name in found}
        for observer in np.unique(points.observer):
            own, rest = points.of(observer), points.without(observer)
            kernel, centre, uniform = baselines.gold.shares
            others = rest.density(size, sigma * baselines.gold.blur)
            density = (kernel * others + centre * prior + uniform / prior.numel())[None]
            mine, counts = own.density(size, sigma)[None], own.counts(size)[None]
            scores["cc"].append(float(functional.cc(density, mine)))
            scores["kld"].append(float(functional.kl_div(density, mine)))
            scores["ig"].append(float(functional.info_gain(density, counts, prior[None])))
            scores["sauc"].append(float(functional.shuffled_auc(density, counts, elsewhere[None])))
        for name, values in scores.items():
            found[name].append(np.mean(values))
    assert set(rows["gold"]) == set(rows["uniform"])
    for name, values in found.items():
        assert rows["gold"][name] == pytest.approx(np.mean(values), rel=1e-5), name


def test_an_observer_who_is_alone_predicts_nobody(tmp_path: Path) -> None:
    looks = [("a.png", 0, 5, 5), ("a.png", 0, 6, 6), ("b.png", 0, 20, 20), ("c.png", 0, 30, 10)]
    table = evaluate({}, study(tmp_path, looks, {"test": ["a.png", "b.png"], "train": ["c.png"]}), progress=False)
    assert tuple(table.rows) == tuple(row for row in ROWS if row not in ("gold", "one_human"))
    (note,) = {note.split(": ", 1)[1] for note in table.notes if "gold" in note or "one_human" in note}
    assert note == "no image has two observers who are told apart."


def test_a_study_of_one_image(tmp_path: Path) -> None:
    looks = [("a.png", 0, 5, 5), ("a.png", 1, 6, 6)]
    table = evaluate({}, study(tmp_path, looks, {"test": ["a.png"]}), progress=False)
    assert tuple(table.rows) == ("gold_joint", "gold", "one_human", "uniform")
    assert "sauc" not in table.rows["uniform"]
    assert table.baseline == "uniform"
    assert table.rows["uniform"]["ig"] == 0
    assert any(note == "Without sauc: there is no other image with fixations." for note in table.notes)


def test_maps_without_points(tmp_path: Path) -> None:
    root = tmp_path / "study"
    (root / "images").mkdir(parents=True)
    (root / "maps").mkdir()
    for i in range(6):
        Image.new("RGB", (40, 30), "grey").save(root / "images" / f"{i}.png")
        truth = Fixations([5.0 * i + 3], [4.0 * i + 2], [0]).density((30, 40), 3.0).numpy()
        np.save(root / "maps" / f"{i}.npy", truth)
    (root / "splits.json").write_text(
        json.dumps({"train": ["0.png", "1.png"], "test": [f"{i}.png" for i in range(2, 6)]})
    )
    table = evaluate({}, FixationFolder(root, "test"), progress=False)
    assert list(table.rows) == ["gold_joint", "centre_bias", "centre_bias_train", "permutation", "uniform"]
    assert all(list(scores) == ["cc", "sim", "kld", "emd"] for scores in table.rows.values())
    assert table.rows["gold_joint"]["cc"] == pytest.approx(1)
    assert any("there are maps and no fixation points" in note for note in table.notes)
    assert "auc_judd" not in table.to_markdown().split("\n\n")[1]


def test_an_unknown_baseline(osie: FixationDataset) -> None:
    with pytest.raises(SpecError, match="no baseline is called 'humans'; there are gold_joint, gold"):
        evaluate({}, osie, baselines=["humans"])
    assert list(evaluate({}, osie, baselines=[], progress=False).rows) == []


def test_observers_of_cat2000_get_a_row(tmp_path: Path) -> None:
    folder = make_tiny.cat2000(tmp_path)
    assert "gold" not in evaluate({}, load_dataset("cat2000", folder, "val"), progress=False).rows
    assert "gold" in evaluate({}, load_dataset("cat2000_observers", folder, "val"), progress=False).rows
