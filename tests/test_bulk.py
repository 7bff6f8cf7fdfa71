"""Big prediction: several real processes, of which one is killed; nothing is lost, nothing is doubled."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from PIL import Image
from torchrun_workers import workers

import salzoo
from salzoo.cli import main
from salzoo.prediction import manifest

COUNT = 200


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save(tiny_models.build("deepgaze2"), tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of images of two sizes."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i in range(COUNT):
        Image.fromarray(rng.integers(0, 255, ((30, 40), (24, 20))[i % 2] + (3,), np.uint8)).save(
            folder / f"{i:03d}.png"
        )
    return folder


@pytest.fixture(scope="module")
def expected(checkpoint: Path, images: Path) -> dict[str, bytes]:
    model = salzoo.load(checkpoint)
    paths = sorted(images.iterdir())
    maps = model.predict(paths)
    return {path.stem: bytes(m.encode(".png")) for path, m in zip(paths, maps, strict=True)}


def same(png: bytes, other: bytes) -> bool:
    """Compare but for the last bit: a batch's size decides how sums are rounded."""
    a, b = (np.asarray(Image.open(io.BytesIO(data)), dtype=int) for data in (png, other))
    return a.shape == b.shape and int(abs(a - b).max()) <= 1


def whole(output: Path, expected: dict[str, bytes]) -> list[dict[str, object]]:
    """Check that every map is there and right, and return the manifest: one line an image."""
    assert {path.name for path in output.iterdir()} == {
        *(f"{key}.png" for key in expected),
        "job.json",
        "manifest.jsonl",
    }
    assert all(same((output / f"{key}.png").read_bytes(), png) for key, png in expected.items())
    entries = [json.loads(line) for line in (output / manifest.MANIFEST).read_text().splitlines()]
    assert [Path(entry["source"]).stem for entry in entries] == sorted(expected)
    return entries


def start(words: list[str], output: Path) -> subprocess.Popen[str]:
    environment = (
        os.environ
        | {"SALZOO_RUN": str(output)}
        | {"GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(Path(salzoo.__file__).parents[1])}
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    command = [sys.executable, "-m", "salzoo", "predict", *words]
    return subprocess.Popen(command, env=environment, start_new_session=True, **pipes)


def wait_for_maps(output: Path, count: int, process: subprocess.Popen[str], parts: int = 1) -> None:
    """Wait for so many maps, and for so many processes to be at work."""
    for _ in range(60_000):
        if len(list(output.glob("*.png"))) >= count and len(list(output.glob("manifest.*.jsonl"))) >= parts:
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    raise AssertionError("no maps appear")


@pytest.mark.slow
def test_a_killed_process_goes_on_where_it_was(
    checkpoint: Path, images: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    words = [str(images), "-m", str(checkpoint), "-o", str(tmp_path / "out"), "--resume", "--batch-size", "4"]
    process = start(words, tmp_path / "out")
    wait_for_maps(tmp_path / "out", 20, process)
    process.kill()
    process.communicate()
    (part,) = (tmp_path / "out").glob(manifest.PARTS)
    with part.open("a") as file:
        file.write('{"source": "unfin')  # as a process that dies amid a line leaves it
    done = {source: entry for source, entry in manifest.entries(tmp_path / "out").items() if entry.files}
    assert 10 < len(done) < COUNT
    before = {source: Path(tmp_path / "out" / entry.files[0]).stat().st_mtime_ns for source, entry in done.items()}
    assert main(["predict", *words]) == 0
    whole(tmp_path / "out", expected)
    assert all((tmp_path / "out" / f"{Path(s).stem}.png").stat().st_mtime_ns == t for s, t in before.items())


@pytest.mark.slow
def test_a_killed_rank_of_torchrun_is_started_anew(
    checkpoint: Path, images: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    words = [str(images), "-m", str(checkpoint), "-o", str(output), "--batch-size", "4"]
    process = start([*words, "--engine", "torchrun", "--processes", "2"], output)
    wait_for_maps(output, 10, process, parts=2)
    (agent,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ranks = workers(int(agent))
    assert sorted(ranks) == [0, 1]
    assert len(list(output.glob("manifest.*.jsonl"))) == 2, "both were at work"
    os.kill(ranks[1], signal.SIGKILL)
    text, _ = process.communicate(timeout=900)
    assert process.returncode == 0, text
    assert f"{COUNT} of {COUNT} images, {COUNT} files" in text
    whole(output, expected)


@pytest.mark.slow
def test_a_killed_ray_worker_is_replaced(
    checkpoint: Path, images: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    words = [str(images), "-m", str(checkpoint), "-o", str(output), "--batch-size", "4"]
    process = start([*words, "--engine", "ray", "--processes", "2"], output)
    wait_for_maps(output, 10, process)
    while len(found := actors(output)) < 2:
        assert process.poll() is None, f"two actors were never there at once: {process.communicate()[0]}"
        time.sleep(0.05)
    assert len(found) == 2
    os.kill(found[0], signal.SIGKILL)
    text, _ = process.communicate(timeout=900)
    assert process.returncode == 0, text
    whole(output, expected)


def actors(output: Path) -> list[int]:
    """Return the processes of Ray's actors that work for this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            name, environment = path.read_bytes(), (path.parent / "environ").read_bytes()
        except OSError:
            continue
        if b"MapWorker" in name and f"SALZOO_RUN={output}".encode() in environment:
            found.append(int(path.parent.name))
    return found


def test_shards_give_shards(checkpoint: Path, images: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    for number in range(2):
        with tarfile.open(tmp_path / f"in-{number}.tar", "w") as tar:
            for path in sorted(images.iterdir())[number * 10 : number * 10 + 10]:
                tar.add(path, path.name)
            broken = tarfile.TarInfo("broken.png")
            broken.size = 5
            tar.addfile(broken, io.BytesIO(b"nopng"))
    (tmp_path / "in-2.tar").write_bytes((tmp_path / "in-1.tar").read_bytes()[:700])
    words = [str(tmp_path / "in-{0..2}.tar"), "-m", str(checkpoint), "-o", str(tmp_path / "out")]
    assert main(["predict", *words, "--format", "png", "--format", "npy"]) == 1
    entries = [json.loads(line) for line in (tmp_path / "out" / manifest.MANIFEST).read_text().splitlines()]
    assert [(entry["files"], entry["images"], list(entry["failed"])) for entry in entries] == [
        (["in-0.tar"], 10, ["broken"]),
        (["in-1.tar"], 10, ["broken"]),
        ([], 0, [str(tmp_path / "in-2.tar")]),
    ]
    for number in range(2):
        with tarfile.open(tmp_path / f"out/in-{number}.tar") as tar:
            found = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
        keys = sorted(expected)[number * 10 : number * 10 + 10]
        assert sorted(found) == sorted(f"{key}.{kind}" for key in keys for kind in ("png", "npy"))
        assert all(same(found[f"{key}.png"], expected[key]) for key in keys)
        assert np.load(io.BytesIO(found[f"{keys[0]}.npy"])).sum() == pytest.approx(1, abs=1e-5)


def test_lists_of_files_and_maps_in_shards(
    checkpoint: Path, images: Path, expected: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = sorted(images.iterdir())[:7]
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in listed))
    words = ["predict", f"@{tmp_path / 'list.txt'}", "-m", str(checkpoint), "-o", str(tmp_path / "out")]
    assert main([*words, "--shard-size", "3"]) == 0
    assert "7 of 7 images, 3 files" in capsys.readouterr().out
    names = []
    for path in sorted((tmp_path / "out").glob("*.tar")):
        with tarfile.open(path) as tar:
            names.append(tar.getnames())
    assert names == [["000.png", "001.png", "002.png"], ["003.png", "004.png", "005.png"], ["006.png"]]
    assert main([*words, "--shard-size", "4"]) == 2
    assert "holds another job" in capsys.readouterr().err
    assert main(["predict", "@none.txt", *words[2:]]) == 2
    assert "cannot read the list none.txt" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "none.tar"), *words[2:]]) == 2
    assert "there is no shard" in capsys.readouterr().err
