"""The version and the commit: a leaf, so that any module can tell them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

__version__ = "0.1.0"


def commit(package: Path = Path(__file__).parent, apart_from: Sequence[str] = ()) -> str:
    """Return the commit of the repository that salzoo runs from, `+changes` if it is not clean; else its version.

    Args:
        package: Folder of the package.
        apart_from: Files and folders, from the repository's top, that may have changed.
    """

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", package, *words], capture_output=True, text=True, check=True).stdout.strip()

    status = ("status", "--porcelain", "-uno", "--", ":/", *(f":(top,exclude){path}" for path in apart_from))
    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # not some repository that salzoo is installed inside
        return git("rev-parse", "HEAD") + ("+changes" if git(*status) else "")
    except (OSError, subprocess.CalledProcessError):
        return f"salzoo {__version__}"
