"""From a folder of pictures and a table of fixations to a model fine-tuned on them, with a table before and after.

    python examples/finetune_own_data.py                  # draws pop-out displays and simulates who looks where
    python examples/finetune_own_data.py STUDY -o OUTPUT  # your own: pictures in STUDY/images, STUDY/fixations.csv

How a study may be laid out is told by `salzoo.data.FixationFolder`; `salzoo data check STUDY` shows what is understood.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

import salzoo
from salzoo import card, hub
from salzoo.data import Augment, FixationFolder, SaliencyDataModule
from salzoo.data.check import check
from salzoo.evaluate import Table, evaluate, predictor
from salzoo.fit import commit
from salzoo.model import SaliencyModel
from salzoo.samples import pop_out
from salzoo.spec import read_spec

DISPLAYS, OBSERVERS = 75, 8
SEED = 0


def main(words: Sequence[str] | None = None) -> Table:
    arguments = parse(words)
    root = arguments.study or demonstration(arguments.output / "study")
    print(check(FixationFolder(root, "all")).to_text())

    pl.seed_everything(SEED, verbose=False)
    model = salzoo.load(arguments.model)
    before = copy.deepcopy(model)
    fine_tune(model, root, arguments)
    rows = {"before": predictor(before), "after": predictor(model)}
    table = evaluate(rows, FixationFolder(root, "test"))  # pictures that training never saw
    print(table.to_markdown(intervals=True))

    folder = export(model, arguments)
    print(f"Wrote {folder}; `salzoo predict PICTURE -m {folder} -o maps` uses it.")
    return table


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", type=Path, help="your own; without it, a small one is drawn")
    parser.add_argument("-o", "--output", type=Path, default=Path("finetuned"), help="where everything goes")
    parser.add_argument("--model", default="deepgaze2", help="name or checkpoint folder to start from")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=1e-3, help="a third of the rate that the read-out was trained with")
    arguments = parser.parse_args(words)
    arguments.words = list(sys.argv[1:] if words is None else words)
    return arguments


def demonstration(folder: Path) -> Path:
    """Write a study as an eye tracker's export may look: one row a fixation, in no nice columns."""
    rng = np.random.default_rng(SEED)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(DISPLAYS):
        kind = ("colour", "orientation", "size")[number % 3]
        picture, target = pop_out(kind, seed=number)
        picture.save(folder / "images" / f"{kind}_{number:03d}.png")
        for observer in range(OBSERVERS):
            # The cross in the middle, a look on the way, the bar that differs, and then around.
            middle = np.array([picture.width, picture.height]) / 2
            around = rng.uniform((40, 40), (picture.width - 40, picture.height - 40), (2, 2))
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


def fine_tune(model: SaliencyModel, root: Path, arguments: argparse.Namespace) -> None:
    """Fit the centre bias to the study, train what is not frozen, and keep the epoch that is best on its val split."""
    data = SaliencyDataModule("folder", root, batch_size=8, augment=Augment(flip=0.5), seed=SEED)
    with torch.no_grad():
        # Twice as wide as for hundreds of pictures: what a few observers did is no law.
        model.network.centre_bias.fit(data.train_points(), bandwidth=0.06)
    model.lr = arguments.lr
    best = ModelCheckpoint(arguments.output / "checkpoints", "best", monitor="val/kld", mode="min")
    trainer = pl.Trainer(
        max_epochs=arguments.epochs,
        callbacks=[best],
        logger=False,
        enable_model_summary=False,
        default_root_dir=arguments.output,
    )
    trainer.fit(model, data)
    model.load_state_dict(torch.load(best.best_model_path, weights_only=False)["state_dict"])
    model.cpu().eval()


def export(model: SaliencyModel, arguments: argparse.Namespace) -> Path:
    """Write the checkpoint folder that `salzoo.load` takes, with all that it was ever trained on."""
    name, tag = model.identity.name, model.identity.tag
    spec, start = read_spec(name), Path(arguments.model)
    own = (start / hub.CONFIG).is_file()
    config = hub.read_config(start if own else hub.find(name, tag))
    earlier = config.provenance.data if config.provenance else ()
    folder = arguments.output / f"{name}.{tag}"
    saved = hub.save(
        model.network,
        folder,
        model=name,
        tag=tag,
        init_args=json.loads(json.dumps({**model.identity.init_args, "preprocess": vars(model.preprocess)})),
        license=config.license,
        provenance=hub.Provenance(
            command=shlex.join(["python", "examples/finetune_own_data.py", *arguments.words]),
            commit=commit(),
            seed=SEED,
            data=(*earlier, "folder:train"),
            recipe={"epochs": arguments.epochs, "lr": arguments.lr, "start": config.sha256},
            versions={"torch": torch.__version__, "lightning": pl.__version__},
        ),
    )
    card.write(folder, spec, saved)
    return folder


if __name__ == "__main__":
    main()
