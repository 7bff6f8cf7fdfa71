"""`salzoo evaluate --compare`, named rows and saved tables: the numbers of files that were scored apart."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from salzoo.cli import main
from salzoo.data import FixationDataset, Item, load_dataset
from salzoo.errors import DataError, SpecError
from salzoo.evaluation.saved import merge, read_table
from salzoo.evaluation.scoring import evaluate
from salzoo.evaluation.statistics import holm, sign_flip_p
from salzoo.evaluation.table import Table
from salzoo.metrics import functional


@pytest.fixture(scope="module")
def osie(tiny_data: Path) -> FixationDataset:
    return load_dataset("osie", tiny_data, "all")


@pytest.fixture(scope="module")
def maps(osie: FixationDataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Maps that know the answer, more and less."""
    rng, folders = np.random.default_rng(0), {}
    for kind, noise in (("good", 1e-6), ("bad", 1e-4)):
        folders[kind] = tmp_path_factory.mktemp(kind)
        for i, name in enumerate(osie.names):
            density = osie[i]["density"].numpy()
            np.save(folders[kind] / f"{name[:-4]}.npy", density + noise * rng.random(density.shape))
    return folders


@pytest.fixture
def words(tiny_data: Path) -> list[str]:
    return ["--data", "osie", "--root", str(tiny_data), "--split", "all", "--baselines", "centre_bias"]


def test_scores_at_once_and_scores_saved_apart_compare_alike(
    maps: dict[str, Path], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    together, apart = tmp_path / "together.json", tmp_path / "apart.json"
    rows = [f"{row}={folder}" for row, folder in maps.items()]
    assert main(["evaluate", "--compare", *rows, *words, "--json", str(together)]) == 0
    printed = capsys.readouterr().out
    assert "good - bad, paired over" in printed
    assert "good against bad: " in printed
    for row, folder in maps.items():
        assert main(["evaluate", "--maps", str(folder), *words, "--csv", str(tmp_path / f"{row}.csv")]) == 0
    capsys.readouterr()
    saved = [f"{row}={tmp_path / f'{row}.csv'}" for row in maps]
    assert main(["evaluate", "--compare", *saved, "--json", str(apart)]) == 0
    assert "good - bad, paired over" in capsys.readouterr().out
    one, other = (json.loads(path.read_text()) for path in (together, apart))
    assert one["comparison"] == other["comparison"]
    assert one["rows"]["good"] == other["rows"]["good"]

    lines = {row: list(csv.DictReader((tmp_path / f"{row}.csv").read_text().splitlines())) for row in maps}
    difference = [
        float(a["nss"]) - float(b["nss"])
        for a, b in zip(lines["good"], lines["bad"], strict=True)
        if a["row"] == str(maps["good"])
    ]
    found = one["comparison"]["differences"]
    assert found["nss"]["mean"] == pytest.approx(np.mean(difference))
    assert found["nss"]["p"] == sign_flip_p(difference)
    assert {name: each["p_holm"] for name, each in found.items()} == holm({n: each["p"] for n, each in found.items()})


def test_rows_of_the_table_are_compared(
    maps: dict[str, Path], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = ["--maps", f"good={maps['good']}"]
    assert main(["evaluate", *good, *words, "--compare", "good", "permutation", "--csv", str(tmp_path / "a.csv")]) == 0
    printed = capsys.readouterr().out
    assert "good - permutation, paired" in printed
    assert "| permutation |" in printed, "a row that is compared is scored"
    assert main(["evaluate", str(tmp_path / "a.csv"), "--compare", str(tmp_path / "a.csv"), "centre_bias"]) == 0
    assert "good - centre_bias" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "a.csv"), "--compare", "good", "permutation"]) == 0, "rows of a saved table"
    assert "good - permutation" in capsys.readouterr().out
    told = ["--per-observer", "--baselines", "", "--compare", "good:0", "good:1"]
    assert main(["evaluate", *good, *words, *told]) == 0
    assert "good:0 - good:1" in capsys.readouterr().out
    assert main(["evaluate", *good, *words, "--compare", "good", "nonesuch"]) == 2
    assert "nonesuch" in capsys.readouterr().err


def test_saved_tables_join_what_is_scored_now(
    maps: dict[str, Path], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, both = str(tmp_path / "first.csv"), tmp_path / "both.csv"
    assert main(["evaluate", "--maps", f"good={maps['good']}", *words, "--csv", first]) == 0
    assert main(["evaluate", first, "--maps", f"bad={maps['bad']}", *words, "--csv", str(both)]) == 0
    assert set(read_table(both).scores) == {"good", "bad", "centre_bias"}
    assert read_table(both).scores["good"] == read_table(Path(first)).scores["good"]
    capsys.readouterr()
    pysaliency = [*words, "--convention", "pysaliency"]
    assert main(["evaluate", first, "--maps", f"bad={maps['bad']}", *pysaliency]) == 2
    assert "convention is 'pysaliency' and 'mit'" in capsys.readouterr().err
    assert main(["evaluate", f"good={first}", "--maps", f"good={maps['bad']}", *words]) == 2
    assert "two rows are called 'good'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def table(osie: FixationDataset) -> Table:
    return evaluate({}, osie.only(osie.names[:6]), baselines=("centre_bias", "uniform"), progress=False, notes=("Hm.",))


def test_a_table_is_read_back(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for each in (table, replace(table, folds=(1, 2, 1, 2, 1, 2), notes=("one", "two, with a comma"))):
        path.write_text(each.to_csv())
        assert read_table(path) == each


def test_no_name_in_a_table_is_a_formula(table: Table, tmp_path: Path) -> None:
    path, (first, *others) = tmp_path / "t.csv", table.images
    wild = replace(table, images=(f"=HYPERLINK({first})", *others), scores={"@mine": table.scores["uniform"]})
    path.write_text(wild.to_csv())
    _, line, *_ = csv.reader(path.read_text().splitlines())
    assert line[:2] == ["'@mine", f"'=HYPERLINK({first})"]
    assert read_table(path) == wild


def test_tables_that_do_not_belong_together(table: Table) -> None:
    for changed, message in (
        ({"dataset": "folder"}, "dataset is 'osie' and 'folder'"),
        ({"split": "test"}, "split is 'all' and 'test'"),
        ({"metric_specific": True}, "metric_specific is False and True"),
        ({"baseline": "uniform"}, "baseline is"),
        ({"images": ("x.jpg", *table.images[1:])}, rf"different images: 2, such as {table.images[0]}, only in one"),
        (
            {"truth": ("0", *table.truth[1:])},
            rf"fixations, the blur or the baseline of ig of 1 images, such as {table.images[0]}",
        ),
    ):
        with pytest.raises(SpecError, match=message):
            merge([table, replace(table, **changed)], ["one", "other"])
    other = {"uniform": {"nss": [1.0] * 6}}
    with pytest.raises(SpecError, match="a row 'uniform', with other scores: write NEW=other"):
        merge([table, replace(table, scores=other)], ["one", "other"])


def test_the_order_of_images_does_not_matter(table: Table) -> None:
    back = {row: {name: values[::-1] for name, values in each.items()} for row, each in table.scores.items()}
    turned = replace(
        table,
        images=table.images[::-1],
        truth=table.truth[::-1],
        scores={f"again_{row}": each for row, each in back.items()},
    )
    joined = merge([table, turned], ["one", "other"])
    assert joined.scores["again_centre_bias"] == table.scores["centre_bias"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("truth", "trust", 1), "no column 'truth'"),
        (lambda text: text.splitlines()[0] + "\n", "has no scores"),
        (lambda text: "".join(text.splitlines(keepends=True)[:-1]), "other images than the first"),
        (lambda text: text.replace(",mit,", ",pysaliency,", 1), "different settings"),
        (lambda text: text.replace(",0.5,", ",half,", 1), "is not what"),
        (lambda text: text[:-300], "is cut short"),
        (lambda text: text[:-1], "is cut short"),
        (lambda text: text[: text.index("with a comma")], "is cut short"),
        (lambda text: text[: text.index("two,")], "is cut short"),
    ],
)
def test_a_csv_that_was_changed(table: Table, tmp_path: Path, damage, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(damage(replace(table, notes=("one", "two, with a comma")).to_csv()))
    with pytest.raises(DataError, match=message):
        read_table(path)


def test_tables_of_versions_before_parts_were_scored_are_whole(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = list(csv.DictReader(table.to_csv().splitlines()))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [name for name in lines[0] if name != "part_of"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)
    assert read_table(path) == table


def test_what_saved_scores_do_not_go_with(table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text(table.to_csv())
    for words, told in (
        (
            ["--compare", "uniform", "nosuch"],
            "no saved row is called 'nosuch'; there are centre_bias, uniform. Unknown",
        ),
        (["--compare", "uniform", "signature"], "required: --data, --root"),
        (["--every", "3"], "--every is for videos that are scored now: add their --data and --root"),
    ):
        assert main(["evaluate", str(path), *words]) == 2
        assert told in capsys.readouterr().err


def test_one_image_has_no_interval(table: Table) -> None:
    printed = table.take([0]).to_markdown(intervals=True)
    assert "nan" not in printed
    assert "| 0.500 ± – |" in printed


def test_a_row_must_be_meant(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    two = replace(table, scores={"a": table.scores["uniform"], "b": table.scores["centre_bias"]})
    path.write_text(two.to_csv())
    assert read_table(path, "b").scores == {"b": two.scores["b"]}
    with pytest.raises(SpecError, match=r"has the rows a, b: say which, as a="):
        read_table(path, "c")
    with pytest.raises(DataError, match="no file"):
        read_table(tmp_path / "none.csv")


def test_the_same_names_with_other_fixations_are_refused(osie: FixationDataset, tiny_data: Path) -> None:
    """Two studies that are both called `folder` often have images 1.png, 2.png, ..."""
    few = osie.only(osie.names[:3])
    blurred = load_dataset("osie", tiny_data, "all", sigma_px=3).only(osie.names[:3])
    one, other = (evaluate({}, each, baselines=("uniform",), progress=False) for each in (few, blurred))
    assert one.notes[0].endswith("too few to conclude anything: score at least 5, better 20."), "all splits are scored"
    with pytest.raises(SpecError, match="the fixations, the blur or the baseline of ig of 3 images"):
        merge([one, other], ["one", "other"])


def test_the_same_images_under_another_training_split_are_refused(osie: FixationDataset) -> None:
    """Both baselines are called the centre bias of the training split; their information gains do not compare."""
    tables = []
    for names in (osie.names[2:], osie.names[4:]):
        split = osie.only(osie.names[:2])
        split.split, training = "test", osie.only(names)
        split.sibling = lambda _, training=training: training  # type: ignore[method-assign]
        tables.append(evaluate({}, split, baselines=("uniform",), progress=False))
    assert tables[0].baseline == tables[1].baseline
    assert tables[0].scores["uniform"]["ig"] != tables[1].scores["uniform"]["ig"]
    with pytest.raises(SpecError, match="the fixations, the blur or the baseline of ig of 2 images"):
        merge(tables, ["one", "other"])


@pytest.mark.parametrize(
    "option",
    [
        ["--per-observer"],
        ["--folds", "5"],
        ["--split", "all"],
        ["--convention", "mit"],
        ["--metric-specific"],
        ["--baselines", "gold"],
    ],
)
def test_saved_scores_are_not_scored_again(
    table: Table, option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text(table.to_csv())
    assert main(["evaluate", str(tmp_path / "t.csv"), *option]) == 2
    assert f"{option[0]} says how images are scored" in capsys.readouterr().err


def test_one_file_in_two_spellings(table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text(table.to_csv())
    (tmp_path / "sub").mkdir()
    outputs = ["--json", str(tmp_path / "sub" / ".." / "out"), "--csv", str(tmp_path / "out")]
    assert main(["evaluate", str(path), *outputs]) == 2
    assert "both name" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_outputs_do_not_depend_on_each_other(
    maps: dict[str, Path], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk is full: the other file is written, no scratch file stays, no traceback."""
    for outputs in (["--json", "/dev/full", "--csv", "t.csv"], ["--json", "t.json", "--csv", "/dev/full"]):
        paths = [str(tmp_path / word) if word.startswith("t.") else word for word in outputs]
        assert main(["evaluate", "--maps", str(maps["good"]), *words, *paths]) == 1
        printed = capsys.readouterr()
        assert "/dev/full could not be written: No space left on device" in printed.err
        assert "| centre_bias |" in printed.out
    assert Path("/dev/full").is_char_device(), "a device is not replaced by a file"
    assert {path.name for path in tmp_path.iterdir()} == {"t.csv", "t.json"}
    assert main(["evaluate", "--maps", str(maps["good"]), *words, "--json", "x", "--csv", "x"]) == 2


@pytest.mark.parametrize("option", ["--json", "--csv"])
@pytest.mark.parametrize(
    "rows", [["salgan", "--data", "osie"], ["salgan", "--data", "videos"], ["wta", "--data", "osie", "--scanpaths"]]
)
def test_a_place_that_cannot_be_written_is_told_before_scoring(
    rows: list[str], option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the data are looked for: there are none."""
    for place, said in (
        (tmp_path, f"{tmp_path} is a folder: name a file in it"),
        (tmp_path / "none/x", f"there is no folder {tmp_path / 'none'} to write x into"),
        (Path("/proc/x"), "/proc/x cannot be written: "),
    ):
        if place.parent != Path("/proc") or place.parent.is_dir():
            assert main(["evaluate", *rows, "--root", str(tmp_path / "nowhere"), option, str(place)]) == 2
            assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_record_fails_before_scoring(
    words: list[str], maps: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """It used to score first, and then say that there is no config.json."""
    for rows in (["salgan"], ["uniform"], ["--maps", str(maps["good"])]):
        assert main(["evaluate", *rows, *words, "--record", "--root", "/nowhere"]) == 2
        assert "--record writes rows into checkpoint folders" in capsys.readouterr().err


def test_each_observer_is_scored_on_their_own_fixations(osie: FixationDataset) -> None:
    """On three images, one of which an observer did not see."""
    few = osie.only(osie.names[:3])

    def centre(index: int, item: Item) -> np.ndarray:
        height, width = few.size(index)
        y, x = np.mgrid[:height, :width]
        return np.exp(-(((y / height - 0.5) / 0.2) ** 2) - ((x / width - 0.5) / 0.2) ** 2)

    table = evaluate({"mine": centre}, few, baselines=("gold",), per_observer=True, progress=False)
    plain = evaluate({"mine": centre}, few, baselines=("gold",), progress=False)
    assert {row: table.scores[row] for row in plain.scores} == plain.scores
    people = {few.observer_name(o) for i in range(3) for o in few.fixations(i).observer.tolist()}
    assert set(table.scores) == {"mine", "gold"} | {f"{row}:{one}" for row in ("mine", "gold") for one in people}
    for one in people:
        for i in range(3):
            own = few.fixations(i).of(int(one))
            found = table.scores[f"mine:{one}"]["nss"][i]
            if len(own):
                prediction = torch.from_numpy(centre(i, few[i]))[None]
                assert found == pytest.approx(
                    float(functional.nss(prediction, own.counts(few.size(i))[None])), rel=1e-5
                )
            else:
                assert np.isnan(found)
    for i in range(3):
        assert np.nanmean([table.scores[f"gold:{one}"]["nss"][i] for one in people]) == pytest.approx(
            plain.scores["gold"]["nss"][i]
        )
    assert any(
        note.startswith("ROW:OBSERVER is a row on that observer's own fixations; images: ") for note in table.notes
    )


def test_observers_who_are_not_told_apart_have_no_scores(tiny_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "uniform", "--data", "scene500", "--root", str(tiny_data), "--per-observer"]
    code = main(words)
    told = capsys.readouterr()
    assert (code == 2 and "told apart" in told.err) or "uniform:" in told.out
