"""What a user gets from pip: a wheel holds the zoo's YAMLs, its cards, and the weights of some models."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image

import salzoo
from salzoo.registry import RECOMMENDED

ROOT = Path(__file__).parents[1]

MOST = 75e6
"""Most bytes of a wheel today. No package index takes more than 100 MB, and what is to come needs room too."""

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
assert {"deepgaze2e", "salgan"} <= set(salzoo.list_models(trained=True))
assert "sam" not in salzoo.list_models(trained=True) and len(salzoo.info("sam")["checkpoints"]["lite"]["sha256"]) == 64
print(*salzoo.list_models())
"""


def kept_weights() -> list[Path]:
    """Return the weights that travel, as pyproject.toml declares them."""
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    return [ROOT / line[2:] for line in hatch["build"]["exclude"] if line.startswith("!/")]


def test_the_weights_that_travel_are_there_and_small_enough() -> None:
    kept = kept_weights()
    assert all(path.is_file() for path in kept), kept
    assert ROOT / f"hub/{RECOMMENDED}.lite/model.safetensors" in kept
    others = [path for path in (ROOT / "hub").rglob("*") if path.is_file() and path.suffix != ".safetensors"]
    assert sum(path.stat().st_size for path in [*kept, *others]) < MOST


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


@pytest.mark.slow
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
    marks = {line[2:].split()[0]: line[0] for line in listed.stdout.splitlines()}
    assert list(marks) == salzoo.list_models()
    assert (marks["salgan"], marks["sam"]) == ("*", "+")


LEFT_OUT = """
import os, sys
from salzoo.cli import main
hub, *osie = sys.argv[1:]
predict = ["predict", "picture.png", "-m", "sam"]
for words in (predict, ["evaluate", "sam", *osie], ["finetune", "sam", *osie, "-o", "tuned"]):
    assert main(words) == 1, words
assert main(["predict", "picture.png", "-m", f"{hub}/sam.lite"]) == 0
os.environ["SALZOO_HUB"] = hub
assert main([*predict, "-o", "others"]) == 0
"""


@pytest.mark.slow
def test_weights_that_were_left_out_are_told_and_found(installed: Path, tmp_path: Path, tiny_data: Path) -> None:
    """Whichever command asks for them: one line that says which file is missing, how large it is, and the ways."""
    Image.new("RGB", (80, 60), "white").save(tmp_path / "picture.png")
    command = [sys.executable, "-c", LEFT_OUT, ROOT / "hub", "--data", "osie", "--root", tiny_data]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("salzoo:")]
    assert len(told) == 3
    for line in told:
        assert line.startswith("salzoo: model.safetensors of sam.lite (about 7 MB) is not in this installation")
        assert "SALZOO_HUB=CLONE/hub" in line
        assert "hf://" in line


@pytest.mark.slow
def test_the_wheel_holds_licences_and_types_and_no_tests(installed: Path) -> None:
    (record,) = installed.glob("salzoo-*.dist-info")
    assert sorted(path.name for path in (record / "licenses").iterdir()) == ["LICENSE", "THIRD_PARTY.md"]
    assert f"Version: {salzoo.__version__}\n" in (record / "METADATA").read_text(encoding="utf-8")
    assert (installed / "salzoo/py.typed").is_file()
    assert {path.name for path in installed.iterdir()} == {"salzoo", "bin", record.name}
    (wheel,) = installed.parent.glob("*.whl")
    assert wheel.stat().st_size < MOST
    weights = {path.parent.name for path in installed.glob("salzoo/_hub/*/model.safetensors")}
    assert weights == {path.parent.name for path in kept_weights()}
    assert len(list(installed.glob("salzoo/_hub/*/config.json"))) == len(list((ROOT / "hub").glob("*/config.json")))
