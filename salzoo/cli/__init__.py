"""The `salzoo` command: each file reads the options of one command and calls the function that does the work.

Exit codes: 0 for success, 1 when the work failed (an unreadable image, damaged weights), 2 for a usage error.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from salzoo._malloc import keep_memory
from salzoo._version import __version__
from salzoo.cli._parser import Parser
from salzoo.errors import SalzooError, SpecError, UnknownModelError

COMMANDS = ("list_models", "info", "predict", "evaluate", "fit", "finetune", "publish", "study", "data")
"""The files of the commands, in the order of `salzoo --help`. Each has `add(commands)`, which adds its parser."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: Words after `salzoo`; None takes those of this process.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    parser = build_parser()
    arguments, rest = parser.parse_known_args(words)
    if rest and not arguments.takes_lightning_options:
        parser.error(f"unknown argument {rest[0]}")
    arguments.rest, arguments.words = rest, words
    keep_memory()
    try:
        code: int = arguments.run(arguments)
    except (UnknownModelError, SpecError) as error:
        print(f"salzoo: {error}", file=sys.stderr)
        return 2
    except SalzooError as error:
        print(f"salzoo: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `salzoo info x | head`
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        print("salzoo: interrupted", file=sys.stderr)
        return 130
    return code


def build_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser("salzoo", description="Predict where people look in an image.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"salzoo {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for file in COMMANDS:
        import_module(f"salzoo.cli.{file}").add(commands)
    return parser
