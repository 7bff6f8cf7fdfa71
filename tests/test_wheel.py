"""What a user gets from pip: a wheel holds the zoo's YAMLs and its weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import salzoo

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow

CODE = """
import salzoo, sys
from pathlib import Path
from salzoo.registry import read_spec, shipped
folder = Path(sys.argv[1])
assert Path(salzoo.__file__).is_relative_to(folder), salzoo.__file__
assert shipped("zoo_configs").is_relative_to(folder) and shipped("hub").is_relative_to(folder)
for name in salzoo.list_models(trained=True):
    for tag in read_spec(name).loadable:
        salzoo.load(f"{name}.{tag}")
density = salzoo.load("deepgaze2").predict("picture.png").density
assert abs(density.sum() - 1) < 1e-4, density.sum()
print(*salzoo.list_models())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel with what is installed, and install it into a folder, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, *build], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    install = [
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--no-compile",
        "--target",
        str(folder / "site"),
        str(wheel),
    ]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    return folder / "site"


def test_the_installed_package_lists_and_loads_from_another_folder(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    Image.new("RGB", (80, 60), "white").save(tmp_path / "picture.png")
    run = subprocess.run(
        [sys.executable, "-c", CODE, str(installed)], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == salzoo.list_models()
    listed = subprocess.run(
        [installed / "bin/salzoo", "list"], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert listed.returncode == 0, listed.stderr
    assert len(listed.stdout.splitlines()) == len(salzoo.list_models())


def test_the_wheel_holds_licences_and_types_and_no_tests(installed: Path) -> None:
    (record,) = installed.glob("salzoo-*.dist-info")
    assert sorted(path.name for path in (record / "licenses").iterdir()) == ["LICENSE", "THIRD_PARTY.md"]
    assert f"Version: {salzoo.__version__}\n" in (record / "METADATA").read_text(encoding="utf-8")
    assert (installed / "salzoo/py.typed").is_file()
    assert {path.name for path in installed.iterdir()} == {"salzoo", "bin", record.name}
    assert (
        sum(path.stat().st_size for path in installed.rglob("*") if path.is_file()) < 160e6
    )  # hub/ holds at most 150 MB
