"""The process that HDF5 files are read in: what is damaged can take it down, or hang it, and nothing else.

As a module it starts the process and asks it. As a program, `python _hdf5.py SCRIPT`, it is that process: it imports
nothing of salzoo, and answers each request by the function `answer` of a script that uses h5py.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIMIT = 1 << 30
"""The most bytes that one answer may have."""

_SECONDS = 600.0
"""The most that one answer may take."""


def ask(script: Path, request: list[Any]) -> tuple[dict[str, Any], bytes]:
    """Return what `answer(*request)` of a script returns in its process, which is started with the first request.

    Args:
        script: A program beside salzoo's modules that has a function `answer`, which returns JSON and bytes.
        request: JSON.

    Raises:
        ValueError: If the function raises anything, crashes or hangs.
    """
    worker = _workers.setdefault((os.getpid(), script), _Worker(script))  # a forked process has none of its own yet
    head, content = worker.ask(request)
    if "error" in head:
        raise ValueError(head["error"])
    return head, content


class _Worker:
    """The process, started with the first request, and again after it died."""

    def __init__(self, script: Path) -> None:
        self._script = script
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: list[Any]) -> tuple[dict[str, Any], bytes]:
        """Return the answer to one request."""
        with self._lock:
            process = self._process = self._process or subprocess.Popen(
                [sys.executable, "-P", __file__, self._script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # HDF5 prints its own stack of errors
            )
            assert process.stdin is not None
            assert process.stdout is not None
            timer = threading.Timer(_SECONDS, process.kill)
            timer.start()
            try:
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
                head: dict[str, Any] = json.loads(process.stdout.readline())
                content = process.stdout.read(head["size"])
                if len(content) == head["size"]:
                    return head, content
            except (OSError, ValueError):  # no answer
                pass
            finally:
                timer.cancel()
            self.stop()
            raise ValueError("HDF5's library crashed or hung on it: the file is damaged")

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


_workers: dict[tuple[int, Path], _Worker] = {}


@atexit.register
def _stop() -> None:
    for (process, _), worker in _workers.items():
        if process == os.getpid():
            worker.stop()


def _serve(answer: Callable[..., tuple[dict[str, Any], bytes]]) -> None:
    """Answer requests, a line of JSON each, until there are no more: a line of JSON, and as many bytes as it says."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on every system
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (8 * LIMIT, 8 * LIMIT))
    for line in sys.stdin:
        try:
            head, content = answer(*json.loads(line))
        except Exception as error:  # h5py raises whatever it stumbles over
            head, content = {"error": str(error) or type(error).__name__}, b""
        head["size"] = len(content)
        sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + content)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _serve(runpy.run_path(sys.argv[1])["answer"])
