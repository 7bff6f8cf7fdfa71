"""From a static density and past fixations to the density of the next one: a small network, point by point."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo.components.layers import blur_mirrored
from salzoo.components.polar_lattice import PolarLattice, look_up
from salzoo.components.stimulus import Stimulus

BLURS = (2.0, 5.0)
"""Widths in cells of 1/80 of the longer side at which a cell's surroundings are seen."""
SEEN_CELLS = 80
"""Cells along the longer side in which all distances are measured, whatever the grid is."""
RADII = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.5, 6.5, 9.0, 13.0, 20.0, 30.0, 45.0, 65.0, 100.0)
"""Circles of the fields around past fixations, in cells of 1/80 of the longer side."""
RAYS = 8
FIELDS = 2
"""Fields around each past fixation: how much each counts depends on the context."""
FIRST = 7
"""Fixations that are told apart by their number; later ones are alike."""
PLANES = 7
"""What `_planes` says of how a cell lies to a fixation."""
TURNS = 2
"""What `_planes` says of how a cell lies to the direction of the last saccade."""
SHAPE = 5
"""What `_shape` says of a density."""
_NOTHING = -60.0
"""Logarithm of nearness far away; lower, it leaves float32's normal numbers, and products take ten times as long."""


class HistoryHead(nn.Module):
    """Says how likely each cell of a grid is to be fixated next.

    The logarithm is `a log s + fields + selection`. The log density s of the cell has an exponent a, and each of the
    past fixations has fields: functions of the displacement, kept on a polar lattice. Exponent and weights of the
    fields are linear in a context that is said once for all cells (`_context`). The selection is a network of density,
    past fixations and context, cell by cell of a wide grid, between which it is interpolated bilinearly: it is smooth,
    and fields have what is sharp. As in DeepGaze III, past fixations pass through a scanpath network of a few channels,
    each with weights by its age.

    Args:
        lags: Past fixations that matter.
        encoding: Channels in which past fixations are added up, and of the scanpath network's result.
        selection: Channels of the hidden layer that sees saliency and scanpath.
        wide: Cells along the longer side of the wide grid.
    """

    def __init__(self, lags: int, encoding: tuple[int, int], selection: int, wide: int) -> None:
        super().__init__()
        self.lags, self.wide = lags, wide
        self.lattice = PolarLattice(RADII, RAYS)
        context = FIRST + 2 * lags - 1 + SHAPE
        self.encode = nn.Linear(PLANES * lags + TURNS, encoding[0])
        self.encode_context = nn.Linear(context, encoding[0], bias=False)
        self.scanpath = nn.Linear(*encoding)
        self.select = nn.Linear(encoding[1], selection)
        self.select_seen = nn.Linear(1 + len(BLURS), selection, bias=False)
        self.select_context = nn.Linear(context, selection, bias=False)
        self.last = nn.Linear(selection, 1, bias=False)
        self.fields = nn.Parameter(torch.zeros(lags, FIELDS, len(RADII), RAYS))
        self.weights = nn.Linear(context, lags * FIELDS)
        self.exponent = nn.Linear(context, 1)
        for layer in (self.last, self.exponent, self.encode_context):
            nn.init.zeros_(layer.weight)  # begin with the static density
        nn.init.ones_(self.exponent.bias)
        nn.init.ones_(self.weights.bias)

    def forward(self, stimulus: Stimulus, history: Tensor) -> Tensor:
        """Return natural logarithms up to a constant.

        Args:
            stimulus: The image.
            history: (B, K, 2 or more) x and y in pixels of past fixations, the latest last, absent ones NaN.

        Returns:
            (B, rows, columns).
        """
        log_density = stimulus.log_cells.to(history) + math.log(stimulus.log_cells.numel())
        past = history[:, -self.lags :, :2].flip(1)
        past = F.pad(past, (0, 0, 0, self.lags - past.shape[1]), value=torch.nan)
        context = self._context(stimulus, log_density, history, past)
        found: Tensor = self.exponent(context)[..., None] * log_density
        found = found + self._around(stimulus, past, self.weights(context))
        selected = self._selected(stimulus, log_density, past, context)
        found += F.interpolate(selected[:, None], stimulus.grid, mode="bilinear", align_corners=False)[:, 0]
        return found

    def _around(self, stimulus: Stimulus, past: Tensor, weights: Tensor) -> Tensor:
        """Return the sum of the fields around past fixations (B, lags, 2), (B, rows, columns)."""
        known = ~past[..., :1].isnan()
        weights = weights.view(-1, self.lags, FIELDS) * known
        tables = self.lattice.tables(self.fields.flatten(0, 1), stimulus, max(stimulus.size) / SEEN_CELLS)
        each = tables.view(self.lags, FIELDS, *tables.shape[1:])
        found = past.new_zeros(())
        for lag in range(self.lags):
            if bool(known[:, lag].any()):
                fields = look_up(each[lag], stimulus, past[:, lag].nan_to_num())
                found = found + torch.einsum("bf,bfrc->brc", weights[:, lag], fields)
        return found

    def _selected(self, stimulus: Stimulus, log_density: Tensor, past: Tensor, context: Tensor) -> Tensor:
        """Return what the network says on the wide grid, (B, h, w)."""
        seen, places = self._wide(stimulus, log_density)
        unit = SEEN_CELLS / max(stimulus.size)
        planes = _planes(places.flatten(1) * unit, past * unit)
        hidden = _mixed(self.encode, planes, self.encode_context(context))
        scanpath = _mixed(self.scanpath, hidden)
        static = F.linear(seen.flatten(1).T, self.select_seen.weight).T[:, None]
        both = _mixed(self.select, scanpath, self.select_context(context), static)
        selected = self.last.weight @ both.flatten(1)
        return selected.view(len(past), *places.shape[1:])

    def _wide(self, stimulus: Stimulus, log_density: Tensor) -> tuple[Tensor, Tensor]:
        """Return, on the wide grid, the log density and its surroundings (3, h, w), and places in pixels (2, h, w)."""
        scale = max(stimulus.grid) / SEEN_CELLS
        maps = log_density[None, None]
        maps = torch.cat([maps, *(blur_mirrored(maps, sigma * scale) for sigma in BLURS)], dim=1)
        centres = stimulus.centres.to(log_density).movedim(-1, 0)[None]
        share = min(1.0, self.wide / max(stimulus.grid))
        height, width = (max(1, round(side * share)) for side in stimulus.grid)
        seen, places = (F.adaptive_avg_pool2d(each, (height, width))[0] for each in (maps, centres))
        return seen, places

    def _context(self, stimulus: Stimulus, log_density: Tensor, history: Tensor, past: Tensor) -> Tensor:
        """Return what is said once for all cells, (B, ...).

        It is the number of past fixations, the log density at each of the last ones, the lengths of the saccades
        between them, and the shape of the density.
        """
        rows, columns = stimulus.grid
        count = (~history[..., 0].isnan()).sum(1).clamp_max(FIRST - 1)
        number = F.one_hot(count, FIRST).to(history)
        cell = stimulus.to_cells(past).nan_to_num().round().long()
        index = cell[..., 1].clamp(0, rows - 1) * columns + cell[..., 0].clamp(0, columns - 1)
        there = log_density.flatten()[index] * ~past[..., 0].isnan() / 4
        steps = (past[:, :-1] - past[:, 1:]) * (SEEN_CELLS / max(stimulus.size))
        lengths = torch.log1p(steps.square().sum(-1).sqrt()).nan_to_num() / 2
        shape = _shape(log_density).expand(len(history), -1)
        return torch.cat([number, there, lengths, shape], dim=1)


def _mixed(layer: nn.Linear, maps: Tensor, context: Tensor | None = None, static: Tensor | None = None) -> Tensor:
    """(channels, B, cells) through a layer and a rectifier; context (B, out) and static maps (out, 1, cells) add."""
    mixed = (layer.weight @ maps.flatten(1)).view(len(layer.weight), *maps.shape[1:])
    added = layer.bias[:, None] if context is None else (context + layer.bias).T
    mixed = mixed.add_(added[..., None])
    return F.relu_(mixed if static is None else mixed.add_(static))


def _planes(places: Tensor, past: Tensor) -> Tensor:
    """(2, cells) places and (B, lags, 2) fixations to (PLANES * lags + TURNS, B, cells); 0 for what is not there.

    Offsets, the same on a logarithmic scale and its length, how near the direction is to the horizontal, and nearness.
    Of the last fixation also the part of the offset that goes on in the direction of the last saccade, on a logarithmic
    scale, and how near the direction is to that of the saccade or its opposite.
    """
    x, y = (places[:, None, None] - past.nan_to_num().movedim(-1, 0).mT[..., None]).unbind()
    square = x * x + y * y
    distance = square.sqrt()
    log = torch.log1p(distance)
    part = log / (distance + 0.1)
    across = (x * x - y * y) / (square + 0.1) * log
    near = torch.exp((square / -18).clamp_min(_NOTHING))
    planes = torch.stack([x / 20, y / 20, log, x * part, y * part, across, near])
    there = ~past[..., 0].isnan().T[..., None]
    planes = (planes if bool(there.all()) else planes * there).flatten(0, 1)
    step = F.pad(past, (0, 0, 0, 1), value=torch.nan)[:, :2].diff(dim=1)[:, 0].neg().nan_to_num()
    unit = step / (step.norm(dim=1, keepdim=True) + 0.1)
    along = (unit[:, :1] * x[0] + unit[:, 1:] * y[0]) * part[0]
    turns = torch.stack([along, along * along / (log[0] + 0.1)])
    return torch.cat([planes, turns])


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
