"""What the system refuses a command: one line and an exit code, never a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from salzoo.cli import main


def salzoo(*words: str, stdout: object = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own."""
    command = [sys.executable, "-m", "salzoo", *words]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=120, check=False)  # type: ignore[call-overload]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("words", [["list"], ["list", "--json"], ["info", "uniform"]])
def test_a_full_disk_behind_stdout_is_one_line(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = salzoo(*words, stdout=full)
    assert done.returncode == 1
    assert done.stderr.strip() == f"salzoo: {os.strerror(errno.ENOSPC)}; free some space, or write elsewhere"


def test_a_closed_pipe_ends_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = salzoo("list", stdout=pipe)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_output_below_a_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "image.png"
    Image.new("RGB", (40, 30), "teal").save(image)
    code = main(["predict", str(image), "-m", "uniform", "-o", str(image / "maps")])
    said = capsys.readouterr().err
    assert code in (1, 2)
    assert said.count("\n") == 1
    assert str(image) in said


JOIN = """
import os, pathlib, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import torch
from salzoo.cli import list_models, main

matrix, at_work = torch.ones(1000, 1000), threading.Event()

def work():
    at_work.set()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        matrix @ matrix
    pathlib.Path("done").touch()

def run(arguments):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work)
        at_work.wait()
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

signal.signal(signal.SIGINT, signal.default_int_handler)
list_models.run = run
sys.exit(main(["list"]))
"""


def test_an_interrupt_while_threads_are_joined_waits_for_them(tmp_path: Path) -> None:
    """On the old code the interpreter was torn down under a thread in torch: SIGABRT, with Python before 3.13."""
    done = subprocess.run([sys.executable, "-c", JOIN], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (130, "salzoo: interrupted\n")
    assert (tmp_path / "done").exists()
