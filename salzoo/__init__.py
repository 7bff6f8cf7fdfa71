"""salzoo: where do people look in this image?

    >>> import salzoo
    >>> "deepgaze2e" in salzoo.list_models()
    True

`salzoo.load(name).predict(image)` is the whole of it. Importing the package imports no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from salzoo import errors
from salzoo._version import __version__
from salzoo.checkpoint.describe import info
from salzoo.registry import list_models, register

if TYPE_CHECKING:
    from salzoo import data, losses, metrics
    from salzoo.checkpoint.publishing import publish
    from salzoo.components.load import load
    from salzoo.components.saliency_model import SaliencyModel
    from salzoo.components.training_config import TrainingConfig
    from salzoo.data import list_datasets, load_dataset
    from salzoo.images.preprocess import Preprocess
    from salzoo.images.saliency_map import SaliencyMap
    from salzoo.importing.weights import import_weights

_LAZY = {  # what needs torch, numpy or the Hub's client, imported when it is first used (PEP 562)
    "Preprocess": "salzoo.images.preprocess",
    "SaliencyMap": "salzoo.images.saliency_map",
    "SaliencyModel": "salzoo.components.saliency_model",
    "TrainingConfig": "salzoo.components.training_config",
    "data": "",
    "import_weights": "salzoo.importing.weights",
    "list_datasets": "salzoo.data",
    "load": "salzoo.components.load",
    "load_dataset": "salzoo.data",
    "losses": "",
    "metrics": "",
    "publish": "salzoo.checkpoint.publishing",
}

__all__ = [
    "Preprocess", "SaliencyMap", "SaliencyModel", "TrainingConfig", "__version__", "data", "errors", "import_weights",
    "info", "list_datasets", "list_models", "load", "load_dataset", "losses", "metrics", "publish", "register",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'salzoo' has no attribute {name!r}")
    if not _LAZY[name]:
        return importlib.import_module(f"salzoo.{name}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
