"""Bands and p-values that hold for a family of rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from hte_bridge.arrays import Array
from hte_bridge.table import Ends, Estimate

DRAWS = 40_000  # Monte-Carlo error of a 95 % critical value: below half a percent of it
SEED = 20_101  # the band of a row does not depend on what was drawn before


def sup_t(cov: Array, df: Array, level: float, seed: int = SEED) -> tuple[float, Array]:
    """Pointwise coverage at which all intervals hold together with ``level``, and the draws behind it.

    The estimates are jointly normal with covariance ``cov``, each error with ``df`` degrees of freedom of its own: a
    Gaussian copula with Student's t margins. Montiel Olea and Plagborg-Moller (2019), Journal of Applied
    Econometrics 34(1).

    Parameters
    ----------
    cov : array (k, k)
    df : array (k,)
        Used by whoever turns the coverage into a critical value; more clusters, nearer the normal.
    level : float
    seed : int

    Returns
    -------
    coverage : float
        Between ``level`` and ``1 - (1 - level) / k``.
    largest : array (DRAWS,)
        Largest pointwise coverage reached in each draw; its tail gives adjusted p-values.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.bands import sup_t
    >>> one, _ = sup_t(np.eye(1), np.array([np.inf]), 0.95)
    >>> many, _ = sup_t(np.eye(10), np.full(10, np.inf), 0.95)
    >>> round(one, 2), round(many, 3)
    (0.95, 0.995)
    """
    if len(df) == 1:
        return level, np.linspace(0, 1, DRAWS)
    scale = np.sqrt(np.diag(cov))
    values, vectors = np.linalg.eigh(cov / np.outer(scale, scale))
    # the symmetric root moves little where the matrix does; eigenvectors of like eigenvalues turn with the last digit
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    draws = np.random.default_rng(seed).normal(size=(DRAWS, len(scale)))
    largest = 2 * stats.norm.cdf(np.abs(draws @ root.T).max(axis=1)) - 1
    return float(np.quantile(largest, level)), largest


@dataclass(frozen=True, eq=False)
class Band:
    """A row's part of a band at any level: its own t quantile at the pointwise coverage that the family needs."""

    estimate: float
    std_error: float
    df: float
    largest: Array

    def __call__(self, level: float) -> tuple[float, float]:
        """Ends at a joint level."""
        coverage = float(np.quantile(self.largest, level))
        margin = float(stats.t.ppf((1 + coverage) / 2, self.df)) * self.std_error
        return self.estimate - margin, self.estimate + margin


def with_joint_band(rows: Sequence[Estimate], cov: Array, seed: int = SEED) -> list[Estimate]:
    """The same rows with intervals that hold together, and p-values adjusted by the same law (single-step max-t).

    Parameters
    ----------
    rows : sequence of Estimate
        With positive errors, one level.
    cov : array (k, k)
        Covariance of their estimates.
    """
    df = np.array([row.df for row in rows], dtype=np.float64)
    _, largest = sup_t(cov, df, rows[0].level, seed)
    return banded(rows, largest)


def banded(rows: Sequence[Estimate], largest: Array) -> list[Estimate]:
    """The same rows with the band and adjusted p-values that draws (any,) of the largest pointwise coverage give."""
    out = []
    for row in rows:
        band = Band(row.estimate, row.std_error, row.df, largest)
        reached = 2 * float(stats.t.cdf(abs(row.statistic), row.df)) - 1
        p = float(np.mean(largest >= reached)) if len(rows) > 1 else row.p_value
        p = min(max(p, row.p_value), len(rows) * row.p_value, 1.0)  # between none and Bonferroni
        out.append(
            replace(
                row,
                interval=Ends(band, row.level) if len(rows) > 1 else None,
                test=(row.statistic, p),
                vcov=f"{row.vcov}, joint over {len(rows)}",
            )
        )
    return out
