"""Scripts that stand outside of the package, as modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType


def load(script: str) -> ModuleType:
    """Run a script of the repository, such as `benchmarks/pages.py`, without its `main`, and return its names."""
    path = Path(__file__).parents[1] / script
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
