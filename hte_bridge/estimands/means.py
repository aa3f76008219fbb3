"""Means of scores in groups, with a covariance that allows for units and clusters in several groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import TooFewClusters
from hte_bridge.estimands.large import LARGE, on_disk_by_column
from hte_bridge.estimands.moments import ROUNDING, cluster_totals
from hte_bridge.scaling import wald
from hte_bridge.scores import Scores
from hte_bridge.stream import parts_of

APART = 0.1  # groups whose weights by cluster have a smaller cosine are taken as independent: their means are, but for a few border units
SAME = 1e-9  # a contrast whose error is below this share of its parts' is rounding: the groups are the same


@dataclass(frozen=True, eq=False)
class GroupMeans:
    """Weighted means (k,), influence (n, k), covariance (k, k), df (k,) and units (k,) of groups.

    ``overlap``: largest cosine of two groups' weights by cluster; 0 where no cluster has units in two groups.
    """

    mean: Array
    influence: Array
    covariance: Array
    df: Array
    size: Codes
    overlap: float
    n_live: int

    def contrast(self, weights: Array) -> tuple[float, float, Array]:
        """Estimate, error and influence (n,) of ``weights @ mean``; exactly zero, all three, where the groups are the same."""
        variance = float(weights @ self.covariance @ weights)
        parts = np.abs(weights) * np.sqrt(np.diag(self.covariance))
        if np.count_nonzero(weights) > 1 and not variance > (SAME * float(parts.max())) ** 2:
            return 0.0, 0.0, np.zeros(len(self.influence))
        return float(weights @ self.mean), max(variance, 0.0) ** 0.5, self.influence @ weights

    def equality(self) -> tuple[float, float]:
        """F statistic and p-value of the hypothesis that all means are equal, errors and their df estimated by group.

        Where next to no cluster lies in two groups, Welch (1951), Biometrika 38(3-4); else Hotelling's law of the Wald
        statistic: with few clusters an F of G - 1 df rejects too often.
        """
        k, differences = len(self.mean), np.eye(len(self.mean))[1:] - np.eye(len(self.mean))[0]
        raw, rank = wald(differences @ self.mean, differences @ self.covariance @ differences.T)
        if self.overlap < APART and rank == k - 1:
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


def members(code: Codes, groups: int) -> Array:
    """Shares (n, groups) of units in disjoint groups: one in their own, zero elsewhere; code -1 is in none.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.means import members
    >>> members(np.array([1, -1, 0]), 2).tolist()
    [[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]
    """
    return np.asarray(code[:, None] == np.arange(groups), dtype=np.float64)


def group_means(values: Array, member: Array, scores: Scores) -> GroupMeans:
    """Means of ``values`` by group; the error of each counts the clusters of that group alone.

    Variance of group g: G_g / (G_g - 1) times squared cluster totals, as in ``ate`` on the group. Covariances from
    units and clusters that lie in several groups, scaled alike.

    Parameters
    ----------
    values : array (n,)
    member : array (n, k)
        Share of each unit in each group, 0 to 1.
    scores : Scores
        Weights and clusters.

    Raises
    ------
    TooFewClusters
        If a group has fewer than two clusters with weight.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.means import group_means, members
    >>> from hte_bridge.scores import Scores
    >>> means = group_means(np.array([1.0, 3.0, 5.0, 9.0]), members(np.array([0, 0, 1, 1]), 2), Scores(np.zeros(4)))
    >>> means.mean, means.covariance.diagonal()
    (array([2., 7.]), array([1., 4.]))
    """
    if member.size > LARGE:
        return _one_by_one(values, member, scores)
    weight = member * scores.weight[:, None]
    mass = cluster_totals(weight, scores.cluster)
    n_clusters = (mass > 0).sum(axis=0)
    if (n_clusters < 2).any():
        raise TooFewClusters(int(n_clusters.min()))
    weight /= weight.sum(axis=0)
    mean = values @ weight
    influence = weight * (values[:, None] - mean)
    size = np.abs(weight * values[:, None]).max(axis=0)
    influence[:, np.abs(influence).max(axis=0) <= ROUNDING * size] = (
        0.0  # all values of the group are one number
    )
    totals = cluster_totals(influence, scores.cluster)
    factor = np.sqrt(n_clusters / (n_clusters - 1.0))
    covariance = scores.inflation**2 * (totals.T @ totals) * np.outer(factor, factor)
    return GroupMeans(
        mean,
        influence,
        covariance,
        (n_clusters - 1).astype(np.float64),
        np.rint(member.sum(axis=0)).astype(np.int64),
        _largest_cosine(mass),
        int((mass > 0).any(axis=1).sum()),
    )


def _one_by_one(values: Array, member: Array, scores: Scores) -> GroupMeans:
    """``group_means`` of many rows: one group or two in memory at once, influence values on disk."""
    n, k = member.shape
    mean, size, mass = np.empty(k), np.empty(k), np.empty(k)
    n_clusters, live = np.empty(k, dtype=np.int64), np.zeros(int(scores.cluster.max()) + 1, dtype=bool)
    weigh = lambda g: member[:, g] * scores.weight
    for g in range(k):
        weight = weigh(g)
        held = cluster_totals(weight, scores.cluster)
        n_clusters[g], mass[g], live = int((held > 0).sum()), weight.sum(), live | (held > 0)
        mean[g] = values @ weight / mass[g]
        size[g] = np.abs(weight * values).max() / mass[g]
    if (n_clusters < 2).any():
        raise TooFewClusters(int(n_clusters.min()))

    def moved(rows: slice) -> Array:
        return member[rows] * scores.weight[rows, None] / mass * (values[rows, None] - mean)

    largest = np.max([np.abs(moved(part.rows)).max(axis=0) for part in parts_of(n)], axis=0)
    varies = np.where(largest <= ROUNDING * size, 0.0, 1.0)
    influence = on_disk_by_column(n, k, lambda rows: moved(rows) * varies)
    covariance, shared = np.empty((k, k)), np.zeros((k, k))
    for g in range(k):
        total, held = (cluster_totals(each, scores.cluster) for each in (influence[:, g], weigh(g)))
        for h in range(g + 1):
            covariance[g, h] = covariance[h, g] = total @ cluster_totals(influence[:, h], scores.cluster)
            shared[h, g] = held @ cluster_totals(weigh(h), scores.cluster)
    factor, length = np.sqrt(n_clusters / (n_clusters - 1.0)), np.sqrt(shared.diagonal())
    return GroupMeans(
        mean,
        influence,
        scores.inflation**2 * covariance * np.outer(factor, factor),
        (n_clusters - 1).astype(np.float64),
        np.rint(member.sum(axis=0)).astype(np.int64),
        float(np.triu(shared / np.outer(length, length), 1).max(initial=0.0)),
        int(live.sum()),
    )


def _largest_cosine(columns: Array) -> float:
    """Largest cosine of two of the columns (m, k); zero for one column."""
    unit = columns / np.sqrt((columns**2).sum(axis=0))
    return float(np.triu(unit.T @ unit, 1).max(initial=0.0))
