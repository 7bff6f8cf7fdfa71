"""`salzoo list`: the models of the zoo."""

from __future__ import annotations

import argparse
import json

from salzoo.cli._parser import Commands, add_command


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "list",
        "List the models; * marks those that need no training, + those whose weights this installation leaves out.",
        run,
    )
    parser.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="glob, such as '*gaze*'")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print one model a line."""
    from salzoo.registry import list_models, read_spec

    specs = [read_spec(name) for name in list_models(arguments.pattern)]
    if arguments.json:
        rows = [
            {
                "name": s.name,
                "summary": s.summary,
                "default": s.default,
                "trained": list(s.loadable),
                "left_out": list(s.left_out),
            }
            for s in specs
        ]
        print(json.dumps(rows, indent=2))
        return 0
    width = max((len(s.name) for s in specs), default=0)
    for s in specs:
        print(f"{'*' if s.loadable else '+' if s.left_out else ' '} {s.name:{width}}  {s.summary}")
    return 0
