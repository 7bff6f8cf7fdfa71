"""The README's Python runs as it is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import salzoo
from salzoo.images.samples import sample_images

README = Path(__file__).parents[1] / "README.md"
CARDS = [*README.parent.glob("hub/*.*/README.md"), *README.parent.glob("hub/cards/*.md")]
BLOCKS = re.findall(
    r"^(<!-- not run: .+ -->\n)?```python\n(.*?)^```", README.read_text("utf-8"), re.DOTALL | re.MULTILINE
)
"""A block is left out only where the line before it says why."""


@pytest.mark.parametrize("code", [code for skip, code in BLOCKS if not skip])
def test_block_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample_images()["coffee"].save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(README), "exec"), {"__name__": "readme"})


def test_there_is_something_to_run() -> None:
    assert any("salzoo.load(" in code for _, code in BLOCKS)


def test_every_model_and_command_is_named() -> None:
    text = README.read_text("utf-8")
    assert not [name for name in salzoo.list_models() if f"`{name}`" not in text]
    assert not [word for word in ("list", "predict", "evaluate", "fit") if f"salzoo {word}" not in text]


def test_every_link_to_a_file_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)\)", README.read_text("utf-8"))
    assert not [link for link in links if not (README.parent / link).exists()]


def test_what_a_card_shows_lies_beside_it() -> None:
    """A checkpoint's folder is all that its page on the Hub has; cards of what has no weights are read here only."""
    shown = {card: re.findall(r"\]\((?!https?://|#)([^)]+)\)", card.read_text("utf-8")) for card in CARDS}
    assert any(shown.values())
    for card, links in shown.items():
        assert not [link for link in links if "/" in link or not (card.parent / link).is_file()], card
