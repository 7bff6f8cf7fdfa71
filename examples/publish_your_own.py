"""A model of your own, trained, measured and published as those of the zoo are.

    python examples/publish_your_own.py                            # draws a small study; checks, uploads nothing
    python examples/publish_your_own.py --root STUDY --repo ORG/REPO   # your own study, and onto the Hugging Face Hub

A model is a class and a YAML. `salzoo.register` tells this process of it. So that others can `salzoo.load("hf://ORG/REPO")`,
put both into a package, with an entry point in its pyproject.toml, and they `pip install` it:

    [project.entry-points."salzoo.models"]
    blobs = "my_package"          # my_package/blobs.yaml, and my_package/blobs.md with the prose of its card
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor, nn

import salzoo
from salzoo import Preprocess, SaliencyModel, losses
from salzoo._version import commit
from salzoo.checkpoint import card
from salzoo.data import FixationFolder
from salzoo.data.base import Batch
from salzoo.evaluation import evaluate, predictor
from salzoo.images.samples import pop_out
from salzoo.registry import read_spec
from salzoo.training.fit import Run, fit

SPEC = """
class_path: publish_your_own.Blobs
summary: Colours that stand out from their surroundings.
training: gradient
default: mine
variants:
  mine:
    summary: Two 1x1 convolutions on a centre-surround difference.
    recipe: {seed_everything: 0, training: {lr: 3.0e-2}, trainer: {max_epochs: 20}, data: {batch_size: 8}}
"""

PROSE = """## Intended use
An example of a model of one's own.

## Limits
It sees colours and no things.
"""


class CentreSurround(nn.Module):
    """Each pixel's colour minus the mean around it, up and down apart, read out by two 1x1 convolutions.

    Shape: (N, 3, H, W) to logits (N, 1, H, W).
    """

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.read = nn.Sequential(nn.Conv2d(6, channels, 1), nn.ReLU(), nn.Conv2d(channels, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        contrast = image - gaussian_blur2d(image, (31, 31), (8.0, 8.0))
        logits: Tensor = self.read(torch.cat([contrast.relu(), (-contrast).relu()], dim=1))
        return logits


class Blobs(SaliencyModel):
    """A model of one's own, by log-likelihood."""

    network_class = CentreSurround
    default_preprocess = Preprocess((96, 128))

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return losses.nll(self.to_log_density(logits), batch["fixations"])


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="your own study; without it, a small one is drawn")
    parser.add_argument("--repo", help="ORG/REPO on the Hub; without it, everything but the upload is done")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/blobs"), help="where everything goes")
    arguments = parser.parse_args(words)
    arguments.output.mkdir(parents=True, exist_ok=True)
    root = arguments.root or draw(arguments.output / "study")

    (arguments.output / "blobs.yaml").write_text(SPEC, encoding="utf-8")
    (arguments.output / "blobs.md").write_text(PROSE, encoding="utf-8")
    name = salzoo.register(arguments.output / "blobs.yaml")

    options = ["--data.sets=folder", f"--data.root={root}"]
    command = f"python examples/publish_your_own.py --root {root}"
    folder = fit(Run(read_spec(name), "mine", arguments.output / "run", options, command=command))
    assert folder is not None

    table = evaluate({name: predictor(salzoo.load(folder))}, FixationFolder(root, "test"))
    print(table.to_markdown())
    card.record(folder, [table.measured(name, commit())])

    done = salzoo.publish(folder, arguments.repo or "me/blobs", dry_run=arguments.repo is None)
    print(f"{done.repo}: {'would upload' if done.commit is None else done.commit} {', '.join(done.files)}")


def draw(folder: Path) -> Path:
    """Write a study: displays with one bar of another colour, and people who look at it."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with (folder / "fixations.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "observer", "x", "y"))
        for number in range(40):
            image, target = pop_out("colour", seed=number)
            name = f"{number:03d}.png"
            image.save(folder / "images" / name)
            for observer, (x, y) in enumerate(rng.normal(target, 10, (6, 2))):
                rows.writerow((name, observer, f"{x:.1f}", f"{y:.1f}"))
    return folder


if __name__ == "__main__":
    main()
