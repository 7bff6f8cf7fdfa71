"""From a folder of images and a table of fixations to a model fine-tuned on them, with a table before and after.

    python examples/finetune_own_data.py                  # draws pop-out displays and simulates who looks where
    python examples/finetune_own_data.py STUDY -o OUTPUT  # your own: images in STUDY/images, STUDY/fixations.csv

Options of `salzoo finetune` may follow. How a study may be laid out is told by `salzoo.data.FixationFolder`;
`salzoo data check STUDY` shows what is understood.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from salzoo.data import FixationFolder
from salzoo.data.check import check
from salzoo.images.samples import pop_out
from salzoo.training.finetune import Adapted, Finetuning, finetune

DISPLAYS, OBSERVERS = 75, 8
SEED = 0


def main(words: Sequence[str] | None = None) -> Adapted:
    words = sys.argv[1:] if words is None else words
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", type=Path, help="your own; without it, a small one is drawn")
    parser.add_argument("-o", "--output", type=Path, default=Path("finetuned"), help="where everything goes")
    parser.add_argument("--model", default="deepgaze2", help="name or checkpoint folder to start from")
    arguments, options = parser.parse_known_args(words)
    root = arguments.study or demonstration(arguments.output / "study")
    print(check(FixationFolder(root, "all")).to_text())

    command = shlex.join(["python", "examples/finetune_own_data.py", *words])
    job = Finetuning(arguments.model, arguments.output, [f"--data.root={root}", *options], command)
    adapted = finetune(job)  # what `salzoo finetune MODEL --data folder --root STUDY -o OUTPUT` does
    assert adapted is not None
    print(adapted.to_text())
    print(f"Wrote {adapted.folder}; `salzoo predict IMAGE -m {adapted.folder} -o maps` uses it.")
    return adapted


def demonstration(folder: Path) -> Path:
    """Write a study as an eye tracker's export may look: one row a fixation, in no nice columns."""
    rng = np.random.default_rng(SEED)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(DISPLAYS):
        kind = ("colour", "orientation", "size")[number % 3]
        image, target = pop_out(kind, seed=number)
        image.save(folder / "images" / f"{kind}_{number:03d}.png")
        for observer in range(OBSERVERS):
            # The cross in the middle, a look on the way, the bar that differs, and then around.
            middle = np.array([image.width, image.height]) / 2
            around = rng.uniform((40, 40), (image.width - 40, image.height - 40), (2, 2))
            looks = np.array([middle, (middle + target) / 2, target, target, *around])
            looks += rng.normal(0, (8, 8), looks.shape)
            onset = np.cumsum(rng.uniform(150, 350, len(looks)))
            durations = np.diff(onset, prepend=0)
            for (x, y), end, duration in zip(looks, onset, durations, strict=True):
                start = round(end - duration)
                rows.append((f"{kind}_{number:03d}", observer, start, round(duration), f"{x:.1f}", f"{y:.1f}"))
    with (folder / "fixations.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("TRIAL", "SUBJECT", "START", "DURATION", "FIX_X", "FIX_Y"), *rows])
    roles = {"image": "TRIAL", "observer": "SUBJECT", "timestamp": "START", "duration": "DURATION"}
    options = {"columns": {**roles, "x": "FIX_X", "y": "FIX_Y"}, "skip_first": 1, "pixels_per_degree": 20}
    (folder / "study.json").write_text(json.dumps(options, indent=2), encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
