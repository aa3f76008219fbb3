"""What fitting takes from the residuals of a cell, given back: residuals over the root of one less their leverage, by cluster (CR2).

Influence values are made of fitted residuals, which are too small: by a tenth in a cell with a dozen adopters and two covariates. R's did
leaves it at that, and our errors are did's. Their Student's t is not: its degrees of freedom are lowered until an interval is as long as it
would be with these residuals (``reach``).

Bell and McCaffrey (2002), Survey Methodology 28(2); Pustejovsky and Tipton (2018), Journal of Business and Economic Statistics 36(4).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import optimize, stats

from hte_bridge.arrays import Array, Codes
from hte_bridge.estimate import Estimate
from hte_bridge.staggered.nuisance import Learned, Nuisance

MOST = 0.99  # leverage that is given back: beyond it a residual is nothing but rounding
FEWEST = 0.5  # degrees of freedom that are told


@dataclass(frozen=True)
class CellRow(Estimate):
    """A row of an adoption: also its influence values (n,) of residuals that fitting took nothing from, and the degrees of freedom before."""

    wide: Array | None = field(default=None, repr=False, compare=False)
    free: float = field(default=np.inf, repr=False, compare=False)


def wide_of(row: Estimate) -> Array | None:
    """Influence values (n,) for tests: with leverage given back, where they are known."""
    wide = getattr(row, "wide", None)
    return row.influence if wide is None else wide


def free_of(row: Estimate) -> float:
    """Degrees of freedom (float) before leverage is given back."""
    return float(row.free) if isinstance(row, CellRow) else row.df


def reach(free: float, ratio: float, level: float) -> float:
    """Degrees of freedom at which t times an error reaches as far as t with ``free`` of them times ``ratio`` errors.

    Examples
    --------
    >>> round(reach(30.0, 1.05, 0.95), 1), reach(30.0, 0.9, 0.95)
    (14.0, 30.0)
    """
    if not ratio > 1 or not free > FEWEST:
        return free
    wanted = float(stats.t.ppf((1 + level) / 2, free)) * ratio
    off = lambda df: float(stats.t.ppf((1 + level) / 2, df)) - wanted
    if off(FEWEST) <= 0:
        return FEWEST
    return float(optimize.brentq(off, FEWEST, min(free, 1e9)))


def given_back(nuisance: Nuisance, cluster: Codes) -> Nuisance:
    """The nuisances of a cell's units with residuals that fitting took nothing from; ``cluster`` (m,) are their codes.

    Adopters lose their mean. Comparison units lose a regression on the covariates, or under held-out predictions their weighted mean.
    """
    own = nuisance.treated
    residual = nuisance.residual.copy()
    mean = residual[own].mean()
    residual[own] = mean + (residual[own] - mean) * _by_share(np.ones(int(own.sum())), cluster[own])
    if nuisance.outcome is None:
        weight = nuisance.odds[~own]
        if weight.any():
            centre = float(weight @ residual[~own] / weight.sum())
            residual[~own] = centre + (residual[~own] - centre) * _by_share(weight, cluster[~own])
        return replace(nuisance, residual=residual)
    x = nuisance.outcome.columns
    inverse: Array = np.asarray(np.linalg.inv(x[~own].T @ x[~own]), dtype=np.float64)
    residual[~own] = by_regression(residual[~own], x[~own], inverse, cluster[~own])
    left = np.where(own, 0.0, residual)
    return replace(nuisance, residual=residual, outcome=Learned(left[:, None] * x @ inverse, x))


def _by_share(weight: Array, cluster: Codes) -> Array:
    """One over the root of one less the share (m,) that a unit's cluster has in a weighted mean."""
    codes = np.unique(cluster, return_inverse=True)[1]
    share = np.bincount(codes, weights=weight)[codes] / weight.sum()
    return np.asarray(1 / np.sqrt(1 - np.minimum(share, MOST)))


def by_regression(residual: Array, x: Array, inverse: Array, cluster: Codes) -> Array:
    """Residuals (m,) of least squares on ``x`` (m, p) times the inverse root of I - H, cluster by cluster."""
    values, vectors = np.linalg.eigh(inverse)
    basis = x @ (vectors * np.sqrt(np.maximum(values, 0.0)))  # H = basis basis'
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
    if len(starts) == len(cluster):  # each unit its own
        return np.asarray(residual / np.sqrt(1 - np.minimum((basis**2).sum(axis=1), MOST)))
    out = residual.copy()
    for rows in np.split(order, starts[1:]):
        d, turn = np.linalg.eigh(basis[rows].T @ basis[rows])
        d = np.clip(d, 0.0, MOST)
        some = d > 1e-12
        more = np.where(some, (1 / np.sqrt(1 - d) - 1) / np.where(some, d, 1.0), 0.5)
        along = basis[rows] @ turn
        out[rows] += along @ (more * (along.T @ residual[rows]))
    return out
