"""Does fine-tuning on 40 images help a network that never saw the set?

    python benchmarks/finetune.py eyecrowd --root data -o runs/finetune        # and again with scene500

Three steps, of which those whose result lies in the output folder already are left out. DeepGaze II on
EfficientNet-Lite0 is trained on the other two sets (`salzoo fit`). 40 images drawn from the set's training split,
with their fixations, become a study of one's own whose test split is the set's. `salzoo finetune` adapts the network
to it, with 8 of the 40 to stop by. Prints JSON: every metric on the test split before and after, and the paired
difference with its 95 % interval.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

from salzoo.checkpoint.config import CONFIG
from salzoo.checkpoint.folder import read_config
from salzoo.data import FixationDataset, load_dataset
from salzoo.training.finetune import Finetuning, finetune

SETS = ("osie", "eyecrowd", "scene500")
RECIPE = [
    "--model.backbone=tf_efficientnet_lite0",
    "--training.cache_features=true",
    "--model.preprocess.size=[384,512]",
    "--trainer.max_epochs=6",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS, help="that the network never saw")
    parser.add_argument("--root", required=True, type=Path, help="folder that holds the three sets")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/finetune"))
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of pictures")
    arguments = parser.parse_args()
    start = arguments.output / f"without_{arguments.set}"
    if not (start / "deepgaze2.lite" / CONFIG).exists():
        others = ",".join(name for name in SETS if name != arguments.set)
        words = ["fit", "deepgaze2", "--data", others, "--root", str(arguments.root), "-o", str(start), *RECIPE]
        subprocess.run([sys.executable, "-m", "salzoo", *words], check=True)
    train, test = (load_dataset(arguments.set, arguments.root, split) for split in ("train", "test"))
    chosen = train.only(sorted(random.Random(arguments.seed).sample(train.names, arguments.pictures)))
    study = write_study(arguments.output / f"study_{arguments.set}", chosen, test)
    words = ["--data.sets=[folder]", f"--data.root={study}", "--trainer.enable_progress_bar=false"]
    command = f"salzoo finetune {start}/deepgaze2.lite --data folder --root {study}"
    adapted = finetune(
        Finetuning(f"{start}/deepgaze2.lite", arguments.output / f"tuned_{arguments.set}", words, command)
    )
    assert adapted is not None
    print(adapted.to_text(), file=sys.stderr)
    (table,) = adapted.tables
    made = read_config(adapted.folder).provenance
    assert made is not None
    result = {
        "set": arguments.set,
        "split": "test",
        "test_pictures": len(table.images),
        "trained_on": made.data,
        "pictures": arguments.pictures,
        "seed": arguments.seed,
        "commit": made.commit,
        "rows": {row: {m: round(v, 4) for m, v in table.rows[row].items()} for row in ("before", "after")},
        "gain": {
            m: [round(value, 4) for value in (each.mean, each.low, each.high)]
            for m, each in table.compare("after", "before").differences.items()
        },
    }
    print(json.dumps(result, indent=2))


def write_study(folder: Path, train: FixationDataset, test: FixationDataset) -> Path:
    """Write images and fixations as a study of one's own, without validation images."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    rows: list[tuple[object, ...]] = [("image", "observer", "x", "y", "duration")]
    for dataset in (train, test):
        for i, name in enumerate(dataset.names):
            (folder / "images" / name).symlink_to(dataset.image_path(i).resolve())
            points = dataset.fixations(i)
            durations = [""] * len(points) if points.duration is None else points.duration.tolist()
            rows += [
                (name, *rest)
                for rest in zip(points.observer.tolist(), points.x.tolist(), points.y.tolist(), durations, strict=True)
            ]
    with (folder / "fixations.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    splits = {"train": train.names, "val": [], "test": test.names}
    (folder / "splits.json").write_text(json.dumps(splits), encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
