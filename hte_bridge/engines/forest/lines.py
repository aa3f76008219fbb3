"""Lines in columns within effects, each row's fitted without its fold, and how much of a prediction other folds confirm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.scaling import White, power
from hte_bridge.study import Folds

DOUBT = 1.96  # errors of a slope within which it says nothing
SINGULAR = 1e-9  # of a direction's weight that the other folds hold: below it they tell no slope


@dataclass(frozen=True, eq=False)
class HeldOutLines:
    """Columns (n, r) turned so that what effects leave of them is uncorrelated, and the slopes of each fold from the others.

    Parameters
    ----------
    columns, left : array (n, r)
        Functions of the covariates, and what the effects leave of them.
    weight : array (n,)
    folds : Folds
        Of whole blocks.
    """

    columns: Array
    left: Array
    weight: Array
    folds: Folds

    @classmethod
    def of(cls, columns: Array, left: Array, weight: Array, folds: Folds) -> HeldOutLines:
        """From columns (n, k) and what effects leave of them; what is determined, and what repeats others, is left out."""
        moves = left.any(axis=0)
        white = White.of(left[:, moves], weight)
        return cls(white(columns[:, moves]), white(left[:, moves]), weight, folds)

    @cached_property
    def _inverse(self) -> list[Array]:
        """Of each fold: the inverse (r, r) of the others' moments."""
        every = (self.left * self.weight[:, None]).T @ self.left
        found = []
        for _, test in self.folds:
            own = self.left[test]
            rest = every - (own * self.weight[test, None]).T @ own
            found.append(np.asarray(np.linalg.pinv(rest, rcond=SINGULAR, hermitian=True), dtype=np.float64))
        return found

    def fitted(self, target: Array) -> Array:
        """The line (n,) of a target (n,), itself less its effects, fitted to all rows, less its effects."""
        return np.asarray(self.left @ (self.left.T @ (self.weight * target) / self.weight.sum()))

    def predict(self, target: Array) -> Array:
        """Value (n,) at each row of the line of a target (n,), itself less its effects, in the other folds."""
        weighted = self.weight * target
        total, line = self.left.T @ weighted, np.zeros(len(target))
        for inverse, (_, test) in zip(self._inverse, self.folds, strict=True):
            line[test] = self.columns[test] @ (inverse @ (total - self.left[test].T @ weighted[test]))
        return line

    def beside(self, columns: Array, left: Array) -> tuple[Array, Array]:
        """Further columns (n, k), and what effects leave of them, less their own lines in these; zero where these determine them."""
        slope = np.linalg.pinv(
            (self.left * self.weight[:, None]).T @ self.left, rcond=SINGULAR, hermitian=True
        ) @ (self.left.T @ (self.weight[:, None] * left))
        rest = left - self.left @ slope
        rest[:, np.linalg.norm(rest, axis=0) <= 1e-7 * np.linalg.norm(left, axis=0)] = 0.0
        return columns - self.columns @ slope, rest


def confirmed(columns: Array, outcome: Array, weight: Array, block: Codes, doubt: float = DOUBT) -> float:
    """Slope of the outcome (n,) on the second of two columns (n, 2), less what ``doubt`` errors of it by blocks allow; never negative.

    The nonnegative garrote: Breiman (1995), Technometrics 37(4).

    Examples
    --------
    >>> x = np.array([[1.0, 1.0], [1.0, -1.0], [1.0, 1.0], [1.0, -1.0]])
    >>> confirmed(x, np.array([3.0, 1.0, 3.0, 1.0]), np.ones(4), np.arange(4)), confirmed(x, np.array([1.0, 3.0, 1.0, 3.0]), np.ones(4), np.arange(4))
    (1.0, 0.0)
    """
    unit = power(np.abs(columns).max(axis=0, initial=0.0))
    columns = columns / unit
    inverse = np.linalg.pinv(columns.T @ (weight[:, None] * columns), hermitian=True)
    slope = inverse @ (columns.T @ (weight * outcome))
    if not slope[1] > 0:
        return 0.0
    influence = weight * (outcome - columns @ slope) * (columns @ inverse[1])
    variance = (np.bincount(block, weights=influence) ** 2).sum()
    return float(slope[1] / unit[1] * max(0.0, 1 - doubt**2 * variance / slope[1] ** 2))


def shares(
    columns: Array, outcome: Array, weight: Array, block: Codes, folds: Folds, doubt: float = DOUBT
) -> Array:
    """How much (n,) of the second of two columns (n, 2) the outcome confirms, at most all of it: each fold's found on the others."""
    share = np.ones(len(outcome))
    if folds.n_folds < 2:
        return share
    for train, test in folds:
        found = confirmed(columns[train], outcome[train], weight[train], block[train], doubt)
        share[test] = min(1.0, found)
    return share
