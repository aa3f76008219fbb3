"""The system of the levels of several effects, with the widest of them, which is diagonal, eliminated first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import sparse

from hte_bridge.arrays import Array, Codes


def widest_first(sizes: Sequence[int]) -> tuple[Codes, int]:
    """Levels (L,) of all effects, those of the widest first, and how many it has.

    Examples
    --------
    >>> order, first = widest_first([2, 3])
    >>> order.tolist(), first
    ([2, 3, 4, 0, 1], 3)
    """
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    widest = int(np.argmax(sizes))
    front = np.arange(start[widest], start[widest + 1])
    return np.concatenate([front, np.setdiff1d(np.arange(start[-1]), front)]), len(front)


def eliminated(
    right: Array, inverse: Array, border: sparse.csr_array, complement: Callable[[Array], Array]
) -> Array:
    """Solution (L, k) of the whole system from that of its Schur complement.

    Parameters
    ----------
    right : array (L, k)
        Rows in the order of ``widest_first``.
    inverse : array (first,)
        One over the diagonal of the widest effect; zero where a level is empty.
    border : sparse array (first, L - first)
        What its levels share with the others.
    complement : function
        Solves for the other levels (L - first, k), given what elimination leaves of their right-hand sides.
    """
    top, bottom = right[: len(inverse)], right[len(inverse) :]
    scaled = inverse[:, None] * top
    others = complement(bottom - border.T @ scaled)
    return np.vstack([scaled - inverse[:, None] * (border @ others), others])
