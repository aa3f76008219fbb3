"""Logistic regression with a ridge penalty, the penalty by leaving units out: the whole path for a few Newton steps each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from hte_bridge.arrays import Array


@dataclass(frozen=True)
class LogisticRule:
    """Penalties tried, how they are told apart, and where Newton's method ends."""

    # inverse penalties, from the strongest: each fit begins at the one before
    inverse_penalties: tuple[float, ...] = (
        1e-3,
        10 ** (-7 / 3),
        10 ** (-5 / 3),
        0.1,
        10 ** (-1 / 3),
        10 ** (1 / 3),
        10.0,
    )
    # of the smaller kind of outcome: with fewer the penalty is not sought
    fewest: int = 10
    # the inverse penalty then
    with_few: float = 0.1
    # rows from which one penalty is used instead of a search
    one_penalty_rows: int = 20_000
    # the inverse penalty then
    with_many: float = 1.0
    # largest change of a coefficient at which they end
    close: float = 1e-7


LOGISTIC = LogisticRule()

NEWTON_STEPS = 50  # at most: the penalised likelihood is concave, and a dozen are enough


def logistic_ridge(x: Array, y: Array, weight: Array) -> tuple[Array, float]:
    """Slopes (p,) and intercept of a logistic regression of events y (n,) on standardised x (n, p).

    The penalty is the one with the least squared error of the probabilities of units left out (Brier, 1950, Monthly Weather Review 78).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> x = rng.normal(size=(4_000, 1))
    >>> slopes, intercept = logistic_ridge(x, 1.0 * (rng.logistic(size=4_000) < 1.0 + 2.0 * x[:, 0]), np.ones(4_000))
    >>> bool(abs(slopes[0] - 2.0) < 0.2), bool(abs(intercept - 1.0) < 0.2)
    (True, True)
    """
    columns = np.column_stack([np.ones(len(x)), x])
    if len(y) > LOGISTIC.one_penalty_rows:
        found = newton(columns, y, weight, LOGISTIC.with_many)
    elif min(y.sum(), len(y) - y.sum()) < LOGISTIC.fewest:
        found = newton(columns, y, weight, LOGISTIC.with_few)
    else:
        found = best_of_path(columns, y, weight)[1]
    return found[1:], float(found[0])


def best_of_path(columns: Array, y: Array, weight: Array) -> tuple[float, Array]:
    """Inverse penalty that predicts units best that were left out, and the coefficients (1 + p,) with it."""
    found, at = [], np.zeros(columns.shape[1])
    for inverse in LOGISTIC.inverse_penalties:
        at = newton(columns, y, weight, inverse, at)
        off = y - special.expit(by_the_others(columns, y, weight, inverse, at))
        found.append((float(weight @ off**2), inverse, at))
    _, best, slopes = min(found, key=lambda each: each[0])  # the first of equals
    return best, slopes


def by_the_others(columns: Array, y: Array, weight: Array, inverse: float, at: Array) -> Array:
    """Index (n,) of each unit by the others, by one Newton step without it from the fit of all.

    Approximate leave-one-out: Rad and Maleki (2020), JRSS-B 82(4).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> columns = np.column_stack([np.ones(40), rng.normal(size=40)])
    >>> y, weight = 1.0 * (columns[:, 1] + rng.logistic(size=40) > 0), np.ones(40)
    >>> found = by_the_others(columns, y, weight, 1.0, newton(columns, y, weight, 1.0))[0]
    >>> bool(abs(found - columns[0] @ newton(columns[1:], y[1:], weight[1:], 1.0)) < 0.01)
    True
    """
    index = columns @ at
    mean = special.expit(index)
    curved, variance = curvature(columns, weight, penalties(columns, inverse), mean)
    lever = (columns * np.linalg.solve(curved, columns.T).T).sum(1)
    return np.asarray(index - lever * weight * (y - mean) / (1.0 - variance * lever))


def penalties(columns: Array, inverse: float) -> Array:
    """Penalty (1 + p,) of each coefficient; a constant has none."""
    found = np.full(columns.shape[1], 1.0 / inverse)
    found[0] = 0.0
    return found


def curvature(columns: Array, weight: Array, penalty: Array, mean: Array) -> tuple[Array, Array]:
    """Minus the Hessian (1 + p, 1 + p) of the penalised log likelihood, and each unit's weight (n,) in it."""
    variance = weight * mean * (1.0 - mean)
    found = columns.T @ (variance[:, None] * columns)
    found[np.diag_indices_from(found)] += penalty + 1e-10 * weight.sum()
    return found, variance


def newton(columns: Array, y: Array, weight: Array, inverse: float, start: Array | None = None) -> Array:
    """Coefficients (1 + p,) by Newton's method; the first, a constant's, has no penalty.

    Where a step overshoots it is halved: the penalised likelihood is concave, so that some share of each step climbs.
    """
    penalty = penalties(columns, inverse)
    at = np.zeros(columns.shape[1]) if start is None else start
    value = objective(columns, y, weight, penalty, at)
    for _ in range(NEWTON_STEPS):
        mean = special.expit(columns @ at)
        gradient = columns.T @ (weight * (y - mean)) - penalty * at
        curved, _ = curvature(columns, weight, penalty, mean)
        step, share = np.linalg.solve(curved, gradient), 1.0
        while (new := objective(columns, y, weight, penalty, at + share * step)) < value and share > 1e-6:
            share /= 2.0
        at, value = at + share * step, new
        if np.abs(step).max() < LOGISTIC.close:
            break
    return at


def objective(columns: Array, y: Array, weight: Array, penalty: Array, at: Array) -> float:
    """Penalised log likelihood."""
    index = columns @ at
    likelihood = weight @ (y * index - np.logaddexp(0.0, index))
    return float(likelihood) - 0.5 * float(penalty @ at**2)
