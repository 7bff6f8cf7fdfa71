"""Whatever stands in a stranger's config.json: what loads predicts, everything else is one WeightsError."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tiny_models
from hypothesis import example, given
from hypothesis import strategies as st

import salzoo
from salzoo.checkpoint.config import CONFIG
from salzoo.errors import WeightsError

IMAGE = np.arange(48 * 64 * 3, dtype=np.uint32).reshape(48, 64, 3).astype(np.uint8)
HOME = tempfile.TemporaryDirectory()
VALUES: list[Any] = [
    0,
    -1,
    1,
    3,
    1_000,
    10**9,
    1e308,
    1e-300,
    0.5,
    float("nan"),
    float("inf"),
    None,
    True,
    "",
    "x" * 300,
]
VALUES += [[], [0], [1] * 900, [[[[1]]]], [4096, 4096], [1, 2048], [[1.0, True]] * 16, [[4.0, False]], {}, {"a": {}}]


def checkpoint(name: str) -> Path:
    """Return the folder of a miniature, which is made once; its config as it was lies beside it."""
    folder = Path(HOME.name) / name
    if not folder.exists():
        tiny_models.save(tiny_models.build(name), folder)
        (folder.parent / f"{name}.json").write_bytes((folder / CONFIG).read_bytes())
    return folder


@given(st.sampled_from(tiny_models.LEARNED), st.sampled_from(["network", "preprocess"]), st.data())
def test_one_value_replaced(name: str, part: str, data: st.DataObject) -> None:
    folder = checkpoint(name)
    content = json.loads((folder.parent / f"{name}.json").read_text())
    key = data.draw(st.sampled_from(sorted(content[part]) or ["tta"]))
    content[part][key] = data.draw(st.sampled_from(VALUES))
    (folder / CONFIG).write_text(json.dumps(content))
    try:
        model = salzoo.load(folder)
    except WeightsError:
        return
    assert model.predict(IMAGE).shape == (48, 64)


@given(st.binary(max_size=200), st.integers(0, 1 << 16))
@example(b"[" * 200, 0)
@example(b"\xff\xfe", 0)
def test_bytes_put_into_a_config(data: bytes, place: int) -> None:
    folder = checkpoint("centre_bias")
    before = (folder.parent / "centre_bias.json").read_bytes()
    at = place % len(before)
    (folder / CONFIG).write_bytes(before[:at] + data + before[at + len(data) :])
    try:
        model = salzoo.load(folder)
    except WeightsError:
        return
    assert model.predict(IMAGE).shape == (48, 64)
