"""Time salzoo's metrics and pysaliency's on the same 600x800 maps in one process, one thread.

python benchmarks/metrics.py                      synthetic maps and fixations
python benchmarks/metrics.py --root path/to/OSIE  fixations of OSIE; predictions are blurred fixations of half the observers' pixels

Prints JSON: for each metric the CPU and wall milliseconds per image of either library and the mean score. pysaliency 0.2.22
needs setuptools < 81 and numpy < 2.4; without it only salzoo is timed. CPU time is what to compare: wall time has other people's load.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy and torch read them

import argparse
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from salzoo.metrics import FixationPool, functional

HEIGHT, WIDTH = 600, 800


def synthetic_fixations(images: int, rng: np.random.Generator) -> torch.Tensor:
    """About 141 fixations an image: a third around the centre, the others around five objects."""
    maps = np.zeros((images, HEIGHT, WIDTH), np.int64)
    for counts in maps:
        centres = np.vstack([[HEIGHT / 2, WIDTH / 2], rng.uniform((60, 60), (HEIGHT - 60, WIDTH - 60), (5, 2))])
        spread = np.array([120, 30, 30, 30, 30, 30])
        pick = rng.choice(6, rng.integers(120, 162), p=[0.35] + [0.13] * 5)
        points = centres[pick] + spread[pick, None] * rng.standard_normal((len(pick), 2))
        y, x = np.clip(points, 0, (HEIGHT - 1, WIDTH - 1)).astype(int).T
        np.add.at(counts, (y, x), 1)
    return torch.from_numpy(maps)


def osie_fixations(root: str) -> torch.Tensor:
    """Return the counts of every image of OSIE that is 600x800."""
    from salzoo.data import OSIE

    maps = [item["fixations"] for split in ("test", "val", "train") for item in OSIE(root, split=split)]
    return torch.stack([m for m in maps if m.shape == (HEIGHT, WIDTH)]).long()


def blurred(counts: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter(counts.astype(np.float64), sigma, mode="constant")


def build(fixations: torch.Tensor, images: int, dtype: type, rng: np.random.Generator) -> dict[str, Any]:
    """Predictions, densities, a centre bias and the pool of all images' fixations."""
    counts = fixations[:images].numpy()
    centre = blurred(fixations[images:].sum(0).numpy(), 30)
    centre = (centre / centre.sum() + 1e-8).astype(dtype)
    preds = []
    for c in counts:
        seen = blurred(c * (rng.random(c.shape) < 0.5), 40)
        noise = gaussian_filter(rng.standard_normal(c.shape), 12)
        preds.append(seen / seen.max() + 0.4 * centre / centre.max() + 1.5 * (noise - noise.min()) + 0.01)
    return {
        "preds": torch.from_numpy(np.stack(preds).astype(dtype)),
        "fixations": fixations[:images],
        "density": torch.from_numpy(np.stack([blurred(c, 24) / c.sum() for c in counts]).astype(dtype)),
        "baseline": torch.from_numpy(centre),
        "other": FixationPool(fixations).others(fixations[:images]),
    }


def salzoo_calls(data: dict[str, Any], convention: str) -> dict[str, Callable[[int], float]]:
    """One call an image for each metric."""

    def call(name: str, *keys: str, **options: Any) -> Callable[[int], float]:
        function = getattr(functional, name)
        return lambda i: float(
            function(
                data["preds"][i : i + 1],
                **{k: data[k] if data[k].ndim == 2 else data[k][i : i + 1] for k in keys},
                convention=convention,
                **options,
            )
        )

    return {
        "auc": call("auc_judd", "fixations"),
        "judd": call(
            "auc_judd", "fixations", thresholds="fixations", negatives="unfixated", repeats=True, ties="trapezoid"
        ),
        "sauc": call("shuffled_auc", "fixations", "other"),
        "nss": call("nss", "fixations"),
        "cc": call("cc", "density"),
        "sim": call("sim", "density"),
        "kld": call("kl_div", "density"),
        "ig": call("info_gain", "fixations", "baseline"),
        "borji": call("auc_borji", "fixations"),
        "emd": call("emd", "density"),
    }


def pysaliency_calls(data: dict[str, Any]) -> dict[str, Callable[[int], float]]:
    """The same metrics through pysaliency's own methods; its maps are ready in memory."""
    import pysaliency
    from pysaliency.models import SaliencyMapNormalizingModel

    def points(counts: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        y, x = counts.nonzero(as_tuple=True)
        repeat = counts[y, x]
        return x.repeat_interleave(repeat).numpy(), y.repeat_interleave(repeat).numpy()

    class Stored(pysaliency.SaliencyMapModel):
        def __init__(self, array: torch.Tensor) -> None:
            super().__init__(caching=False)
            self.array = array.numpy()

        def _saliency_map(self, stimulus: Any) -> np.ndarray:
            return self.array

    n = len(data["preds"])
    stimuli = [pysaliency.Stimuli([np.full((HEIGHT, WIDTH), i, np.uint8)]) for i in range(n)]
    preds, gold = [Stored(p) for p in data["preds"]], [Stored(g) for g in data["density"]]
    spots = [points(c) for c in data["fixations"]]
    others = [points(c) for c in data["other"]]
    fixations = [
        pysaliency.FixationTrains.from_fixation_trains([x], [y], [np.arange(len(x))], [0], [0]) for x, y in spots
    ]
    normal = [SaliencyMapNormalizingModel(p, minimum_value=1e-20) for p in preds]
    base = SaliencyMapNormalizingModel(Stored(data["baseline"]), minimum_value=1e-20)
    return {
        "auc": lambda i: preds[i].AUC(stimuli[i], fixations[i], average="image"),
        "judd": lambda i: preds[i].AUC_Judd(stimuli[i], fixations[i], jitter=False),
        "sauc": lambda i: preds[i].AUC(stimuli[i], fixations[i], nonfixations=lambda *_: others[i], average="image"),
        "nss": lambda i: preds[i].NSS(stimuli[i], fixations[i], average="image"),
        "cc": lambda i: preds[i].CC(stimuli[i], gold[i]),
        "sim": lambda i: preds[i].SIM(stimuli[i], gold[i]),
        "kld": lambda i: preds[i].KLDiv(stimuli[i], gold[i]),
        "ig": lambda i: normal[i].information_gain(stimuli[i], fixations[i], base, average="image"),
    }


def measure(call: Callable[[int], float], images: int) -> tuple[float, float, float]:
    """CPU ms, wall ms and mean score an image."""
    cpu, wall = time.process_time(), time.perf_counter()
    scores = [call(i) for i in range(images)]
    scale = 1e3 / images
    return (time.process_time() - cpu) * scale, (time.perf_counter() - wall) * scale, float(np.mean(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder of OSIE; synthetic fixations without it")
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3, help="the fastest round of each counts")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    fixations = osie_fixations(options.root) if options.root else synthetic_fixations(700, rng)
    data = build(fixations, options.images, getattr(np, options.dtype), rng)
    sides = {"salzoo": salzoo_calls(data, "pysaliency"), "salzoo_mit": salzoo_calls(data, "mit")}
    del sides["salzoo_mit"]["judd"]
    try:
        sides["pysaliency"] = pysaliency_calls(data)
    except ImportError as error:
        print(f"pysaliency is not timed: {error}")
    best: dict[str, dict[str, tuple[float, float, float]]] = {}
    for _ in range(options.rounds + 1):  # the first round warms caches and compilers up
        for side, calls in sides.items():
            for name, call in calls.items():
                row = best.setdefault(name, {})
                row[side] = min(row.get(side, (np.inf, 0.0, 0.0)), measure(call, options.images))
    table: dict[str, dict[str, Any]] = {}
    for name, row in best.items():
        table[name] = {s: {"cpu_ms": round(c, 3), "wall_ms": round(w, 3), "score": v} for s, (c, w, v) in row.items()}
        if "pysaliency" in row:
            table[name]["speedup_cpu"] = round(row["pysaliency"][0] / row["salzoo"][0], 2)
    pool = int(data["other"][0].sum())
    setting = {"images": options.images, "size": [HEIGHT, WIDTH], "dtype": options.dtype, "sauc_pool_fixations": pool}
    print(json.dumps({**setting, "metrics": table}, indent=1))


if __name__ == "__main__":
    main()
