"""The baselines of a table, from chance to how well people predict each other.

Fixations are blurred as in the dataset's densities.

- `gold_joint`: the density of all observers' fixations on the image, including those that it is scored on. Its CC and
  SIM are 1 and its KL and EMD 0, which nothing can better. Its NSS, AUC and information gain have a bias, which grows
  as observers become fewer (Kuemmerer et al. 2015, PNAS: the joint gold standard; Judd et al. 2012: infinitely many
  humans); a map that spreads less can have a higher NSS, one that spreads more a higher AUC-Borji.
- `gold`: the fixations of each observer, and their density, under the gold standard of all others
  (`salzoo.evaluation.gold`), averaged over observers (Kuemmerer et al. 2015; Wilming et al. 2011, PLoS ONE: consistency
  between subjects): their kernel density, with the centre bias (the baseline of information gain) and a uniform density
  mixed in; bandwidth and shares are those under which the split's fixations are likeliest. This is how well people
  predict each other, and on NSS, AUC and information gain about what a model can reach: no strict limit, as few
  observers predict worse than many, and a model may pass it. On CC, SIM, KL and EMD it is no limit at all: the truth is
  one observer's density here, that of all observers in the rows of models.
- `one_human`: the fixations and the density of all other observers under the density of one, averaged over observers
  (Judd et al. 2012, MIT-CSAIL-TR-2012-001). It is almost 0 where that one did not look, which KL and information gain
  punish.
- `centre_bias`: a kernel density of the fixations on all *other* images of the split, in relative coordinates
  (Kuemmerer et al. 2015; their bandwidth is cross-validated, this one is 3 % of the sides, with 0.1 % of a uniform
  density). It knows where people looked in this split, and nothing of the image.
- `centre_bias_train`: the same for the training split, as a model could learn it. If the scored split has images of the
  training split, it is that of all images of both but the one that is scored, so that it never knows the answer.
  Information gain is measured against it.
- `permutation`: the density of the fixations on one other image of the split, drawn once by a seed: as clustered as the
  truth, but in the wrong places (Wilming et al. 2011: the lower limit; the permutation control of Judd et al. 2012).
- `uniform`: chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from salzoo.components.layers import kernel_density
from salzoo.data import FixationDataset, Fixations, Item
from salzoo.data.base import Split
from salzoo.errors import DatasetNotFoundError, SpecError
from salzoo.evaluation.gold import GoldStandard, Seen, fit_gold
from salzoo.images.geometry import Size
from salzoo.images.preprocess import resize_density

ROWS = ("gold_joint", "gold", "one_human", "centre_bias", "centre_bias_train", "permutation", "uniform")
BETWEEN_PEOPLE = ("gold", "one_human")
GOLD_IMAGES = 300
"""Three numbers need no more images, and a set may have thousands."""
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
        self._split = _Pool([dataset])
        self.with_fixations = [index for index, name in enumerate(dataset.names) if name in self._split.counts]
        self.mean = max(round(self._split.total / len(dataset)), 1)
        self._train = _sibling(dataset, "train")
        self._shared = self._train is not None and not set(self._train.names).isdisjoint(dataset.names)
        self._prior = _Pool(
            [dataset] if self._train is None else [self._train, dataset] if self._shared else [self._train]
        )
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
            "centre_bias": lambda: self._split.without(self.dataset, index, size),
            "centre_bias_train": lambda: self.prior(index, size),
            "permutation": lambda: self._permutation(index, size),
            "uniform": lambda: _uniform(size),
        }
        return {row: make[row]() for row in self.rows if row in make}

    @cached_property
    def gold(self) -> GoldStandard:
        """How people predict each other on this split; fitted to at most `GOLD_IMAGES` of its images."""
        count = len(self.with_fixations)
        chosen = self.with_fixations if count <= GOLD_IMAGES else self.with_fixations[:: -(-count // GOLD_IMAGES)]
        return fit_gold(map(self.seen, chosen))

    def seen(self, index: int) -> Seen:
        """Return the fixations on an image, its (height, width), its blur in pixels and its (H, W) centre bias."""
        size = self.dataset.size(index)
        return self.dataset.fixations(index), size, self.dataset.sigma(size), self.prior(index, size)

    @property
    def baseline_name(self) -> str:
        """What `prior` is, in words."""
        name, split = self.dataset.name, self.dataset.split
        if self._train is not None and not self._shared:
            return f"the centre bias of {name}:train"
        if not self._prior.has_others:
            return "uniform"
        if self._train is None or split == "train":
            return f"the centre bias of the other images of {split}"
        return f"the centre bias of all other images of train and {split}"

    @cached_property
    def prior_content(self) -> str:
        """Digest of the images that `prior` is made of: training splits of one name may differ."""
        return sha256(repr(sorted(self._prior.counts.items())).encode()).hexdigest()

    def prior(self, index: int, size: Size) -> Tensor:
        """Return the (H, W) density that information gain is measured against; it never knows the image itself.

        It is `centre_bias_train`; without a training split `centre_bias`; without other images `uniform`.
        """
        return self._prior.without(self.dataset, index, size)

    def _permutation(self, index: int, size: Size) -> Tensor:
        other = self._other.get(index, self.with_fixations[0])
        points = self.dataset.fixations(other).resized(self.dataset.size(other), size)
        return points.density(size, self.dataset.sigma(size))

    def _missing(self) -> dict[str, str]:
        """Return why rows cannot be made, by name."""
        missing: dict[str, str] = {}
        if not self.dataset.has_points:
            missing |= dict.fromkeys(BETWEEN_PEOPLE, "there are maps and no fixation points")
        elif not any(len(set(self.dataset.fixations(i).observer.tolist())) > 1 for i in self.with_fixations):
            missing |= dict.fromkeys(BETWEEN_PEOPLE, "no image has two observers who are told apart")
        if len(self.with_fixations) < 2:
            missing |= dict.fromkeys(("centre_bias", "permutation"), "there is no other image with fixations")
        if self._train is None:
            missing["centre_bias_train"] = "there is no split 'train'"
        elif self._shared and not self._prior.has_others:
            missing["centre_bias_train"] = "it has no other image with fixations"
        return missing


class _Pool:
    """The fixations on the images of some splits of one dataset; an image in several of them counts once."""

    def __init__(self, splits: Sequence[FixationDataset]) -> None:
        self.counts: dict[str, int] = {}
        self.together = kernel_density(self._count(splits), _GRID, _BANDWIDTH, _UNIFORM)
        self.total = sum(self.counts.values())

    def _count(self, splits: Sequence[FixationDataset]) -> Iterator[tuple[Fixations, Size]]:
        images = {name: (split, index) for split in splits for index, name in enumerate(split.names)}
        for name, (split, index) in images.items():
            if len(points := split.fixations(index)):
                self.counts[name] = len(points)
                yield points, split.size(index)

    @property
    def has_others(self) -> bool:
        """Whether two images have fixations."""
        return len(self.counts) > 1

    def without(self, dataset: FixationDataset, index: int, size: Size) -> Tensor:
        """Return the (H, W) density of all fixations except those on one image; uniform if there are no others."""
        count = self.counts.get(dataset.names[index], 0)
        if count == self.total:
            return _uniform(size)
        if not count:
            return resize_density(self.together, size)
        alone = kernel_density([(dataset.fixations(index), size)], _GRID, _BANDWIDTH, _UNIFORM).double()
        rest = (self.total * self.together.double() - count * alone) / (self.total - count)
        return resize_density(rest.clamp_min(_UNIFORM / rest.numel()).float(), size)


def _sibling(dataset: FixationDataset, split: Split) -> FixationDataset | None:
    """Return another split; None if there is none, as in a study with nothing to train on."""
    try:
        return dataset.sibling(split)
    except DatasetNotFoundError:
        return None


def _uniform(size: Size) -> Tensor:
    return torch.full(size, 1 / (size[0] * size[1]))
