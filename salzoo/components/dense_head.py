"""The head of deepgaze3.lite as it was first trained; it goes when its successor has weights."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo.components.layers import blur_mirrored
from salzoo.components.stimulus import Stimulus

BLURS = (2.0, 5.0)
"""Widths in cells of 1/80 of the longer side at which a cell's surroundings are seen."""
SEEN_CELLS = 80
"""Cells along the longer side in which all distances are measured, whatever the grid is."""
FIRST = 7
"""Fixations that are told apart by their number; later ones are alike."""
PLANES = 10
"""What `_planes` says of how a cell lies to a fixation."""
SHAPE = 5
"""What `_shape` says of a density."""


class DenseHead(nn.Module):
    """Says how likely each cell of a grid is to be fixated next.

    The logarithm is `a * log s + linear(offsets) + selection(...)`: the log density of the cell with an exponent that
    depends on the history, a linear function of how the cell lies to each of the past fixations, and a network of both
    and of what is said once for all cells (`_context`). As in DeepGaze III, past fixations pass through a scanpath
    network of a few channels, each with weights by its age.

    Args:
        lags: Past fixations that matter.
        encoding: Channels in which past fixations are added up, and of the scanpath network's result.
        selection: Channels of the hidden layer that sees saliency and scanpath.
    """

    def __init__(self, lags: int, encoding: tuple[int, int], selection: int) -> None:
        super().__init__()
        self.lags = lags
        context = FIRST + 2 * lags - 1 + SHAPE
        self.encode = nn.Linear(PLANES * lags, encoding[0])
        self.encode_context = nn.Linear(context, encoding[0], bias=False)
        self.scanpath = nn.Linear(*encoding)
        self.select = nn.Linear(encoding[1] + 1 + len(BLURS), selection)
        self.select_context = nn.Linear(context, selection, bias=False)
        self.last = nn.Linear(selection, 1)
        self.offsets = nn.Linear(PLANES * lags, 1, bias=False)
        self.exponent = nn.Linear(context, 1)
        for layer in (self.last, self.offsets, self.exponent, self.encode_context):
            nn.init.zeros_(layer.weight)  # begin with the static density
        nn.init.ones_(self.exponent.bias)

    def forward(self, stimulus: Stimulus, history: Tensor, cells: Tensor | None = None) -> Tensor:
        """Return natural logarithms up to a constant.

        Args:
            stimulus: The image.
            history: (B, K, 2 or more) x and y in pixels of past fixations, the latest last, absent ones NaN.
            cells: (B, n) numbers of the cells that are asked for; None for all.

        Returns:
            (B, n).
        """
        log_density = stimulus.log_cells.to(history) + math.log(stimulus.log_cells.numel())
        unit = SEEN_CELLS / max(stimulus.size)
        places = stimulus.centres.to(history).flatten(0, 1) * unit
        past = history[:, -self.lags :, :2].flip(1) * unit
        past = F.pad(past, (0, 0, 0, self.lags - past.shape[1]), value=torch.nan)
        seen = self._surroundings(log_density, max(stimulus.grid) / SEEN_CELLS)
        context = self._context(stimulus, log_density, history, past)
        if cells is None:
            seen, places = seen[None], places[None]
        else:
            seen, places = seen[cells], places[cells]
        planes = _planes(places[:, :, None] - past[:, None])
        hidden = F.relu(self.encode(planes) + self.encode_context(context)[:, None])
        scanpath = F.relu(self.scanpath(hidden))
        both = torch.cat([scanpath, seen.expand(len(scanpath), -1, -1)], dim=-1)
        selected = self.last(F.relu(self.select(both) + self.select_context(context)[:, None]))
        found: Tensor = self.exponent(context) * seen[..., 0] + (self.offsets(planes) + selected)[..., 0]
        return found

    def _surroundings(self, log_density: Tensor, scale: float) -> Tensor:
        """(rows, columns) log density to (cells, 3): of the cell, and of its surroundings, blurred."""
        maps = log_density[None, None]
        return torch.cat([maps, *(blur_mirrored(maps, sigma * scale) for sigma in BLURS)], dim=1)[0].flatten(1).T

    def _context(self, stimulus: Stimulus, log_density: Tensor, history: Tensor, past: Tensor) -> Tensor:
        """Return what is said once for all cells, (B, ...).

        It is the number of past fixations, the log density at each of the last ones, the lengths of the saccades
        between them, and the shape of the density.
        """
        rows, columns = stimulus.grid
        count = (~history[..., 0].isnan()).sum(1).clamp_max(FIRST - 1)
        number = F.one_hot(count, FIRST).to(history)
        known = ~past[..., 0].isnan()
        cell = stimulus.to_cells(history[:, -self.lags :, :2].flip(1)).nan_to_num().round().long()
        cell = F.pad(cell, (0, 0, 0, self.lags - cell.shape[1]))
        index = cell[..., 1].clamp(0, rows - 1) * columns + cell[..., 0].clamp(0, columns - 1)
        there = log_density.flatten()[index] * known / 4
        lengths = torch.log1p((past[:, :-1] - past[:, 1:]).square().sum(-1).sqrt()).nan_to_num() / 2
        shape = _shape(log_density).expand(len(history), -1)
        return torch.cat([number, there, lengths, shape], dim=1)


def _planes(offsets: Tensor) -> Tensor:
    """(B, n, lags, 2) offsets of cells from fixations to (B, n, lags * PLANES); 0 for a fixation that is not there.

    Offsets and distance, the same on a logarithmic scale, how near the direction is to the horizontal, and nearness.
    """
    there = ~offsets[..., :1].isnan()
    x, y = offsets.nan_to_num().unbind(-1)
    square = x * x + y * y
    distance = square.sqrt()
    log = torch.log1p(distance)
    part = log / (distance + 0.1)
    planes = [x / 20, y / 20, distance / 20, log, x * part, y * part, (x * x - y * y) / (square + 0.1) * log]
    planes += [torch.exp(-square / 2), torch.exp(-square / 18), torch.ones_like(x)]
    return (torch.stack(planes, dim=-1) * there).flatten(2)


def _shape(log_density: Tensor) -> Tensor:
    """(rows, columns) log density over uniform to (SHAPE,): its information, its mean place and its extent."""
    density = log_density.flatten().softmax(0).view_as(log_density)
    longer = max(log_density.shape)
    parts = [(density * log_density).sum() - 1.5]
    for axis, side in enumerate(log_density.shape):
        places = (torch.arange(side).to(density) - (side - 1) / 2) / longer * SEEN_CELLS
        share = density.sum(1 - axis)
        mean = (share * places).sum()
        parts += [mean / 10, (share * places.square()).sum().sub(mean**2).clamp_min(0).sqrt() / 10 - 1.3]
    return torch.stack(parts)
