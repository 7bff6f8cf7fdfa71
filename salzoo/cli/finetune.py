"""`salzoo finetune`: adapt trained weights to another dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from salzoo.cli._parser import (
    MODEL_HELP,
    Commands,
    add_command,
    add_dataset,
    lightning_options,
    positive,
    print_outcome,
    typed,
)


def add(commands: Commands) -> None:
    """Add the command."""
    text = "Adapt trained weights to a dataset, which may be small."
    parser = add_command(commands, "finetune", text, run, takes_lightning_options=True)
    parser.add_argument("name", metavar="NAME", help=f"what to start from: {MODEL_HELP}")
    add_dataset(parser, several=True)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write the checkpoint NAME.TAG into"
    )
    parser.add_argument(
        "--folds",
        type=positive,
        metavar="K",
        help="for a small study: score every image by a model that was trained without it (K models in DIR/folds, with "
        "the scores of each image), and train the checkpoint on all images",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the folds and the order of images, default 0")
    parser.add_argument(
        "--license", metavar="SPDX", help="licence of the new weights, default that of the weights to start from"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, and print the scores before and after, and where the checkpoint folder is."""
    from lightning.pytorch.utilities import rank_zero_only

    from salzoo.training.finetune import Finetuning, finetune

    options = lightning_options(arguments)
    if arguments.seed is not None:
        options += [f"--data.seed={arguments.seed}", f"--seed_everything={arguments.seed}"]
    name, output, license = arguments.name, arguments.output, arguments.license
    adapted = finetune(Finetuning(name, output, options, typed(arguments), license, arguments.folds))
    if adapted is not None:
        rank_zero_only(print)(adapted.to_text())
    return print_outcome(adapted.folder if adapted is not None else None)
