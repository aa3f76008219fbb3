"""Means of scores in disjoint groups, with a covariance that allows for clusters in several groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from hte_bridge.errors import TooFewClusters
from hte_bridge.estimands.moments import cluster_totals
from hte_bridge.scaling import wald
from hte_bridge.scores import Scores

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class GroupMeans:
    """Weighted means (k,), influence (n, k), covariance (k, k), df (k,) and units (k,) of groups."""

    mean: Array
    influence: Array
    covariance: Array
    df: Array
    size: Codes
    n_clusters: Codes
    n_live: int

    def contrast(self, weights: Array) -> tuple[float, float, Array]:
        """Estimate, error and influence (n,) of ``weights @ mean``."""
        variance = float(weights @ self.covariance @ weights)
        return float(weights @ self.mean), max(variance, 0.0) ** 0.5, self.influence @ weights

    def equality(self) -> tuple[float, float]:
        """F statistic and p-value of the hypothesis that all means are equal, errors and their df estimated by group.

        Where no cluster lies in two groups, Welch (1951), Biometrika 38(3-4); else Hotelling's law of the Wald
        statistic: with few clusters an F of G - 1 df rejects too often.
        """
        k, differences = len(self.mean), np.eye(len(self.mean))[1:] - np.eye(len(self.mean))[0]
        moved, cov = differences @ self.mean, differences @ self.covariance @ differences.T
        raw, rank = wald(moved, cov)
        if self.n_live == self.n_clusters.sum():
            share = 1 / np.diag(self.covariance)
            share /= share.sum()
            unsure = float(((1 - share) ** 2 / self.df).sum()) / (k**2 - 1)
            statistic = raw / (k - 1) / (1 + 2 * (k - 2) * unsure)
            return statistic, float(stats.f.sf(statistic, k - 1, 1 / (3 * unsure)))
        df = self.n_live - rank
        if df < 1 or rank == 0:
            return np.nan, np.nan
        statistic = raw / rank * df / (self.n_live - 1)
        return statistic, float(stats.f.sf(statistic, rank, df))


def group_means(values: Array, code: Codes, scores: Scores) -> GroupMeans:
    """Means of ``values`` by group; the error of each counts the clusters of that group alone.

    Variance of group g: G_g / (G_g - 1) times squared cluster totals, as in ``ate`` on the group. Covariances from
    clusters that lie in several groups, scaled alike.

    Parameters
    ----------
    values : array (n,)
    code : array (n,)
        0..k-1, or -1 for units of no group.
    scores : Scores
        Weights and clusters.

    Raises
    ------
    TooFewClusters
        If a group has fewer than two clusters with weight.

    Examples
    --------
    >>> means = group_means(np.array([1.0, 3.0, 5.0, 9.0]), np.array([0, 0, 1, 1]), Scores(np.zeros(4)))
    >>> means.mean, means.covariance.diagonal()
    (array([2., 7.]), array([1., 4.]))
    """
    k = int(code.max()) + 1
    member = code[:, None] == np.arange(k)
    weight = np.where(member, scores.weight[:, None], 0.0)
    weight /= weight.sum(axis=0)
    mean = values @ weight
    influence = weight * (values[:, None] - mean)
    live = (scores.weight > 0) & (code >= 0)
    pairs = np.unique(scores.cluster[live] * k + code[live])
    n_clusters = np.bincount(pairs % k, minlength=k)
    if (n_clusters < 2).any():
        raise TooFewClusters(int(n_clusters.min()))
    totals = cluster_totals(influence, scores.cluster)
    factor = np.sqrt(n_clusters / (n_clusters - 1.0))
    covariance = scores.inflation**2 * (totals.T @ totals) * np.outer(factor, factor)
    n_live = len(np.unique(pairs // k))
    return GroupMeans(
        mean,
        influence,
        covariance,
        (n_clusters - 1).astype(np.float64),
        member.sum(axis=0),
        n_clusters,
        n_live,
    )
