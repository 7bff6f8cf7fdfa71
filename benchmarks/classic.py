"""Speed of the training-free systems and the shallow learners, and agreement with public implementations.

    python benchmarks/classic.py [--pictures DIR] [--bms PROGRAM] [--peers PYTHON [--gbvs DIR] [--salienpy DIR]]
        [--output benchmarks/results/classic.json]

`--pictures` is a folder, of which 20 images are taken; without it, the sample images. Public implementations run in
the same call, each if it is there: `--bms` is the authors' program, built from github.com/jimmie33/BMS; `--peers` a
Python with opencv-contrib-python-headless, scipy, scikit-learn and matplotlib, for OpenCV's spectral residual, GBVS and
Itti-Koch in a checkout of github.com/shreelock/gbvs, and the image signature in one of github.com/rafaelolg/salienpy.

Prints JSON: wall (fastest) and CPU (median) milliseconds an image of 600 x 800 on one thread, and, an image, the
correlation of both maps at 60 x 80. Compare CPU time: wall time has other people's load in it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from record import commit

import salzoo
from salzoo.images.read import find_images
from salzoo.images.samples import sample_images

BOX = Image.Resampling.BOX
MODELS = ("aws", "bms", "fes", "gbvs", "itti", "lemeur", "signature")
LEARNERS = ("edn", "iseel", "mrcnn")  # the authors' programs are Python 2 (eDN) and MATLAB (iSEEL)
FULL, BMS, SMALL = (800, 600), (400, 300), (64, 48)  # (width, height)
AUTHORS = "8 7 9 9 2 1 0 0 400"  # step, dilations, blur, Lab, whitening; the longer side is read from the ninth place
SLOW = 3  # images for what takes seconds each
PEERS = {  # public implementation: name in classic_peers.py, ours with the same options, size and number of images
    "opencv spectral residual": ("spectral_residual", "signature", {}, FULL, None),
    "shreelock/gbvs": ("gbvs", "gbvs", {}, FULL, SLOW),
    "shreelock/gbvs itti": ("itti", "itti", {}, FULL, SLOW),
    "rafaelolg/salienpy signature": ("signature", "signature", {"colour": "rgb", "blur": 2.0 / 64}, SMALL, None),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", help="folder; default: the sample pictures")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--peers", help="a Python with OpenCV's contributed modules")
    parser.add_argument("--bms", help="the authors' program")
    parser.add_argument("--gbvs", help="checkout of shreelock/gbvs")
    parser.add_argument("--salienpy", help="checkout of rafaelolg/salienpy")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.pictures:
        pictures = [Image.open(path).convert("RGB") for path in find_images([arguments.pictures])[: arguments.count]]
    else:
        pictures = list(sample_images().values())
    result: dict[str, Any] = {"commit": commit(), "pictures": len(pictures), "threads": 1}
    result["ours"] = {name: timed(name, pictures) for name in MODELS}
    result["ours"] |= {name: timed(name, pictures[:SLOW]) for name in LEARNERS}
    result["peers"] = {}
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.bms:
            result["peers"]["jimmie33/BMS"] = authors_bms(arguments.bms, pictures, Path(scratch))
        if arguments.peers:
            result["peers"] |= python_peers(arguments, pictures, Path(scratch))
    for row in result["peers"].values():
        row["cpu_ours_over_theirs"] = round(result["ours"][row["ours"]]["cpu_ms"] / row["cpu_ms"], 3)
    print(json.dumps(result, indent=1))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")


def timed(name: str, pictures: list[Image.Image]) -> dict[str, float]:
    """Milliseconds of `predict` on arrays of 600 x 800."""
    model = salzoo.load(name)
    arrays = [np.asarray(picture.resize(FULL, BOX)) for picture in pictures]
    wall, cpu = [], []
    for array in arrays[:1] + arrays:  # the first warms up
        start, used = time.perf_counter(), time.process_time()
        model.predict(array)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    return {"wall_ms": round(1e3 * min(wall[1:]), 1), "cpu_ms": round(1e3 * statistics.median(cpu[1:]), 1)}


def agreement(
    name: str, options: dict[str, Any], pictures: list[Image.Image], maps: list[np.ndarray]
) -> dict[str, Any]:
    """Correlations of our densities with their maps, each averaged to 60 x 80."""
    model = salzoo.load(name, weights=None, **options)
    values = []
    for picture, theirs in zip(pictures, maps, strict=True):
        pair = [coarse(model.predict(picture).density), coarse(theirs)]
        values.append(round(float(np.corrcoef(*pair)[0, 1]), 4))
    return {"ours": name, "options": options, "mean": round(statistics.mean(values), 4), "correlations": values}


def coarse(array: np.ndarray) -> np.ndarray:
    tensor = torch.from_numpy(np.float32(array))[None]
    return torch.nn.functional.adaptive_avg_pool2d(tensor, (60, 80)).flatten().numpy()


def authors_bms(program: str, pictures: list[Image.Image], scratch: Path) -> dict[str, Any]:
    """The authors' program on images of 400 pixels, whose channels are swapped, as it takes BGR for RGB."""
    small = [picture.resize(BMS, BOX) for picture in pictures]
    folder = written([Image.fromarray(np.asarray(p)[..., ::-1].copy()) for p in small], scratch / "bms")
    output = scratch / "bms_out"
    output.mkdir()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(
        [program, f"{folder}/", f"{output}/", *AUTHORS.split()], check=True, capture_output=True, input=b"\n"
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    maps = [np.asarray(Image.open(path).convert("L")) for path in sorted(output.iterdir())]
    times = {"wall_ms": round(1e3 * wall / len(maps), 1), "cpu_ms": round(1e3 * cpu / len(maps), 1)}
    return {**agreement("bms", {}, small, maps), **times, "note": "theirs at 300 x 400 with reading and writing"}


def python_peers(arguments: argparse.Namespace, pictures: list[Image.Image], scratch: Path) -> dict[str, Any]:
    """What classic_peers.py says in the other Python."""
    rows = {}
    for title, (peer, name, options, size, count) in PEERS.items():
        checkout = arguments.salienpy if "salienpy" in title else arguments.gbvs
        if checkout is None and peer != "spectral_residual":
            continue
        resized = [picture.resize(size, BOX) for picture in pictures[:count]]
        folder = written(resized, scratch / peer)
        script = Path(__file__).with_name("classic_peers.py")
        words = [arguments.peers, str(script), peer, str(folder), str(checkout)]
        there = checkout if peer != "spectral_residual" else None  # gbvs reads files beside it
        alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, cwd=there, env=alone)
        times = json.loads(done.stdout)
        maps = [np.load(path) for path in sorted(folder.glob("*.npy"))]
        note = f"theirs at {size[1]} x {size[0]}, on an array"
        rows[title] = {**agreement(name, options, resized, maps), **times, "note": note}
    return rows


def written(pictures: list[Image.Image], folder: Path) -> Path:
    folder.mkdir()
    for i, picture in enumerate(pictures):
        picture.save(folder / f"{i:03d}.png")
    return folder


if __name__ == "__main__":
    main()
