"""Influence values -> rows and joint tests: one variance formula for everything that is a mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from hte_bridge.arrays import Array
from hte_bridge.errors import TooFewClusters
from hte_bridge.estimands.large import LARGE
from hte_bridge.scaling import wald
from hte_bridge.scores import Scores
from hte_bridge.stream.store import release
from hte_bridge.table import Estimate

ROUNDING = 1e-12  # influence values of a difference below this share of its parts', or an error below this share of its estimate, are zero


def cluster_totals(values: Array, cluster: npt.NDArray[np.int64]) -> Array:
    """Sums by cluster: (n,) -> (G,), or (n, k) -> (G, k); codes are 0..G-1.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.moments import cluster_totals
    >>> cluster_totals(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 1]))
    array([1., 5.])
    """
    if values.ndim == 1:
        return np.bincount(cluster, weights=values).astype(np.float64)
    return np.column_stack([np.bincount(cluster, weights=column) for column in values.T])


def live_clusters(scores: Scores) -> int:
    """Number of clusters that carry weight.

    Raises
    ------
    TooFewClusters
        If fewer than two do.
    """
    count = int((np.bincount(scores.cluster, weights=scores.weight) > 0).sum())
    if count < 2:
        raise TooFewClusters(count)
    return count


def covariance(influence: Array, scores: Scores) -> Array:
    """Covariance (k, k) of estimates with influence values (n, k): G / (G - 1) times squared cluster totals.

    Liang and Zeger (1986), Biometrika 73(1); with fixed effects times ``scores.inflation`` squared, as HC1 counts them.
    """
    n_clusters = live_clusters(scores)
    totals = cluster_totals(influence, scores.cluster)
    return scores.inflation**2 * n_clusters / (n_clusters - 1) * (totals.T @ totals)


def joint_covariance(columns: Sequence[Array], scores: Scores) -> Array:
    """``covariance`` of estimates whose influence values (n,) are each an array of its own: of many rows two are in memory at once."""
    if scores.n * len(columns) <= LARGE:
        return covariance(np.column_stack(columns), scores)
    k, n_clusters = len(columns), live_clusters(scores)
    products = np.empty((k, k))
    for i, one in enumerate(columns):
        total = cluster_totals(one, scores.cluster)
        for j in range(i + 1):
            other = total if i == j else cluster_totals(columns[j], scores.cluster)
            products[i, j] = products[j, i] = total @ other
            release(columns[j])
    return scores.inflation**2 * n_clusters / (n_clusters - 1) * products


def row_from_influence(
    estimand: str,
    estimate: float,
    influence: Array,
    scores: Scores,
    *,
    level: float = 0.95,
    std_error: float | None = None,
    **values: Any,
) -> Estimate:
    """A row whose error is the cluster sum of its influence values, by Student's t with G - 1 df.

    Parameters
    ----------
    estimand : str
    estimate : float
    influence : array (n,)
        Estimate minus truth is about its sum.
    scores : Scores
        Clusters and weights.
    level : float, default 0.95
    std_error : float, optional
        Where another formula than the cluster sum is meant; with fixed effects it is multiplied by ``scores.inflation``, as the sum is.
    """
    n_clusters = live_clusters(scores)
    if std_error is None:
        std_error = float(covariance(influence[:, None], scores)[0, 0] ** 0.5)
    else:
        std_error *= scores.inflation
    if std_error <= ROUNDING * abs(estimate):  # values that are one number leave the rounding of their mean
        std_error = 0.0
    named = {"df": n_clusters - 1, "vcov": scores.vcov, "n_obs": scores.n, "n_clusters": n_clusters}
    return Estimate(
        estimand, float(estimate), std_error, level=level, influence=influence, **{**named, **values}
    )


def mean_of(values: Array, share: Array) -> tuple[float, Array]:
    """Mean of values (n,) under weights (n,) that sum to one, and its influence values; these zero where all values are one number.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.moments import mean_of
    >>> mean_of(np.array([1.0, 3.0]), np.array([0.5, 0.5]))
    (2.0, array([-0.5,  0.5]))
    """
    mean = float(share @ values)
    influence = share * (values - mean)
    if np.abs(influence).max(initial=0.0) <= ROUNDING * np.abs(share * values).max(initial=0.0):
        return float(values[int(np.argmax(share))]) + 0.0, np.zeros(len(values))  # no minus zero
    return mean, influence


def settled(estimate: float, influence: Array, *parts: Array) -> tuple[float, Array]:
    """A difference and its influence values (n,); both exactly zero where these are rounding beside those of its parts (n,).

    Two rules that treat the same units have no difference, and so no error of 1e-17 with a p-value.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.moments import settled
    >>> settled(1e-17, np.array([1e-18, 0.0]), np.array([0.5, -0.5]))
    (0.0, array([0., 0.]))
    """
    size = max(float(np.abs(each).max(initial=0.0)) for each in parts)
    if np.abs(influence).max(initial=0.0) > ROUNDING * size:
        return estimate, influence
    return 0.0, np.zeros(len(influence))


def placed(row: Estimate, rows: npt.NDArray[Any]) -> Estimate:
    """A row made from some units with its influence values where those units stand among all; ``rows`` (n,) is a mask."""

    def put(values: Array | None) -> Array | None:
        if values is None:
            return None
        out = np.zeros(len(rows))
        out[rows] = values
        return out

    return row.with_(influence=put(row.influence), share=put(row.share))


def joint_test(estimates: Array, cov: Array, df: float) -> tuple[float, float]:
    """F statistic and p-value of the hypothesis that all ``estimates`` (k,) are zero.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.moments import joint_test
    >>> f, p = joint_test(np.array([2.0]), np.array([[1.0]]), df=10)
    >>> f, round(p, 4)
    (4.0, 0.0734)
    """
    statistic, rank = wald(estimates, cov)
    if rank == 0:
        return np.nan, np.nan
    return statistic / rank, float(stats.f.sf(statistic / rank, rank, df))
