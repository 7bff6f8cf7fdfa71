"""How much models still explain when they are shown worse images than people saw, on the validation splits.

    python benchmarks/degraded.py --root folder/that/holds/osie/eyecrowd/scene500 [MODEL ...]

On `val`, since training images are known by heart. People looked at the images as they are: what is measured is how
much a model needs colour, detail and clean pixels. Writes each set into benchmarks/results/degraded.json as it is done;
`python benchmarks/pages.py` writes the table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any
from zlib import crc32

import numpy as np
import pages
import torch
from numpy.typing import NDArray
from PIL import Image
from record import RESULTS, commit
from scipy.ndimage import gaussian_filter
from torch import Tensor

from salzoo._io import write_text
from salzoo.components.load import load
from salzoo.components.saliency_model import SaliencyModel
from salzoo.data import Item, load_dataset
from salzoo.evaluation.part import spread
from salzoo.evaluation.scoring import evaluate
from salzoo.evaluation.table import Table

MODELS = ("deepgaze2e.lite", "deepgaze2.lite", "unisal.lite", "centre_bias.lite")
FILE = RESULTS / "degraded.json"
SIGMA_PX, NOISE, SIDE = 4.0, 0.1, 160
Pixels = NDArray[np.float64]
"""(H, W, 3), 0 to 255."""


def grey(pixels: Pixels, _: int) -> Pixels:
    """Return the image without its colours (luma of BT.601)."""
    return np.repeat(pixels @ np.array([[0.299], [0.587], [0.114]]), 3, axis=2)


def blurred(pixels: Pixels, _: int) -> Pixels:
    """Return the image under a Gaussian of `SIGMA_PX`."""
    return np.asarray(gaussian_filter(pixels, (SIGMA_PX, SIGMA_PX, 0), mode="nearest"))


def noisy(pixels: Pixels, seed: int) -> Pixels:
    """Return the image with Gaussian noise of `NOISE` of the range of values, another one in each channel."""
    return pixels + np.random.default_rng(seed).normal(0, NOISE * 255, pixels.shape)


def shrunk(pixels: Pixels, _: int) -> Pixels:
    """Return the image at a longer side of `SIDE` pixels, enlarged to its own size again."""
    image = Image.fromarray(pixels.astype(np.uint8))
    small = image.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=None)
    return np.asarray(small.resize(image.size, Image.Resampling.BICUBIC), dtype=np.float64)


AS_IT_IS = "as it is"
WAYS: dict[str, Callable[[Pixels, int], Pixels]] = {
    AS_IT_IS: lambda pixels, _: pixels,
    "grey": grey,
    f"blurred, sigma {SIGMA_PX:.0f} px": blurred,
    f"noise, sigma {NOISE} of the range": noisy,
    f"shrunk to {SIDE} px and back": shrunk,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"default {', '.join(MODELS)}")
    parser.add_argument("--root", required=True)
    parser.add_argument("--images", type=int, help="so many of each set, evenly spread over the split; default all")
    arguments, at = parser.parse_args(), commit()
    models = {name: load(name) for name in arguments.models or MODELS}
    rows = {f"{name}, {way}": shown(model, way) for name, model in models.items() for way in WAYS}
    found: dict[str, Any] = {"commit": at, "models": list(models), "ways": list(WAYS), "sets": {}}
    for name in pages.SETS:
        dataset = load_dataset(name, arguments.root, "val")
        chosen, _ = spread(dataset, arguments.images)
        table = evaluate(rows, chosen, baselines=("gold",), metrics=("ig",))
        print(table.to_markdown(intervals=True), flush=True)
        found["sets"][name] = {"images": len(chosen), "of": len(dataset), **numbers(table, list(models))}
        write_text(FILE, json.dumps(found, indent=1) + "\n")


def numbers(table: Table, models: list[str]) -> dict[str, dict[str, list[float]]]:
    """Return what rows explain, and how much more it is than of the images as they are, paired by image."""
    explained = {row: [round(value, 4) for value in each] for row, each in table.explained().items()}
    people, change = table.rows["gold"]["ig"], {}
    for model in models:
        for way in list(WAYS)[1:]:
            found = table.compare(f"{model}, {way}", f"{model}, {AS_IT_IS}").differences["ig"]
            change[f"{model}, {way}"] = [round(bit / people, 4) for bit in (found.mean, found.low, found.high)]
    return {"explained": explained, "change": change}


def shown(model: SaliencyModel, way: str) -> Callable[[int, Item], Tensor]:
    """Return a predictor that shows the model each image in one of `WAYS`."""

    def predict(_: int, item: Item) -> Tensor:
        pixels = item["image"].permute(1, 2, 0).numpy().astype(np.float64)
        worse = WAYS[way](pixels, crc32(item["name"].encode())).round().clip(0, 255).astype(np.uint8)
        (log_density,) = model.log_densities([torch.from_numpy(worse).permute(2, 0, 1).contiguous()])
        return log_density.exp()

    return predict


if __name__ == "__main__":
    main()
