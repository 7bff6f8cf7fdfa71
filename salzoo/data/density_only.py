"""Ground truth of which only the blurred maps are left."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from salzoo.data.fixations import Fixations
from salzoo.errors import DataError
from salzoo.images.geometry import Size

UNKNOWN = -1
"""In every pixel of the counts of such a picture, so that whatever needs points refuses them."""


class DensityOnly(Fixations):
    """A density whose fixations are not known; it follows its picture as fixations do, and has no `x` and `y`.

    Where this stands in for `Fixations`, densities and what is made of them (KL, CC, SIM, EMD, a centre bias) work.
    `counts` are `UNKNOWN`, which the metrics of fixations refuse, and the points themselves are an error.

    Args:
        map: (H, W), not negative.

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
            raise DataError(f"there are only maps, no fixations, so no {name}: take losses and metrics of densities")
        raise AttributeError(name)

    def __len__(self) -> int:
        """Return 1, or 0 for an empty map: every picture weighs alike."""
        return int(bool((self.map > 0).any()))

    def inside(self, size: Size) -> DensityOnly:
        """Return the map, which must have the size of its picture."""
        if self.map.shape != size:
            raise DataError(f"the map is {tuple(self.map.shape)} (height, width), its picture {size}")
        return self

    def resized(self, old_size: Size, new_size: Size) -> DensityOnly:
        """Follow a picture that is scaled, as the picture's pixels do."""
        scaled = F.interpolate(self.inside(old_size).map[None, None], new_size, mode="bilinear", antialias=True)
        return DensityOnly(scaled[0, 0])

    def flipped(self, width: int) -> DensityOnly:
        """Follow a picture that is mirrored left to right."""
        return DensityOnly(self.map.flip(1))

    def cropped(self, top: int, left: int, size: Size) -> DensityOnly:
        """Follow a picture that is cut to `size` from (top, left)."""
        return DensityOnly(self.map[top : top + size[0], left : left + size[1]])

    def counts(self, size: Size) -> Tensor:
        """Return (H, W) int16, `UNKNOWN` everywhere."""
        return torch.full(size, UNKNOWN, dtype=torch.int16)

    def density(self, size: Size, sigma_px: float | tuple[float, float]) -> Tensor:
        """Return the (H, W) float32 map, summing to 1; it was blurred by whoever made it, `sigma_px` adds nothing."""
        mass = self.inside(size).map.double()
        return (mass / (mass.sum() or 1.0)).float()
