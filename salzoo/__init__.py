"""salzoo: where do people look in this picture?

    >>> import salzoo
    >>> "deepgaze2e" in salzoo.list_models()
    True

`salzoo.load(name).predict(image)` is the whole of it. Importing the package imports no torch.
"""

from typing import TYPE_CHECKING, Any

from salzoo._version import __version__
from salzoo.checkpoint.describe import info
from salzoo.checkpoint.load import load
from salzoo.registry import list_models, register

if TYPE_CHECKING:
    from salzoo.components.saliency_model import SaliencyModel
    from salzoo.images.saliency_map import SaliencyMap

__all__ = ["SaliencyMap", "SaliencyModel", "__version__", "info", "list_models", "load", "register"]

_LAZY = {"SaliencyModel": "salzoo.components.saliency_model", "SaliencyMap": "salzoo.images.saliency_map"}


def __getattr__(name: str) -> Any:
    """Import what needs torch or numpy when it is first used (PEP 562)."""
    import importlib

    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in ("data", "losses", "metrics"):
        return importlib.import_module(f"salzoo.{name}")
    raise AttributeError(f"module 'salzoo' has no attribute {name!r}")
