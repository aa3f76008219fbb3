"""Logistic regression with a ridge penalty, the penalty by leaving parts out: the whole path for a few Newton steps each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from hte_bridge.arrays import Array, Codes


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
    # left out in turn
    parts: int = 5
    # of the smaller kind of outcome: with fewer the penalty is not sought
    fewest: int = 10
    # the inverse penalty then
    with_few: float = 0.1
    # rows from which one penalty is used instead of a search
    one_penalty_rows: int = 20_000
    # the inverse penalty then
    with_many: float = 1.0
    # Newton steps at most
    most_steps: int = 50
    # largest change of a coefficient at which they end
    close: float = 1e-7


LOGISTIC = LogisticRule()


def logistic_ridge(x: Array, y: Array, weight: Array) -> tuple[Array, float]:
    """Slopes (p,) and intercept of a logistic regression of events y (n,) on standardised x (n, p).

    The penalty is the one with the least squared error of probabilities on parts left out in turn (Brier, 1950, Monthly Weather Review 78).

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
        found = newton(columns, y, weight, best_penalty(columns, y, weight))
    return found[1:], float(found[0])


def best_penalty(columns: Array, y: Array, weight: Array) -> float:
    """Inverse penalty that predicts parts that were left out best."""
    part = parts_of_events(y)
    loss = np.zeros(len(LOGISTIC.inverse_penalties))
    for each in range(LOGISTIC.parts):
        rest, own = part != each, part == each
        at = np.zeros(columns.shape[1])
        for k, inverse in enumerate(LOGISTIC.inverse_penalties):
            at = newton(columns[rest], y[rest], weight[rest], inverse, at)
            loss[k] += float(weight[own] @ (y[own] - special.expit(columns[own] @ at)) ** 2)
    return LOGISTIC.inverse_penalties[int(np.argmin(loss))]


def parts_of_events(y: Array) -> Codes:
    """Part (n,) of each unit, events dealt evenly.

    Examples
    --------
    >>> parts_of_events(np.array([0.0, 0.0, 1.0, 0.0, 1.0])).tolist()
    [0, 1, 0, 2, 1]
    """
    part = np.empty(len(y), dtype=np.int64)
    for kind in (False, True):
        own = np.flatnonzero((y > 0) == kind)
        part[own] = np.arange(len(own)) % LOGISTIC.parts
    return part


def newton(columns: Array, y: Array, weight: Array, inverse: float, start: Array | None = None) -> Array:
    """Coefficients (1 + p,) by Newton's method; the first, a constant's, has no penalty.

    Where a step overshoots it is halved: the penalised likelihood is concave, so that some share of each step climbs.
    """
    penalty = np.full(columns.shape[1], 1.0 / inverse)
    penalty[0] = 0.0
    at = np.zeros(columns.shape[1]) if start is None else start
    value = objective(columns, y, weight, penalty, at)
    for _ in range(LOGISTIC.most_steps):
        mean = special.expit(columns @ at)
        gradient = columns.T @ (weight * (y - mean)) - penalty * at
        curved = columns.T @ ((weight * mean * (1.0 - mean))[:, None] * columns)
        curved[np.diag_indices_from(curved)] += penalty + 1e-10 * weight.sum()
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
