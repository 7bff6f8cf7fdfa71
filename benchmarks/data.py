"""Speed and memory of the data side at SALICON's scale, on a synthetic set in its layout.

    python benchmarks/data.py [--pictures 1000] [--size 192 256] [--folder DIR]

Prints JSON. Writes N images of 480 x 640 and N .mat files as the download has them (50 workers each; 7,000 points of
the mouse and 320 fixations an image, the means of the 2015 edition), then goes through them as training does (decode,
resize, flip, maps from points; one process): `mat` parses the .mat files in each epoch, `prepared` reads them from what
`salzoo.data.prepare` wrote. `points` is that part alone, without images. Memory is the process's resident set in MB
after each step. Seconds are of the CPU: one process, one thread, and no waiting for the disk or for other processes.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.io import savemat

from salzoo.data import SALICON, Augment, TrainingView, prepare

WORKERS, TRACK, FIXATIONS = 50, 140, 320
DIFFERENT = 32
"""Images and .mat files that are really drawn; the others are copies under other names."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--size", type=int, nargs=2, default=(192, 256), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--folder", help="where the set is written, and removed from again; default: the system's")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, object] = {"pictures": arguments.pictures, "size": arguments.size}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        start = time.process_time()
        write(Path(scratch) / "SALICON", arguments.pictures)
        result["seconds_to_write_the_set"] = round(time.process_time() - start, 1)
        memory = {"start": resident()}
        start = time.process_time()
        dataset = SALICON(Path(scratch) / "SALICON", edition=2015)
        result["seconds_to_open"] = round(time.process_time() - start, 3)
        memory["open"] = resident()
        result["mat"] = {"points": points_a_second(dataset), "epoch": epoch(dataset, arguments.size, 0)}
        memory["mat"] = resident()
        start = time.process_time()
        prepare(dataset, Path(scratch) / "cache")
        result["seconds_to_prepare"] = round(time.process_time() - start, 1)
        start = time.process_time()
        prepare(dataset, Path(scratch) / "cache")
        result["seconds_to_open_prepared"] = round(time.process_time() - start, 3)
        memory["prepare"] = resident()
        prepared = {"points": points_a_second(dataset)}
        for number, name in enumerate(("first_epoch", "second_epoch")):
            prepared[name] = epoch(dataset, arguments.size, number)
            memory[name] = resident()
        megabytes = sum(path.stat().st_size for path in (Path(scratch) / "cache").iterdir()) / 1e6
        result |= {"prepared": prepared, "cache_mb": round(megabytes, 1), "resident_mb": memory}
    print(json.dumps(result, indent=2))


def write(folder: Path, pictures: int) -> None:
    """Write a training split."""
    rng = np.random.default_rng(0)
    images, mats = [picture(rng) for _ in range(DIFFERENT)], [annotations(rng) for _ in range(DIFFERENT)]
    for kind in ("images", "fixations"):
        (folder / kind / "train").mkdir(parents=True)
    for number in range(pictures):
        stem = f"COCO_train2014_{number:012d}"
        (folder / "images/train" / f"{stem}.jpg").write_bytes(images[number % DIFFERENT])
        (folder / "fixations/train" / f"{stem}.mat").write_bytes(mats[number % DIFFERENT])


def picture(rng: np.random.Generator) -> bytes:
    """Draw coarse noise with some fine on top: as large a JPEG as a photograph's."""
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(
        (640, 480), Image.Resampling.BICUBIC
    )
    noisy = np.asarray(coarse, dtype=np.float64) + rng.normal(0, 12, (480, 640, 1))
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, format="JPEG", quality=90)
    return buffer.getvalue()


def annotations(rng: np.random.Generator) -> bytes:
    gaze = np.empty((WORKERS, 1), dtype=[(field, object) for field in ("location", "timestamp", "fixations")])
    for worker, count in enumerate(rng.multinomial(FIXATIONS, np.full(WORKERS, 1 / WORKERS))):
        track = rng.uniform(1, (640, 480), (TRACK, 2))
        gaze[worker, 0] = (track, np.arange(TRACK)[:, None] * 36.0, np.rint(rng.uniform(1, (640, 480), (count, 2))))
    buffer = io.BytesIO()
    savemat(buffer, {"gaze": gaze, "resolution": np.array([480, 640])}, do_compression=True)
    return buffer.getvalue()


def epoch(dataset: SALICON, size: tuple[int, int], number: int) -> float:
    """Return images a CPU second of one epoch."""
    view = TrainingView(dataset, tuple(size), augment=Augment())
    view.set_epoch(number)
    start = time.process_time()
    for index in range(len(view)):
        view[index]
    return round(len(view) / (time.process_time() - start), 1)


def points_a_second(dataset: SALICON) -> float:
    """Return of how many images the points are read a CPU second."""
    start = time.process_time()
    for index in range(len(dataset)):
        dataset._points(index)
    return round(len(dataset) / (time.process_time() - start), 1)


def resident() -> float:
    """Return this process's resident memory in MB (Linux)."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * 4096 / 1e6, 1)


if __name__ == "__main__":
    main()
