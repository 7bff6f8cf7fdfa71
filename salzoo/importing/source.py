"""What a mapping sees of the authors' files: tensors by name, each of which is taken or left on purpose."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.weight_files import WeightFile

COUNTER = "num_batches_tracked"
"""How many batches a normalisation saw, which PyTorch before 0.4.1 and others do not count, and nothing needs."""


class MissingTensorError(WeightsError):
    """No tensor of a name is there, which a mapping asks for."""


class Source:
    """The tensors of one file.

    A counter of batches is 0 where a file has none at all.

    Args:
        file: What was read.
    """

    def __init__(self, file: WeightFile) -> None:
        self._tensors: Mapping[str, Tensor] = file.tensors
        self._left = dict.fromkeys(file.tensors)
        self.counts = any(name.endswith(COUNTER) for name in file.tensors)
        self.path, self.format = file.path, file.format

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order of the file."""
        return tuple(self._tensors)

    def __contains__(self, name: object) -> bool:
        """Whether the file has a tensor of that name."""
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, which is not taken by this.

        Raises:
            WeightsError: If there is none of that name.
        """
        return tuple(self._find(name).shape)

    def take(self, name: str) -> Tensor:
        """Return a tensor.

        Raises:
            WeightsError: If there is none of that name.
        """
        tensor = self._find(name)
        self._left.pop(name, None)
        return tensor

    def skip(self, *beginnings: str) -> None:
        """Leave the tensors whose names begin so unread, on purpose."""
        for name in [name for name in self._left if name.startswith(beginnings)]:
            del self._left[name]

    def left(self) -> list[str]:
        """Return the names that were neither taken nor skipped."""
        return list(self._left)

    def _find(self, name: str) -> Tensor:
        if name in self._tensors:
            return self._tensors[name]
        if name.endswith(f".{COUNTER}") and not self.counts:
            return torch.zeros((), dtype=torch.int64)
        near = difflib.get_close_matches(name, self._tensors, n=3, cutoff=0.6)
        hint = (
            f"near it: {', '.join(near)}" if near else f"it begins with {', '.join([*self._tensors][:3]) or 'nothing'}"
        )
        raise MissingTensorError(f"{self.path} has no tensor {name} among its {len(self._tensors)} ({hint})")


class Files(Sequence[Source]):
    """The files of one import; with a name they answer as one file, the first that has it."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = list(sources)

    def __getitem__(self, index: int) -> Source:  # type: ignore[override]  # no slices
        """Return one of the files, in the order in which they were given."""
        return self._sources[index]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._sources)

    def __iter__(self) -> Iterator[Source]:
        """Go through the files."""
        return iter(self._sources)

    def __contains__(self, name: object) -> bool:
        """Whether any file has a tensor of that name."""
        return any(name in source for source in self)

    @property
    def format(self) -> str:
        """Format of the first file."""
        return self[0].format

    @property
    def path(self) -> Path:
        """The first file."""
        return self[0].path

    @property
    def names(self) -> tuple[str, ...]:
        """All names of all files."""
        return tuple(name for source in self for name in source.names)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor.

        Raises:
            WeightsError: If no file has one of that name.
        """
        return self._with(name).shape(name)

    def take(self, name: str) -> Tensor:
        """Return a tensor.

        Raises:
            WeightsError: If no file has one of that name.
        """
        return self._with(name).take(name)

    def skip(self, *beginnings: str) -> None:
        """Leave the tensors whose names begin so unread, in every file."""
        for source in self:
            source.skip(*beginnings)

    def left(self) -> list[str]:
        """Return the names that were neither taken nor skipped."""
        return [name for source in self for name in source.left()]

    def _with(self, name: str) -> Source:
        return next((source for source in self if name in source), self[0])


@dataclass
class Options:
    """What a user may add to the files.

    Args:
        centre_bias: (H, W) natural-log density over the frame; None without one.
    """

    _centre_bias: NDArray[np.float64] | None = None
    notes: list[str] = field(default_factory=list)
    asked: bool = False
    """Whether the mapping looked for a centre bias, so that one which no model takes is refused."""

    @property
    def centre_bias(self) -> NDArray[np.float64] | None:
        """(H, W) natural-log density over the frame that the user gave; None without one."""
        self.asked = True
        return self._centre_bias
