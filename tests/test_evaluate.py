"""`evaluate` on a miniature of OSIE: every number against one that is worked out another way."""

import csv
import json
import sys

import numpy as np
import pytest
import scipy.io
import torch
from data import make_tiny
from PIL import Image

import salzoo
from salzoo.cli import main
from salzoo.data import load_dataset
from salzoo.data.map_folder import MapFolder
from salzoo.errors import ImageError, SpecError
from salzoo.evaluation.baselines import ROWS
from salzoo.evaluation.scoring import evaluate, map_predictor, overlap, predictor
from salzoo.evaluation.table import Table
from salzoo.metrics import METRICS, functional


@pytest.fixture(scope="module")
def osie(tiny_data):
    return load_dataset("osie", tiny_data, "test")


@pytest.fixture(scope="module")
def truth_maps(osie, tmp_path_factory):
    """Maps that know the answer, with a floor."""
    folder = tmp_path_factory.mktemp("maps")
    for i, name in enumerate(osie.names):
        np.save(folder / name.replace(".jpg", ".npy"), osie[i]["density"].numpy() + 1e-5)
    return folder


def test_baselines(osie):
    table = evaluate({}, osie, progress=False)
    assert tuple(table.rows) == ROWS
    assert table.rows["uniform"]["nss"] == 0
    assert table.rows["uniform"]["auc_judd"] == 0.5
    assert table.rows["centre_bias_train"]["ig"] == 0
    assert set(table.rows["uniform"]) == set(METRICS)


def test_gold_is_each_observer_from_the_others(osie):
    by_hand = []
    for i in range(len(osie)):
        points, size = osie.fixations(i), osie.size(i)
        scores = []
        for observer in np.unique(points.observer):
            others, own = points._select(points.observer != observer), points.of(observer)
            if len(others):
                density = others.density(size, size[0] / 25)
                scores.append(functional.nss(density[None], own.counts(size)[None]).item())
        by_hand.append(np.mean(scores))
    table = evaluate({}, osie, progress=False)
    assert table.rows["gold"]["nss"] == pytest.approx(np.mean(by_hand), rel=1e-5)


def test_scores_of_a_model_are_those_of_its_saved_maps(osie, tmp_path):
    model = salzoo.load("centre_bias", weights=None)
    model.network.prior.log_density.copy_(torch.randn(1, 1, 60, 80, generator=torch.Generator().manual_seed(1)))
    for i, name in enumerate(osie.names):
        model.predict(osie.image(i)).save(tmp_path / f"{name[:-4]}.npy")
    rows = {"model": predictor(model), "maps": map_predictor(MapFolder(tmp_path, osie.names))}
    table = evaluate(rows, osie, progress=False)
    for name in METRICS:
        assert table.rows["model"][name] == pytest.approx(table.rows["maps"][name], rel=1e-4, abs=1e-6), name


def test_knowing_the_answer_beats_the_centre_bias_on_every_metric(osie, truth_maps):
    table = evaluate({"maps": map_predictor(MapFolder(truth_maps, osie.names))}, osie, progress=False)
    for name, metric in METRICS.items():
        better = table.rows["maps"][name] - table.rows["centre_bias"][name]
        assert better * (1 if metric.higher_is_better else -1) > 0, name


def test_metric_specific_maps_of_a_sharp_density(osie):
    def sharp(i, item):
        size = osie.size(i)
        return osie.fixations(i).density(size, osie.sigma(size) / 3) + 1e-6

    plain, best = (evaluate({"sharp": sharp}, osie, metric_specific=flag, progress=False) for flag in (False, True))
    for name in ("cc", "sim", "kld"):  # the truth is blurred, and so is the best map
        better = best.rows["sharp"][name] - plain.rows["sharp"][name]
        assert better * (1 if METRICS[name].higher_is_better else -1) > 0, name
    with pytest.raises(SpecError, match="mit"):
        evaluate({}, osie, convention="pysaliency", metric_specific=True, progress=False)


def test_convention_reaches_every_metric(osie, truth_maps):
    rows = {"maps": map_predictor(MapFolder(truth_maps, osie.names))}
    mit, other = (evaluate(rows, osie, convention=c, progress=False) for c in ("mit", "pysaliency"))
    changed = {name for name in METRICS if mit.rows["maps"][name] != other.rows["maps"][name]}
    assert changed >= {"auc_judd", "sauc", "nss", "kld", "ig"}


def test_intervals_and_csv(osie, truth_maps):
    table = evaluate({"maps": map_predictor(MapFolder(truth_maps, osie.names))}, osie, progress=False)
    assert table.intervals() == table.intervals()
    assert table.intervals(seed=1) != table.intervals()
    for row, means in table.rows.items():
        for name, mean in means.items():
            low, high = table.intervals()[row][name]
            assert low - 1e-9 <= mean <= high + 1e-9
    lines = list(csv.DictReader(table.to_csv().splitlines()))
    nss = [float(line["nss"]) for line in lines if line["row"] == "maps"]
    assert len(nss) == len(osie)
    assert np.mean(nss) == pytest.approx(table.rows["maps"]["nss"])


def test_maps_of_other_tools(osie, tmp_path):
    names = osie.names[:3]
    size = osie.size(0)
    small = np.random.default_rng(0).random((size[0] // 2, size[1] // 2))
    Image.fromarray((small * 255).astype(np.uint8)).save(tmp_path / f"{names[0][:-4]}.png")
    scipy.io.savemat(tmp_path / f"{names[1][:-4]}.mat", {"salMap": small})
    np.savez(tmp_path / f"{names[2][:-4]}.npz", density=small, log_density=np.log(small + 1))
    folder = MapFolder(tmp_path, names)
    assert folder.eight_bit
    for i in range(3):
        one = folder.read(i, size)
        assert one.shape == size
        assert one.min() >= 0
    assert folder.read(1, small.shape).numpy() == pytest.approx(small)
    assert folder.read(2, small.shape).numpy() == pytest.approx(small)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda p: p.write_bytes(b"broken"), "cannot be read"),
        (lambda p: np.save(p, np.full((4, 4), np.nan)), "finite"),
        (lambda p: np.save(p, np.full((4, 4), -2.0)), "log densities"),
        (lambda p: np.save(p, np.ones((4, 4, 3))), "shape"),
    ],
)
def test_bad_maps(osie, tmp_path, content, message):
    content(tmp_path / f"{osie.names[0][:-4]}.npy")
    with pytest.raises(ImageError, match=message):
        MapFolder(tmp_path, osie.names[:1]).read(0, (4, 4))
    with pytest.raises(ImageError, match=f"no map for {len(osie) - 1} of {len(osie)}"):
        MapFolder(tmp_path, osie.names)


def test_command(tiny_data, osie, truth_maps, tmp_path, capsys):
    words = ["evaluate", "uniform", "--maps", str(truth_maps), "--data", "osie", "--root", str(tiny_data)]
    files = ["--json", str(tmp_path / "t.json"), "--csv", str(tmp_path / "t.csv"), "--intervals"]
    assert main([*words, *files]) == 0
    printed = capsys.readouterr().out
    assert "convention mit" in printed
    assert "nss ↑" in printed
    assert "kld ↓" in printed
    content = json.loads((tmp_path / "t.json").read_text())
    assert content["convention"] == "mit"
    assert content["higher_is_better"]["emd"] is False
    assert content["images"] == len(osie)
    assert set(content["rows"]) == {str(truth_maps), *ROWS}
    assert main([*words, "--baselines", "gold"]) == 0
    assert "| gold |" in (printed := capsys.readouterr().out)
    assert "| one_human |" not in printed
    assert main([*words, "--baselines", "golden"]) == 2
    assert "no baseline is called 'golden'" in capsys.readouterr().err
    assert main(["evaluate", "--data", "osie", "--root", str(tiny_data)]) == 2


def test_training_images_are_told(tiny_data):
    sets = ("osie:train", "eyecrowd:train")
    assert overlap(sets, load_dataset("osie", tiny_data, "train")) == ["osie:train"]
    assert overlap(sets, load_dataset("osie", tiny_data, "all")) == ["osie:train"]
    assert overlap(sets, load_dataset("osie", tiny_data, "test")) == []
    assert overlap(("osie:all",), load_dataset("osie", tiny_data, "test")) == ["osie:all"]
    assert overlap(sets, load_dataset("scene500", tiny_data, "train")) == []


def test_editions_of_a_set_have_the_same_images(tmp_path):
    folder = make_tiny.salicon(tmp_path)
    seen = ("salicon2015:train", "osie:train")
    assert overlap(seen, load_dataset("salicon2017", folder, "train")) == ["salicon2015:train"]
    assert overlap(seen, load_dataset("salicon2017", folder, "val")) == []
    assert overlap(("cat2000:train",), load_dataset("cat2000_observers", make_tiny.cat2000(tmp_path), "all"))
    assert not overlap(("mit1003:all",), load_dataset("mit300", make_tiny.mit300(tmp_path), "test"))


@pytest.mark.parametrize("kind", ["array", "tensor", "map", "double"])
def test_a_predictor_returns_what_it_likes(osie, kind):
    """Arrays, tensors and a SaliencyMap of the same numbers score alike."""
    wanted = {"baselines": (), "progress": False}
    plain = evaluate({"mine": lambda i, item: item["density"] + 1e-5}, osie, **wanted).rows["mine"]

    def foreign(i, item):
        density = item["density"] + 1e-5
        match kind:
            case "array":
                return density.numpy()
            case "tensor":
                return density.requires_grad_()
            case "map":
                return salzoo.SaliencyMap((density / density.sum()).log())
            case _:
                return density.double().numpy().tolist()

    found = evaluate({"mine": foreign}, osie, **wanted).rows["mine"]
    assert found == pytest.approx(plain, rel=1e-4, abs=1e-6)


def test_a_prediction_of_another_size_is_scaled_as_a_file_is(osie, tmp_path):
    rng = np.random.default_rng(0)
    small = {name: rng.random((20, 30)) for name in osie.names}
    for name, array in small.items():
        np.save(tmp_path / name.replace(".jpg", ".npy"), array)
    rows = {"mine": lambda i, item: small[item["name"]], "files": map_predictor(MapFolder(tmp_path, osie.names))}
    table = evaluate(rows, osie, baselines=(), progress=False)
    assert table.scores["mine"] == table.scores["files"]


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (torch.full((4, 4), -1.0), "the map of 'mine' for .* ranges from -1 to -1; .*exponential"),
        (torch.full((4, 4), torch.nan), "ranges from nan to nan"),
        (np.ones((4, 4, 3)), r"has shape \(4, 4, 3\)"),
        ("map.png", "is str, of <U7; a map is one array of real numbers"),
    ],
)
def test_a_prediction_that_is_no_map(osie, prediction, message):
    with pytest.raises(ImageError, match=message):
        evaluate({"mine": lambda i, item: prediction}, osie, baselines=(), progress=False)


def test_a_table_prints_and_becomes_a_data_frame(osie, truth_maps, monkeypatch):
    pandas = pytest.importorskip("pandas")
    rows = {"maps": map_predictor(MapFolder(truth_maps, osie.names))}
    table = evaluate(rows, osie, baselines=("gold", "uniform"), progress=False)
    assert repr(table) == table.to_markdown() == table._repr_markdown_()
    means = table.to_pandas()
    assert list(means.index) == ["maps", "gold", "uniform"]
    assert means.loc["maps", "nss"] == table.rows["maps"]["nss"]
    assert np.isnan(means.loc["gold", "cc"])
    each = table.to_pandas(by_image=True)
    assert each.loc[("uniform", osie.names[1]), "cc"] == table.scores["uniform"]["cc"][1]
    pandas.testing.assert_series_equal(
        each["nss"].groupby("row").mean().loc[means.index], means["nss"], check_names=False
    )
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SpecError, match="pip install pandas"):
        table.to_pandas()


def test_a_gain_is_paired():
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 1, 50)  # images differ far more than the models do
    one, other = (hard + step + rng.normal(0, 0.01, 50) for step in (0.1, 0))
    scores = {"one": {"nss": one.tolist()}, "other": {"nss": other.tolist(), "cc": other.tolist()}}
    table = Table("osie", "test", tuple(map(str, range(50))), "mit", "uniform", scores)
    ((name, (mean, low, high)),) = table.gain("one", "other").items()
    assert name == "nss"
    assert mean == pytest.approx((one - other).mean())
    assert 0.09 < low < mean < high < 0.11
    spread = table.intervals()
    assert spread["one"]["nss"][0] < spread["other"]["nss"][1]
