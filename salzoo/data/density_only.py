"""Ground truth that is known only as a blurred map, without fixation points."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from salzoo.data.fixations import Fixations
from salzoo.errors import DataError
from salzoo.images.geometry import Size

UNKNOWN = -1
"""The count in every pixel of such an image, so that whatever needs points refuses it."""


class DensityOnly(Fixations):
    """A density that stands in for `Fixations` that are not known; it has no `x` and `y`.

    Densities, and what is made of them (KL, CC, SIM, EMD, a centre bias), work as usual. `counts` are `UNKNOWN`, which
    metrics of fixations refuse; to ask for the points themselves is an error.

    Args:
        map: (H, W), not negative, of any sum.

    Example:
        >>> truth = DensityOnly(torch.tensor([[0.0, 2.0], [0.0, 6.0]]))
        >>> truth.flipped(2).density((2, 2), 1.0).tolist()
        [[0.25, 0.0], [0.75, 0.0]]
    """

    map: Tensor

    def __init__(self, map: Tensor) -> None:
        object.__setattr__(self, "map", map)

    def __getattr__(self, name: str) -> object:
        """Say why there are no points."""
        if name in ("x", "y", "observer"):
            raise DataError(f"there are only maps, no fixations, so no {name}: use losses and metrics of densities")
        raise AttributeError(name)

    def __len__(self) -> int:
        """Return 1, or 0 for an empty map: every image weighs alike."""
        return int(bool((self.map > 0).any()))

    def __repr__(self) -> str:
        """Return the map's size."""
        return f"<DensityOnly: a map of {tuple(self.map.shape)} (height, width)>"

    def inside(self, size: Size) -> DensityOnly:
        """Return the density itself, which must have the size of its image.

        Raises:
            DataError: If it has not.
        """
        if self.map.shape != size:
            raise DataError(f"the map is {tuple(self.map.shape)} (height, width), its image {size}")
        return self

    def resized(self, old_size: Size, new_size: Size) -> DensityOnly:
        """Scale the map along with its image."""
        scaled = F.interpolate(self.inside(old_size).map[None, None], new_size, mode="bilinear", antialias=True)
        return DensityOnly(scaled[0, 0])

    def flipped(self, width: int) -> DensityOnly:
        """Mirror the map left to right along with its image."""
        return DensityOnly(self.map.flip(1))

    def cropped(self, top: int, left: int, size: Size) -> DensityOnly:
        """Crop the map to `size` at (top, left) along with its image."""
        return DensityOnly(self.map[top : top + size[0], left : left + size[1]])

    def counts(self, size: Size) -> Tensor:
        """Return (H, W) int32, `UNKNOWN` everywhere."""
        return torch.full(size, UNKNOWN, dtype=torch.int32)

    def density(self, size: Size, sigma_px: float | tuple[float, float]) -> Tensor:
        """Return the (H, W) float32 map, summing to 1; `sigma_px` is ignored, as the map is blurred already."""
        mass = self.inside(size).map.double()
        return (mass / (mass.sum() or 1.0)).float()
