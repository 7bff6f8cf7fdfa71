"""Jobs that share an output folder: nothing is replaced, doubled or forgotten, whoever ends first or is killed."""

from __future__ import annotations

import io
import json
import os
import shutil
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

import salzoo
from salzoo.checkpoint import card
from salzoo.cli import main
from salzoo.errors import SpecError
from salzoo.prediction import manifest

JOB = {"model": "uniform", "weights": None, "formats": ["png"], "shard_size": None}
OURS = {"job.json", "manifest.jsonl"}


def make(folder: Path, count: int, first: int = 0, suffix: str = ".png") -> list[Path]:
    """Write images of which each has a size, and so a map, of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{first + i:03}{suffix}" for i in range(count)]
    for i, path in enumerate(paths):
        pixels = np.random.default_rng(i).integers(0, 255, (10 + len(folder.name), 12 + first + i, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def pack(path: Path, images: list[Path], root: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for image in images:
            tar.add(image, str(image.relative_to(root)))
    return path


def predict(output: Path, *words: object) -> int:
    return main(["predict", *map(str, words), "-m", "uniform", "-o", str(output)])


def names(output: Path) -> set[str]:
    return {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}


def lines(output: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (output / "manifest.jsonl").read_text().splitlines()]


def size(path: Path | io.BytesIO) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def members(path: Path) -> dict[str, tuple[int, int]]:
    """Return the maps in a tar and their sizes."""
    with tarfile.open(path) as tar:
        return {m.name: size(io.BytesIO(tar.extractfile(m).read())) for m in tar}  # type: ignore[union-attr]


def test_folders_below_the_common_one_are_kept(tmp_path: Path) -> None:
    """Refused on the old code."""
    cat, dog = make(tmp_path / "in/cat", 2), make(tmp_path / "in/dogs/big", 2)
    wanted = {"cat/000.png", "cat/001.png", "dogs/big/000.png", "dogs/big/001.png"}
    assert predict(tmp_path / "a", tmp_path / "in/cat", tmp_path / "in/dogs/big") == 0
    assert predict(tmp_path / "b", tmp_path / "in/**/*.png", "--resume") == 0
    assert names(tmp_path / "a") == wanted
    assert names(tmp_path / "b") == wanted | OURS
    for image in [*cat, *dog]:
        assert size(tmp_path / "a" / image.relative_to(tmp_path / "in")) == size(image)
    assert predict(tmp_path / "c", *cat, *dog, "--shard-size", 3) == 0
    found = [members(path) for path in sorted((tmp_path / "c").glob("*.tar"))]
    assert [list(tar) for tar in found] == [["cat/000.png", "cat/001.png", "dogs/big/000.png"], ["dogs/big/001.png"]]


@pytest.mark.parametrize("options", [("--resume",), ("--shard-size", 5)])
def test_commands_for_folders_of_equal_names_can_share_an_output(
    options: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    for name in ("cat", "dog"):
        make(tmp_path / "in" / name, 2)
        assert predict(output, tmp_path / "in" / name, "--relative-to", tmp_path / "in", *options) == 0
    found = names(output) - OURS
    found = {key for name in found for key in (members(output / name) if name.endswith(".tar") else [name])}
    assert found == {"cat/000.png", "cat/001.png", "dog/000.png", "dog/001.png"}
    assert predict(tmp_path / "b", tmp_path / "in/cat", "--relative-to", tmp_path / "in/dog", *options) == 2
    assert predict(tmp_path / "b", tmp_path / "in/cat", "--relative-to", tmp_path / "in/dog") == 2
    assert capsys.readouterr().err.count("cat/000.png is not below") == 2


def test_tars_keep_their_own_folders_and_those_inside(tmp_path: Path) -> None:
    """On the old code two shards of one name were refused."""
    cat, dog = make(tmp_path / "in/cat", 2), make(tmp_path / "in/dogs", 2)
    shards = [pack(tmp_path / f"tars/{name}/0.tar", [*cat, *dog], tmp_path / "in") for name in "ab"]
    assert predict(tmp_path / "out", *shards) == 0
    assert names(tmp_path / "out") == {"a/0.tar", "b/0.tar"} | OURS
    wanted = {str(path.relative_to(tmp_path / "in")): size(path) for path in [*cat, *dog]}
    assert members(tmp_path / "out/a/0.tar") == members(tmp_path / "out/b/0.tar") == wanted


def test_a_second_folder_of_equal_names_replaces_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the old code the second folder's maps replaced those of the first, with exit 0."""
    first, _ = make(tmp_path / "first", 2), make(tmp_path / "second", 2)
    assert predict(tmp_path / "out", tmp_path / "first", "--resume") == 0
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")}
    capsys.readouterr()
    assert predict(tmp_path / "out", tmp_path / "second", "--resume") == 2
    said = capsys.readouterr().err
    assert str(first[0]) in said
    assert str(tmp_path / "second/000.png") in said
    assert said.count("\n") == 1
    assert predict(tmp_path / "out", tmp_path / "first") == 2, "without --resume the manifest would lie"
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")} == before


def test_maps_are_not_taken_for_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the old code each --resume of a pattern made maps of the maps before."""
    make(tmp_path / "in/a", 2)
    words = (tmp_path / "in/**/*.png", "--resume")
    assert predict(tmp_path / "in/maps", *words) == 0
    before = names(tmp_path / "in/maps")
    assert predict(tmp_path / "in/maps", *words) == 2
    assert "000.png is a map of this job" in capsys.readouterr().err
    assert names(tmp_path / "in/maps") == before


def test_shards_of_equal_names_replace_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = pack(tmp_path / "one/0.tar", make(tmp_path / "a", 2), tmp_path)
    two = pack(tmp_path / "two/0.tar", make(tmp_path / "b", 3), tmp_path)
    assert predict(tmp_path / "out", one) == 0
    before = (tmp_path / "out/0.tar").read_bytes()
    assert predict(tmp_path / "out", two) == 2
    assert "is the map of" in capsys.readouterr().err
    assert (tmp_path / "out/0.tar").read_bytes() == before
    content = one.read_bytes()
    assert predict(tmp_path / "one", one) == 2, "onto the input itself"
    assert one.read_bytes() == content


def test_two_lists_packed_into_one_folder_are_both_there(tmp_path: Path) -> None:
    """On the old code the second list's tars replaced those of the first, and the manifest forgot them."""
    a, b = make(tmp_path / "a", 5), make(tmp_path / "b", 3, first=50)
    assert predict(tmp_path / "out", *a, "--shard-size", 2) == 0
    assert predict(tmp_path / "out", *b, "--shard-size", 2) == 0
    tars = sorted((tmp_path / "out").glob("*.tar"))
    assert len(tars) == 5
    assert {name for tar in tars for name in members(tar)} == {path.name for path in [*a, *b]}
    assert {line["files"][0] for line in lines(tmp_path / "out")} == {tar.name for tar in tars}  # type: ignore[index]


def test_an_image_is_in_one_tar_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the old code tars of an earlier, longer list stayed among the new ones."""
    images = make(tmp_path / "in", 7)
    assert predict(tmp_path / "out", *images, "--shard-size", 2) == 0
    before = names(tmp_path / "out")
    assert predict(tmp_path / "out", *images[1:], "--shard-size", 2) == 2
    said = capsys.readouterr().err
    assert "001.png is in" in said
    assert "delete that tar" in said
    assert names(tmp_path / "out") == before
    for tar in (tmp_path / "out").glob("*.tar"):
        tar.unlink()
    assert predict(tmp_path / "out", *images[1:], "--shard-size", 2) == 0
    assert [member for line in lines(tmp_path / "out") for member in line["inputs"]] == [str(p) for p in images[1:]]  # type: ignore[attr-defined]


def test_what_changed_is_predicted_anew(tmp_path: Path) -> None:
    """On the old code a changed image, shard or group was done for good."""
    images = make(tmp_path / "in", 4)
    tar = pack(tmp_path / "0.tar", images[:2], tmp_path / "in")
    runs = {"a": ("--resume", *images), "b": ("--shard-size", 2, *images), "c": (tar,)}
    for name, words in runs.items():
        assert predict(tmp_path / name, *words) == 0
        assert predict(tmp_path / name, *words) == 0
    groups = sorted((tmp_path / "b").glob("*.tar"))
    ages = {path: path.stat().st_mtime_ns for name in runs for path in (tmp_path / name).rglob("*.*")}
    Image.new("RGB", (50, 40)).save(images[1])
    pack(tar, images[:2], tmp_path / "in")
    for name, words in runs.items():
        assert predict(tmp_path / name, *words) == 0
    assert size(tmp_path / "a/001.png") == (50, 40)
    assert members(groups[0])["001.png"] == (50, 40)
    assert members(tmp_path / "c/0.tar")["001.png"] == (50, 40)
    for path in (tmp_path / "a/000.png", tmp_path / "a/003.png", groups[1]):
        assert path.stat().st_mtime_ns == ages[path], "not touched"
    assert [len(lines(tmp_path / name)) for name in runs] == [4, 2, 1]


def test_no_map_of_what_an_image_was_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = make(tmp_path / "in", 3)
    assert predict(tmp_path / "out", *images, "--resume") == 0
    images[1].write_bytes(b"broken now")
    assert predict(tmp_path / "out", *images, "--resume") == 1
    assert "2 of 3 images" in capsys.readouterr().out
    assert names(tmp_path / "out") == {"000.png", "002.png"} | OURS
    images[2].unlink()  # done is done: nothing says that its map is wrong
    make(tmp_path / "in", 2)
    assert predict(tmp_path / "out", *images, "--resume") == 0
    assert names(tmp_path / "out") == {"000.png", "001.png", "002.png"} | OURS


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_shard_is_told_and_done_after_its_repair(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the old code: exit 0, "3 of 3 images", and never done again."""
    images = make(tmp_path / "in", 10)
    shards = [pack(tmp_path / f"{i}.tar", images, tmp_path / "in") for i in range(3)]
    whole = shards[1].read_bytes()
    place = next(i for i in range(0, len(whole), 512) if whole[i:].startswith(b"003.png\0"))
    shards[1].write_bytes(whole[:place] + (b"" if damage == "cut" else b"\xff" + whole[place + 1 :]))
    assert predict(tmp_path / "out", *shards) == 1
    out, err = capsys.readouterr()
    assert "20 of 21 images, 2 files" in out
    assert str(shards[1]) in err
    assert names(tmp_path / "out") == {"0.tar", "2.tar"} | OURS
    assert [line["images"] for line in lines(tmp_path / "out")] == [10, 0, 10]
    shards[1].write_bytes(whole)
    assert predict(tmp_path / "out", *shards, "--resume") == 0
    assert "30 of 30 images, 3 files" in capsys.readouterr().out
    assert len(members(tmp_path / "out/1.tar")) == 10
    shards[2].write_bytes(whole[:place])
    assert predict(tmp_path / "out", *shards, "--resume") == 1
    assert names(tmp_path / "out") == {"0.tar", "1.tar"} | OURS, "no maps of what the shard was"


def test_equal_failures_of_two_shards_are_counted_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the old code "4 of 5 images"."""
    images = make(tmp_path / "in", 3)
    images[1].write_bytes(b"broken")
    shards = [pack(tmp_path / f"{i}.tar", images, tmp_path / "in") for i in range(2)]
    assert predict(tmp_path / "out", *shards, tmp_path / "gone.tar") == 1
    out, err = capsys.readouterr()
    assert "4 of 7 images, 2 files" in out
    assert [f"salzoo: {shard}: 001: " in err for shard in shards] == [True, True]
    assert f"salzoo: {tmp_path / 'gone.tar'}: " in err


def test_a_damaged_job_or_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Raw tracebacks on the old code."""
    images, output = make(tmp_path / "in", 3), tmp_path / "out"
    assert predict(output, *images, "--resume") == 0
    good = (output / "manifest.jsonl").read_text()
    evil = good.replace('"000.png"', '"../in/000.png"').replace("[", "[1", 1)  # another stamp: to be done again
    for text in ("3\n{}\n[]\n", '{"source": 1}\n\xff', evil):
        (output / "manifest.jsonl").write_text(text, encoding="latin-1")
        assert predict(output, *images, "--resume") == 0
        assert [line["source"] for line in lines(output)] == [str(path) for path in images]
    assert images[0].is_file(), "what a line of the manifest names elsewhere is not removed"
    (output / "job.json").write_text("{")
    capsys.readouterr()
    assert predict(output, *images, "--resume") == 2
    assert "job.json is damaged" in capsys.readouterr().err
    (output / "job.json").write_text("")  # of a full disk
    assert predict(output, *images, "--resume") == 0


def test_other_weights_are_another_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the old code the maps of two checkpoints were mixed, if the second was written where the first was."""
    images, folder = make(tmp_path / "in", 3), tmp_path / "tiny"
    words = ["predict", *map(str, images), "-m", str(folder), "-o", str(tmp_path / "out"), "--resume"]
    tiny_models.save(tiny_models.build("salnet"), folder)
    assert main(words) == 0
    card.record(folder, [])
    assert main(words) == 0, "what was measured of a model changes none of its maps"
    shutil.rmtree(folder)
    tiny_models.save(tiny_models.build("salicon"), folder)
    assert main(words) == 2
    assert "holds another job" in capsys.readouterr().err


def test_no_one_takes_the_files_of_a_process_at_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (image,) = make(tmp_path / "other", 1)
    output = tmp_path / "out"
    output.mkdir()
    unit = manifest.Unit(str(image), (str(image),), ("000.png",))
    mine = make(tmp_path / "mine", 2)
    with manifest.joined(output, JOB, [unit]) as part:
        assert predict(output, *mine, "--resume") == 2
        assert f"{output / '000.png'} is the map of {image}" in capsys.readouterr().err
        assert predict(output, mine[1], "--resume") == 0
        manifest.append(part, manifest.Entry(str(image), ("000.png",), 1))
        assert len(list(output.glob(manifest.PARTS))) == 1, "the part of a process at work is left to it"
    manifest.merge(output, JOB, [unit])
    assert [line["source"] for line in lines(output)] == [str(image), str(mine[1])]
    assert not list(output.glob(manifest.PARTS))


def test_a_process_without_work_leaves_no_part(tmp_path: Path) -> None:
    with manifest.joined(tmp_path, JOB, []):
        pass
    assert names(tmp_path) == {"job.json"}
    with pytest.raises(SpecError, match="holds another job"), manifest.joined(tmp_path, {**JOB, "model": "x"}, []):
        pass


def start(output: Path, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "salzoo", "predict", *map(str, words), "-o", str(output)]
    environment = os.environ | {"PYTHONPATH": str(Path(salzoo.__file__).parents[1])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)  # type: ignore[call-overload, no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--resume",), ("--shard-size", 4)])
def test_an_array_of_four_processes(options: tuple[object, ...], tmp_path: Path) -> None:
    """On the old code two or three of four exit with 1, and the manifest has 15 of 60 lines."""
    images = make(tmp_path / "in", 60)
    for i in range(4):
        (tmp_path / f"{i}.txt").write_text("".join(f"{path}\n" for path in images[i::4]))
    output = tmp_path / "out"
    running = [start(output, f"@{tmp_path / f'{i}.txt'}", "-m", "uniform", *options) for i in range(4)]
    said = [process.communicate(timeout=600)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 4, said
    assert all("15 of 15 images" in text for text in said)
    found = lines(output)
    assert sorted(name for line in found for name in line["inputs"]) == [str(path) for path in images]  # type: ignore[attr-defined]
    files = {name for line in found for name in line["files"]}  # type: ignore[attr-defined]
    assert names(output) == files | OURS
    assert len(files) == (60 if options == ("--resume",) else 16)


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--resume",), ("--shard-size", 10)])
def test_killed_amid_and_resumed_to_equal_bytes(options: tuple[object, ...], tmp_path: Path) -> None:
    images = make(tmp_path / "in", 100)
    words = [*images, "-m", "signature", "--batch-size", 1, "--format", "png", "--format", "npy", *options]
    process = start(tmp_path / "out", *words)
    while sum(path.suffix in (".npy", ".tar") for path in (tmp_path / "out").glob("*")) < 3:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (tmp_path / f"out/.{os.uname().nodename}-{process.pid}-{'0' * 32}.part").write_text("what it was writing")
    assert not (tmp_path / "out/manifest.jsonl").exists()
    for output in ("out", "straight"):
        assert main(["predict", *map(str, words), "-o", str(tmp_path / output)]) == 0
    assert names(tmp_path / "out") == names(tmp_path / "straight")
    for name in names(tmp_path / "out"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes(), name


def test_names_that_are_no_text(tmp_path: Path) -> None:
    (image,) = make(tmp_path / "in", 1)
    shard = tmp_path / "0.tar"
    with tarfile.open(shard, "w") as tar:
        tar.add(image, "caf\udce9/" + "n" * 200 + ".png")
    assert predict(tmp_path / "a", shard) == 0
    assert list(members(tmp_path / "a/0.tar")) == ["caf\udce9/" + "n" * 200 + ".png"]
    assert predict(tmp_path / "a", shard) == 0
    odd = image.rename(image.with_name("caf\udce9.png"))
    for options in ("--resume",), ("--shard-size", 1):
        assert predict(tmp_path / options[0], odd, *options) == 0
    assert (tmp_path / "--resume/caf\udce9.png").is_file()
