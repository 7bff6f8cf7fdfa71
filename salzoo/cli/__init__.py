"""The `salzoo` command: one file a command."""

from salzoo.cli.app import main

__all__ = ["main"]
