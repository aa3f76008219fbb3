"""Consistent systems that are only ever multiplied with: conjugate gradients, many right-hand sides at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hte_bridge.arrays import Array
from hte_bridge.errors import NotIdentified

MOST_STEPS = 10_000
SETTLED = 1e-14  # of the right-hand side: what is left of it where they stop
ROUNDING = 1e-13  # of a column's own size: what lies below has no solution, as rounding leads out of the span


def conjugate(
    times: Callable[[Array], Array], right: Array, diagonal: Array, squares: Array | float = 0.0
) -> Array:
    """Solution (L, k) of a positive semidefinite system by conjugate gradients, its diagonal (L,) as preconditioner.

    Hestenes and Stiefel (1952); of fixed effects Abowd, Creecy and Kramarz (2002). Where levels have no diagonal the solution is zero.

    Parameters
    ----------
    times : function
        The system times columns (L, k).
    right : array (L, k)
        What columns of rows sum to by level, net of what was eliminated before.
    diagonal : array (L,)
    squares : array (k,), optional
        Sums of squares of these columns before: of a column that was eliminated whole only rounding is left on the right.

    Raises
    ------
    NotIdentified
        If the levels hang together by so few rows that it does not come to rest.

    Examples
    --------
    >>> matrix = np.array([[2.0, -1.0], [-1.0, 2.0]])
    >>> conjugate(lambda columns: matrix @ columns, np.array([[1.0], [1.0]]), np.array([2.0, 2.0])).ravel().tolist()
    [1.0, 1.0]
    """
    scale = np.divide(1.0, diagonal, out=np.zeros(len(diagonal)), where=diagonal > 0)[:, None]
    out, left = np.zeros_like(right), right.copy()
    near = scale * left
    way, length = near.copy(), (left * near).sum(axis=0)
    goal = np.maximum(SETTLED**2 * length, ROUNDING**2 * np.asarray(squares))
    for _ in range(MOST_STEPS):
        going = length > goal
        if not going.any():
            return out
        step = times(way)
        bend = (way * step).sum(axis=0)
        reach = np.where(going & (bend > 0), length / np.where(bend > 0, bend, 1.0), 0.0)
        out += reach * way
        left -= reach * step
        near = scale * left
        before, length = length, (left * near).sum(axis=0)
        way = near + np.where(before > 0, length / np.where(before > 0, before, 1.0), 0.0) * way
    raise NotIdentified(
        f"Fixed effects must hang together by enough rows to be swept out. After {MOST_STEPS:,} steps what is left still moves. Leave out an "
        "effect, or the levels that few rows tie to the others."
    )
