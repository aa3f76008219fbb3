"""Weighted least squares with the sandwich errors that R's `sandwich` gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hte_bridge.errors import NotIdentified
from hte_bridge.estimands.moments import cluster_totals

Array = npt.NDArray[np.float64]
HC = Literal["HC0", "HC1", "HC3"]


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """Coefficients (k,), their covariance (k, k), influence values (n, k), clusters and rank."""

    coefficients: Array
    covariance: Array
    influence: Array
    n_clusters: int


def least_squares(
    y: Array, x: Array, weight: Array, cluster: npt.NDArray[np.int64], vcov: HC = "HC3"
) -> LeastSquares:
    """Weighted regression of ``y`` (n,) on ``x`` (n, k), errors by cluster.

    HC3 is the cluster jackknife shortcut of Bell and McCaffrey (2002); the factors are those of
    ``sandwich::vcovCL(type=vcov)``: G / (G - 1) for HC0, times (n - 1) / (n - k) for HC1, none for HC3.

    Parameters
    ----------
    y, x, weight : arrays (n,), (n, k), (n,)
        Weights nonnegative, any scale.
    cluster : array (n,)
        Codes 0..G-1; each unit its own for plain robust errors.

    Raises
    ------
    NotIdentified
        If the columns of ``x`` are collinear.

    Examples
    --------
    >>> x = np.column_stack([np.ones(4), [0.0, 1.0, 2.0, 3.0]])
    >>> fit = least_squares(np.array([0.0, 1.0, 2.0, 4.0]), x, np.ones(4), np.arange(4), "HC0")
    >>> fit.coefficients.round(2)
    array([-0.2,  1.3])
    """
    n, k = x.shape
    gram = x.T @ (weight[:, None] * x)
    scale = np.sqrt(np.diag(gram))
    if (scale == 0).any() or np.linalg.matrix_rank(gram / np.outer(scale, scale), tol=1e-10) < k:
        raise NotIdentified(
            "The columns of a regression must not repeat each other. The ones given are collinear in the rows used. "
            "Leave one of them out."
        )
    root = np.sqrt(weight)
    q, r = np.linalg.qr(x * root[:, None])
    coefficients = np.linalg.solve(r, q.T @ (root * y))
    inverse = np.linalg.inv(r)
    bread = inverse @ inverse.T
    score = weight * (y - x @ coefficients)
    n_clusters = int(cluster.max()) + 1
    influence = (score[:, None] * x) @ bread
    if vcov == "HC3":
        totals = _jackknife_totals(x, score, weight, cluster, n_clusters, gram, bread)
        return LeastSquares(coefficients, bread @ (totals.T @ totals) @ bread, influence, n_clusters)
    totals = cluster_totals(score[:, None] * x, cluster)
    factor = n_clusters / (n_clusters - 1)
    if vcov == "HC1":
        factor *= (n - 1) / (n - k)
    return LeastSquares(coefficients, factor * bread @ (totals.T @ totals) @ bread, influence, n_clusters)


def _jackknife_totals(
    x: Array,
    score: Array,
    weight: Array,
    cluster: npt.NDArray[np.int64],
    n_clusters: int,
    gram: Array,
    bread: Array,
) -> Array:
    """Cluster totals (G, k) of scores with each cluster's leverage taken out, by Woodbury's identity."""
    if n_clusters == len(score):
        leverage = weight * np.einsum("ij,jk,ik->i", x, bread, x)
        out = np.empty_like(x)
        out[cluster] = (score / (1 - leverage))[:, None] * x
        return out
    order = np.argsort(cluster, kind="stable")
    starts = np.searchsorted(cluster[order], np.arange(n_clusters + 1))
    totals = np.empty((n_clusters, x.shape[1]))
    for g in range(n_clusters):
        rows = order[starts[g] : starts[g + 1]]
        xg, sg, wg = x[rows], score[rows], weight[rows]
        inner = xg.T @ (wg[:, None] * xg)
        # (I - X B X'W)^-1 s = s + X (B^-1 - X'WX)^-1 X'W s, with B^-1 the whole Gram matrix
        totals[g] = xg.T @ sg + xg.T @ xg @ np.linalg.solve(gram - inner, xg.T @ (wg * sg))
    return totals
