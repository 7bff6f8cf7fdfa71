"""Inhibition of return: what was fixated loses for a while."""

from __future__ import annotations

import torch
from torch import Tensor

from salzoo.components.stimulus import Stimulus

_LEFT = 1e-9
"""What the strongest inhibition leaves, so that nothing is impossible."""


def log_inhibition(stimulus: Stimulus, history: Tensor, sigma: float, recovery: int | None) -> Tensor:
    """Return the logarithm of what past fixations leave of each cell, at most 0.

    Each fixation takes away a Gaussian around it: all of it at first, and linearly less with each later fixation.

    Args:
        stimulus: The image.
        history: (B, K, 2 or 3) x and y in pixels, the latest last; NaN where there is none.
        sigma: Standard deviation in pixels.
        recovery: Number of fixations after which nothing is left of the inhibition; None: it stays.

    Returns:
        (B, rows, columns).
    """
    total = torch.zeros(len(history), *stimulus.grid, device=history.device)
    for lag in range(1, history.shape[1] + 1):
        strength = 1.0 if recovery is None else max(0.0, 1 - (lag - 1) / recovery)
        taken = stimulus.gaussian(history[:, -lag, :2], sigma).nan_to_num(0.0)  # 0 where there is no fixation
        total = total + (1 - strength * taken).clamp_min(_LEFT).log()
    return total
