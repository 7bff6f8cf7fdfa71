"""The `salzoo` command: each file reads the options of one command and calls the function that does the work.

Exit codes: see `EXIT_CODES`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from importlib import import_module

from salzoo import _process
from salzoo._malloc import keep_memory
from salzoo._version import __version__
from salzoo.cli._parser import Parser, in_words
from salzoo.errors import SalzooError, SalzooWarning, SpecError, UnknownModelError
from salzoo.registry import foreign_models

COMMANDS = (
    "list_models", "info", "predict", "scanpath", "evaluate", "fit", "finetune", "import_weights", "publish", "export",
    "study", "data", "demo", "figure", "leaderboard",
)  # fmt: skip
"""The files of the commands, in the order of `salzoo --help`. Each has `add(commands)`, which adds its parser."""

EXIT_CODES = (
    "Exit codes: 0 all is done; 1 some of the work failed (an unreadable image, damaged weights, a full disk), and the "
    "rest is done; 2 usage error, nothing was done; 130 interrupted."
)


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
    _process.only_predicts = argv is None and arguments.only_predicts and not foreign_models()
    keep_memory()
    warnings.formatwarning = _format_warning
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()  # a full disk behind it is told here, with an exit code, not at the interpreter's end
    except SalzooError as error:
        print(f"salzoo: {in_words(error)}", file=sys.stderr)
        return 2 if isinstance(error, UnknownModelError | SpecError) else 1
    except BrokenPipeError:  # `salzoo info x | head`
        _drop_output()
        return 1
    except OSError as error:
        print(f"salzoo: {in_words(error)}", file=sys.stderr)
        _drop_output()
        return 1
    except MemoryError as error:
        print(f"salzoo: {in_words(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):  # Lightning makes an exit with 1 of it
            return _interrupted()
        raise
    return code


def _interrupted() -> int:
    """Tell it, wait for the threads that Python lost sight of, and return the exit code.

    Before 3.13, `Thread.join` that is interrupted takes its thread for ended. The interpreter would be torn down under
    it, which aborts the process (SIGABRT) if that thread is in torch, and leaves behind what it was writing.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # who does not want to wait ends it at once
    print("salzoo: interrupted", file=sys.stderr)
    while any(not thread.is_alive() for thread in threading.enumerate()):
        time.sleep(0.01)
    signal.signal(signal.SIGINT, before)
    return 130


def _drop_output() -> None:
    """Send what is still to be written to stdout nowhere, so that the interpreter's end does not fail over it."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # no descriptor behind it: a test, a notebook
        return


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return salzoo's own warnings as one line without a place in the code; others as Python does."""
    if issubclass(category, SalzooWarning):
        return f"salzoo: warning: {message}\n"
    return _python_format(message, category, filename, lineno, line)


_python_format = warnings.formatwarning


def build_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(
        "salzoo", description="Predict where people look in an image.", epilog=EXIT_CODES, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"salzoo {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for file in COMMANDS:
        import_module(f"salzoo.cli.{file}").add(commands)
    return parser
