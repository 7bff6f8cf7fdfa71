"""Every model that a graph can hold, exported: bytes, difference from `predict`, milliseconds, NSS on OSIE test.

    python benchmarks/exports.py --root SHARED_DATA [NAMES...]     # without NAMES all shipped checkpoints

Two threads, one image of 600 x 800. Eight bits are calibrated on 12 training images of OSIE. NSS is over the first
`--images` test images, the same for all three. A model that does not take any size is exported for OSIE's 600 x 800.
Results go into `results/exports.json`, a part a model, as each is done; so does what `export` says of a model that is
no graph.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import record

import salzoo
from salzoo.data import OSIE
from salzoo.errors import SalzooError, SpecError
from salzoo.exporting import export
from salzoo.exporting.quantise import quantise
from salzoo.exporting.runtimes import session
from salzoo.images.geometry import Size
from salzoo.metrics.functional import nss

SIZES = ((100, 130), (600, 800), (333, 777), (480, 640), (90, 300), (300, 75), (64, 64), (768, 1024))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--root", required=True)
    parser.add_argument("--images", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(2)
    test, train = OSIE(options.root, split="test"), OSIE(options.root, split="train")
    rows = [test[i] for i in range(min(options.images, len(test)))]
    seen = [train[i]["image"] for i in range(12)]
    for name in options.names or salzoo.list_models(trained=True):
        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
        try:
            found = measure(salzoo.load(name), rows, seen)
        except SalzooError as error:
            record("exports", name, {"refused": str(error)})
            continue
        record("exports", name, found, ("difference", "<=", 1e-3), ("int8_loss", "<", 0.03))


def measure(model: salzoo.SaliencyModel, rows: list[Any], seen: list[Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        files = {"onnxruntime": Path(folder) / "float.onnx", "int8": Path(folder) / "int8.onnx"}
        try:
            done = export(model, files["onnxruntime"])
        except SpecError as error:
            if "--size" not in str(error):
                raise
            done = export(model, files["onnxruntime"], size=SIZES[1])
        shutil.copy(files["onnxruntime"], files["int8"])
        expected = quantise(files["int8"], seen, done.size, {})
        runs: dict[str, Callable[[torch.Tensor], np.ndarray]] = {"torch": lambda x: model.predict(x).log_density}
        runs |= {kind: runner(path) for kind, path in files.items()}
        images = smooth(SIZES if done.size is None else [done.size] * len(SIZES))
        score_of = {kind: score(run, rows) for kind, run in runs.items()}
        return {
            "size": done.size,
            "bytes": done.bytes,
            "int8_bytes": files["int8"].stat().st_size,
            "difference": max(float(np.abs(runs["torch"](x) - runs["onnxruntime"](x)).max()) for x in images),
            "ms": {kind: milliseconds(run, smooth([SIZES[1]])[0]) for kind, run in runs.items()},
            "nss": score_of,
            "int8_loss": round(score_of["onnxruntime"] - score_of["int8"], 4),
            "int8_loss_told": round(expected.nss, 4),
            "images": len(rows),
        }


def smooth(sizes: Sequence[Size]) -> list[torch.Tensor]:
    """Return smooth images, always the same."""
    random = torch.Generator().manual_seed(1)
    small = [torch.rand(1, 3, 7, 9, generator=random) for _ in sizes]
    return [torch.nn.functional.interpolate(x, s, mode="bilinear")[0] for x, s in zip(small, sizes, strict=True)]


def runner(path: Path) -> Callable[[torch.Tensor], np.ndarray]:
    runtime = session(path, threads=2)
    return lambda x: runtime.run(None, {"image": x[None].numpy()})[0][0]


def milliseconds(run: Callable[[torch.Tensor], np.ndarray], image: torch.Tensor) -> float:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        run(image)
        times.append(time.perf_counter() - start)
    return round(1000 * float(np.median(times[2:])), 1)


def score(run: Callable[[torch.Tensor], np.ndarray], rows: list[Any]) -> float:
    density = [torch.from_numpy(np.exp(run(row["image"].float() / 255)))[None] for row in rows]
    each = [nss(d, row["fixations"][None]) for d, row in zip(density, rows, strict=True)]
    return round(float(torch.cat(each).mean()), 4)


if __name__ == "__main__":
    main()
