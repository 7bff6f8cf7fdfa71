"""The data sets by name."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from salzoo.data.base import FixationDataset, Split
from salzoo.data.osie import OSIE, EyeCrowd
from salzoo.data.scene500 import Scene500
from salzoo.errors import SpecError

DATASETS: dict[str, type[FixationDataset]] = {each.name_of_set: each for each in (OSIE, EyeCrowd, Scene500)}


def load_dataset(
    name: str,
    root: str | Path,
    split: Split = "train",
    *,
    sigma_px: float | None = None,
    pixels_per_degree: float | None = None,
) -> FixationDataset:
    """Return one split of the data set of that name; see `FixationDataset` for the rest.

    Raises:
        SpecError: If there is no set of that name.
        DatasetNotFoundError: If it is not in `root`.
    """
    if name not in DATASETS:
        near = get_close_matches(name.lower(), DATASETS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise SpecError(f"unknown data set {name!r}{hint} Known: {', '.join(sorted(DATASETS))}")
    return DATASETS[name](root, split, sigma_px=sigma_px, pixels_per_degree=pixels_per_degree)
