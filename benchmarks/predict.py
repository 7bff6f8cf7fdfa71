"""Throughput of `salzoo predict` against the bare network, and the time to the first map.

    python benchmarks/predict.py [--model deepgaze2] [--pictures DIR] [--count 200] [--rounds 3]
    python benchmarks/predict.py --memory 20000 [--size 96 128]
    python benchmarks/predict.py --fast-decode juntingnet salgan [--rounds 5] [--precision bf16-mixed]
    python benchmarks/predict.py --shards 100 --model signature [--processes 1 2]

Each part is printed with its target, and kept in results/predict.json. `folder` reads, predicts and writes; `network`
runs the network alone on the same images, resized and in memory, with the same batch size and every layer on all
threads; both in one process, in turn. `cold` is `salzoo predict` of one image in a new process, `imports` a new
process that imports torch and timm and nothing else. With `--memory` instead: by how many megabytes resident
memory grows between the first thousand images and the last, with an input of `--size` pixels, so that it takes
minutes. With `--fast-decode`: images a second of a folder of JPEGs of 12 megapixels with and without the option of that
name, in turn, and how far the densities differ; with a precision, that of the network goes with it. With `--shards`: so
many tars of a thousand pictures of 48 x 64 by `--engine ray`, with each number of processes.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from record import record

import salzoo
from salzoo._malloc import keep_memory
from salzoo._precision import Precision
from salzoo.images.preprocess import as_float
from salzoo.images.read import find_images, to_tensor
from salzoo.images.samples import sample_images
from salzoo.prediction.files import PredictionReport, decoder, predict_each, predict_files

PACKED = 1000
"""Pictures in a shard."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="deepgaze2")
    parser.add_argument("--pictures", help="folder; default: the sample pictures, resized to 600 x 800 and repeated")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--memory", type=int, metavar="N", help="measure memory over so many small pictures, no speed")
    parser.add_argument("--size", type=int, nargs=2, default=(96, 128), help="of the network's input, for --memory")
    parser.add_argument("--fast-decode", nargs="+", metavar="MODEL", help="measure fast decoding with these instead")
    parser.add_argument("--precision", default="32-true", help="of the network with --fast-decode")
    parser.add_argument("--shards", type=int, metavar="N", help="measure Ray over so many shards, nothing else")
    parser.add_argument("--processes", type=int, nargs="+", default=(1, 2), help="of Ray, each in a run of its own")
    parser.add_argument("--print", action="store_true", help="write no results")
    arguments = parser.parse_args()
    keep = not arguments.print
    if arguments.memory:
        found = memory(arguments.model, arguments.memory, tuple(arguments.size))
        record("predict_memory", arguments.model, found, ("growth", "<", 50), keep=keep)
        return
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.shards:
            packed = pack(Path(scratch) / "in", arguments.shards)
            for processes in arguments.processes:
                found = pooled(arguments.model, packed, processes, Path(scratch) / f"out{processes}")
                record("predict", f"ray, {arguments.model}, {processes} of {arguments.shards} shards", found, keep=keep)
            return
        if arguments.fast_decode:
            paths = large(Path(scratch) / "in")
            for name in arguments.fast_decode:
                found = fast(name, paths, arguments.rounds, Path(scratch) / "out", arguments.precision)
                row = name if arguments.precision == "32-true" else f"{name}, {arguments.precision}"
                record("fast_decode", row, found, ("fast_over_exact", ">=", 1.5), keep=keep)
            return
        paths = find_images([arguments.pictures]) if arguments.pictures else made(Path(scratch) / "in", arguments.count)
        found = throughput(arguments.model, paths[: arguments.count], arguments, Path(scratch) / "out")
        record("predict", f"throughput of {arguments.model}", found, ("folder_over_network", ">=", 0.9), keep=keep)
        found = cold(arguments.model, paths[0], arguments.rounds)
        record("predict", f"cold start of {arguments.model}", found, ("cold_over_imports", "<=", 1.1), keep=keep)


def made(folder: Path, count: int) -> list[Path]:
    """Write `count` images of 600 x 800."""
    folder.mkdir()
    pictures = [picture.resize((800, 600)) for picture in sample_images().values()]
    for i in range(count):
        pictures[i % len(pictures)].save(folder / f"{i:04d}.jpg", quality=92)
    return sorted(folder.iterdir())


def large(folder: Path) -> list[Path]:
    """Write images of 3000 x 4000: nine enlarged ones with a camera's grain, and three of many small sharp ones."""
    folder.mkdir()
    samples, random = list(sample_images().values()), np.random.default_rng(0)
    canvases = [picture.resize((4000, 3000), Image.Resampling.BICUBIC) for picture in samples]
    for first in range(3):
        canvas = Image.new("RGB", (4000, 3000))
        for i in range(64):
            tile = samples[(first + 2 * i) % len(samples)].resize((500, 375))
            canvas.paste(tile, (500 * (i % 8), 375 * (i // 8)))
        canvases.append(canvas)
    for i, canvas in enumerate(canvases):
        grain = random.normal(0, 4, (3000, 4000, 1)).astype(np.float32)
        pixels = (np.asarray(canvas) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02d}.jpg", quality=90)
    return sorted(folder.iterdir())


def fast(name: str, paths: list[Path], rounds: int, output: Path, precision: Precision) -> dict[str, object]:
    """Images a second with and without fast decoding (and a precision), and how far the densities differ."""
    keep_memory()  # as the command does
    models = {False: salzoo.load(name), True: salzoo.load(name, precision=precision)}
    most, variation = [], []
    for path in paths:
        both = [(model, decoder(model, quick)(path, path.name)) for quick, model in models.items()]
        exact, other = (model.log_densities([one.pixels], [one.size])[0].exp() for model, one in both)
        most.append(float((exact - other).abs().max() / exact.max()))
        variation.append(float((exact - other).abs().sum() / 2))
    rates: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds + 1):  # the first round warms up
        for quick, values in rates.items():
            start = time.perf_counter()
            predict_files(models[quick], paths, output, progress=False, fast_decode=quick)
            values.append(len(paths) / (time.perf_counter() - start))
    ratios = [b / a for a, b in zip(*rates.values(), strict=True)][1:]
    return {
        "pictures": len(paths),
        "megabytes": round(sum(path.stat().st_size for path in paths) / 1e6, 1),
        "threads": torch.get_num_threads(),
        "exact_pictures_per_second": round(statistics.median(rates[False][1:]), 2),
        "fast_pictures_per_second": round(statistics.median(rates[True][1:]), 2),
        "fast_over_exact": round(statistics.median(ratios), 3),
        "ratios": [round(r, 3) for r in ratios],
        "largest_difference_over_maximum": {"median": round(statistics.median(most), 4), "most": round(max(most), 4)},
        "total_variation": {"median": round(statistics.median(variation), 4), "most": round(max(variation), 4)},
    }


def memory(name: str, count: int, size: tuple[int, int]) -> dict[str, object]:
    """Growth of resident memory over `count` files of 48 x 64 pixels."""
    keep_memory()  # as the command does
    model, sizes, start = salzoo.load(name), [], time.perf_counter()
    model.preprocess = replace(model.preprocess, size=size)
    with tempfile.TemporaryDirectory() as scratch:
        folder, output = Path(scratch) / "in", Path(scratch) / "out"
        folder.mkdir()
        output.mkdir()
        first = folder / "000000.jpg"
        next(iter(sample_images().values())).resize((64, 48)).save(first)
        for i in range(1, count):
            (folder / f"{i:06d}.jpg").hardlink_to(first)
        report, paths = PredictionReport(), sorted(folder.iterdir())
        every = predict_each(model, paths, output, formats=("png",), batch_size=8, workers=2)
        for i, outcome in enumerate(every, 1):
            report.outcomes.append(outcome)  # as the command does
            if i % 1000 == 0 or i == count:
                resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
                sizes.append(round(resident / 2**20, 1))
    return {
        "model": name,
        "pictures": count,
        "input": size,
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - start),
        "megabytes_each_thousand": sizes,
        "growth": round(sizes[-1] - sizes[0], 1),
    }


def pack(folder: Path, count: int) -> list[Path]:
    """Write `count` tars of `PACKED` small pictures."""
    folder.mkdir()
    pictures = [picture.resize((64, 48)) for picture in sample_images().values()]
    shards = [folder / f"{i:04d}.tar" for i in range(count)]
    for i, shard in enumerate(shards):
        with tarfile.open(shard, "w") as tar:
            for k in range(PACKED):
                file = io.BytesIO()
                pictures[(i + k) % len(pictures)].save(file, "jpeg")
                member = tarfile.TarInfo(f"{i:04d}-{k:04d}.jpg")
                member.size = file.tell()
                file.seek(0)
                tar.addfile(member, file)
    return shards


def pooled(name: str, shards: list[Path], processes: int, output: Path) -> dict[str, object]:
    """Time the command, and watch the memory of Ray's actors, the largest of them each ten seconds."""
    words = [sys.executable, "-m", "salzoo", "predict", *map(str, shards), "-m", name, "-o", str(output)]
    words += ["--engine", "ray", "--processes", str(processes), "--workers", "1"]
    start, sizes = time.perf_counter(), list[float]()
    first = None
    with subprocess.Popen(words, env=os.environ | {"OMP_NUM_THREADS": "1"}) as command:
        while command.poll() is None:
            time.sleep(1)
            done = len(list(output.glob("*.tar")))
            if done and first is None:
                first = (time.perf_counter(), done)
            if len(sizes) < (time.perf_counter() - start) // 10 and (now := actors()):
                sizes.append(max(now))
    assert command.returncode == 0
    assert first is not None
    seconds = time.perf_counter() - first[0]
    return {
        "pictures": len(shards) * PACKED,
        "processes": processes,
        "seconds": round(time.perf_counter() - start),
        "pictures_per_second": round((len(shards) - first[1]) * PACKED / seconds, 1),
        "megabytes_each_ten_seconds": sizes,
    }


def actors() -> list[float]:
    """Return the resident memory of Ray's actors in MB (Linux)."""
    sizes = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"MapWorker" in (folder / "cmdline").read_bytes():
                pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
                sizes.append(round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1))
        except OSError:
            continue  # it has ended
    return sizes


def throughput(name: str, paths: list[Path], arguments: argparse.Namespace, output: Path) -> dict[str, object]:
    """Images a second of both, the median of all rounds, and the ratio round by round."""
    keep_memory()  # as the command does
    model = salzoo.load(name)
    size = arguments.batch_size
    inputs = torch.cat([model.preprocess.resize(as_float(to_tensor(path))[None]) for path in paths])
    folder, network = [], []
    for _ in range(arguments.rounds + 1):  # the first round warms up
        start = time.perf_counter()
        with torch.inference_mode():
            for batch in inputs.split(size):
                model(batch)
        network.append(len(paths) / (time.perf_counter() - start))
        start = time.perf_counter()
        predict_files(model, paths, output, batch_size=size, progress=False)
        folder.append(len(paths) / (time.perf_counter() - start))
    ratios = [a / b for a, b in zip(folder, network, strict=True)][1:]
    return {
        "model": name,
        "pictures": len(paths),
        "threads": torch.get_num_threads(),
        "folder_pictures_per_second": round(statistics.median(folder[1:]), 2),
        "network_pictures_per_second": round(statistics.median(network[1:]), 2),
        "folder_over_network": round(statistics.median(ratios), 3),
        "ratios": [round(r, 3) for r in ratios],
    }


def cold(name: str, picture: Path, rounds: int) -> dict[str, object]:
    """Seconds of one image in a new process, and of the imports alone, in turn."""
    seconds: dict[str, list[float]] = {"cold": [], "imports": []}
    with tempfile.TemporaryDirectory() as output:
        commands = {
            "imports": ["-c", "import torch, timm"],
            "cold": ["-m", "salzoo", "predict", str(picture), "-m", name, "-o", output],
        }
        for _ in range(rounds + 1):
            for key, words in commands.items():
                start = time.perf_counter()
                subprocess.run([sys.executable, *words], check=True, capture_output=True)
                seconds[key].append(time.perf_counter() - start)
    ratio = statistics.median(a / b for a, b in zip(seconds["cold"][1:], seconds["imports"][1:], strict=True))
    medians = {f"{key}_seconds": round(statistics.median(values[1:]), 2) for key, values in seconds.items()}
    return {**medians, "cold_over_imports": round(ratio, 3)}


if __name__ == "__main__":
    main()
