"""What is known of this process as a whole."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

only_predicts = False
"""Whether it is a command that neither trains nor measures: its models do without Lightning, and it ends soon."""


@contextmanager
def starting() -> Iterator[None]:
    """Search nothing for garbage while modules are imported and a model is loaded, nor ever what these leave.

    Imports make a million objects, all of which stay: looking through them again and again, and once more as the
    process ends, takes a quarter of the time of importing torch and timm.
    """
    if not only_predicts:  # a process that belongs to others
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
