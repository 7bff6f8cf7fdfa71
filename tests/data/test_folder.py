"""A study of one's own: every layout gives the same points, and everything doubtful is an error or a counted drop."""

from __future__ import annotations

import csv
import itertools
import json
import pickle
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data import make_tiny
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from salzoo.cli import main
from salzoo.data import Augment, FixationFolder, SaliencyDataModule, TrainingView, load_dataset
from salzoo.errors import DataError, DatasetNotFoundError, ImageError, SalzooError, SpecError
from salzoo.metrics import functional

Row = dict[str, Any]
COUNT = 30


def pictures(folder: Path, count: int = COUNT) -> dict[str, tuple[int, int]]:
    """Write pictures; return their (height, width)."""
    folder.mkdir(parents=True)
    drawn, _ = make_tiny.draw(5)
    sizes = {}
    for i in range(count):
        name = f"p{i:02d}.png"
        Image.fromarray(drawn[i % len(drawn)]).save(folder / name)
        sizes[name] = drawn[i % len(drawn)].shape[:2]
    return sizes


def rows(sizes: dict[str, tuple[int, int]], seed: int = 0) -> list[Row]:
    """Return three fixations of each of two observers a picture, in no order; all inside by a margin of 4 px."""
    rng = np.random.default_rng(seed)
    found = []
    for name, (height, width) in sizes.items():
        for observer in ("anna", "bert"):
            for time in range(3):
                x, y = (round(float(rng.uniform(4, side - 4)), 2) for side in (width, height))
                duration = round(float(rng.uniform(100, 400)), 1)
                found.append({"image": name, "x": x, "y": y, "observer": observer, "duration": duration})
                found[-1]["timestamp"] = 300 * time
    rng.shuffle(found)
    return found


def write(path: Path, content: Sequence[Row], delimiter: str = ",", encoding: str = "utf-8") -> None:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(content[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(content)


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, list[Row]]:
    """Return a sound study and its rows."""
    content = rows(pictures(tmp_path / "images"))
    write(tmp_path / "fixations.csv", content)
    return tmp_path, content


def expected(content: Sequence[Row], name: str) -> NDArray[np.float64]:
    """Return x, y, duration of the picture's rows by time."""
    own = sorted((row for row in content if row["image"] == name), key=lambda row: row["timestamp"])
    return np.array([[row["x"], row["y"], row["duration"]] for row in own])


def same(dataset: FixationFolder, content: Sequence[Row]) -> None:
    assert dataset.names == sorted({row["image"] for row in content})
    for i, name in enumerate(dataset.names):
        points = dataset.fixations(i)
        assert points.duration is not None
        np.testing.assert_allclose(
            np.stack([points.x, points.y, points.duration], 1), expected(content, name), atol=1e-9
        )
        assert np.bincount(points.observer).tolist() == [3, 3]


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
    [(".csv", ";", "utf-8-sig"), (".csv", "\t", "utf-8"), (".tsv", "\t", "utf-8")],
)
def test_dialects(study: tuple[Path, list[Row]], suffix: str, delimiter: str, encoding: str) -> None:
    root, content = study
    (root / "fixations.csv").unlink()
    write(root / f"fixations{suffix}", content, delimiter, encoding)
    same(FixationFolder(root, "all"), content)


@pytest.mark.parametrize("label", ["stim/{}", "C:\\exp\\{}"])
def test_pictures_are_named_with_folders_or_without_suffix(study: tuple[Path, list[Row]], label: str) -> None:
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


def test_options_beside_the_pictures(study: tuple[Path, list[Row]]) -> None:
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
def test_one_file_a_picture(study: tuple[Path, list[Row]], suffix: str) -> None:
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
    with pytest.raises(DataError, match=rf"1 of 30 files in .* have no picture, the first is other\{suffix}"):
        FixationFolder(root, origin=1)


def test_matrices_of_counts(tmp_path: Path) -> None:
    sizes = pictures(tmp_path / "images", 12)
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


def test_drops_are_counted(study: tuple[Path, list[Row]]) -> None:
    root, content = study
    bad: list[Row] = [
        *({**content[0], "x": text} for text in ("", "NaN", ".", "NA")),
        {**content[1], "duration": 0},
        {**content[1], "duration": 0},  # counted once, as a blink
        {**content[1], "duration": ""},
        content[2],
        content[2],
        {**content[3], "x": -20},
    ]
    write(root / "fixations.csv", content + bad)
    dataset = FixationFolder(root, "all")
    assert dataset.study.dropped == {"no coordinates (NaN)": 4, "no duration (blink)": 3, "duplicate": 2}
    assert dataset.dropped == 1
    assert sum(len(dataset.fixations(i)) for i in range(len(dataset))) == len(content)

    plain = [{key: row[key] for key in ("image", "x", "y")} for row in (*content, content[2])]
    write(root / "fixations.csv", plain)
    dataset = FixationFolder(root, "all")
    assert (dataset.study.repeated, dataset.study.dropped.get("duplicate")) == (1, None), "may be two looks"
    assert sum(len(dataset.fixations(i)) for i in range(len(dataset))) == len(plain)


def swap(row: Row) -> Row:
    return {**row, "x": row["y"], "y": row["x"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: {**row, "x": row["x"] / 100, "y": row["y"] / 100}, r"all x and y lie in \[0, 1\]: say units"),
        (lambda row: {**row, "x": row["x"] + 500}, "100% of the points lie outside .*those of the screen"),
        (lambda row: {**row, "x": str(row["x"]).replace(".", ",")}, r"line \d+: x is '[\d,]+', .* decimal comma"),
        (lambda row: {**row, "y": "left"}, r"line 2: y is 'left', not a number"),
        (lambda row: {**row, "image": row["image"].replace("p1", "q1")}, r"10 pictures .* the first is 'q10\.png'"),
    ],
)
def test_doubtful_rows_are_errors(study: tuple[Path, list[Row]], change: Callable[[Row], Row], message: str) -> None:
    root, content = study
    write(root / "fixations.csv", [change(row) for row in content])
    with pytest.raises(DataError, match=message):
        FixationFolder(root)


def test_swapped_axes(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for i in range(10):
        Image.new("RGB", (80, 50)).save(tmp_path / f"images/{i}.png")
    content = rows({f"{i}.png": (50, 80) for i in range(10)})
    write(tmp_path / "fixations.csv", content)
    same(FixationFolder(tmp_path, "all"), content)
    write(tmp_path / "fixations.csv", [swap(row) for row in content])
    with pytest.raises(DataError, match=r"far fewer if x and y change places: say columns=\{'x': 'y', 'y': 'x'\}"):
        FixationFolder(tmp_path)
    same(FixationFolder(tmp_path, "all", columns={"x": "y", "y": "x"}), content)


def test_one_based_numbers(study: tuple[Path, list[Row]]) -> None:
    root, content = study
    whole = [{**row, "x": int(row["x"]) + 1, "y": int(row["y"]) + 1} for row in content]
    whole[0]["x"] = FixationFolder(root, "all").size(int(whole[0]["image"][1:3]))[1]
    write(root / "fixations.csv", whole)
    with pytest.raises(DataError, match=r"as if the first pixel were 1: say origin=1, or origin=0"):
        FixationFolder(root)
    assert FixationFolder(root, "all", origin=0).dropped == 1
    assert FixationFolder(root, "all", origin=1).dropped == 0


def test_explicit_pixels_are_believed(study: tuple[Path, list[Row]]) -> None:
    root, content = study
    write(root / "fixations.csv", [{**row, "x": row["x"] / 100, "y": row["y"] / 100} for row in content])
    assert FixationFolder(root, "all", units="pixels").fixations(0).x.max() < 1
    write(root / "fixations.csv", content)
    with pytest.raises(DataError, match="fractions of the picture, but coordinates go up to"):
        FixationFolder(root, units="fractions")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; it needs a header with image, x, y"),
        ("image,x,y\n", "has no rows"),
        ("image,x,y\np00.png,1\n", "line 2 has 2 cells, the header has 3"),
        ("image,x,x\np00.png,1,2\n", "several columns called 'x'"),
        ("image,X,y\np00.png,1,2\n", r"no column 'x', only image, X, y; name yours as columns=\{'x': 'X'\}"),
        (b"image,x,y\np\xe400.png,1,2\n", "is not a table in UTF-8"),
    ],
)
def test_a_broken_table(study: tuple[Path, list[Row]], text: str | bytes, message: str) -> None:
    root, _ = study
    (root / "fixations.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        FixationFolder(root)


def test_what_is_missing_is_named(study: tuple[Path, list[Row]], tmp_path: Path) -> None:
    root, content = study
    with pytest.raises(DatasetNotFoundError, match="there is no folder"):
        FixationFolder(root / "nowhere")
    (root / "images/p05.png").unlink()
    with pytest.raises(DataError, match=r"1 pictures that are not in .*images, the first is 'p05\.png'"):
        FixationFolder(root)
    write(root / "fixations.csv", [row for row in content if row["image"] not in ("p05.png", "p06.png")])
    assert FixationFolder(root).study.unseen == ("p06.png",)
    (root / "fixations.csv").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"no fixations in .*columns image, x, y, a folder fixations/"):
        FixationFolder(root)
    (root / "images").rename(root / "photos")
    with pytest.raises(DatasetNotFoundError, match=r"no pictures in .*images, stimuli, pictures"):
        FixationFolder(root)


def test_doubtful_pictures_are_errors(study: tuple[Path, list[Row]]) -> None:
    root, _ = study
    Image.new("RGB", (5, 5)).save(root / "images/p00.jpg")
    with pytest.raises(DataError, match=r"p00\.jpg and p00\.png: two pictures must differ"):
        FixationFolder(root)
    (root / "images/p00.jpg").unlink()
    turned = Image.open(root / "images/p00.png")
    exif = turned.getexif()
    exif[274] = 6
    turned.save(root / "images/p00.png", exif=exif)
    with pytest.raises(ImageError, match=r"p00\.png is to be turned .*EXIF orientation 6"):
        FixationFolder(root)
    (root / "images/p00.png").write_bytes(b"GIF89a?")
    with pytest.raises(ImageError, match=r"p00\.png cannot be read as a picture"):
        FixationFolder(root)
    (root / "stimuli").mkdir()
    Image.new("RGB", (5, 5)).save(root / "stimuli/p00.png")
    with pytest.raises(SpecError, match="pictures in images and in stimuli"):
        FixationFolder(root)


def test_splits_are_drawn_by_name_and_stay(study: tuple[Path, list[Row]]) -> None:
    root, content = study
    splits = {split: FixationFolder(root, split).names for split in ("train", "val", "test")}  # type: ignore[arg-type]
    assert sorted(itertools.chain(*splits.values())) == FixationFolder(root, "all").names
    assert {split: len(names) for split, names in splits.items()} == {"train": 18, "val": 4, "test": 8}
    assert splits["val"] == ["p03.png", "p08.png", "p14.png", "p29.png"]  # in every copy and in every version of salzoo
    write(root / "fixations.csv", [row for row in content if row["image"] > "p10.png"])
    for split, names in splits.items():
        fewer = [name for name in names if name > "p10.png"]
        assert FixationFolder(root, split).names == fewer  # type: ignore[arg-type]
    write(root / "fixations.csv", [row for row in content if row["image"] in splits["train"]])
    with pytest.raises(DatasetNotFoundError, match=r"split 'val' got none of the 18 pictures, .*splits\.json"):
        FixationFolder(root, "val")


def test_splits_beside_the_study(study: tuple[Path, list[Row]]) -> None:
    root, _ = study
    path = root / "splits.json"
    lists = {"train": ["p02.png", "p01.png"], "val": ["p03.png"], "test": []}
    path.write_text(json.dumps(lists))
    assert FixationFolder(root, "train").names == ["p02.png", "p01.png"]
    assert len(FixationFolder(root, "all")) == COUNT
    for changed, error, message in (
        (lists | {"val": ["p01.png"]}, DataError, r"1 pictures more than once, the first is p01\.png"),
        (lists | {"val": ["p99.png"]}, DatasetNotFoundError, r"1 pictures of split 'val' .* the first is p99\.png"),
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
    view = TrainingView(weighted, (24, 30), augment=Augment(1.0))[0, 3]["density"]
    assert float(view.sum()) == pytest.approx(1, abs=1e-5)
    write(root / "fixations.csv", [{key: row[key] for key in ("image", "x", "y")} for row in content])
    with pytest.raises(DataError, match="no durations to weigh"):
        FixationFolder(root, "all", weight="duration")[0]


@pytest.fixture
def mapped(tmp_path: Path) -> tuple[Path, dict[str, NDArray[np.float64]]]:
    """Return a study that has only maps, and their densities."""
    sizes, maps = pictures(tmp_path / "images"), {}
    (tmp_path / "maps").mkdir()
    for k, (name, (height, width)) in enumerate(sizes.items()):
        y, x = np.mgrid[:height, :width]
        bump = np.exp(-((x - width * 0.3) ** 2 + (y - height * (0.2 + k / 100)) ** 2) / 50)
        grey = np.round(255 * bump).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / "maps" / name)
        maps[name] = grey / grey.sum()
    return tmp_path, maps


def test_maps_without_fixations(mapped: tuple[Path, dict[str, NDArray[np.float64]]]) -> None:
    root, maps = mapped
    dataset = FixationFolder(root, "all")
    for i, name in enumerate(dataset.names):
        np.testing.assert_allclose(dataset[i]["density"].numpy(), maps[name], rtol=1e-5, atol=1e-9)
    view = TrainingView(dataset, (30, 40), "pad", Augment(1.0, 0.2))
    for i in range(5):
        item = view[0, i]
        assert item["density"].shape == (30, 40)
        assert float(item["density"].double().sum()) == pytest.approx(1, abs=1e-5)
        column = float((item["density"].sum(0) * torch.arange(40)).sum())
        assert column > 20, "flipped with its picture: people looked left"
    (batch,) = SaliencyDataModule("folder", root, batch_size=18, size=(30, 40)).train_dataloader()
    assert batch["density"].sum((1, 2)).allclose(torch.ones(18))


def test_what_needs_points_says_so(mapped: tuple[Path, dict[str, NDArray[np.float64]]]) -> None:
    root, _ = mapped
    dataset = FixationFolder(root, "all")
    item = dataset[0]
    assert functional.cc(item["density"][None], item["density"][None]).item() == pytest.approx(1)
    for metric in (functional.nss, functional.auc_judd):
        with pytest.raises(SalzooError, match="counts"):
            metric(item["density"][None], item["fixations"][None])
    with pytest.raises(DataError, match="only maps, no fixations"):
        dataset.fixations(0).x  # noqa: B018
    with pytest.raises(DataError, match="only maps"):
        dataset.fixations(0).observer.max()


def test_doubtful_maps_are_errors(mapped: tuple[Path, dict[str, NDArray[np.float64]]]) -> None:
    root, _ = mapped
    path = root / "maps/p00.png"
    grey = Image.open(path).copy()
    grey.transpose(Image.Transpose.TRANSPOSE).save(path)
    with pytest.raises(DataError, match="of another shape than its picture"):
        FixationFolder(root, "all")[0]
    Image.merge("RGB", (grey, grey, Image.new("L", grey.size))).save(path)
    with pytest.raises(DataError, match="is coloured; a map is grey"):
        FixationFolder(root, "all")[0]
    Image.merge("RGB", (grey, grey, grey)).resize((grey.width * 2, grey.height * 2)).save(path)
    assert float(FixationFolder(root, "all")[0]["density"].sum()) == pytest.approx(1, abs=1e-5)
    path.unlink()
    assert FixationFolder(root, "all").study.unseen == ("p00.png",)


def test_the_commands_take_it(
    study: tuple[Path, list[Row]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, _ = study
    words = ["--data", "folder", "--root", str(root)]
    assert main(["evaluate", "uniform", *words, "--json", str(tmp_path / "table.json")]) == 0
    table = json.loads((tmp_path / "table.json").read_text())
    assert (table["dataset"], table["images"]) == ("folder", 8)
    assert table["rows"]["uniform"]["nss"] == 0
    assert table["rows"]["gold"]["auc_judd"] > 0
    assert main(["fit", "centre_bias", *words, "-o", str(tmp_path / "run"), "--trainer.accelerator=cpu"]) == 0
    saved = json.loads((tmp_path / "run/centre_bias.lite/config.json").read_text())
    assert saved["provenance"]["data"] == ["folder:train"]
