"""The example of CONTRIBUTING.md is a whole model: one file, one YAML and one card, copied from the text."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
FILES = {"python": "salzoo/models/toy.py", "yaml": "zoo_configs/toy.yaml", "markdown": "hub/cards/toy.md"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the repository's code that has the example as well."""
    copy = tmp_path / "repository"
    for part in ("salzoo", "zoo_configs", "hub/cards"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for language, file in FILES.items():
        (block,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        (copy / file).write_text(block, encoding="utf-8")
    return copy


def test_the_example_is_listed_trained_and_predicts(checkout: Path, tiny_data: Path, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-m", "salzoo", *words]
        process = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stderr
        return process.stdout

    assert "toy" in run("list", "toy")
    quiet = ("--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu", "--data.batch_size=4")
    output = tmp_path / "run"
    run("fit", "toy", "--data", "osie", "--root", str(tiny_data), "-o", str(output), "--trainer.max_epochs=1", *quiet)
    card = (output / "toy.lite/README.md").read_text(encoding="utf-8")
    assert "A single convolution." in card
    assert "A convolution of 5 x 5 pixels" in card

    Image.new("RGB", (60, 40), "teal").save(tmp_path / "picture.png")
    run(
        "predict", str(tmp_path / "picture.png"), "-m", str(output / "toy.lite"), "-o", str(tmp_path), "--format", "npy"
    )
    assert np.load(tmp_path / "picture.npy").sum() == pytest.approx(1, abs=1e-4)
