"""`salzoo finetune`: adapt trained weights to another dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from salzoo.cli._parser import MODEL_HELP, Commands, add_command, add_dataset, lightning_options, print_outcome, typed


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
        "--license", metavar="SPDX", help="licence of the new weights, default that of the weights to start from"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, and print the scores before and after, and where the checkpoint folder is."""
    from lightning.pytorch.utilities import rank_zero_only

    from salzoo.training.finetune import Finetuning, finetune

    adapted = finetune(
        Finetuning(arguments.name, arguments.output, lightning_options(arguments), typed(arguments), arguments.license)
    )
    if adapted is not None:
        rank_zero_only(print)(adapted.to_text())
    return print_outcome(adapted.folder if adapted is not None else None)
