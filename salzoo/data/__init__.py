"""Eye-tracking data: pictures, fixation points, and the maps made from them.

Nothing here knows a model, and only `SaliencyDataModule` imports Lightning, when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from salzoo.data.base import Batch, EvalBatch, FixationDataset, Item
from salzoo.data.fixations import Fixations
from salzoo.data.osie import OSIE, EyeCrowd
from salzoo.data.scene500 import Scene500
from salzoo.data.sets import DATASETS, load_dataset
from salzoo.data.views import Augment, TrainingView

if TYPE_CHECKING:
    from salzoo.data.module import SaliencyDataModule

__all__ = [
    "DATASETS",
    "OSIE",
    "Augment",
    "Batch",
    "EvalBatch",
    "EyeCrowd",
    "FixationDataset",
    "Fixations",
    "Item",
    "SaliencyDataModule",
    "Scene500",
    "TrainingView",
    "load_dataset",
]


def __getattr__(name: str) -> object:
    if name == "SaliencyDataModule":
        from salzoo.data.module import SaliencyDataModule

        return SaliencyDataModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
