"""Throughput of `salzoo predict` against the bare network, and the time to the first map.

    python benchmarks/predict.py [--model deepgaze2] [--pictures DIR] [--count 200] [--rounds 3]
    python benchmarks/predict.py --memory 20000 [--size 96 128]

Each part is printed with its target, and kept in results/predict.json. `folder` reads, predicts and writes; `network`
runs the network alone on the same images, resized and in memory, with the same batch size and every layer on all
threads; both in one process, in turn. `cold` is `salzoo predict` of one image in a new process, `imports` a new
process that imports torch, timm and lightning and nothing else. With `--memory` instead: by how many megabytes resident
memory grows between the first thousand images and the last, with an input of `--size` pixels, so that it takes
minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from record import record

import salzoo
from salzoo._malloc import keep_memory
from salzoo.images.preprocess import as_float
from salzoo.images.read import find_images, to_tensor
from salzoo.images.samples import sample_images
from salzoo.prediction.files import PredictionReport, predict_each, predict_files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="deepgaze2")
    parser.add_argument("--pictures", help="folder; default: the sample pictures, resized to 600 x 800 and repeated")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--memory", type=int, metavar="N", help="measure memory over so many small pictures, no speed")
    parser.add_argument("--size", type=int, nargs=2, default=(96, 128), help="of the network's input, for --memory")
    parser.add_argument("--print", action="store_true", help="write no results")
    arguments = parser.parse_args()
    keep = not arguments.print
    if arguments.memory:
        found = memory(arguments.model, arguments.memory, tuple(arguments.size))
        record("predict_memory", arguments.model, found, ("growth", "<", 50), keep=keep)
        return
    with tempfile.TemporaryDirectory() as scratch:
        paths = find_images([arguments.pictures]) if arguments.pictures else made(Path(scratch) / "in", arguments.count)
        found = throughput(arguments.model, paths[: arguments.count], arguments, Path(scratch) / "out")
        record("predict", f"throughput of {arguments.model}", found, ("folder_over_network", ">=", 0.9), keep=keep)
        found = cold(arguments.model, paths[0], arguments.rounds)
        record("predict", f"cold start of {arguments.model}", found, keep=keep)


def made(folder: Path, count: int) -> list[Path]:
    """Write `count` images of 600 x 800."""
    folder.mkdir()
    pictures = [picture.resize((800, 600)) for picture in sample_images().values()]
    for i in range(count):
        pictures[i % len(pictures)].save(folder / f"{i:04d}.jpg", quality=92)
    return sorted(folder.iterdir())


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
            "imports": ["-c", "import torch, timm, lightning"],
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
