"""What a last layer is fitted to: normal equations net of the effects."""

from __future__ import annotations

from dataclasses import dataclass

from hte_bridge.arrays import Array, Codes


@dataclass(frozen=True, eq=False)
class Problem:
    """Normal equations net of the effects, and whose coefficients they hold.

    Parameters
    ----------
    gram, target : array (P, P), (P,)
    second : float
        Sum of squares of the outcome.
    freedom : int
        Rows minus the rank of the effects.
    owner : array (P,)
        Block of each column; blocks are numbered without gaps.
    free : tuple of int
        Blocks without a prior.
    """

    gram: Array
    target: Array
    second: float
    freedom: int
    owner: Codes
    free: tuple[int, ...] = ()
