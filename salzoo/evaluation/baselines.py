"""The rows that a table has beside the models: from chance to what people reach on each other.

Blurs are those of the data set's densities, and pictures differ in nothing but who with_fixations at them.

- `gold_joint`: the density of everybody's fixations on the picture, those that it is scored on among them. Its CC and
  SIM are 1, its KL and EMD 0, and its NSS, AUC and information gain are too high for any model to reach: an upper bound
  with a bias, the more so the fewer observers there are (Kuemmerer et al. 2015, PNAS: the joint gold standard; Judd et
  al. 2012: infinitely many humans).
- `gold`: each observer's fixations are predicted by the density of all others', averaged over observers. This is the
  upper limit without that bias (Kuemmerer et al. 2015; Wilming et al. 2011, PLoS ONE: consistency between subjects).
- `one_human`: one observer's density predicts the fixations and the density of all others, averaged over observers
  (Judd et al. 2012, MIT-CSAIL-TR-2012-001). It ends where that person did not look: KL and information gain suffer.
- `centre_bias`: a kernel density of the fixations on all *other* pictures of the split, in relative coordinates
  (Kuemmerer et al. 2015; their bandwidth is cross-validated, this one is 3 % of the sides, with 0.1 % of a uniform
  density). It knows how this split was with_fixations at, and nothing of the picture.
- `centre_bias_train`: the same of the set's training split, as a model could learn it; what information gain is
  measured against.
- `permutation`: the density of the fixations on one other picture of the split, drawn once by a seed: as clumped as the
  truth, and wrong (Wilming et al. 2011: the lower limit; the permutation control of Judd et al. 2012).
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
"""Those that are meant as the density of fixations, of which other maps can be derived."""

_GRID, _BANDWIDTH, _UNIFORM = (60, 80), 0.03, 1e-3


class Baselines:
    """The baselines of one split.

    Args:
        dataset: The split.
        wanted: Names from `ROWS`.
        seed: Of `permutation`.

    Attributes:
        rows: Names of those of the wanted baselines that the split can have.
        absent: Why not, by name of the others.
        with_fixations: Indices of the pictures with fixations, or with a map that is not empty.
        mean: Mean number of fixations a picture, at least 1.

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
        self._other = dict(zip(cycle, [*cycle[1:], *cycle[:1]], strict=True))  # never the picture itself
        missing = self._missing()
        self.absent = {row: missing[row] for row in ROWS if row in wanted and row in missing}
        self.rows = tuple(row for row in ROWS if row in wanted and row not in missing)

    def maps(self, index: int, item: Item) -> dict[str, Tensor]:
        """Return the (H, W) map of each row but those between people."""
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
        """What `prior` is."""
        if self._train is not None:
            return f"the centre bias of {self.dataset.name}:train"
        return (
            f"the centre bias of the other pictures of {self.dataset.split}"
            if len(self.with_fixations) > 1
            else "uniform"
        )

    def prior(self, index: int, size: Size) -> Tensor:
        """Return the (H, W) density that information gain is measured against.

        It is `centre_bias_train`; without a training split `centre_bias`; without other pictures `uniform`.
        """
        if self._train is not None:
            return resize_density(self._train, size)
        return self._centre_bias(index, size) if len(self.with_fixations) > 1 else _uniform(size)

    def _centre_bias(self, index: int, size: Size) -> Tensor:
        """Return the (H, W) density of all fixations but those on the picture itself, which is of that size."""
        own = self.dataset.fixations(index)
        alone = kernel_density([(own, size)], _GRID, _BANDWIDTH, _UNIFORM).double()
        rest = (self._count * self._together.double() - len(own) * alone) / (self._count - len(own))
        return resize_density(rest.clamp_min(_UNIFORM / rest.numel()).float(), size)

    def _permutation(self, index: int, size: Size) -> Tensor:
        other = self._other.get(index, self.with_fixations[0])
        points = self.dataset.fixations(other).resized(self.dataset.size(other), size)
        return points.density(size, self.dataset.sigma(size))

    def _missing(self) -> dict[str, str]:
        """Return why a row cannot be had."""
        missing: dict[str, str] = {}
        if not self.dataset.has_points:
            missing |= dict.fromkeys(BETWEEN_PEOPLE, "there are maps and no fixation points")
        elif not any(len(set(points.observer.tolist())) > 1 for points, _ in _looks(self.dataset)):
            missing |= dict.fromkeys(BETWEEN_PEOPLE, "no picture has two observers who are told apart")
        if len(self.with_fixations) < 2:
            missing |= dict.fromkeys(("centre_bias", "permutation"), "there is no other picture with fixations")
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
    """Return the density of the training split, None if there is none: a study may have no pictures to train on."""
    try:
        return _density(dataset.sibling("train"))
    except DatasetNotFoundError:
        return None


def _uniform(size: Size) -> Tensor:
    return torch.full(size, 1 / (size[0] * size[1]))
