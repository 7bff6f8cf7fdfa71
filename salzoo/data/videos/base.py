"""What all datasets of videos have in common; a reader adds only the layout of its own files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self, TypedDict, get_args

import numpy as np
import torch
from torch import Tensor

from salzoo.data.base import Split, tells_refusals
from salzoo.data.fixations import Fixations, checked_blur
from salzoo.data.videos.clip import Clip
from salzoo.data.videos.gaze import Gaze
from salzoo.errors import DataError, DatasetNotFoundError, SpecError
from salzoo.images.fingerprint import Fingerprints, fingerprint
from salzoo.images.geometry import Size


class ClipItem(TypedDict):
    """Frames of one clip with their ground truth."""

    image: Tensor  # (T, 3, H, W) uint8, RGB
    fixations: Tensor  # (T, H, W) int32, number of fixations in each pixel
    density: Tensor  # (T, H, W) float32, each sums to 1; all 0 where nobody looked at the frame
    time_s: Tensor  # (T,) float64, seconds from the clip's first frame
    name: str
    first: int  # number of the first frame in the clip


class VideoDataset(ABC):
    """The clips of one dataset and who looked where in each frame, at the clips' own sizes.

    Nothing of a clip is in memory but what is asked for: frames are decoded one after the other, from any one on.

    Args:
        root: The dataset's own folder, or a folder that holds it under its usual name.
        split: `train`, `val`, `test` or `all`.
        sigma_px: Standard deviation of the Gaussian that blurs fixations into the density of a frame, in pixels of the
            frames.
        pixels_per_degree: Blurs by one degree of visual angle instead. Without either, the density is the map that
            comes with the dataset, if it comes with maps; else the blur is the one that is usual for it, or 1/25 of the
            frames' height.

    Attributes:
        names: Name of each clip, in the order of the index.
        root: The folder in which the dataset was found.

    Raises:
        DatasetNotFoundError: If the folder or what the split needs is missing.
        SpecError: If the split is unknown, the blur is not above 0, or it is given twice.
    """

    name: str
    source: ClassVar[str]
    """Paper and download, for error messages."""
    splits: ClassVar[tuple[Split, ...]] = get_args(Split)

    @tells_refusals
    def __init__(
        self,
        root: str | Path,
        split: Split = "train",
        *,
        sigma_px: float | None = None,
        pixels_per_degree: float | None = None,
    ) -> None:
        self._blur = checked_blur(sigma_px, pixels_per_degree)
        self._open(Path(root).expanduser(), split)

    @abstractmethod
    def _find(self, root: Path) -> Path:
        """Return the dataset's own folder."""

    @abstractmethod
    def _list_names(self) -> list[str]:
        """Return the names of the clips of the split, sorted."""

    @abstractmethod
    def read_clip(self, index: int) -> Clip:
        """Return where the frames of a clip are."""

    @abstractmethod
    def read_gaze(self, index: int) -> Gaze:
        """Return who looked where in a clip."""

    def read_map(self, index: int, frame: int) -> Tensor | None:
        """Return the (H, W) density that comes with the dataset for a frame; None if it comes without."""
        return None

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.names)

    def __repr__(self) -> str:
        """Return what was opened and where."""
        hidden = "" if self.has_fixations else ", fixations not public"
        return (
            f"<{type(self).__name__} {self.name!r}, split={self.split!r}, root={str(self.root)!r}: {len(self)} clips"
            f"{hidden}>"
        )

    def sibling(self, split: Split) -> Self:
        """Return another split of the same dataset, with the same options."""
        other = copy(self)
        other._open(self.root, split)
        return other

    def only(self, names: list[str]) -> Self:
        """Return the dataset with only these of its clips, in this order."""
        other = copy(self)
        other.names = list(names)
        other._forget()
        return other

    @property
    def has_fixations(self) -> bool:
        """Whether the fixations of this split are here."""
        return True

    @property
    def has_points(self) -> bool:
        """As for images, whose readers may have maps only; here there are always points."""
        return self.has_fixations

    def require_fixations(self) -> None:
        """Check that this split can be trained or scored on.

        Raises:
            DataError: If its fixations are not public.
        """
        if not self.has_fixations:
            raise DataError(
                f"{self.name}: the fixations of split {self.split!r} are not public, so nothing can be trained or "
                "scored on it; `salzoo predict` writes the maps that a benchmark asks for"
            )

    def clip(self, index: int) -> Clip:
        """Return a clip, whose frames can be read.

        Raises:
            DatasetNotFoundError: If its files are missing.
            DataError: If frames and annotations do not go together.
        """
        return self._clip(range(len(self))[index])

    def gaze(self, index: int) -> Gaze:
        """Return who looked where in a clip: `gaze(index)[frame]`.

        Raises:
            DataError: If the files cannot be right.
        """
        self.require_fixations()
        return self._gaze(range(len(self))[index])

    def fixations(self, index: int, frame: int) -> Fixations:
        """Return the fixations in a frame, without those outside of it."""
        return self.gaze(index)[frame].inside(self.clip(index).size)

    def density(self, index: int, frame: int) -> Tensor:
        """Return the (H, W) float32 density of a frame, which sums to 1; all 0 if nobody looked at it."""
        provided = self.read_map(index, frame) if self._blur is None else None
        if provided is not None:
            return provided
        size = self.clip(index).size
        return self.fixations(index, frame).density(size, self.sigma(size))

    @property
    def has_maps(self) -> bool:
        """Whether densities are the maps that come with the dataset, mostly of 8 bits."""
        return False

    def window(self, index: int, first: int = 0, length: int = 16, every: int = 1) -> ClipItem:
        """Return some frames of a clip with their ground truth.

        Args:
            index: Which clip.
            first: Its first frame.
            length: Number of frames; if the clip ends before, its last one is repeated, with its truth.
            every: Take every so manyth frame.

        Raises:
            SpecError: If a number is out of range.
        """
        clip = self.clip(index)
        if not 0 <= first < len(clip) or length < 1 or every < 1:
            raise SpecError(
                f"{self.names[index]}: frames from {first}, {length} of them, every {every} are not accepted: it has "
                f"{len(clip)} frames, and length and every are at least 1"
            )
        frames = list(clip.frames(first, first + length * every, every))
        numbers = [frame.index for frame in frames]
        truth = [(self._counts(index, n), self.density(index, n)) for n in numbers]
        places = [min(i, len(frames) - 1) for i in range(length)]
        return ClipItem(
            image=torch.stack([frames[i].image for i in places]),
            fixations=torch.stack([truth[i][0] for i in places]),
            density=torch.stack([truth[i][1] for i in places]),
            time_s=torch.tensor([frames[i].time_s for i in places], dtype=torch.float64),
            name=self.names[index],
            first=first,
        )

    def sample_points(self, index: int, frames: int = 32) -> list[Fixations]:
        """Return the fixations in so many frames of a clip, evenly spread; in all of them if there are fewer."""
        count = len(self.clip(index))
        chosen = np.unique(np.linspace(0, count - 1, min(frames, count)).round().astype(int))
        return [self.fixations(index, int(frame)) for frame in chosen]

    def sigma(self, size: Size) -> float:
        """Return the standard deviation of the density's blur in pixels, for frames of this size."""
        return self._usual_sigma(size) if self._blur is None else self._blur

    def fingerprints(self) -> Fingerprints:
        """Return the fingerprint of each clip's middle frame, (n,) uint64: by it copies are recognised."""
        found = []
        for index in range(len(self)):
            clip = self.clip(index)
            (frame,) = clip.frames(len(clip) // 2, len(clip) // 2 + 1)
            found.append(fingerprint(_picture(frame.image)))
        return np.array(found, dtype=np.uint64)

    def _usual_sigma(self, size: Size) -> float:
        return size[0] / 25

    def _counts(self, index: int, frame: int) -> Tensor:
        return self.gaze(index)[frame].counts(self.clip(index).size)

    def _open(self, root: Path, split: Split) -> None:
        if split not in self.splits:
            raise SpecError(f"{self.name}: unknown split {split!r}; accepted: {', '.join(self.splits)}")
        self.split = split
        self.root = self._find(root)
        self.names: list[str] = self._list_names()
        self._forget()

    def _forget(self) -> None:
        """Keep where the frames of clips are, and the gaze of a few clips, which is read again later."""
        self._clip = lru_cache(maxsize=2048)(self.read_clip)
        self._gaze = lru_cache(maxsize=4)(self.read_gaze)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what was read, for worker processes."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_clip", "_gaze")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start with nothing read."""
        self.__dict__.update(state)
        self._forget()


def find_root(root: Path, name: str, source: str, parts: tuple[str, ...]) -> Path:
    """Return the folder that holds all parts: the one given, or the one in it that is called like the dataset.

    Raises:
        DatasetNotFoundError: If there is none.
    """
    if not root.is_dir():
        raise DatasetNotFoundError(f"{name}: there is no folder {root}. {source}")
    known = {name, name.replace("_", ""), name.replace("_", "-")}
    inner = sorted(child for child in root.iterdir() if child.is_dir() and child.name.lower() in known)
    for folder in (root, *inner):
        if all((folder / part).is_dir() for part in parts):
            return folder
    raise DatasetNotFoundError(f"{name}: no folder {' and no '.join(parts)} in {root}. {source}")


def _picture(image: Tensor) -> Any:
    from PIL import Image

    return Image.fromarray(image.permute(1, 2, 0).numpy())
