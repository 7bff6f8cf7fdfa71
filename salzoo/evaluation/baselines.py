"""The baselines of a table, from chance to how well people predict each other.

Fixations are blurred as in the dataset's densities.

- `gold_joint`: the density of all observers' fixations on the image, including those that it is scored on. Its CC and
  SIM are 1, its KL and EMD 0, and its NSS, AUC and information gain are higher than any model can reach: an upper bound
  with a bias, which grows as observers become fewer (Kuemmerer et al. 2015, PNAS: the joint gold standard; Judd et al.
  2012: infinitely many humans).
- `gold`: the fixations of each observer under the density of all others, averaged over observers. This is the upper
  limit without that bias (Kuemmerer et al. 2015; Wilming et al. 2011, PLoS ONE: consistency between subjects).
- `one_human`: the fixations and the density of all other observers under the density of one, averaged over observers
  (Judd et al. 2012, MIT-CSAIL-TR-2012-001). It is almost 0 where that one did not look, which KL and information gain
  punish.
- `centre_bias`: a kernel density of the fixations on all *other* images of the split, in relative coordinates
  (Kuemmerer et al. 2015; their bandwidth is cross-validated, this one is 3 % of the sides, with 0.1 % of a uniform
  density). It knows where people looked in this split, and nothing of the image.
- `centre_bias_train`: the same for the training split, as a model could learn it; information gain is measured against
  it.
- `permutation`: the density of the fixations on one other image of the split, drawn once by a seed: as clustered as the
  truth, but in the wrong places (Wilming et al. 2011: the lower limit; the permutation control of Judd et al. 2012).
- `uniform`: chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from salzoo.components.layers import kernel_density
from salzoo.data import FixationDataset, Fixations, Item
from salzoo.errors import DatasetNotFoundError, SpecError
from salzoo.images.geometry import Size
from salzoo.images.preprocess import resize_density

ROWS = ("gold_joint", "gold", "one_human", "centre_bias", "centre_bias_train", "permutation", "uniform")
BETWEEN_PEOPLE = ("gold", "one_human")
DENSITIES = ("centre_bias", "centre_bias_train")
"""Baselines that are densities of fixations, from which the best map for each metric can be derived."""

_GRID, _BANDWIDTH, _UNIFORM = (60, 80), 0.03, 1e-3


class Baselines:
    """The baselines of one split.

    Args:
        dataset: The split.
        wanted: Names from `ROWS`.
        seed: Seed of `permutation`.

    Attributes:
        rows: Names of the wanted baselines that the split can have.
        absent: The reason for each of the others, by name.
        with_fixations: Indices of the images with fixations, or with a map that is not empty.
        mean: Mean number of fixations an image, rounded, at least 1.

    Raises:
        SpecError: If a name is unknown.
    """

    def __init__(self, dataset: FixationDataset, wanted: Sequence[str] = ROWS, seed: int = 0) -> None:
        if unknown := [row for row in wanted if row not in ROWS]:
            raise SpecError(f"no baseline is called {unknown[0]!r}; there are {', '.join(ROWS)}")
        self.dataset = dataset
        counts = [len(points) for points, _ in _looks(dataset)]
        self.with_fixations = [index for index, count in enumerate(counts) if count]
        self.mean = max(round(sum(counts) / len(counts)), 1)
        self._count, self._together = sum(counts), _density(dataset)
        self._train = _trained(dataset)
        cycle = np.random.default_rng(seed).permutation(self.with_fixations).tolist()
        self._other = dict(zip(cycle, [*cycle[1:], *cycle[:1]], strict=True))  # never the image itself
        missing = self._missing()
        self.absent = {row: missing[row] for row in ROWS if row in wanted and row in missing}
        self.rows = tuple(row for row in ROWS if row in wanted and row not in missing)

    def maps(self, index: int, item: Item) -> dict[str, Tensor]:
        """Return the (H, W) map of each row except those between observers."""
        size = (item["image"].shape[-2], item["image"].shape[-1])
        make: dict[str, Callable[[], Tensor]] = {
            "gold_joint": lambda: item["density"],
            "centre_bias": lambda: self._centre_bias(index, size),
            "centre_bias_train": lambda: self.prior(index, size),
            "permutation": lambda: self._permutation(index, size),
            "uniform": lambda: _uniform(size),
        }
        return {row: make[row]() for row in self.rows if row in make}

    @property
    def baseline_name(self) -> str:
        """What `prior` is, in words."""
        if self._train is not None:
            return f"the centre bias of {self.dataset.name}:train"
        return (
            f"the centre bias of the other images of {self.dataset.split}"
            if len(self.with_fixations) > 1
            else "uniform"
        )

    def prior(self, index: int, size: Size) -> Tensor:
        """Return the (H, W) density that information gain is measured against.

        It is `centre_bias_train`; without a training split `centre_bias`; without other images `uniform`.
        """
        if self._train is not None:
            return resize_density(self._train, size)
        return self._centre_bias(index, size) if len(self.with_fixations) > 1 else _uniform(size)

    def _centre_bias(self, index: int, size: Size) -> Tensor:
        """Return the (H, W) density of all fixations except those on the image itself, which has that size."""
        own = self.dataset.fixations(index)
        alone = kernel_density([(own, size)], _GRID, _BANDWIDTH, _UNIFORM).double()
        rest = (self._count * self._together.double() - len(own) * alone) / (self._count - len(own))
        return resize_density(rest.clamp_min(_UNIFORM / rest.numel()).float(), size)

    def _permutation(self, index: int, size: Size) -> Tensor:
        other = self._other.get(index, self.with_fixations[0])
        points = self.dataset.fixations(other).resized(self.dataset.size(other), size)
        return points.density(size, self.dataset.sigma(size))

    def _missing(self) -> dict[str, str]:
        """Return why rows cannot be made, by name."""
        missing: dict[str, str] = {}
        if not self.dataset.has_points:
            missing |= dict.fromkeys(BETWEEN_PEOPLE, "there are maps and no fixation points")
        elif not any(len(set(points.observer.tolist())) > 1 for points, _ in _looks(self.dataset)):
            missing |= dict.fromkeys(BETWEEN_PEOPLE, "no image has two observers who are told apart")
        if len(self.with_fixations) < 2:
            missing |= dict.fromkeys(("centre_bias", "permutation"), "there is no other image with fixations")
        if self._train is None:
            missing["centre_bias_train"] = "there is no split 'train'"
        return missing


def leave_one_out(points: Fixations) -> Iterator[tuple[Fixations, Fixations]]:
    """Yield each observer's fixations and those of all others, if both have some."""
    for observer in sorted(set(points.observer.tolist())):
        own, rest = points.of(observer), points.without(observer)
        if len(rest):
            yield own, rest


def _looks(dataset: FixationDataset) -> Iterator[tuple[Fixations, Size]]:
    for index in range(len(dataset)):
        yield dataset.fixations(index), dataset.size(index)


def _density(dataset: FixationDataset) -> Tensor:
    """Return the density of all fixations in relative coordinates."""
    return kernel_density(_looks(dataset), _GRID, _BANDWIDTH, _UNIFORM)


def _trained(dataset: FixationDataset) -> Tensor | None:
    """Return the density of the training split; None if there is none, as in a study with nothing to train on."""
    try:
        return _density(dataset.sibling("train"))
    except DatasetNotFoundError:
        return None


def _uniform(size: Size) -> Tensor:
    return torch.full(size, 1 / (size[0] * size[1]))
