"""The datasets by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TypeVar

from salzoo.data.base import FixationDataset, Split
from salzoo.data.datasets.cat2000 import CAT2000
from salzoo.data.datasets.isun import ISUN
from salzoo.data.datasets.mit import MIT300, MIT1003
from salzoo.data.datasets.osie import OSIE, EyeCrowd
from salzoo.data.datasets.salicon import SALICON
from salzoo.data.datasets.scene500 import Scene500
from salzoo.data.folder.dataset import FixationFolder
from salzoo.data.videos.base import VideoDataset
from salzoo.data.videos.diem import DIEM
from salzoo.data.videos.folder import VideoFolder
from salzoo.data.videos.frame_maps import DHF1K, Hollywood2, UCFSports
from salzoo.errors import SpecError

T = TypeVar("T")

DATASETS: dict[str, Callable[..., FixationDataset]] = {
    **{each.name: each for each in (OSIE, EyeCrowd, Scene500, ISUN, MIT1003, MIT300, CAT2000, FixationFolder)},
    **{f"salicon{edition}": partial(SALICON, edition=edition) for edition in (2015, 2017)},
    "cat2000_observers": partial(CAT2000, observers=True),
}

VIDEO_DATASETS: dict[str, Callable[..., VideoDataset]] = {
    each.name: each for each in (DHF1K, Hollywood2, UCFSports, DIEM, VideoFolder)
}


def list_datasets() -> list[str]:
    """Return the names of all datasets of images that salzoo reads, sorted: what `load_dataset` and `--data` take.

    Example:
        >>> "osie" in list_datasets()
        True
    """
    return sorted(DATASETS)


def load_dataset(
    name: str,
    root: str | Path,
    split: Split = "train",
    *,
    sigma_px: float | None = None,
    pixels_per_degree: float | None = None,
) -> FixationDataset:
    """Return one split of a dataset.

    Args:
        name: One of `list_datasets()`.
        root: See `FixationDataset`, as for the other arguments.
        split: Which split.
        sigma_px: Blur of the density in pixels.
        pixels_per_degree: Blurs the density by one degree of visual angle instead.

    Raises:
        SpecError: If there is no dataset of that name.
        DatasetNotFoundError: If it is not in `root`.
    """
    reader = _reader(
        name,
        DATASETS,
        "videos: salzoo.data.load_video_dataset opens it; of the commands, evaluate, fit and data check take it",
    )
    return reader(root, split, sigma_px=sigma_px, pixels_per_degree=pixels_per_degree)


def list_video_datasets() -> list[str]:
    """Return the names of all datasets of videos that salzoo reads, sorted.

    Example:
        >>> list_video_datasets()
        ['dhf1k', 'diem', 'hollywood2', 'ucf_sports', 'videos']
    """
    return sorted(VIDEO_DATASETS)


def load_video_dataset(
    name: str,
    root: str | Path,
    split: Split = "train",
    *,
    sigma_px: float | None = None,
    pixels_per_degree: float | None = None,
) -> VideoDataset:
    """Return one split of a dataset of videos.

    Args:
        name: One of `list_video_datasets()`.
        root: See `VideoDataset`, as for the other arguments.
        split: Which split.
        sigma_px: Blur of the density in pixels.
        pixels_per_degree: Blurs the density by one degree of visual angle instead.

    Raises:
        SpecError: If there is no dataset of videos of that name.
        DatasetNotFoundError: If it is not in `root`.
    """
    reader = _reader(name, VIDEO_DATASETS, "images: salzoo.data.load_dataset opens it")
    return reader(root, split, sigma_px=sigma_px, pixels_per_degree=pixels_per_degree)


def images_of(name: str) -> str:
    """Return one name for all datasets with the same images: SALICON's editions, and both forms of CAT2000.

    Example:
        >>> images_of("salicon2015") == images_of("salicon2017"), images_of("mit1003") == images_of("mit300")
        (True, False)
    """
    return "salicon" if name.startswith("salicon") else name.removesuffix("_observers")


def _reader(name: str, wanted: Mapping[str, T], others: str) -> T:
    """Return what opens a dataset.

    Args:
        name: Its name.
        wanted: `DATASETS` or `VIDEO_DATASETS`.
        others: What is in the other one, and what opens that.

    Raises:
        SpecError: If the name is not in the one that is wanted.
    """
    if name in wanted:
        return wanted[name]
    every = {**DATASETS, **VIDEO_DATASETS}
    if name in every:
        raise SpecError(f"{name!r} is a dataset of {others}.")
    near = get_close_matches(name.lower(), every, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    hint = " Say which edition: 'salicon2015' or 'salicon2017'." if name.lower() == "salicon" else hint
    images, videos = ", ".join(list_datasets()), ", ".join(list_video_datasets())
    raise SpecError(f"unknown dataset {name!r}.{hint} Known: {images}; of videos: {videos}.")
