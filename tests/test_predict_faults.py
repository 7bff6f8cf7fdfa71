"""What `salzoo predict` cannot read or write: one line each, and the rest goes on."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from PIL import Image
from torch import Tensor

import salzoo
from salzoo.cli import main
from salzoo.components.saliency_model import SaliencyModel
from salzoo.prediction.files import predict_files

# Root reads all, unless it gives up what lets it.
UNPRIVILEGED = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all"]
needs_permissions = pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may read all, and there is no setpriv"
)


def make(folder: Path, count: int, size: int = 20) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{i}.png" for i in range(count)]
    for i, path in enumerate(paths):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (size, size + i, 3), np.uint8)).save(path)
    return paths


def run(folder: Path, *words: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `salzoo predict` in a folder as a process that permissions hold for."""
    command = [*(UNPRIVILEGED if os.geteuid() == 0 else []), sys.executable, "-m", "salzoo", "predict"]
    environment = os.environ | {"PYTHONPATH": str(Path(salzoo.__file__).parents[1])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.run([*command, *map(str, words)], cwd=folder, env=environment, timeout=300, check=False, **pipes)  # type: ignore[call-overload, no-any-return]


def reasons(error: str) -> dict[str, str]:
    """Return what is said of each input; every line is one reason."""
    lines = [line.removeprefix("salzoo: ").split(": ", 1) for line in error.splitlines()]
    assert all(len(line) == 2 for line in lines), error
    return dict(lines)  # type: ignore[arg-type]


@needs_permissions
@pytest.mark.parametrize("options", [(), pytest.param(("--resume",), marks=pytest.mark.slow)])
def test_what_may_not_be_read_is_named_and_the_rest_goes_on(options: tuple[str, ...], tmp_path: Path) -> None:
    """On the old code an unreadable folder, a long name or an unknown user ended everything with a traceback."""
    make(tmp_path / "a", 3)[1].chmod(0)
    make(tmp_path / "locked", 1)
    (tmp_path / "locked").chmod(0)
    inputs = ["a/0.png", "a/1.png", "locked/0.png", "locked", "~nosuchuser/x.png", "n" * 300 + ".png", "a/2.png"]
    (tmp_path / "list.txt").write_text("\n".join(inputs))
    done = run(tmp_path, "@list.txt", "-m", "uniform", "-o", "out", *options)
    (tmp_path / "locked").chmod(0o700)
    assert done.returncode == 1
    assert "2 of 7 images, 2 files in out" in done.stdout
    told = {Path(name).name: reason for name, reason in reasons(done.stderr).items()}
    assert len(told) == 4 + 1, "0.png of a is done"
    assert all(os.strerror(13) in told[name] for name in ("1.png", "0.png", "locked"))
    assert {path.name for path in (tmp_path / "out").rglob("*.png")} == {"0.png", "2.png"}


@pytest.mark.slow
@needs_permissions
def test_a_job_that_is_done_needs_no_writing(tmp_path: Path) -> None:
    make(tmp_path / "a", 2)
    words = ("a", "-m", "uniform", "-o", "out", "--resume")
    assert run(tmp_path, *words).returncode == 0
    for path in ((tmp_path / "out/job.json"), tmp_path / "out"):
        path.chmod(0o555)
    done = run(tmp_path, *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 of 2 images, 2 files in out\n", "")
    make(tmp_path / "b", 3)
    done = run(tmp_path, "b/2.png", *words[1:])
    (tmp_path / "out").chmod(0o755)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert os.strerror(13) in done.stderr


def small_files() -> None:
    """Let no file grow over 6000 bytes: what a full disk does, for one process."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))


def test_a_map_that_does_not_fit_on_the_disk_is_named(tmp_path: Path) -> None:
    small, large = make(tmp_path / "a", 2), make(tmp_path / "b", 1, size=200)
    words = [*small, *large, "-m", "uniform", "-o", "out", "--format", "npy"]
    done = run(tmp_path, *words, preexec_fn=small_files)
    assert done.returncode == 1
    assert "2 of 3 images, 2 files" in done.stdout
    assert list(reasons(done.stderr)) == [str(large[0])]
    assert {path.name for path in (tmp_path / "out").rglob("*.*")} == {"0.npy", "1.npy"}
    done = run(tmp_path, *words[:-4], "-o", "tars", "--format", "npy", "--shard-size", 2, preexec_fn=small_files)
    assert done.returncode == 1
    assert done.stderr.count("cannot write") == 2, "each tar has more than so many bytes"
    assert not list((tmp_path / "tars").glob("*.tar"))
    assert not list((tmp_path / "tars").glob(".*"))
    assert run(tmp_path, *words[:-4], "-o", "tars", "--format", "npy", "--shard-size", 2).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_the_summary(tmp_path: Path) -> None:
    make(tmp_path / "a", 2)
    with Path("/dev/full").open("w") as full:
        done = run(tmp_path, "a", "-m", "uniform", "-o", "out", stdout=full)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (["@list.txt"], "the list list.txt is empty"),
        (["a{0..2.tar"], "the braces of a{0..2.tar cannot be expanded"),
        (["a/{0..2}.tar"], "there is no shard a/0.tar"),
        (["~nosuchuser/x.png"], "no such file"),
        (["n" * 300 + ".png"], "no such file"),
        (["a.tar", "a/0.png"], "give inputs of one kind"),
    ],
)
def test_inputs_of_which_nothing_is_there(
    inputs: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a", 1)
    (tmp_path / "a.tar").write_bytes(b"")
    (tmp_path / "list.txt").write_text(" \n\n")
    assert main(["predict", *inputs, "-m", "uniform", "-o", "out"]) in (1, 2)
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_image_that_the_model_fails_on_is_named(tmp_path: Path) -> None:
    """On the old code it ended everything, with a traceback."""

    class Choosy(type(tiny_models.build("uniform"))):  # type: ignore[misc]
        def infer(self, images: Sequence[Tensor]) -> list[Tensor]:
            if any(image.shape[2] == 21 for image in images):
                raise RuntimeError("out of memory:\n 21 columns")
            densities: list[Tensor] = super().infer(images)
            return [each + (torch.nan if each.shape[1] == 23 else 0) for each in densities]

    model: SaliencyModel = tiny_models.build("uniform")
    model.__class__ = Choosy
    paths = make(tmp_path / "a", 5)
    report = predict_files(model, paths, tmp_path / "out", batch_size=4)
    assert [path.name for path in report.written] == ["0.png", "2.png", "4.png"]
    assert report.failed[paths[1]] == "the model fails on it: out of memory: 21 columns"
    assert "sums to nan" in report.failed[paths[3]]


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("options", [(), ("--resume",), ("--shard-size", "5")])
def test_an_interrupt_is_130(options: tuple[str, ...], tmp_path: Path) -> None:
    make(tmp_path / "a", 30)
    command = [sys.executable, "-m", "salzoo", "predict", "a", "-m", "gbvs", "-o", "out", "--batch-size", "1", *options]
    environment = os.environ | {"PYTHONPATH": str(Path(salzoo.__file__).parents[1])}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "out").glob("*.???")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert error.splitlines()[-1] == "salzoo: interrupted"
    assert not list((tmp_path / "out").glob(".*"))
