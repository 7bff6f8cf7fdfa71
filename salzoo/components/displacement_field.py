"""Where the next fixation goes by its displacement from the last ones: a field that is learned by its likelihood."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo.components.polar_lattice import PolarLattice, look_up
from salzoo.components.stimulus import Stimulus

RADII = tuple(0.337 * cells for cells in (0, 1, 2, 3.5, 5.5, 8, 12, 18, 27, 40, 60, 100))
"""Circles of the lattice, in degrees: closer together where most fixations are."""
RAYS = 8
TERMS = 4
"""Of the context: a constant, how peaked the density is, the number of the fixation, the last one's duration."""


class DisplacementField(nn.Module):
    """A mixture of staying and leaving, each a product of the static density and of functions of the displacement.

    For each part, `log p = a log s(x) + sum_k f_k(x - x_k) - log Z` over the last fixations x_k. The exponent a, the
    field f_1 of the last fixation and the weight of the parts are linear in a context of the image and the history.

    Args:
        lags: How many past fixations have a field.
    """

    def __init__(self, lags: int = 4) -> None:
        super().__init__()
        self.lags, self.lattice = lags, PolarLattice(RADII, RAYS)
        near = 2 * torch.exp(-self.lattice.radii / 1.5)[:, None]
        last = torch.zeros(2, TERMS, len(RADII), RAYS)
        last[0, 0] = near  # the first part begins as the one that stays
        self.last = nn.Parameter(last)
        self.earlier = nn.Parameter(torch.zeros(2, lags - 1, len(RADII), RAYS))
        self.exponent = nn.Parameter(torch.tensor([[0.5, 0, 0, 0], [0.8, 0, 0, 0]]))
        self.share = nn.Parameter(torch.tensor([-1.0, 0, 0, 0]))

    def context(self, stimulus: Stimulus, history: Tensor) -> Tensor:
        """Return the context of histories (B, K, 3), of which one at least is known: (B, TERMS), about standardised."""
        density = stimulus.log_cells
        peaked = math.log(density.numel()) + float((density.exp() * density).sum())  # nat over uniform
        count = history[..., 0].isfinite().sum(1).clamp_min(1)
        duration = history[:, -1, 2].clamp(1, 1e5)
        terms = (
            torch.full_like(duration, (peaked - 2.0) / 0.5),
            (count.log() - 1.2) / 0.8,
            ((duration.log() - 5.3) / 0.5).nan_to_num(0.0),  # a duration that is not known is the usual one
        )
        return torch.stack([torch.ones_like(duration), *(term.clamp(-2.5, 2.5) for term in terms)], dim=1)

    def forward(self, stimulus: Stimulus, history: Tensor, pixels_per_degree: float) -> Tensor:
        """Return log probabilities.

        Args:
            stimulus: The image.
            history: (B, K, 3) x and y in pixels and duration in ms, the latest last; NaN for what is not there.
            pixels_per_degree: Of the image.

        Returns:
            (B, rows, columns).
        """
        static = stimulus.log_cells.flatten().to(history)
        known = history[..., 0].isfinite() & history[..., 1].isfinite()
        if not history.shape[1]:
            return static.view(1, *stimulus.grid).expand(len(history), -1, -1)
        context = self.context(stimulus, history)
        scores = static * (context @ self.exponent.T)[..., None]  # (B, 2, cells)
        for lag in range(1, min(self.lags, history.shape[1]) + 1):
            values = self.last if lag == 1 else self.earlier[:, lag - 2 : lag - 1]
            weight = context[:, : values.shape[1]]
            if bool((weight == weight[:1]).all()):  # as in draws: the terms are added before they are looked up
                values, weight = torch.einsum("pqcr,q->pcr", values, weight[0])[:, None], torch.ones_like(weight[:, :1])
            tables = self.lattice.tables(values.flatten(0, 1), stimulus, pixels_per_degree)
            found = look_up(tables, stimulus, history[:, -lag, :2].nan_to_num()).flatten(2)
            weight = weight * known[:, -lag, None]
            scores = scores + (found.view(len(found), 2, -1, found.shape[-1]) * weight[:, None, :, None]).sum(2)
        stays = context @ self.share
        parts = scores.log_softmax(2) + F.logsigmoid(torch.stack([stays, -stays], dim=1))[..., None]
        moved = torch.where(known.any(1)[:, None], parts.logsumexp(1), static)
        return moved.view(len(history), *stimulus.grid)

    def roughness(self) -> Tensor:
        """Return the sum of squared differences between neighbouring knots."""
        values = torch.cat([self.last.flatten(0, 1), self.earlier.flatten(0, 1)])
        around = (values - values.roll(1, 2)).square().sum()
        return around + (values[:, 1:] - values[:, :-1]).square().sum()
