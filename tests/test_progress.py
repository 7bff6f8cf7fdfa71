"""How far a job is, where stderr is no terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from salzoo import _progress
from salzoo.cli import main


class Clock:
    """Seconds that pass ten at a time."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Return the time."""
        self.now += 10
        return self.now


def test_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(_progress, "time", Clock())
    assert list(_progress.counted("abcdef", 6, "image", each=", each in 2 rows")) == list("abcdef")
    assert capsys.readouterr() == (
        "",
        "salzoo: 1 of 6 images, each in 2 rows, 20 s, about 100 s to go\n"
        "salzoo: 3 of 6 images, each in 2 rows, 40 s, about 40 s to go\n"
        "salzoo: 5 of 6 images, each in 2 rows, 60 s, about 12 s to go\n",
    )


def test_nothing_where_it_is_not_wanted_or_short(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(_progress.counted(range(3), 3, "image")) == [0, 1, 2]
    monkeypatch.setattr(_progress, "EVERY_S", 0)
    assert list(_progress.counted(range(3), 3, "image", shown=False)) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys, "stderr", None)  # a program without a console
    assert list(_progress.counted(range(3), 3, "image")) == [0, 1, 2]


def test_evaluate_tells_images_and_rows(
    tiny_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_progress, "EVERY_S", 0)
    words = ["evaluate", "signature", "--data", "osie", "--root", str(tiny_data), "--baselines", "gold,permutation"]
    assert main(words) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(", ")[:2] for line in lines] == [
        [f"salzoo: {done} of 5 images", "each in 3 rows"] for done in range(1, 5)
    ]
