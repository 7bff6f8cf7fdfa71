"""Time salzoo's metrics and pysaliency's on the same 600x800 maps in one process, one thread.

    python benchmarks/metrics.py                        synthetic fixations
    python benchmarks/metrics.py --root path/to/osie    fixations of OSIE

Predictions are made here in both cases. The shuffled AUC ("sauc") scores all images, with the same predictions over and
over, as its negatives are the fixations in all others; the other metrics score --images of them.

Prints JSON: for each metric the CPU and wall milliseconds per image of either library and the mean score. Compare CPU
time: wall time has other people's load in it. Both libraries get float32 maps, as models predict them, and the same in
float64. `faster` is the ratio of CPU times on the same maps in float32 and in float64, and ("64 to 32") of pysaliency
on float64, which numpy and scipy give its users, to salzoo on float32, which torch gives ours. pysaliency is called as
its users do: methods of a model that returns ready maps, with its defaults, averaged over images. salzoo is called with
convention="pysaliency"; "salzoo_mit" is its default. pysaliency 0.2.22 needs setuptools < 81 and numpy < 2.4, and
pandas; without it only salzoo is timed. The synthetic set has 700 images, so 699 others for the shuffled AUC.

Where maps of 480,000 values are added up, the memory is the limit: KL reads both once, and checks and scores each piece
while it is in the cache; with an eps, as MIT has it, the sums are needed before. The shuffled AUC must read the map for
the check and once more for the values at 98,000 fixations, and sort these.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from record import commit
from scipy.ndimage import gaussian_filter

from salzoo.metrics import FixationPool, functional

HEIGHT, WIDTH = 600, 800


def synthetic_fixations(images: int, rng: np.random.Generator) -> torch.Tensor:
    """About 141 fixations an image: a third around the centre, the others around five objects."""
    maps = np.zeros((images, HEIGHT, WIDTH), np.int32)  # as salzoo.data has them
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
    return torch.stack([m for m in maps if m.shape == (HEIGHT, WIDTH)])


def blurred(counts: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter(counts.astype(np.float64), sigma, mode="constant")


def build(fixations: torch.Tensor, images: int, rng: np.random.Generator) -> dict[str, Any]:
    """Predictions, densities, a centre bias and the pool of all images' fixations."""
    counts = fixations[:images].numpy()
    centre = blurred(fixations[images:].sum(0).numpy(), 30)
    centre = (centre / centre.sum() + 1e-8).astype(np.float32)
    preds = []
    for c in counts:
        seen = blurred(c * (rng.random(c.shape) < 0.5), 40)
        noise = gaussian_filter(rng.standard_normal(c.shape), 12)
        preds.append(seen / seen.max() + 0.4 * centre / centre.max() + 1.5 * (noise - noise.min()) + 0.01)
    pool = FixationPool(fixations)
    return {
        "preds": torch.from_numpy(np.stack(preds).astype(np.float32)),
        "fixations": fixations[:images],
        "density": torch.from_numpy(np.stack([blurred(c, 24) / c.sum() for c in counts]).astype(np.float32)),
        "baseline": torch.from_numpy(centre),
        "other": (pool.counts(HEIGHT, WIDTH) - fixations[:images]).to(fixations.dtype),
        "everyone": fixations,
        "pool": pool,
    }


def salzoo_calls(data: dict[str, Any], convention: str, batch: int) -> dict[str, Callable[[], float]]:
    """Mean score of each metric."""

    def call(name: str, *keys: str, **options: Any) -> Callable[[], float]:
        function = partial(getattr(functional, name), convention=convention, **options)
        whole, images = {"baseline", "pool"}, len(data["preds"])

        def mean() -> float:
            scores = []
            for i in range(0, len(data[keys[0]]), batch):
                part = slice(i, i + batch)
                maps = data["preds"][i % images : i % images + batch]
                scores.append(function(maps, *(data[k] if k in whole else data[k][part] for k in keys)))
            return torch.cat(scores).mean().item()

        return mean

    return {
        "auc": call("auc_judd", "fixations"),
        "judd": call(
            "auc_judd", "fixations", thresholds="fixations", negatives="unfixated", repeats=True, ties="trapezoid"
        ),
        "sauc": call("shuffled_auc", "everyone", "pool"),
        "sauc_from_maps": call("shuffled_auc", "fixations", "other"),
        "nss": call("nss", "fixations"),
        "cc": call("cc", "density"),
        "sim": call("sim", "density"),
        "kld": call("kl_div", "density"),
        "ig": call("info_gain", "fixations", "baseline"),
        "borji": call("auc_borji", "fixations"),
        "emd": call("emd", "density"),
    }


def pysaliency_calls(data: dict[str, Any], dtype: torch.dtype) -> dict[str, Callable[[], float]]:
    """The same metrics through pysaliency's own methods; its maps are ready in memory."""
    import pysaliency
    from pysaliency.models import SaliencyMapNormalizingModel

    class Stored(pysaliency.SaliencyMapModel):
        def __init__(self, maps: torch.Tensor) -> None:
            super().__init__(caching=False)
            self.maps = maps.to(dtype).numpy()

        def _saliency_map(self, stimulus: np.ndarray) -> np.ndarray:
            number = int(stimulus[0, 0, 0]) * 256 + int(stimulus[0, 0, 1])
            return self.maps[number % len(self.maps)]

    images = len(data["preds"])
    colours = [np.array([n // 256, n % 256, 0], np.uint8) for n in range(len(data["everyone"]))]
    stimuli = pysaliency.Stimuli([np.broadcast_to(c, (HEIGHT, WIDTH, 3)) for c in colours])  # numbered by their colour
    n, y, x = data["everyone"].nonzero(as_tuple=True)
    n, y, x = (v.repeat_interleave(data["everyone"][n, y, x].long()).numpy() for v in (n, y, x))
    everyone = pysaliency.Fixations.create_without_history(x, y, n)
    shown, own = stimuli[:images], everyone[n < images]
    preds, gold = Stored(data["preds"]), Stored(data["density"])
    density = SaliencyMapNormalizingModel(preds, minimum_value=1e-20)
    baseline = SaliencyMapNormalizingModel(Stored(data["baseline"].expand_as(data["preds"])), minimum_value=1e-20)

    return {
        "auc": lambda: preds.AUC(shown, own, average="image"),
        "judd": lambda: preds.AUC_Judd(shown, own, jitter=False),
        "sauc": lambda: preds.AUC(stimuli, everyone, nonfixations="shuffled", average="image"),
        "nss": lambda: preds.NSS(shown, own, average="image"),
        "cc": lambda: preds.CC(shown, gold),
        "sim": lambda: preds.SIM(shown, gold),
        "kld": lambda: preds.KLDiv(shown, gold),
        "ig": lambda: density.information_gain(shown, own, baseline, average="image"),
    }


def measure(call: Callable[[], float], images: int) -> tuple[float, float, float]:
    """CPU ms and wall ms an image, and the mean score."""
    cpu, wall = time.process_time(), time.perf_counter()
    score = float(call())
    return (time.process_time() - cpu) * 1e3 / images, (time.perf_counter() - wall) * 1e3 / images, score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder of OSIE; synthetic fixations without it")
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--batch", type=int, default=5, help="images in one call of salzoo, a divisor of --images")
    parser.add_argument("--rounds", type=int, default=3, help="the fastest round of each counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    fixations = osie_fixations(options.root) if options.root else synthetic_fixations(700, rng)
    data = build(fixations, options.images, rng)
    wide = data | {key: data[key].double() for key in ("preds", "density", "baseline")}
    sides = {
        "salzoo_float32": salzoo_calls(data, "pysaliency", options.batch),
        "salzoo_float64": salzoo_calls(wide, "pysaliency", options.batch),
        "salzoo_mit": salzoo_calls(data, "mit", options.batch),
    }
    try:
        for dtype in (torch.float32, torch.float64):
            sides[str(dtype).replace("torch.", "pysaliency_")] = pysaliency_calls(data, dtype)
    except ImportError as error:
        print(f"pysaliency is not timed: {error}", file=sys.stderr)
    best: dict[str, dict[str, tuple[float, float, float]]] = {}
    for _ in range(options.rounds + 1):  # the first round also warms caches and compilers up
        for side, calls in sides.items():
            for name, call in calls.items():
                row = best.setdefault(name, {})
                images = len(fixations) if name == "sauc" else options.images
                row[side] = min(row.get(side, (np.inf, 0.0, 0.0)), measure(call, images))
    table: dict[str, dict[str, Any]] = {}
    for name, row in best.items():
        table[name] = {s: {"cpu_ms": round(c, 3), "wall_ms": round(w, 3), "score": v} for s, (c, w, v) in row.items()}
        if "pysaliency_float64" in row:
            pairs = {
                "float32": ("float32", "float32"),
                "float64": ("float64", "float64"),
                "64 to 32": ("float64", "float32"),
            }
            table[name]["faster"] = {
                which: round(row[f"pysaliency_{theirs}"][0] / row[f"salzoo_{ours}"][0], 2)
                for which, (theirs, ours) in pairs.items()
            }
    load = round(os.getloadavg()[0], 1)
    setting = {
        "commit": commit(),
        "load": load,
        "images": options.images,
        "size": [HEIGHT, WIDTH],
        "sauc_pool_images": len(fixations) - 1,
    }
    print(json.dumps({**setting, "metrics": table}, indent=1))


if __name__ == "__main__":
    main()
