"""`evaluate` on a miniature of OSIE: every number against one that is worked out another way."""

import csv
import json
import sys

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

import salzoo
from salzoo.cli import main
from salzoo.data import load_dataset
from salzoo.data.map_folder import MapFolder
from salzoo.errors import ImageError, SpecError
from salzoo.evaluation.baselines import ROWS
from salzoo.evaluation.part import spread
from salzoo.evaluation.saved import read_table
from salzoo.evaluation.scoring import evaluate, map_predictor, predictor
from salzoo.metrics import METRICS


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


def test_some_metrics_alone(osie, tiny_data, tmp_path, capsys):
    table = evaluate({}, osie, baselines=("gold", "uniform"), metrics=("ig", "nss"), progress=False)
    whole = evaluate({}, osie, baselines=("gold", "uniform"), progress=False)
    assert list(table.rows["gold"]) == ["nss", "ig"], "in the order of tables"
    assert table.scores["gold"]["ig"] == whole.scores["gold"]["ig"]
    assert table.explained() == whole.explained()
    words = ["evaluate", "uniform", "--data", "osie", "--root", str(tiny_data), "--baselines", "gold"]
    assert main([*words, "--metrics", "cc,nss", "--csv", str(tmp_path / "some.csv")]) == 0
    assert "| osie | nss ↑ | cc ↑ |\n" in capsys.readouterr().out
    assert list(read_table(tmp_path / "some.csv").scores["uniform"]) == ["nss", "cc"]
    for wrong in ("auc", ""):
        assert main([*words, "--metrics", wrong]) == 2
        assert f"no metric is called {wrong!r}; there are auc_judd, " in capsys.readouterr().err
    assert main(["evaluate", "saccadic", "--scanpaths", *words[2:6], "--metrics", "nss"]) == 2
    assert "--metrics is for maps" in capsys.readouterr().err


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
    ("files", "names", "found"),
    [
        (["cat/1.png", "dog/1.png"], ["dog/1.jpg", "cat/1.jpg"], ["dog/1.png", "cat/1.png"]),
        (["1.png", "old/1.png", "2.png", "2.npy"], ["1.jpg", "2.jpg"], ["1.png", "2.npy"]),
        (["cat/1.png", "dog/2.png"], ["2.jpg", "1.jpg"], ["dog/2.png", "cat/1.png"]),
        (["1.png", "2.png"], ["cat/1.jpg", "dog/2.jpg"], ["1.png", "2.png"]),
        (["CAT/1.png", "cat/1.png", "1.png"], ["cat/1.jpg"], ["CAT/1.png"]),
    ],
)
def test_maps_are_found_by_their_path_else_by_a_name_that_is_unique(tmp_path, files, names, found):
    """On the old code maps in folders were not found, and of `cat/1` and `dog/1` one was taken for both."""
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    assert [path.relative_to(tmp_path).as_posix() for path in MapFolder(tmp_path, names).paths] == found


@pytest.mark.parametrize(
    ("files", "names", "told"),
    [
        (["1.png"], ["cat/1.jpg", "dog/1.jpg"], "2 of 2 images, the first is 'cat/1'"),
        (["a/1.png", "b/1.png"], ["1.jpg"], "'1', for which it has a/1.png and b/1.png"),
    ],
)
def test_maps_of_which_two_fit_are_refused(tmp_path, files, names, told):
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    with pytest.raises(ImageError, match=told):
        MapFolder(tmp_path, names)


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


def test_what_a_split_leaves_out_is_told(tiny_data, capsys):
    words = ["evaluate", "uniform", "--data", "osie", "--root", str(tiny_data), "--baselines", ""]
    assert main(words) == 0
    assert "Split test: 5 of 17 images; the others are for training and validation." in capsys.readouterr().out
    assert main([*words, "--split", "val"]) == 0
    assert "the others are for training and test." in capsys.readouterr().out
    assert main([*words, "--split", "all"]) == 0
    assert "the others" not in capsys.readouterr().out


def test_a_part_is_told_wherever_it_is_shown_and_never_joins_the_whole(tiny_data, osie, tmp_path, capsys):
    words = ["evaluate", "uniform", "--data", "osie", "--root", str(tiny_data), "--baselines", "one_human"]
    part, whole = tmp_path / "part.csv", tmp_path / "whole.csv"
    assert main([*words, "--images", "3", "--csv", str(part), "--json", str(tmp_path / "part.json")]) == 0
    assert "osie test, 3 of 5 images, convention mit" in capsys.readouterr().out
    content = json.loads((tmp_path / "part.json").read_text())
    assert (content["images"], content["part_of"]) == (3, 5)
    table = read_table(part)
    assert table.images == tuple(osie.names[::2]), "spread evenly"
    assert "osie test, 3 of 5 images, convention mit" in table.to_markdown()
    with pytest.raises(SpecError, match=r"scores of 3 of 5 images are a quick look, and no numbers of a checkpoint"):
        table.measured("uniform", "commit")
    assert main([*words, "--csv", str(whole), "--images", "9"]) == 0
    assert "osie test, 5 images" in capsys.readouterr().out, "all that there are"
    assert read_table(whole).part_of is None
    np.testing.assert_array_equal(read_table(whole).scores["one_human"]["nss"][::2], table.scores["one_human"]["nss"])
    assert main(["evaluate", str(part), str(whole)]) == 2
    assert "do not belong in one table: part_of is 5 and None" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "places"), [(1, [0]), (2, [0, 4]), (4, [0, 1, 3, 4]), (5, None), (None, None)])
def test_a_part_is_spread_evenly(osie, count, places):
    part, of = spread(osie, count)
    assert part.names == ([osie.names[i] for i in places] if places else osie.names)
    assert of == (5 if places else None)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "osie", "--root", ".", "--folds", "2"], "--folds is for all images of a split"),
        (["--data", "osie", "--root", ".", "--record"], "--record is for all images of a split"),
        ([], "--data, --root"),
    ],
)
def test_what_a_part_does_not_go_with(words, told, capsys):
    assert main(["evaluate", "uniform", "--images", "2", *words]) == 2
    assert told in capsys.readouterr().err


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
    assert not means.isna().any(axis=None)
    each = table.to_pandas(by_image=True)
    assert each.loc[("uniform", osie.names[1]), "cc"] == table.scores["uniform"]["cc"][1]
    pandas.testing.assert_series_equal(
        each["nss"].groupby("row").mean().loc[means.index], means["nss"], check_names=False
    )
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SpecError, match="pip install pandas"):
        table.to_pandas()
