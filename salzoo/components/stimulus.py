"""What a scanpath model knows of one image before anybody looks: its density, in pixels and in the cells of a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salzoo.images.geometry import Size

DEGREES = 33.7
"""Visual angle of an image's longer side where nobody says it: that of OSIE's 800 columns (23.7 px a degree)."""

_FLOOR = -80.0
"""Lowest natural log of a pixel's density: so that what is impossible on one machine is not merely rare on another."""


@dataclass(frozen=True, eq=False)
class Stimulus:
    """An image as scanpath models see it.

    The next fixation is predicted on a grid of cells; within a cell, pixels share its probability as the static density
    has it. So a probability of cells is one of pixels, exactly, at the cost of the grid.

    Args:
        log_density: (H, W) natural-log static density of the image's pixels, on the device that models compute on. What
            is made of it here is in double precision, and on the CPU.
        cells: Cells along the image's longer side; there are never more than pixels.
        features: What else a model computes once an image.
    """

    log_density: Tensor
    cells: int
    features: Tensor | None = None

    @property
    def size(self) -> Size:
        """(height, width) of the image."""
        return self.log_density.shape[0], self.log_density.shape[1]

    @property
    def grid(self) -> Size:
        """(rows, columns) of the grid."""
        scale = min(1.0, self.cells / max(self.size))
        height, width = (max(1, round(side * scale)) for side in self.size)
        return height, width

    @cached_property
    def log_pixels(self) -> Tensor:
        """(H, W) float64 static density, normalised, without zeros."""
        flat = self.log_density.cpu().double().clamp_min(_FLOOR)
        return flat - flat.flatten().logsumexp(0)

    @cached_property
    def cell_of(self) -> Tensor:
        """(H, W) int64, the number of each pixel's cell, row by row."""
        (height, width), (rows, columns) = self.size, self.grid
        row, column = (torch.arange(side) * cells // side for side, cells in ((height, rows), (width, columns)))
        return row[:, None] * columns + column

    @cached_property
    def log_cells(self) -> Tensor:
        """(rows, columns) float64 static density of the cells; its exp sums to 1."""
        rows, columns = self.grid
        sums = torch.zeros(rows * columns, dtype=torch.float64)
        return sums.index_add_(0, self.cell_of.flatten(), self.log_pixels.exp().flatten()).log().view(rows, columns)

    @cached_property
    def log_within(self) -> Tensor:
        """(H, W) float64, the share that each pixel has in its cell."""
        return self.log_pixels - self.log_cells.flatten()[self.cell_of]

    @cached_property
    def by_cell(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The pixels in the order of cells, where each cell begins, and sums of the pixels' shares as whole numbers."""
        cell_of = self.cell_of.flatten().numpy()
        order = np.argsort(cell_of, kind="stable")
        first = np.searchsorted(cell_of[order], np.arange(self.grid[0] * self.grid[1] + 1))
        shares = np.rint(self.log_within.flatten().exp().numpy()[order] * 2.0**30).astype(np.int64)
        return order, first, np.concatenate([[0], np.cumsum(shares)])

    def spread(self, log_cells: Tensor) -> Tensor:
        """(rows, columns) log probability of the cells to (H, W) of the pixels."""
        return log_cells.flatten()[self.cell_of] + self.log_within

    def to_cells(self, points: Tensor) -> Tensor:
        """(..., 2) x and y in pixels to the same in cells, a cell's centre at its integer coordinate."""
        return (points + 0.5) * self._scale.to(points) - 0.5

    @cached_property
    def centres(self) -> Tensor:
        """(rows, columns, 2) x and y of the cells' centres, in pixels, float32."""
        rows, columns = self.grid
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        return (torch.stack([x, y], dim=-1) + 0.5) / self._scale - 0.5

    def gaussian(self, points: Tensor, sigma: float) -> Tensor:
        """Return a Gaussian around each point, 1 at the point itself.

        Args:
            points: (B, 2) x and y in pixels.
            sigma: Standard deviation in pixels.

        Returns:
            (B, rows, columns).
        """
        x, y = (
            (-(((at - points[:, None, axis]) / sigma) ** 2) / 2).exp()
            for axis, at in enumerate((self.centres[0, :, 0].to(points), self.centres[:, 0, 1].to(points)))
        )
        return y[:, :, None] * x[:, None, :]

    @property
    def _scale(self) -> Tensor:
        """(2,) cells a pixel, along x and y."""
        (height, width), (rows, columns) = self.size, self.grid
        return torch.tensor([columns / width, rows / height])

    def pixels_per_degree(self, given: float | None = None) -> float:
        """Pixels of a degree of visual angle: as given, else the image's longer side is `DEGREES` wide."""
        return max(self.size) / DEGREES if given is None else given

    def pixel_index(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the flat number of the pixel of each point, -1 outside the image; borders are inside."""
        height, width = self.size
        inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
        column, row = (
            np.minimum(np.floor(np.where(inside, at, 0) + 0.5), side - 1).astype(np.int64)
            for at, side in ((x, width), (y, height))
        )
        return np.where(inside, row * width + column, -1)
