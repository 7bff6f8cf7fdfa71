"""docs/authors_weights.md says what the YAMLs say."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import ModuleType

import pytest
import scripts

from salzoo.cli import build_parser
from salzoo.registry import read_spec, spec_names

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return scripts.load("benchmarks/authors_files.py")


def test_the_page_is_current(script: ModuleType) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run: python benchmarks/authors_files.py"


def test_every_release_is_on_it_with_a_command_that_parses(script: ModuleType) -> None:
    page = script.page()
    for name in spec_names():
        for release in read_spec(name).authors:
            command = release.command(name)
            assert f"| `{command}` |" in page
            arguments = build_parser().parse_args(shlex.split(command)[1:])
            assert (arguments.name, arguments.files) == (name, [file.name for file in release.files])


@pytest.mark.parametrize("name", [name for name in spec_names() if read_spec(name).authors])
def test_releases_are_told_as_facts(name: str) -> None:
    """Checksums have their lengths, and what is in a file of a licence's tree is not called unlicensed."""
    for release in read_spec(name).authors:
        assert release.proved, f"{name}.{release.name}: how was it compared?"
        assert release.license_note.endswith(".")
        for file in release.files:
            assert file.sha256 is None or len(file.sha256) == 64
            assert file.git_blob is None or len(file.git_blob) == 40
            assert "http" in file.where, "a host that can be opened"
