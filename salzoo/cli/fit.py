"""`salzoo fit`: train a model by its recipe."""

from __future__ import annotations

import argparse
from pathlib import Path

from salzoo.cli._parser import Commands, add_command, add_dataset, lightning_options, print_outcome, typed


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "fit", "Train a model by its recipe.", run, takes_lightning_options=True)
    parser.add_argument("name", metavar="NAME", help="model or model.tag")
    add_dataset(parser, required=False, several=True)
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder of the run, default runs/NAME.TAG")
    parser.add_argument(
        "--ckpt_path",
        metavar="last|auto|FILE",
        help="resume the run from its last checkpoint or from FILE; auto starts anew if there is none",
    )
    parser.add_argument(
        "--license", metavar="SPDX", default="apache-2.0", help="licence of the new weights, default apache-2.0"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, and print where the checkpoint folder is."""
    from salzoo.registry import resolve

    spec, tag = resolve(arguments.name)  # before torch is imported: a typo is told at once
    from salzoo.training.fit import Run, fit

    output = arguments.output or Path("runs") / f"{spec.name}.{tag}"
    options = lightning_options(arguments)
    folder = fit(Run(spec, tag, output, options, arguments.ckpt_path, typed(arguments), arguments.license))
    return print_outcome(folder, "scanpath" if spec.kind == "scanpath" else "predict")
