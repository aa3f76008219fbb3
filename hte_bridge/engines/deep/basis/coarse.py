"""A smaller problem with nearly the same functions, on which variances are sought first: a step costs the cube of the columns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.basis.problem import Problem
from hte_bridge.engines.deep.store.linear_algebra import leading, product


@dataclass(frozen=True)
class CoarseRule:
    """When a problem is made smaller, and by how much."""

    # columns from which on it pays
    columns: int = 600
    # of a block, below which it stays as it is
    block: int = 8
    # rows from which on the rest of smaller blocks is told too, knots around a jump among them
    rows: int = 50_000
    # of a block of so many rows, below which it stays as it is
    block_of_many: int = 64
    # of the columns, at most, that are left
    share: float = 0.8
    # of a block's variance that the directions kept hold
    mass: float = 0.98


COARSE = CoarseRule()


def coarse(problem: Problem, device: str = "cpu") -> Problem | None:
    """The problem in the directions of each block that hold nearly all of its variance; ``None`` where that would not be much smaller.

    The prior of a block's coefficients is the same in all directions, so that the model is the same but for those left out.

    Parameters
    ----------
    problem : Problem
    device : str
        Of the products.
    """
    if len(problem.owner) < COARSE.columns:
        return None
    parts = [
        directions(problem, np.flatnonzero(problem.owner == block)) for block in np.unique(problem.owner)
    ]
    owner = np.concatenate([np.full(turn.shape[1], block) for block, (_, turn) in enumerate(parts)])
    if len(owner) > COARSE.share * len(problem.owner):
        return None
    half = np.hstack([product(problem.gram[:, own], turn, device) for own, turn in parts])
    gram = np.vstack([product(turn.T, half[own], device) for own, turn in parts])
    target = np.concatenate([turn.T @ problem.target[own] for own, turn in parts])
    return replace(problem, gram=(gram + gram.T) / 2, target=target, owner=owner)


def directions(problem: Problem, own: Codes) -> tuple[Codes, Array]:
    """Columns of a block, and orthonormal directions (K, r) of theirs that hold ``COARSE.mass`` of their sum of squares."""
    if len(own) < (COARSE.block if problem.freedom < COARSE.rows else COARSE.block_of_many):
        return own, np.eye(len(own))
    return own, leading(problem.gram[np.ix_(own, own)], COARSE.mass)
