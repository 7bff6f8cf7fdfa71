"""Functions of a displacement, kept on a polar lattice: how likely a saccade is by its amplitude and direction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from salzoo.components.stimulus import Stimulus


class PolarLattice:
    """Knots at the crossings of circles and rays, between which values are interpolated bilinearly.

    Angles are as in geometry, counter-clockwise from the right as seen on the screen, although y runs down in images:
    ray a is at 360 a / rays degrees, so that of four rays, number 1 is upward. Beyond the last circle, values are
    those of the last circle.

    Args:
        radii: Of the circles in degrees of visual angle, rising.
        rays: Number of rays.
    """

    def __init__(self, radii: Sequence[float], rays: int) -> None:
        self.radii, self.rays = torch.tensor(radii), rays
        self._last: tuple[Any, tuple[Tensor, Tensor]] | None = None

    def place(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the four knots around displacements, and the weight of each.

        Args:
            x: Degrees to the right, of any shape.
            y: Degrees down.

        Returns:
            (n, 4) int64 numbers of the knots, circle by circle, and (n, 4) weights that sum to 1.
        """
        radii = self.radii.to(x)
        amplitude = torch.hypot(x, y).flatten().clamp(radii[0], radii[-1])
        inner = (torch.searchsorted(radii, amplitude, right=True) - 1).clamp(0, len(radii) - 2)
        out = (amplitude - radii[inner]) / (radii[inner + 1] - radii[inner])
        around = (torch.atan2(-y, x) / (2 * math.pi)).flatten() * self.rays  # minus: y runs down
        before = around.floor().long()
        turn = around - before
        rays = torch.stack([before, before + 1, before, before + 1], dim=1) % self.rays
        circles = torch.stack([inner, inner, inner + 1, inner + 1], dim=1)
        weights = [(1 - out) * (1 - turn), (1 - out) * turn, out * (1 - turn), out * turn]
        return circles * self.rays + rays, torch.stack(weights, dim=1)

    def interpolate(self, values: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """(J, circles, rays) values at displacements of any shape: (J, *shape)."""
        return _weighted(values, *self.place(x, y)).reshape(len(values), *x.shape)

    def tables(self, values: Tensor, stimulus: Stimulus, pixels_per_degree: float) -> Tensor:
        """Return the values at all displacements between cells and halves of cells.

        Args:
            values: (J, circles, rays).
            stimulus: Has the grid.
            pixels_per_degree: Of the image.

        Returns:
            (J, 4 * rows + 1, 4 * columns + 1); the middle is no displacement.
        """
        (height, width), (rows, columns) = stimulus.size, stimulus.grid
        key = (height / rows / pixels_per_degree, rows, width / columns / pixels_per_degree, columns, values.device)
        if self._last is None or self._last[0] != key:  # where every table of an image, and of a fit, is the same
            y, x = (
                torch.arange(-2 * cells, 2 * cells + 1, device=values.device) * (degrees / 2)
                for degrees, cells in ((key[0], rows), (key[2], columns))
            )
            self._last = key, self.place(x.expand(len(y), -1), y[:, None].expand(-1, len(x)))
        return _weighted(values, *self._last[1]).reshape(len(values), 4 * rows + 1, 4 * columns + 1)


def _weighted(values: Tensor, knots: Tensor, weights: Tensor) -> Tensor:
    """Return (J, n) weighted sums of four of (J, circles, rays) values."""
    return F.embedding_bag(knots, values.flatten(1).T.contiguous(), per_sample_weights=weights, mode="sum").T


def look_up(tables: Tensor, stimulus: Stimulus, points: Tensor) -> Tensor:
    """Return the tables' values at the displacement of each cell from points, rounded to half a cell.

    Args:
        tables: (J, 4 * rows + 1, 4 * columns + 1) as `PolarLattice.tables` makes them.
        stimulus: Has the grid.
        points: (B, 2) x and y in pixels, without NaN; a point outside the image is taken for the nearest inside.

    Returns:
        (B, J, rows, columns).
    """
    rows, columns = stimulus.grid
    x, y = (stimulus.to_cells(points) * 2).round().long().unbind(-1)
    top, left = 2 * rows - y.clamp(-1, 2 * rows - 1), 2 * columns - x.clamp(-1, 2 * columns - 1)
    corners = list(zip(top.tolist(), left.tolist(), strict=True))
    windows: Tensor = _Windows.apply(tables, corners, rows, columns)
    return windows


class _Windows(torch.autograd.Function):
    """Every second value of windows of tables: copied row by row, which is ten times as fast as an index of places."""

    @staticmethod
    def forward(ctx: Any, tables: Tensor, corners: list[tuple[int, int]], rows: int, columns: int) -> Tensor:
        ctx.shape, ctx.corners = tables.shape, corners
        found = tables.new_empty(len(corners), len(tables), rows, columns)
        for each, (top, left) in zip(found, corners, strict=True):
            each.copy_(tables[:, top : top + 2 * rows : 2, left : left + 2 * columns : 2])
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        found, (rows, columns) = gradient.new_zeros(ctx.shape), gradient.shape[-2:]
        for each, (top, left) in zip(gradient, ctx.corners, strict=True):
            found[:, top : top + 2 * rows : 2, left : left + 2 * columns : 2] += each
        return found, None, None, None
