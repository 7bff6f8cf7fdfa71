"""A study of one's own: every layout gives the same points."""

from __future__ import annotations

import json
import pickle
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from data.studies import COUNT, Row, expected, images, same, write
from scipy.io import savemat

from salzoo.cli import main
from salzoo.data import Augment, FixationFolder, TrainingView, load_dataset
from salzoo.errors import DataError, DatasetNotFoundError, SpecError


def test_a_table(study: tuple[Path, list[Row]]) -> None:
    root, content = study
    dataset = FixationFolder(root, "all")
    same(dataset, content)
    assert dataset.study.observers == ("anna", "bert")
    by_time = sorted((r for r in content if r["image"] == "p03.png"), key=lambda r: r["timestamp"])
    assert dataset.fixations(3).observer.tolist() == [dataset.study.observers.index(row["observer"]) for row in by_time]
    assert (dataset.dropped, sum(dataset.study.dropped.values()), dataset.study.unseen) == (0, 0, ())
    item = dataset[3]
    assert item["image"].shape[1:] == item["fixations"].shape == dataset.size(3)
    places = expected(content, "p03.png")[:, :2]
    assert {tuple(p) for p in item["fixations"].nonzero().flip(1).tolist()} == {
        tuple(p) for p in np.floor(places + 0.5).astype(int).tolist()
    }
    same(pickle.loads(pickle.dumps(dataset)), content)  # as workers get it


@pytest.mark.parametrize(
    ("suffix", "delimiter", "encoding"),
    [(".csv", ";", "utf-8-sig"), (".csv", "\t", "utf-16"), (".tsv", "\t", "utf-8")],
)
def test_dialects(study: tuple[Path, list[Row]], suffix: str, delimiter: str, encoding: str) -> None:
    root, content = study
    (root / "fixations.csv").unlink()
    write(root / f"fixations{suffix}", content, delimiter, encoding)
    same(FixationFolder(root, "all"), content)


@pytest.mark.parametrize("label", ["stim/{}", "C:\\exp\\{}"])
def test_images_are_named_with_folders_or_without_suffix(study: tuple[Path, list[Row]], label: str) -> None:
    root, content = study
    changed = [{**row, "image": label.format(row["image"])} for row in content]
    changed[::2] = [{**row, "image": row["image"][:-4]} for row in content[::2]]
    write(root / "fixations.csv", changed)
    same(FixationFolder(root, "all"), content)


def test_columns_units_and_origin(study: tuple[Path, list[Row]]) -> None:
    root, content = study
    sound = FixationFolder(root, "all")
    sizes = {name: sound.size(i) for i, name in enumerate(sound.names)}
    names = {"image": "stimulus", "x": "FIX_X", "y": "FIX_Y", "observer": "RECORDING", "duration": "FIX_DURATION"}
    one = [{names.get(k, k): v + 1 if k in "xy" else v for k, v in row.items()} for row in content]
    write(root / "fixations.csv", one)
    same(FixationFolder(root, "all", columns=names, origin=1), content)
    with pytest.raises(DataError, match=r"no column 'image', only stimulus, FIX_X, .*columns=\{'image'"):
        FixationFolder(root)
    with pytest.raises(SpecError, match="unknown 'X'; accepted: image, x, y"):
        FixationFolder(root, columns={"X": "FIX_X"})
    with pytest.raises(SpecError, match="one name two meanings"):
        FixationFolder(root, columns={**names, "x": "FIX_Y"})

    shares = []
    for row in content:
        height, width = sizes[row["image"]]
        shares.append({**row, "x": (row["x"] + 0.5) / width, "y": (row["y"] + 0.5) / height})
    write(root / "fixations.csv", shares)
    same(FixationFolder(root, "all", units="fractions"), content)


def test_options_beside_the_images(study: tuple[Path, list[Row]]) -> None:
    root, content = study
    write(root / "fixations.csv", [{("X" if k == "x" else k): v for k, v in row.items()} for row in content])
    write(root / "observers.csv", [{"name": "anna", "age": 30}])
    with pytest.raises(SpecError, match=r"fixations\.csv, observers\.csv: say which"):
        FixationFolder(root)
    options = {"fixations": "fixations.csv", "columns": {"x": "X"}, "pixels_per_degree": 7.5}
    (root / "study.json").write_text(json.dumps(options))
    dataset = FixationFolder(root, "all")
    same(dataset, content)
    assert dataset.sigma((100, 100)) == 7.5
    assert FixationFolder(root, sigma_px=3).sigma((100, 100)) == 3
    assert dataset.sibling("train").sigma((100, 100)) == 7.5
    same(load_dataset("folder", root, "all"), content)  # type: ignore[arg-type]
    for broken, message in ((options | {"colums": {}}, "unknown key 'colums'"), (options | {"origin": 2}, "origin")):
        (root / "study.json").write_text(json.dumps(broken))
        with pytest.raises(SpecError, match=message):
            FixationFolder(root)


def test_parquet(study: tuple[Path, list[Row]], monkeypatch: pytest.MonkeyPatch) -> None:
    root, content = study
    (root / "fixations.csv").rename(root / "fixations.parquet")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(SpecError, match="Parquet file, which pyarrow reads: pip install"):
            FixationFolder(root)
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    with pytest.raises(DataError, match="cannot be read as a table"):
        FixationFolder(root)
    from pyarrow import parquet

    table = pa.table({key: [row[key] for row in content] for key in content[0]})
    table = table.set_column(0, "image", table["image"].dictionary_encode())
    parquet.write_table(table, root / "fixations.parquet")
    same(FixationFolder(root, "all"), content)


@pytest.mark.parametrize("suffix", [".mat", ".npz"])
def test_one_file_an_image(study: tuple[Path, list[Row]], suffix: str) -> None:
    root, content = study
    (root / "fixations.csv").unlink()
    (root / "fixations").mkdir()
    for name in {row["image"] for row in content}:
        own = [row for row in content if row["image"] == name]
        arrays = {key: np.array([row[key] for row in own]) for key in ("x", "y", "duration", "timestamp")}
        arrays |= {"x": arrays["x"] + 1, "y": arrays["y"] + 1, "observer": [int(r["observer"] == "bert") for r in own]}
        path = (root / "fixations" / name).with_suffix(suffix)
        savemat(path, arrays) if suffix == ".mat" else np.savez(path, **arrays)  # type: ignore[func-returns-value]
    dataset = FixationFolder(root, "all", origin=1)
    same(dataset, content)
    path = root / "fixations" / f"p00{suffix}"
    whole = path.read_bytes()
    for broken in (b"", whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=rf"p00\{suffix} cannot be read"):
            FixationFolder(root, origin=1)
    uneven = {"x": np.zeros(3), "y": np.zeros(2)}
    savemat(path, uneven) if suffix == ".mat" else np.savez(path, **uneven)  # type: ignore[func-returns-value]
    with pytest.raises(DataError, match="differ in length: x 3, y 2"):
        FixationFolder(root, origin=1)
    path.rename(path.with_name(f"other{suffix}"))
    with pytest.raises(DataError, match=rf"1 of 30 files in .* belong to no image, the first is other\{suffix}"):
        FixationFolder(root, origin=1)


def test_matrices_of_counts(tmp_path: Path) -> None:
    sizes = images(tmp_path / "images", 12)
    (tmp_path / "fixations").mkdir()
    rng = np.random.default_rng(0)
    counts = {name: rng.poisson(0.01, size) for name, size in sizes.items()}
    for name, matrix in counts.items():
        savemat(tmp_path / "fixations" / f"{name[:-4]}.mat", {"fixLocs": matrix.astype(np.uint8)})
    for origin in (0, 1):
        dataset = FixationFolder(tmp_path, "all", columns={"fixations": "fixLocs"}, origin=origin)  # type: ignore[arg-type]
        assert all((dataset[i]["fixations"].numpy() == counts[name]).all() for i, name in enumerate(dataset.names))
    savemat(tmp_path / "fixations" / "p00.mat", {"fixLocs": counts["p00.png"].T})
    with pytest.raises(DataError, match=r"p00\.mat has no column 'x', only fixLocs"):
        FixationFolder(tmp_path, columns={"fixations": "fixLocs"})


@pytest.mark.parametrize(
    ("images", "shares"),
    [(30, (21, 3, 6)), (20, (14, 2, 4)), (25, (17, 3, 5)), (10, (7, 1, 2)), (3, (2, 0, 1)), (2, (1, 1, 0))],
)
def test_splits_are_exact_shares_by_rank(
    study: tuple[Path, list[Row]], images: int, shares: tuple[int, int, int]
) -> None:
    """Thirty images were split 18, 4, 8 when each hash fell where it liked."""
    root, content = study
    kept = {f"p{i:02d}.png" for i in range(images)}
    write(root / "fixations.csv", [row for row in content if row["image"] in kept])
    ranked = sorted(kept, key=lambda name: sha256(name[:-4].encode()).hexdigest())
    train, val, _ = shares
    for split, names in zip(
        ("train", "val", "test"), (ranked[:train], ranked[train : train + val], ranked[train + val :]), strict=True
    ):
        if names:
            assert FixationFolder(root, split).names == sorted(names)  # type: ignore[arg-type]
        else:
            with pytest.raises(
                DatasetNotFoundError, match=rf"split '{split}' got none of the {images} images, .*splits\.json"
            ):
                FixationFolder(root, split)  # type: ignore[arg-type]


def test_splits_beside_the_study(study: tuple[Path, list[Row]]) -> None:
    root, _ = study
    path = root / "splits.json"
    lists = {"train": ["p02.png", "p01.png"], "val": ["p03.png"], "test": []}
    path.write_text(json.dumps(lists))
    assert FixationFolder(root, "train").names == ["p02.png", "p01.png"]
    assert len(FixationFolder(root, "all")) == COUNT
    for changed, error, message in (
        (lists | {"val": ["p01.png"]}, DataError, r"1 images more than once, the first is p01\.png"),
        (lists | {"val": ["p99.png"]}, DatasetNotFoundError, r"1 images of split 'val' .* the first is p99\.png"),
        (lists | {"val": []}, DatasetNotFoundError, "split 'val' is empty"),
        (lists | {"valid": []}, SpecError, "unknown key 'valid'"),
    ):
        path.write_text(json.dumps(changed))
        with pytest.raises(error, match=message):
            FixationFolder(root, "val")


def test_files_that_change_are_read_again(study: tuple[Path, list[Row]]) -> None:
    root, content = study
    assert len(FixationFolder(root, "all")) == COUNT
    write(root / "fixations.csv", content[:50])
    assert len(FixationFolder(root, "all")) == len({row["image"] for row in content[:50]})


def test_first_fixations_and_durations(study: tuple[Path, list[Row]]) -> None:
    root, content = study
    ordered = expected(content, "p03.png")  # both observers' first, second, third
    later = FixationFolder(root, "all", skip_first=1).fixations(3)
    np.testing.assert_allclose(later.x, ordered[2:, 0])
    earliest = FixationFolder(root, "all", first=1)
    np.testing.assert_allclose(earliest.fixations(3).x, ordered[:2, 0])
    assert earliest[3]["fixations"].sum() == 2
    assert FixationFolder(root, "all", skip_first=1, first=1).sibling("train").fixations(0).counts((99, 99)).sum() == 2
    with pytest.raises(SpecError, match="first at least 1, got 0 and 0"):
        FixationFolder(root, first=0)

    weighted = FixationFolder(root, "all", weight="duration", sigma_px=2)
    x, y, duration = ordered.T
    rows_, columns = np.mgrid[: weighted.size(3)[0], : weighted.size(3)[1]]
    truth = sum(
        d * np.exp(-((rows_ - b) ** 2 + (columns - a) ** 2) / 8) for a, b, d in zip(x, y, duration, strict=True)
    )
    density = weighted[3]["density"].numpy()
    np.testing.assert_allclose(density, truth / truth.sum(), atol=2e-4)
    assert abs(density - FixationFolder(root, "all", sigma_px=2)[3]["density"].numpy()).max() > 2e-3
    view = TrainingView(weighted, (24, 30), augment=Augment(1.0))[3]["density"]
    assert float(view.sum()) == pytest.approx(1, abs=1e-5)
    write(root / "fixations.csv", [{key: row[key] for key in ("image", "x", "y")} for row in content])
    with pytest.raises(DataError, match="no durations to weigh"):
        FixationFolder(root, "all", weight="duration")[0]


def test_the_commands_take_it(
    study: tuple[Path, list[Row]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, _ = study
    words = ["--data", "folder", "--root", str(root)]
    assert main(["evaluate", "uniform", *words, "--json", str(tmp_path / "table.json")]) == 0
    table = json.loads((tmp_path / "table.json").read_text())
    assert (table["dataset"], table["images"]) == ("folder", 6)
    assert table["rows"]["uniform"]["nss"] == 0
    assert table["rows"]["gold"]["auc_judd"] > 0
    assert main(["fit", "centre_bias", *words, "-o", str(tmp_path / "run"), "--trainer.accelerator=cpu"]) == 0
    saved = json.loads((tmp_path / "run/centre_bias.lite/config.json").read_text())
    assert saved["provenance"]["data"] == ["folder:train"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_settings_in_the_encodings_of_windows(study: tuple[Path, list[Row]], encoding: str) -> None:
    root, _ = study
    (root / "study.json").write_text('{"sigma_px": 10}', encoding=encoding)
    (root / "splits.json").write_text('{"train": ["p02.png"]}', encoding=encoding)
    dataset = FixationFolder(root, "train")
    assert (dataset.names, dataset.sigma((100, 100))) == (["p02.png"], 10)


@pytest.mark.parametrize(("name", "error"), [("study.json", SpecError), ("splits.json", DataError)])
def test_bottomless_settings_are_one_error(study: tuple[Path, list[Row]], name: str, error: type[Exception]) -> None:
    root, _ = study
    (root / name).write_text("[" * 200_000)
    with pytest.raises(error, match="not valid JSON: its brackets are nested too deeply"):
        FixationFolder(root)
