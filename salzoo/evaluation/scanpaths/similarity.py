"""How alike drawn paths and people's are, and people's to each other: the controls that every similarity needs.

- `human`: each person's path beside those of all others on the same image.
- `human_other_image`: beside the paths of people on another image, drawn once by a seed and stretched to this one's
  size. What is alike here is how people look, not what they look at.
- `human_shuffled`: beside the paths of the others with their fixations in another order, drawn once by a seed. What is
  lost here is worth of the order.

A model's paths begin at a person's first fixation, are as long as that person's, and are compared with those of all
others: what the person's own path is in `human`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from salzoo.data import FixationDataset
from salzoo.images.geometry import Size
from salzoo.images.scanpath import Scanpath
from salzoo.metrics.scanpaths import cross_recurrence, dtw, frechet, multimatch, scan_match, stde, string_edit

Path = NDArray[np.float64]
CONTROLS: Final = ("human", "human_other_image", "human_shuffled")

_RADIUS = 16
"""Two fixations recur within this part of the image's larger side: two degrees on OSIE."""


def similarities(pairs: Sequence[tuple[Path, Path]], size: Size) -> dict[str, float]:
    """Return the mean of each similarity over pairs of a model's path (or a person's) and a person's.

    Args:
        pairs: Arrays (n, 2) or (n, 3) without gaps.
        size: Height and width of the image.

    Returns:
        By name; NaN where no pair has a value.
    """
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    crossed = cross_recurrence(first, second, max(size) / _RADIUS)
    scores = {f"mm_{name}": each for name, each in multimatch(first, second, size)._asdict().items()}
    scores |= {
        "scan_match": scan_match(first, second, size),
        "string_edit": string_edit(first, second, size),
        "dtw": dtw(first, second),
        "frechet": frechet(first, second),
        "stde": stde(first, second, size),
        "recurrence": crossed.recurrence,
        "determinism": crossed.determinism,
    }
    return {name: float(np.nanmean(each)) if np.isfinite(each).any() else float("nan") for name, each in scores.items()}


def with_others(own: Sequence[Path], people: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pair what belongs to each person with the paths of all others."""
    return [(own[i], people[j]) for i, j in permutations(range(len(people)), 2)]


class People:
    """What people did on the images of one split, and the controls of it.

    Args:
        dataset: A split that keeps the order of fixations.
        seed: Seed of the controls.
    """

    def __init__(self, dataset: FixationDataset, seed: int = 0) -> None:
        self._dataset, self._seed = dataset, seed
        seen = [i for i in range(len(dataset)) if self.paths(i)]
        cycle = np.random.default_rng(seed).permutation(seen).tolist()
        self._other = dict(zip(cycle, [*cycle[1:], *cycle[:1]], strict=True)) if len(cycle) > 1 else {}

    def paths(self, index: int) -> list[Path]:
        """Return the paths on one image: the fixations whose places are known."""
        return [known for path in self._dataset.scanpaths(index) if len(known := _without_gaps(path))]

    def shuffled(self, index: int) -> list[Path]:
        """Return the same with their fixations in another order."""
        rng = np.random.default_rng([self._seed, index])
        return [path[rng.permutation(len(path))] for path in self.paths(index)]

    def elsewhere(self, index: int) -> list[Path]:
        """Return the paths on another image, stretched to the size of this one; none if there is no other."""
        if (other := self._other.get(index)) is None:
            return []
        (height, width), (rows, columns) = self._dataset.size(index), self._dataset.size(other)
        scale, paths = np.array([width / columns, height / rows]), self.paths(other)
        return [np.concatenate([(path[:, :2] + 0.5) * scale - 0.5, path[:, 2:]], axis=1) for path in paths]

    def controls(self, index: int) -> dict[str, dict[str, float]]:
        """Return the similarities of each control on one image."""
        people, size = self.paths(index), self._dataset.size(index)
        beside = (people, self.elsewhere(index), self.shuffled(index))
        pairs = (
            [(a, b) for a in people for b in other] if name == "human_other_image" else with_others(people, other)
            for name, other in zip(CONTROLS, beside, strict=True)
        )
        return {name: similarities(each, size) for name, each in zip(CONTROLS, pairs, strict=True)}


def _without_gaps(path: Scanpath) -> Path:
    return path.points[np.isfinite(path.points[:, :2]).all(1)]
