"""`salzoo import` among odd paths, other imports, and what killed ones left."""
# ruff: noqa: F811

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from importing.test_frame import arrays, save  # noqa: F401

import salzoo
from salzoo.errors import SalzooError, WeightsError
from salzoo.importing.rules import rotate
from salzoo.importing.weights import import_weights

Save = Callable[..., Path]
Arrays = dict[str, np.ndarray]


def test_odd_paths_are_refused_at_once(save: Save, arrays: Arrays, tmp_path: Path) -> None:
    good = save(arrays)
    (tmp_path / "link.npz").symlink_to(good)
    (tmp_path / "text").write_text("x")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for files, output, message in (
        ([good, tmp_path / "link.npz"], None, r"toy\.npz is given twice, as \S+link\.npz too"),
        (tmp_path, None, "is a folder: give the file of weights in it"),
        ("", None, r"\. is a folder"),
        ("a\0b", None, "it holds a NUL"),
        (good, "a\0b", "it holds a NUL"),
        (good, tmp_path / "text" / "x", r"text is no folder; give another folder"),
        (good, tmp_path / ("x" * 300), "cannot be written: .*File name too long"),
        (good, tmp_path / "circle", "cannot be written: its links lead in a circle"),
        (good, tmp_path / "text", "holds something else already"),
    ):
        with pytest.raises(SalzooError, match=message) as caught:
            import_weights("toy", files, output)
        assert "\n" not in str(caught.value)
    assert not [*tmp_path.rglob("*.part")]


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with a name")
def test_a_pipe_is_not_waited_for(save: Save, arrays: Arrays, tmp_path: Path) -> None:
    save(arrays)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="is a pipe or a device"):
        import_weights("toy", tmp_path / "pipe")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_closed_folder_is_told_before_the_work(save: Save, arrays: Arrays, tmp_path: Path) -> None:
    good = save(arrays)
    (tmp_path / "closed").mkdir(mode=0o500)
    said: list[str] = []
    with pytest.raises(WeightsError, match="closed is closed to you"):
        import_weights("toy", good, tmp_path / "closed" / "x", report=said.append)
    assert not said


def test_a_link_to_a_folder_stays_one_and_what_was_abandoned_goes(save: Save, arrays: Arrays, tmp_path: Path) -> None:
    good = save(arrays)
    (tmp_path / "there").mkdir()
    (tmp_path / "here").symlink_to(tmp_path / "there")
    dead, alive, other = (
        tmp_path / f".{host}-{process}-{'0' * 32}.part"
        for host, process in ((socket.gethostname(), 4194304), (socket.gethostname(), os.getpid()), ("elsewhere", 1))
    )
    for folder in (dead, alive, other):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half of it")
    import_weights("toy", good, tmp_path / "here")
    assert (tmp_path / "here").is_symlink()
    assert (tmp_path / "there" / "config.json").is_file()
    assert sorted(tmp_path.glob(".*.part")) == sorted([alive, other])


def test_several_at_once_leave_one_whole_checkpoint(save: Save, arrays: Arrays, tmp_path: Path) -> None:
    good = save(arrays)
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: import_weights("toy", good, tmp_path / "same"), range(3)))
    assert done == [tmp_path / "same"] * 3
    assert salzoo.load(tmp_path / "same").config.imported.release == "first"
    assert not [*tmp_path.glob(".*.part")]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda a: a > 0, "is torch.bool, no fractions: no weights"),
        (lambda a: a.astype("f8") * 1e300, "is not finite"),
        (lambda a: a[0, 0, 0, 0], r"has the shape \[\]"),
    ],
    ids=["truths", "beyond float32", "scalar"],
)
def test_values_that_are_none(value: Callable[..., np.ndarray], message: str, save: Save, arrays: Arrays) -> None:
    name = "net.backbone.trunk.conv_stem.weight"
    with pytest.raises(WeightsError, match=rf"toy\.npz: what becomes backbone.trunk.conv_stem.weight {message}"):
        import_weights("toy", save(arrays | {name: value(arrays[name])}))


def test_a_tensor_that_the_mapping_cannot_turn(save: Save, arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a kernel of four axes is expected and a single number comes."""
    toy = sys.modules["salzoo.importing.maps.toy"]
    monkeypatch.setattr(
        toy, "convert", lambda files, *_: (("x", rotate(t)) for t in [files.take("net.blur.log_sigma")])
    )
    with pytest.raises(WeightsError, match=r"toy\.npz: a tensor cannot become toy \(first\)'s: .*Another port"):
        import_weights("toy", save(arrays))
