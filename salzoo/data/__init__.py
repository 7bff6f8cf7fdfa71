"""Eye-tracking data: images, fixation points, and the maps made from them.

Nothing here knows a model, and only `SaliencyDataModule` imports Lightning, when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from salzoo.data.base import Batch, EvalBatch, FixationDataset, Item, prepare
from salzoo.data.datasets.cat2000 import CAT2000
from salzoo.data.datasets.isun import ISUN
from salzoo.data.datasets.mit import MIT300, MIT1003
from salzoo.data.datasets.osie import OSIE, EyeCrowd
from salzoo.data.datasets.salicon import SALICON
from salzoo.data.datasets.scene500 import Scene500
from salzoo.data.fixations import Fixations
from salzoo.data.folder.dataset import FixationFolder
from salzoo.data.patches import cut_patches, draw_places, split_by_height, split_by_rank
from salzoo.data.registry import (
    DATASETS,
    VIDEO_DATASETS,
    list_datasets,
    list_video_datasets,
    load_dataset,
    load_video_dataset,
)
from salzoo.data.scanpaths import ScanpathDataset, collate_scanpaths
from salzoo.data.statistics import LoaderStatistics
from salzoo.data.submission import write_submission
from salzoo.data.transforms import Augment, TrainingView
from salzoo.data.videos.base import ClipItem, VideoDataset
from salzoo.data.videos.clip import Clip
from salzoo.data.videos.diem import DIEM
from salzoo.data.videos.folder import VideoFolder
from salzoo.data.videos.frame_maps import DHF1K, Hollywood2, UCFSports
from salzoo.data.videos.windows import ClipView, ClipWindows

if TYPE_CHECKING:
    from salzoo.data.datamodule import SaliencyDataModule
    from salzoo.data.videos.datamodule import VideoDataModule

__all__ = [
    "CAT2000",
    "DATASETS",
    "DHF1K",
    "DIEM",
    "ISUN",
    "MIT300",
    "MIT1003",
    "OSIE",
    "SALICON",
    "VIDEO_DATASETS",
    "Augment",
    "Batch",
    "Clip",
    "ClipItem",
    "ClipView",
    "ClipWindows",
    "EvalBatch",
    "EyeCrowd",
    "FixationDataset",
    "FixationFolder",
    "Fixations",
    "Hollywood2",
    "Item",
    "LoaderStatistics",
    "SaliencyDataModule",
    "ScanpathDataset",
    "Scene500",
    "TrainingView",
    "UCFSports",
    "VideoDataModule",
    "VideoDataset",
    "VideoFolder",
    "collate_scanpaths",
    "cut_patches",
    "draw_places",
    "list_datasets",
    "list_video_datasets",
    "load_dataset",
    "load_video_dataset",
    "prepare",
    "split_by_height",
    "split_by_rank",
    "write_submission",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    if name == "SaliencyDataModule":
        from salzoo.data.datamodule import SaliencyDataModule

        return SaliencyDataModule
    if name == "VideoDataModule":
        from salzoo.data.videos.datamodule import VideoDataModule

        return VideoDataModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
