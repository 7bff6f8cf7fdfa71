"""`salzoo info`: what is known about one model."""

from __future__ import annotations

import argparse
import json

from salzoo.cli._parser import Commands, add_command


def add(commands: Commands) -> None:
    """Add the command."""
    text = "Show the paper, variants, checkpoints, licence and numbers of a model."
    parser = add_command(commands, "info", text, run)
    parser.add_argument("name", metavar="NAME", help="model or model.tag; for --card a checkpoint folder as well")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--card", action="store_true", help="print the whole card: loss, limits, training, all numbers")
    form.add_argument("--json", action="store_true", help="print all that is known as JSON")
    form.add_argument("--bibtex", action="store_true", help="print the BibTeX entry of the paper alone")


def run(arguments: argparse.Namespace) -> int:
    """Print a short sheet, the card, the facts as JSON, or how the paper is cited."""
    from salzoo.checkpoint.describe import card, info, sheet

    if arguments.bibtex:
        from salzoo.reports.citation import bibtex

        print(bibtex(arguments.name))
    elif arguments.json:
        print(json.dumps(info(arguments.name), indent=2))
    else:
        print((card if arguments.card else sheet)(arguments.name))
    return 0
