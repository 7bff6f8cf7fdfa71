"""`salzoo demo`: a page to try the models in a browser."""

from __future__ import annotations

import argparse
import os
import signal
import socket
from pathlib import Path

from salzoo.cli._parser import Commands, add_command
from salzoo.errors import RunError

HOST, PORT = "127.0.0.1", 7860


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "demo", "Serve a page to try the models in a browser.", run)
    parser.add_argument("--port", type=_port, default=PORT, metavar="N", help=f"port, default {PORT}")
    parser.add_argument(
        "--host",
        default=HOST,
        metavar="ADDRESS",
        help=f"address to listen on, default {HOST}: this machine alone; 0.0.0.0 lets others in",
    )
    parser.add_argument(
        "--space", type=Path, metavar="DIR", help="serve nothing; write a folder for a Hugging Face Space"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted, or write the folder of a Space."""
    if arguments.space is not None:
        from salzoo.demo.space import write_space

        print(f"Wrote {', '.join(str(path) for path in write_space(arguments.space))}")
        return 0
    _refuse_busy(arguments.host, arguments.port)
    from salzoo.demo.page import launch

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was uploaded is removed then, too
    launch(arguments.host, arguments.port, announce=_announce)
    return 0


def _announce(address: str) -> None:
    print(f"Open {address} in a browser; Ctrl+C stops it.", flush=True)


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: a whole number from 1 to 65535")
    return int(text)


def _refuse_busy(host: str, port: int) -> None:
    """Raise if nobody can listen there, before seconds are spent on imports.

    Raises:
        RunError: If another program listens on the port, or the address is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as trial:
            if os.name == "posix":  # one that was just left is free; on Windows it would take one that is in use
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RunError(f"cannot listen on {host}:{port}: {reason}; choose another with --port or --host") from error
