"""The parts of `.ci/release`; CI runs the whole of it."""

from __future__ import annotations

import io
import tarfile
import zipfile
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

import salzoo

ROOT = Path(__file__).parents[1]
CHANGELOG = "# Changelog\n\n## 0.2.0 (2027-01-02)\n\nNew:\n\n- two\n\n## 0.1.0\n\n### Kind\n\n- one\n\n## 0.0.9\n"
WHEEL = (
    "salzoo-1.dist-info/licenses/LICENSE",
    "salzoo-1.dist-info/licenses/THIRD_PARTY.md",
    "salzoo/py.typed",
    "salzoo/_zoo_configs/deepgaze2e.yaml",
    "salzoo/_hub/deepgaze2e.lite/model.safetensors",
)
SDIST = (
    *("LICENSE", "THIRD_PARTY.md", "CHANGELOG.md", "README.md", "pyproject.toml"),
    *("salzoo/py.typed", "zoo_configs/deepgaze2e.yaml", "hub/deepgaze2e.lite/model.safetensors"),
)


@pytest.fixture(scope="module")
def release() -> Any:
    loader = SourceFileLoader("release", str(ROOT / ".ci/release"))
    spec = spec_from_loader("release", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def wheel(path: Path, names: tuple[str, ...]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x" * 100)
    return path


def sdist(path: Path, names: tuple[str, ...]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(f"salzoo-1/{name}"), io.BytesIO())
    return path


def test_notes_are_the_section_of_the_version(release: Any) -> None:
    assert release.notes("0.2.0", CHANGELOG) == "New:\n\n- two\n"
    assert release.notes("0.1.0", CHANGELOG) == "### Kind\n\n- one\n"
    for version in ("0.0.9", "0.1", "0.2.0.1", "1.0.0"):
        with pytest.raises(ValueError, match=rf"nothing about {version}$"):
            release.notes(version, CHANGELOG)


def test_this_version_has_notes(release: Any) -> None:
    text = release.notes(salzoo.__version__, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert "New:" in text
    assert "\n## " not in text


def test_whole_archives_have_no_faults(release: Any, tmp_path: Path) -> None:
    assert release.faults(wheel(tmp_path / "a.whl", WHEEL)) == []
    assert release.faults(sdist(tmp_path / "a.tar.gz", SDIST)) == []


@pytest.mark.parametrize("missing", range(len(WHEEL)))
def test_a_wheel_without_a_licence_or_weights_is_told(release: Any, tmp_path: Path, missing: int) -> None:
    (fault,) = release.faults(wheel(tmp_path / "a.whl", WHEEL[:missing] + WHEEL[missing + 1 :]))
    assert fault.endswith(" is missing")


@pytest.mark.parametrize("missing", range(len(SDIST)))
def test_an_sdist_without_a_licence_or_weights_is_told(release: Any, tmp_path: Path, missing: int) -> None:
    (fault,) = release.faults(sdist(tmp_path / "a.tar.gz", SDIST[:missing] + SDIST[missing + 1 :]))
    assert fault.endswith(" is missing")


def test_what_should_not_be_there_is_told(release: Any, tmp_path: Path) -> None:
    assert release.faults(wheel(tmp_path / "a.whl", (*WHEEL, "tests/test_x.py"))) == [
        "tests/test_x.py should not be there"
    ]
    assert release.faults(sdist(tmp_path / "a.tar.gz", (*SDIST, "runs/last.ckpt"))) == [
        "runs/last.ckpt should not be there"
    ]


def test_a_size_that_no_index_takes_is_told(release: Any, tmp_path: Path) -> None:
    path = wheel(tmp_path / "a.whl", WHEEL)
    size = path.stat().st_size
    assert release.faults(path, most=size) == []
    (fault,) = release.faults(path, most=size - 1)
    assert fault.endswith("are allowed")
    assert release.MOST < 100e6
