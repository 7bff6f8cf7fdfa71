"""`salzoo info`: what is known about one model."""

from __future__ import annotations

import argparse
import json

from salzoo.cli._parser import Commands, add_command


def add(commands: Commands) -> None:
    """Add the command."""
    text = "Show the paper, variants, checkpoints, licence and numbers of a model."
    parser = add_command(commands, "info", text, run)
    parser.add_argument("name", metavar="NAME", help="model or model.tag")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of YAML")
    form.add_argument("--bibtex", action="store_true", help="print the BibTeX entry of the paper alone")


def run(arguments: argparse.Namespace) -> int:
    """Print the facts as YAML or JSON, or how the paper is cited."""
    if arguments.bibtex:
        from salzoo.reports.citation import bibtex

        print(bibtex(arguments.name))
        return 0
    import yaml

    from salzoo.checkpoint.describe import info

    text = json.dumps(info(arguments.name), indent=2)
    if not arguments.json:  # through JSON, which turns what YAML does not know into lists and mappings
        text = yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True, width=100).strip()
    print(text)
    return 0
