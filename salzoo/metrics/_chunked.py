"""Sums over maps on the CPU, where each piece of a map stays in the cache through all passes over it.

A map of 600 x 800 does not fit into the cache of a core: reading it anew for every operation is what takes the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salzoo.metrics import _checks
from salzoo.metrics._checks import PIECE, Array, is_tracked

STRETCH = 1 << 9
"""Number of float32 products that are added up in float32: so few cost no relevant digit."""
TINY = 1e-37
"""Added to a ratio so that its logarithm is a number."""


def apply_to(*maps: Tensor) -> bool:
    """Return whether maps can be summed up here: they are on the CPU, and no gradient is wanted."""
    return all(_checks.on_cpu(m) and not is_tracked(m) for m in maps)


def deviations(*maps: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Return the means of maps (N, M), and for each pair of them the sum of the products of deviations from the mean.

    That sum is the number of pixels times the covariance.

    Returns:
        Means (N,), and at [i][j] the sums (N,) for maps i and j; all float64.
    """
    pairs = [(i, j) for i in range(len(maps)) for j in range(i, len(maps))]
    if apply_to(*maps):
        found = [_deviations(rows) for rows in zip(*(m.detach().numpy() for m in maps), strict=True)]
        shape = (-1, 2 + len(maps), len(maps))
        shifts, sums, *rest = torch.from_numpy(np.array(found).reshape(shape)).permute(1, 2, 0)
        left, products = sums / maps[0].shape[1], {(i, j): rest[i][j] for i, j in pairs}
    else:
        shifts = [m.mean(1) for m in maps]  # rounded to the map's own type; what is left of the mean comes off below
        centred = [m - shift[:, None] for m, shift in zip(maps, shifts, strict=True)]
        left = [c.mean(1).double() for c in centred]
        products = {(i, j): (centred[i] * centred[j]).sum(1).double() for i, j in pairs}
    around = {(i, j): products[i, j] - maps[0].shape[1] * left[i] * left[j] for i, j in pairs}
    means = [shift.double() + rest for shift, rest in zip(shifts, left, strict=True)]
    return means, [[around[min(i, j), max(i, j)] for j in range(len(maps))] for i in range(len(maps))]


def _deviations(rows: Sequence[Array]) -> NDArray[np.float64]:
    """Return for K maps (M,) a number near the mean of each, and the sums of their deviations from it and of products.

    The number is the mean of the first piece of the map, so that deviations from it are not much larger than those from
    the mean of all.

    Returns:
        (2 + K, K): the numbers, the sums of deviations, and above the diagonal the sums of products of deviations.
    """
    found = np.zeros((2 + len(rows), len(rows)))
    first = [row[: PIECE // row.itemsize] for row in rows]
    found[0] = [piece.dtype.type(_sum(piece) / len(piece)) for piece in first]
    for pieces, scratch in _cut(rows):
        for i, (piece, shift) in enumerate(zip(pieces, found[0].tolist(), strict=True)):
            np.subtract(piece, shift, out=scratch[i])
            found[1, i] += _sum(scratch[i])
            for j in range(i + 1):
                found[2 + j, i] += _dot(scratch[j], scratch[i])
    return found


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
        # In double precision: next to an x of 1e-20 the slope of the ratio is 1e40.
        x, g = (m.double() - shift.double()[:, None] for m, shift in ((x, x_shift), (g, g_shift)))
        ratio = (g / x + floor[:, None]).clamp_min(TINY)
        return (g * ratio.masked_fill(g == 0, 1.0).log()).sum(1)
    return _each(_divergence, x, x_shift, g, g_shift, floor)


def fast_kl(preds: Tensor, density: Tensor, minimum: float, eps: float) -> Tensor | None:
    """Return the KL divergence (N,) in nats of maps (N, H, W), checked and scored in one pass (two with an eps).

    It is NaN where the slow way must decide: a map is no density, or all 0, or holds only 0 and 1. It is None where one
    pass is not enough, as with a gradient or a resize.
    """
    maps = preds, density
    if not all(isinstance(m, Tensor) and m.ndim == 3 and m.dtype in (torch.float32, torch.float64) for m in maps):
        return None
    if preds.shape != density.shape or not apply_to(*maps):
        return None
    return _each(partial(_fast_kl, minimum=minimum, eps=eps), preds.flatten(1), density.flatten(1))


def _each(score: Callable[..., float], *arguments: Tensor) -> Tensor:
    """Score image after image: maps (N, M) as arrays, numbers (N,) as such."""
    columns = [a.detach().numpy() if a.ndim == 2 else a.tolist() for a in arguments]
    with np.errstate(all="ignore"):
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
    for (part, truth), scratch in _cut([x, g]):
        np.subtract(part, x_shift, out=scratch[0])
        np.subtract(truth, g_shift, out=scratch[1])
        if not floor and not g_shift:  # 0 * log(0) is 0
            scratch[0][scratch[1] == 0] = 1
        found += _dot(scratch[1], _log_ratio(scratch[0], scratch[1], floor or TINY, scratch[0]))
    return found


def _log_ratio(x: Array, g: Array, floor: float, out: Array) -> Array:
    ratio = np.divide(g, x, out=out)
    if floor:
        ratio += floor
    logarithm: Array = np.log(ratio, out=ratio)
    return logarithm


def _fast_kl(x: Array, g: Array, minimum: float, eps: float) -> float:
    x_sum, g_sum = (_sum(x), _sum(g)) if eps else (0.0, 0.0)
    least = minimum * len(x)
    more = minimum + eps * (x_sum + least)
    floor = float(eps and eps * (np.float64(g_sum) + least) / (x_sum + least))
    low = terms = 0.0
    for (part, truth), scratch in _cut([x, g]):
        x_low = np.minimum.reduce(part)
        low = min(low, x_low)
        if eps or not minimum:  # else the logarithm of a negative value is NaN, and seen by that
            low = min(low, np.minimum.reduce(truth))
        if not eps:
            x_sum, g_sum = x_sum + _sum(part), g_sum + _sum(truth)
        above = np.add(truth, minimum, out=scratch[0]) if minimum else truth
        terms += _dot(truth, _log_ratio(_plus(part, more, x_low, scratch[1]), above, floor, scratch[0]))
    few = g[len(g) // 2 :][:997]
    reach = 2.0**_checks.REACH  # beyond it the close look scales first
    scale = all(len(x) / reach < total < reach for total in (x_sum, g_sum))
    usual = low >= 0 and scale and (few != few.round()).any()
    if not usual or least > 1e-12 * g_sum:  # then `minimum` counts where `terms` weigh without it
        return math.nan
    x_sum, g_sum = x_sum + least, g_sum + least
    return terms / g_sum + math.log(x_sum / g_sum)


def _plus(piece: Array, more: float, low: float, out: Array) -> Array:
    """Add a number, unless it is lost in the rounding of even the lowest value."""
    return piece if more < low * np.finfo(piece.dtype).eps / 4 else np.add(piece, more, out=out)


def _sum(piece: Array) -> float:
    return float(torch.from_numpy(piece).sum())  # numpy's takes four times as long


def _dot(a: Array, b: Array) -> float:
    """Return the sum of products."""
    if a.dtype == b.dtype == np.float64:
        return float(a @ b)
    # BLAS adds float32 up with errors in the 5th digit where values repeat, so it gets a few at a time.
    even = len(a) - len(a) % STRETCH
    rows = np.vecdot(a[:even].reshape(-1, STRETCH), b[:even].reshape(-1, STRETCH))
    return float(rows.sum(dtype=np.float64)) + float(a[even:] @ b[even:])


def _cut(rows: Sequence[Array]) -> Iterator[tuple[list[Array], Array]]:
    """Yield pieces of maps (M,), and scratch of their shape, (maps, piece), to work in."""
    kind = np.result_type(*rows)
    length = PIECE // kind.itemsize
    scratch = np.empty((len(rows), length), kind)
    for start in range(0, len(rows[0]), length):
        pieces = [row[start : start + length] for row in rows]
        yield pieces, scratch[:, : len(pieces[0])]
