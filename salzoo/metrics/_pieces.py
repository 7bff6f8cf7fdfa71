"""Sums over maps on the CPU, where each piece of a map stays in the cache through all passes over it.

A map of 600 x 800 does not fit into the cache of a core: reading it anew for every operation is what takes the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salzoo.metrics import _checks
from salzoo.metrics._checks import Array

PIECE = 1 << 15
"""Values: four such pieces in float64 are a megabyte."""


def apply_to(*maps: Tensor) -> bool:
    """Say whether maps can be summed up here: they are on the CPU, and no gradient is wanted."""
    tracked = torch.is_grad_enabled() and any(m.requires_grad for m in maps)
    return not tracked and all(_checks.on_cpu(m) for m in maps)


def scatter(*maps: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Return the means of maps (N, M), and the sums of the products of what each pair of them deviates from its mean.

    Returns:
        Means (N,), and at [i][j] with i <= j the sums (N,) for maps i and j; all float64.
    """
    shifts = [m.mean(1) for m in maps]  # rounded to the map's own type; what is left of the mean is taken off below
    pairs = [(i, j) for i in range(len(maps)) for j in range(i, len(maps))]
    if apply_to(*maps):
        rows = [list(zip(m.detach().numpy(), s.tolist(), strict=True)) for m, s in zip(maps, shifts, strict=True)]
        found = [_scatter(row) for row in zip(*rows, strict=True)]
        left = list(torch.tensor(np.array([sums for sums, _ in found]).reshape(-1, len(maps))).T / maps[0].shape[1])
        products = {(i, j): torch.tensor([p[i, j] for _, p in found], dtype=torch.float64) for i, j in pairs}
    else:
        centred = [m - shift[:, None] for m, shift in zip(maps, shifts, strict=True)]
        left = [c.mean(1).double() for c in centred]
        products = {(i, j): (centred[i] * centred[j]).sum(1).double() for i, j in pairs}
    around = {(i, j): products[i, j] - maps[0].shape[1] * left[i] * left[j] for i, j in pairs}
    means = [shift.double() + rest for shift, rest in zip(shifts, left, strict=True)]
    return means, [[around[min(i, j), max(i, j)] for j in range(len(maps))] for i in range(len(maps))]


def _scatter(rows: Sequence[tuple[Array, float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sums (K,) and sums of products (K, K), above the diagonal, of K maps (M,) less a number each."""
    sums, products = np.zeros(len(rows)), np.zeros((len(rows), len(rows)))
    for pieces, scratch in _cut([row for row, _ in rows], spare=1):
        for i, (piece, (_, shift)) in enumerate(zip(pieces, rows, strict=True)):
            np.subtract(piece, shift, out=scratch[i])
            sums[i] += _sum(scratch[i])
            for j in range(i + 1):
                products[j, i] += _dot(scratch[j], scratch[i], scratch[-1])
    return sums, products


def total(x: Tensor, shift: Tensor) -> Tensor:
    """Return the sum of x - shift for maps (N, M) and (N,): (N,) float64."""
    if not apply_to(x):
        return (x - shift[:, None]).sum(1).double()
    return _each(_total, x, shift)


def intersection(x: Tensor, x_shift: Tensor, g: Tensor, g_shift: Tensor, scale: Tensor) -> Tensor:
    """Return the sum of min(x - x_shift, scale * (g - g_shift)): maps (N, M), all else and it (N,)."""
    if not apply_to(x, g):
        factor = scale.to(g.dtype)[:, None]
        return torch.minimum(x - x_shift[:, None], factor * (g - g_shift[:, None])).sum(1).double()
    return _each(_intersection, x, x_shift, g, g_shift, scale)


def divergence(x: Tensor, x_shift: Tensor, g: Tensor, g_shift: Tensor, floor: Tensor) -> Tensor:
    """Return the sum of h * log(floor + h / (x - x_shift)) with h = g - g_shift: maps (N, M), all else and it (N,)."""
    if not apply_to(x, g):
        x, g = (m - shift.to(m.dtype)[:, None] for m, shift in ((x, x_shift), (g, g_shift)))
        ratio = g / x + floor.to(g.dtype)[:, None]
        return (g * ratio.masked_fill(g == 0, 1.0).log()).sum(1).double()
    return _each(_divergence, x, x_shift, g, g_shift, floor)


def _each(score: Callable[..., float], *arguments: Tensor) -> Tensor:
    """Score image after image: maps (N, M) as arrays, numbers (N,) as such."""
    columns = [a.detach().numpy() if a.ndim == 2 else a.tolist() for a in arguments]
    return torch.tensor([score(*row) for row in zip(*columns, strict=True)], dtype=torch.float64)


def _total(x: Array, shift: float) -> float:
    if not shift:
        return _sum(x)
    return sum(_sum(np.subtract(part, shift, out=scratch)) for (part,), (scratch,) in _cut([x]))


def _intersection(x: Array, x_shift: float, g: Array, g_shift: float, scale: float) -> float:
    found = 0.0
    for (part, truth), (low, high) in _cut([x, g]):
        np.subtract(truth, g_shift, out=high)
        high *= scale
        np.minimum(np.subtract(part, x_shift, out=low), high, out=low)
        found += _sum(low)
    return found


def _divergence(x: Array, x_shift: float, g: Array, g_shift: float, floor: float) -> float:
    found = 0.0
    with np.errstate(divide="ignore"):
        for (part, truth), (ratio, shifted) in _cut([x, g]):
            np.subtract(part, x_shift, out=ratio)
            truth = np.subtract(truth, g_shift, out=shifted) if g_shift else truth
            np.divide(truth, ratio, out=ratio)
            if floor:
                ratio += floor
            elif not g_shift:
                ratio[truth == 0] = 1
            np.log(ratio, out=ratio)  # torch's takes three times as long
            found += _dot(truth, ratio, ratio)
    return found


def _sum(piece: Array) -> float:
    return float(torch.from_numpy(piece).sum())  # numpy's takes four times as long


def _dot(a: Array, b: Array, scratch: Array) -> float:
    """Return the sum of products. BLAS adds float32 up with errors in the 5th digit where values repeat."""
    return float(a @ b) if scratch.dtype == np.float64 else _sum(np.multiply(a, b, out=scratch))


def _cut(rows: Sequence[Array], spare: int = 0) -> Iterator[tuple[list[Array], Array]]:
    """Yield pieces of K maps (M,), and scratch of their shape, (K + spare, piece), to work in."""
    scratch = np.empty((len(rows) + spare, PIECE), np.result_type(*rows))
    for start in range(0, len(rows[0]), PIECE):
        pieces = [row[start : start + PIECE] for row in rows]
        yield pieces, scratch[:, : len(pieces[0])]
