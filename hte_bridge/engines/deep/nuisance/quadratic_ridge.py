"""Squares and products of all covariates, as candidates for the outcome's mean that the networks' pairs cannot stand in for.

With many covariates every pair may matter a little and none enough to be found. One ridge regression over all of them then predicts
what no selection can.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from hte_bridge.arrays import Array, Codes, slices


@dataclass(frozen=True)
class RidgeRule:
    """Penalties of the regression on squares and products, and when it is left out."""

    # variance of the error over that of all products together: the candidates
    noise_to_signal: tuple[float, ...] = (0.1, 0.4, 1.6)
    # penalty of a covariate itself, in rows
    linear_penalty: float = 1.0
    # steps of arithmetic above which they are left out: two minutes on one core, a gigabyte for each fold at a time
    most_work: float = 1e12


RIDGE = RidgeRule()

CHUNK = 1_000  # rows whose terms are in memory at once


def work(n: int, q: int) -> float:
    """Steps of arithmetic: sums over n rows, and the factors of five folds."""
    return (n + 5.0 * terms(q)) * terms(q) ** 2


def terms(q: int) -> int:
    """Number of covariates, squares and products.

    Examples
    --------
    >>> terms(2)
    5
    """
    return q + q * (q + 1) // 2


@dataclass(frozen=True, eq=False)
class QuadraticRidge:
    """Ridge regressions on a constant, the covariates, and their squares and products, with the cross products of all rows.

    Parameters
    ----------
    z : array (n, q)
        Standardised covariates.
    weight : array (n,)
    gram : array (1 + terms, 1 + terms)
        Weighted cross products over all rows; the constant is first.
    """

    z: Array
    weight: Array
    gram: Array

    @classmethod
    def of(cls, x: Array, weight: Array) -> QuadraticRidge | None:
        """From covariates (n, q); ``None`` where there are too many rows and terms for the time it takes."""
        n, q = x.shape
        if work(n, q) > RIDGE.most_work:
            return None
        spread = x.std(axis=0)
        z = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        return cls(z, weight, cross_products(z, weight, np.arange(n)))

    def predict(self, test: Codes, target: Array) -> Array:
        """Predictions (m, 3) of ``target`` (n,) at the rows ``test`` by regressions on the others, one for each penalty."""
        return np.asarray(self.several(test, target[:, None])[0])

    def several(self, test: Codes, targets: Array) -> Array:
        """The same (c, m, 3) for several targets (n, c)."""
        train = np.setdiff1d(np.arange(len(self.z)), test)
        gram = self.gram - cross_products(self.z, self.weight, test)
        moment = np.zeros((len(gram), targets.shape[1]))
        for rows, f in chunks(self.z, train):
            moment += f.T @ (self.weight[rows, None] * targets[rows])
        q, number = self.z.shape[1], len(gram)
        size = np.diagonal(gram) / gram[0, 0]  # penalties in units of each term's mean square
        found = np.empty((targets.shape[1], len(test), len(RIDGE.noise_to_signal)))
        coefficients = np.empty((len(RIDGE.noise_to_signal), number, targets.shape[1]))
        for k, ratio in enumerate(RIDGE.noise_to_signal):
            penalty = np.full(number, ratio * (number - 1 - q))
            penalty[: 1 + q] = RIDGE.linear_penalty
            penalty[0] = 0.0
            penalised = gram.copy()
            penalised[np.diag_indices(number)] += penalty * np.maximum(size, 1e-12)
            factor = linalg.cho_factor(penalised, lower=True, overwrite_a=True, check_finite=False)
            coefficients[k] = linalg.cho_solve(factor, moment, check_finite=False)
        done = 0
        for rows, f in chunks(self.z, test):
            found[:, done : done + len(rows)] = (f @ coefficients).transpose(2, 1, 0)
            done += len(rows)
        return found


def chunks(z: Array, rows: Codes) -> Iterator[tuple[Codes, Array]]:
    """Some rows at a time, with their constant, covariates, squares and products (m, 1 + terms)."""
    left, right = np.triu_indices(z.shape[1])
    for some in slices(len(rows), CHUNK):
        own = z[rows[some]]
        yield rows[some], np.hstack([np.ones((len(own), 1)), own, own[:, left] * own[:, right]])


def cross_products(z: Array, weight: Array, rows: Codes) -> Array:
    """Weighted cross products (1 + terms, 1 + terms) over some rows.

    Examples
    --------
    >>> cross_products(np.array([[2.0]]), np.ones(1), np.array([0])).tolist()
    [[1.0, 2.0, 4.0], [2.0, 4.0, 8.0], [4.0, 8.0, 16.0]]
    """
    total = np.zeros((1 + terms(z.shape[1]),) * 2)
    for here, f in chunks(z, rows):
        root = f * np.sqrt(weight[here])[:, None]
        total += root.T @ root
    return total
