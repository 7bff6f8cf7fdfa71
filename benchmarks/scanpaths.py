"""Measure scanpath models on OSIE, EyeCrowd and Scene500 (test), and write the numbers where they are shown.

    python benchmarks/scanpaths.py --root folder/that/holds/osie/eyecrowd/scene500          # all that can be loaded
    python benchmarks/scanpaths.py --root ... saccadic.lite wta.base                        # the others keep their rows
    python benchmarks/scanpaths.py --speed                                                  # 1,000 paths, in seconds

Writes rows into benchmarks/results/scanpaths.json, each with the commit that measured it, with controls and the static
densities beside them, and from there into the configs and cards of hub and the tables of docs. A set is written as soon
as it is measured; paths are drawn on OSIE alone, which the tables of paths are of. With --write-only nothing is
measured; with --densities DIR the static densities are kept there, so that a second run need not predict them again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pages
import scanpath_pages
import torch
from record import RESULTS, commit, record
from torch import Tensor

import salzoo
from salzoo._io import write_text
from salzoo._malloc import keep_memory
from salzoo.checkpoint import card
from salzoo.checkpoint.config import OF_SCANPATHS, Measured
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.scanpath_model import ScanpathModel
from salzoo.data import load_dataset
from salzoo.evaluation.scanpaths import evaluate_scanpaths, load_models
from salzoo.evaluation.scanpaths.scoring import STATIC
from salzoo.evaluation.scanpaths.similarity import CONTROLS
from salzoo.evaluation.scanpaths.table import apart
from salzoo.images.geometry import Size
from salzoo.images.read import to_tensor
from salzoo.images.samples import sample_images
from salzoo.metrics.scanpaths import CONDITIONAL
from salzoo.registry import read_spec, spec_names

FILE = RESULTS / "scanpaths.json"
PIXELS_PER_DEGREE = {"osie": 23.7}
"""Of sets whose viewing distance is told: OSIE's 800 columns are taken for 33.7 degrees."""
SEED = 0
ONE = ", 1 candidate"
"""End of the names of rows of models that keep the first draw, where their checkpoint keeps the best of several."""
EXTRA = (f"saccadic.paper{ONE}",)
OVER = " over "
"""In the names of rows of models that start from another density than their checkpoint says."""
FLAGSHIP = f"deepgaze3.lite{OVER}deepgaze2e.lite"
"""The best; measured only where it is named, as its density takes half a second an image."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="checkpoints; default all scanpath models, and EXTRA")
    parser.add_argument("--root")
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--sets", nargs="*", default=pages.SETS, choices=pages.SETS)
    parser.add_argument("--densities", type=Path, help="folder that keeps static densities")
    parser.add_argument(
        "--speed", action="store_true", help="measure how long it takes to draw paths, and nothing else"
    )
    parser.add_argument("--write-only", action="store_true", help="measure nothing, write what was measured")
    arguments, at = parser.parse_args(), commit()  # before the numbers of the first set are changes themselves
    if arguments.speed:
        speed(arguments.rows or loadable(), at)
        return
    for name in () if arguments.write_only else arguments.sets:
        rows = arguments.rows or [*loadable(), *EXTRA]
        measure(rows, name, arguments.root, arguments.split, at, arguments.densities)
    if arguments.split == "test":
        record_measured()
        pages.write()


def speed(rows: list[str], at: str) -> None:
    """Time 1,000 paths of 10 fixations on an image of 600 x 800, after its density; a quiet machine is wanted."""
    keep_memory()  # as the command does
    image = to_tensor(sample_images()["astronaut"].resize((800, 600)))
    seconds = {}
    for row in rows:
        model = salzoo.load(row)
        assert isinstance(model, ScanpathModel)
        stimulus = model.prepare(image)
        model.continue_paths(stimulus, np.empty((1, 0, 3)), 3)
        start, used = time.perf_counter(), time.process_time()
        model.continue_paths(stimulus, np.empty((1000, 0, 3)), 10)
        seconds[row] = round(time.perf_counter() - start, 2)
        print(f"{row}: {seconds[row]} s, {time.process_time() - used:.2f} s of CPU", flush=True)
    found = {"threads": torch.get_num_threads(), "seconds": seconds, "slowest": max(seconds.values())}
    record("scanpath_speed", "1000 paths of 10 fixations, 600x800", found, ("slowest", "<", 5.0), at=at)


def loadable() -> list[str]:
    """Return every scanpath model that has a checkpoint or needs none."""
    specs = [spec for spec in map(read_spec, spec_names()) if spec.kind == "scanpath"]
    return [f"{spec.name}.{tag}" for spec in specs for tag in spec.loadable]


class Kept(SaliencyModel):
    """A model whose densities are kept in files, by the checksum of the image."""

    network: SaliencyModel

    def __init__(self, model: SaliencyModel, folder: Path) -> None:
        super().__init__(model.preprocess)
        self.network, self._folder = model, folder
        folder.mkdir(parents=True, exist_ok=True)

    def infer(self, images: Sequence[Tensor], sizes: Sequence[Size] | None = None) -> list[Tensor]:
        return [self._one(image) for image in images]

    def _one(self, image: Tensor) -> Tensor:
        path = self._folder / f"{hashlib.sha256(image.numpy().tobytes()).hexdigest()[:32]}.npy"
        if not path.is_file():
            np.save(path, self.network.infer([image])[0].numpy())
        return torch.from_numpy(np.load(path))


def measure(rows: list[str], name: str, root: str, split: str, at: str, densities: Path | None = None) -> None:
    """Measure rows on a set and, of the test split, keep them over those of the same name, with the commit `at`."""
    dataset = load_dataset(name, root, split)
    models, notes = load_models({row: row.removesuffix(ONE).split(OVER)[0] for row in rows}, dataset)
    kept: dict[str, SaliencyModel] = {}
    for row, model in models.items():
        if row.endswith(ONE):
            model.candidates = 1
        if OVER in row:
            model.density = row.split(OVER)[1]
            model.start_from(salzoo.load(model.density))
        if densities is not None and isinstance(model, ScanpathModel):
            kept.setdefault(model.density, Kept(model.density_model, densities / model.density))
            model.start_from(kept[model.density])
    table = evaluate_scanpaths(
        models,
        dataset,
        seed=SEED,
        pixels_per_degree=PIXELS_PER_DEGREE.get(name),
        draw=name == scanpath_pages.FIRST,
        notes=notes,
    )
    print(table.to_markdown(intervals=True), flush=True)
    if split == "test":
        keep(table.to_json(), at)


def keep(new: dict[str, Any], at: str) -> None:
    """Put a set's rows beside those that were measured before."""
    del new["commit"]  # each row has its own
    new["commits"] = dict.fromkeys(new["rows"], at)
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    old = content.get(new["dataset"], {})
    there = {*loadable(), *EXTRA, FLAGSHIP, *CONTROLS}
    for part in ("rows", "intervals", "saccades", "commits"):
        kept = {row: found for row, found in old.get(part, {}).items() if row in there or row.startswith(STATIC)}
        new[part] = kept | new[part]
    new["apart"] = apart(new["saccades"])
    order = [name for name in pages.SETS if name in {*content, new["dataset"]}]
    content[new["dataset"]] = new
    write_text(FILE, json.dumps({name: content[name] for name in order}, indent=2) + "\n")


def record_measured() -> None:
    """Write what was measured into the configs and cards of checkpoints."""
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    for row in loadable():
        folder = Path(__file__).parents[1] / "hub" / row
        found = [measured(each, row) for each in content.values() if row in each["rows"]]
        if folder.is_dir() and found:
            card.record(folder, found)


def measured(found: dict[str, Any], row: str) -> Measured:
    """Return a row as a checkpoint's config has it."""
    scores = {name: found["rows"][row].get(name) for name in CONDITIONAL}
    known = {name: round(value, 5) for name, value in scores.items() if value is not None and math.isfinite(value)}
    return Measured(found["dataset"], found["split"], found["images"], OF_SCANPATHS, found["commits"][row], known)


if __name__ == "__main__":
    main()
