"""Any table and any study.json is read, or refused in one error of salzoo's; what is read can be used."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from salzoo.data import FixationFolder
from salzoo.data.check import check
from salzoo.errors import SalzooError, SalzooWarning

TABLE = "image,x,y,observer,duration,timestamp\n" + "".join(
    f"{name}.png,{10 + 17 * k % 140},{5 + 23 * k % 110},s{k % 2},{150 + k},{400 * k}\n"
    for name in "ab"
    for k in range(8)
)
CELL = st.sampled_from(
    ["", ".", "0", "-1", "1e308", "-1e308", "1e999", "nan", "inf", "-inf", "0x10", "1,5", "1_0", "\u0661", "a.png",
     "b", "A.PNG", "x/a.png", "x\\b.png", '"', '""', "'", "\ufeff", "\x85", "\u2028", "-32768", "1e8", "#", "9" * 400,
     "1e-320"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PLACES = ["units", "origin", "y_from_bottom", "screen", "offset", "scale", "time_unit", "decimal"]
CHOICES = ["fixations", "columns", "ignore", "observers", "keep", "skip_first", "first", "weight"]
SETTINGS = [*PLACES, *CHOICES, "sigma_px", "pixels_per_degree"]
TYPICAL = st.sampled_from(
    ["pixels", "fractions", "percent", "norm", "height", "centred", "fit", "ms", "s", ",", ".", "duration", "look.csv",
     0, 1, 2.5, True, [160, 120], [1e300, 1e-300], [0, 0], {"x": "y", "y": "x"}, {"observer": ["s1"]},
     {"duration": [150]}, ["s0"], ["*"], ["a*"], {"event": "duration"}, {"image": "observer"}]
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir(exist_ok=True)
    for name in "ab":
        Image.new("RGB", (160, 120), "white").save(tmp_path / f"images/{name}.png")
    return tmp_path


def use(root: Path) -> None:
    """Read the study, and check what it gives."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SalzooWarning)
            dataset = FixationFolder(root, "all")
    except SalzooError:
        return
    check(dataset).to_text()
    for i in range(len(dataset)):
        try:
            item = dataset[i]
        except SalzooError:
            continue  # no durations to weigh by
        total = float(item["density"].sum())
        assert np.isclose(total, 1, atol=1e-4) if item["fixations"].any() else total in (0, pytest.approx(1, abs=1e-4))
        assert item["fixations"].min() >= 0


@given(st.lists(st.tuples(st.integers(1, 16), st.integers(0, 5), CELL), max_size=6), st.sampled_from(",;\t|"))
def test_cells(root: Path, changes: list[tuple[int, int, str]], separator: str) -> None:
    rows = [line.split(",") for line in TABLE.splitlines()]
    for row, column, text in changes:
        rows[row][column] = text
    (root / "look.csv").write_text("\n".join(separator.join(row) for row in rows), encoding="utf-8")
    use(root)


@given(st.lists(st.tuples(st.integers(0, len(TABLE) - 1), st.binary(max_size=3)), max_size=4), st.integers(0, 700))
@example([(0, b"\xff\xfe")], 700)
@example([(5, b'"')], 700)
def test_bytes(root: Path, changes: list[tuple[int, bytes]], length: int) -> None:
    data = bytearray(TABLE.encode())
    for place, new in changes:
        data[place : place + 1] = new
    (root / "look.csv").write_bytes(bytes(data[:length]))
    use(root)


@given(st.dictionaries(st.sampled_from(SETTINGS), TYPICAL | JSON, max_size=4))
def test_settings(root: Path, content: dict[str, Any]) -> None:
    (root / "look.csv").write_text(TABLE)
    (root / "study.json").write_text(json.dumps(content))
    use(root)


@given(JSON | st.dictionaries(st.sampled_from(["train", "val", "test"]), JSON | st.lists(CELL), max_size=3))
def test_splits(root: Path, content: Any) -> None:
    (root / "look.csv").write_text(TABLE)
    (root / "splits.json").write_text(json.dumps(content))
    use(root)
