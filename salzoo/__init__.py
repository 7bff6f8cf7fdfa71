"""salzoo: where do people look in this picture?

    >>> import salzoo
    >>> "deepgaze2e" in salzoo.list_models()
    True

`salzoo.load(name).predict(image)` is the whole of it. Importing the package imports no torch.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"  # before the modules that tell it to the Hub

from salzoo.spec import register
from salzoo.zoo import info, list_models, load

if TYPE_CHECKING:
    from salzoo.model import SaliencyModel
    from salzoo.saliency_map import SaliencyMap

__all__ = ["SaliencyMap", "SaliencyModel", "__version__", "info", "list_models", "load", "register"]

_LAZY = {"SaliencyModel": "salzoo.model", "SaliencyMap": "salzoo.saliency_map"}


def __getattr__(name: str) -> Any:
    """Import what needs torch or numpy when it is first used (PEP 562)."""
    import importlib

    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in ("data", "losses", "metrics"):
        return importlib.import_module(f"salzoo.{name}")
    raise AttributeError(f"module 'salzoo' has no attribute {name!r}")
