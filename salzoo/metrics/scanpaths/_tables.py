"""Dynamic programming over pairs of sequences, all pairs at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from salzoo.metrics.scanpaths._paths import Floats, Integers

Step = Callable[[Floats, Floats, Floats, Floats], Floats]
"""Cost of entering a cell, and what was reached diagonally, above and on the left, to what is reached there."""


def fill(table: Floats, cost: Floats, step: Step) -> Floats:
    """Fill tables from their upper left corners, one anti-diagonal after the other.

    What stands in a cell depends on nothing below or on the right of it, so padded sequences do no harm: the result for
    sequences of lengths p and q is at [p, q].

    Args:
        table: (..., n + 1, m + 1) with its first row and column filled in; the rest is overwritten.
        cost: (N, n, m) of entering each cell.
        step: See `Step`; its arguments are (N, L) or (..., N, L), for L cells.
    """
    n, m = cost.shape[1:]
    for diagonal in range(n + m - 1):
        i = np.arange(max(0, diagonal - m + 1), min(n, diagonal + 1))
        j = diagonal - i
        before = table[..., i, j], table[..., i, j + 1], table[..., i + 1, j]
        table[..., i + 1, j + 1] = step(cost[:, i, j], *before)
    return table


def corner(n: int, m: int, *lead: int) -> Floats:
    """Return tables (*lead, n + 1, m + 1) that a path can enter at the first cell only."""
    table = np.full((*lead, n + 1, m + 1), np.inf)
    table[..., 0, 0] = 0
    return table


def cheapest(cost: Floats, diagonal: Floats, above: Floats, left: Floats) -> Floats:
    """Step to the sum of costs along the cheapest path."""
    return np.asarray(cost + np.minimum(diagonal, np.minimum(above, left)))


def trace(table: Floats, rows: Integers, columns: Integers) -> NDArray[np.bool_]:
    """Return the cells (N, n, m) of each pair's cheapest path, from its last cell back to the first.

    Of equal ways the diagonal is taken, then the one from above: what Dijkstra's algorithm finds if it visits cells of
    equal distance row by row.

    Args:
        table: (N, n + 1, m + 1), filled by `cheapest`.
        rows: (N,) lengths of the first sequences, at least 1.
        columns: (N,) lengths of the second.
    """
    count, n, m = table.shape[0], table.shape[1] - 1, table.shape[2] - 1
    on = np.zeros((count, n, m), dtype=bool)
    each, i, j = np.arange(count), rows.copy(), columns.copy()
    for _ in range(n + m):
        on[each, i - 1, j - 1] = True
        ways = np.stack([table[each, i - 1, j - 1], table[each, i - 1, j], table[each, i, j - 1]])
        way = ways.argmin(0)
        first = (i == 1) & (j == 1)
        i, j = i - ((way != 2) & ~first), j - ((way != 1) & ~first)
    return on
