"""Eye-tracking data: images, fixation points, and the maps made from them.

Nothing here knows a model, and only `SaliencyDataModule` imports Lightning, when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from salzoo.data.base import Batch, EvalBatch, FixationDataset, Item, prepare
    from salzoo.data.datamodule import SaliencyDataModule
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
    from salzoo.data.videos.datamodule import VideoDataModule
    from salzoo.data.videos.diem import DIEM
    from salzoo.data.videos.folder import VideoFolder
    from salzoo.data.videos.frame_maps import DHF1K, Hollywood2, UCFSports
    from salzoo.data.videos.windows import ClipView, ClipWindows

_LAZY = {
    "Augment": "salzoo.data.transforms",
    "Batch": "salzoo.data.base",
    "CAT2000": "salzoo.data.datasets.cat2000",
    "Clip": "salzoo.data.videos.clip",
    "ClipItem": "salzoo.data.videos.base",
    "ClipView": "salzoo.data.videos.windows",
    "ClipWindows": "salzoo.data.videos.windows",
    "DATASETS": "salzoo.data.registry",
    "DHF1K": "salzoo.data.videos.frame_maps",
    "DIEM": "salzoo.data.videos.diem",
    "EvalBatch": "salzoo.data.base",
    "EyeCrowd": "salzoo.data.datasets.osie",
    "FixationDataset": "salzoo.data.base",
    "FixationFolder": "salzoo.data.folder.dataset",
    "Fixations": "salzoo.data.fixations",
    "Hollywood2": "salzoo.data.videos.frame_maps",
    "ISUN": "salzoo.data.datasets.isun",
    "Item": "salzoo.data.base",
    "LoaderStatistics": "salzoo.data.statistics",
    "MIT1003": "salzoo.data.datasets.mit",
    "MIT300": "salzoo.data.datasets.mit",
    "OSIE": "salzoo.data.datasets.osie",
    "SALICON": "salzoo.data.datasets.salicon",
    "SaliencyDataModule": "salzoo.data.datamodule",
    "ScanpathDataset": "salzoo.data.scanpaths",
    "Scene500": "salzoo.data.datasets.scene500",
    "TrainingView": "salzoo.data.transforms",
    "UCFSports": "salzoo.data.videos.frame_maps",
    "VIDEO_DATASETS": "salzoo.data.registry",
    "VideoDataModule": "salzoo.data.videos.datamodule",
    "VideoDataset": "salzoo.data.videos.base",
    "VideoFolder": "salzoo.data.videos.folder",
    "collate_scanpaths": "salzoo.data.scanpaths",
    "cut_patches": "salzoo.data.patches",
    "draw_places": "salzoo.data.patches",
    "list_datasets": "salzoo.data.registry",
    "list_video_datasets": "salzoo.data.registry",
    "load_dataset": "salzoo.data.registry",
    "load_video_dataset": "salzoo.data.registry",
    "prepare": "salzoo.data.base",
    "split_by_height": "salzoo.data.patches",
    "split_by_rank": "salzoo.data.patches",
    "write_submission": "salzoo.data.submission",
}
"""The file of each name, imported when it is first used (PEP 562): who predicts needs no reader of a data set."""

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
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
