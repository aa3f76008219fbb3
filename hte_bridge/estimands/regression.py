"""Weighted least squares with the sandwich errors that R's `sandwich` gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array
from hte_bridge.errors import NotIdentified
from hte_bridge.estimands.large import ALONE, LARGE, Parts, jackknife_squares, on_disk_by_column
from hte_bridge.estimands.moments import cluster_totals
from hte_bridge.scaling import Standard

ALONE_SAID = (
    "no interval: one unit or cluster alone tells this coefficient and is fitted exactly, so that HC3, which leaves it out, is not defined; group it with "
    "others"
)
HC = Literal["HC0", "HC1", "HC3"]


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """Coefficients (k,), their covariance (k, k), inverse Gram matrix (k, k), influence values (n, k), clusters, why an error is not
    defined (k sentences, mostly empty), and the share (n, k) of each row in what tells a coefficient: of the squares of its column net of the others."""

    coefficients: Array
    covariance: Array
    bread: Array
    influence: Array
    n_clusters: int
    reasons: tuple[str, ...]
    shares: Array

    def std_error(self, j: int) -> float:
        """Standard error of one coefficient; not a number where ``reasons`` says why."""
        return float(self.covariance[j, j] ** 0.5)


def least_squares(
    y: Array, x: Array, weight: Array, cluster: npt.NDArray[np.int64], vcov: HC = "HC3"
) -> LeastSquares:
    """Weighted regression of ``y`` (n,) on ``x`` (n, k), errors by cluster.

    HC3 is the cluster jackknife shortcut of Bell and McCaffrey (2002); the factors are those of
    ``sandwich::vcovCL(type=vcov)``: G / (G - 1) for HC0, times (n - 1) / (n - k) for HC1, none for HC3. A coefficient that one cluster (or
    unit) alone tells has no jackknife, and its error under HC3 is not a number, as in ``sandwich``; the others keep theirs, to which such a unit adds
    nothing: it is fitted exactly whatever its outcome, as if it and its coefficient were not there.

    Parameters
    ----------
    y, x, weight : arrays (n,), (n, k), (n,)
        Weights nonnegative, any scale; columns in any unit and place.
    cluster : array (n,)
        Codes 0..G-1; each unit its own for plain robust errors.

    Raises
    ------
    NotIdentified
        If the columns of ``x`` are collinear.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.regression import least_squares
    >>> x = np.column_stack([np.ones(4), [0.0, 1.0, 2.0, 3.0]])
    >>> fit = least_squares(np.array([0.0, 1.0, 2.0, 4.0]), x, np.ones(4), np.arange(4), "HC0")
    >>> fit.coefficients.round(2)
    array([-0.2,  1.3])
    """
    n, k = x.shape
    large = x.size > LARGE
    if large:
        parts = Parts(x, weight)
        back, q = parts.back, parts.q
    else:
        back, q = _orthogonal(x, weight)
    root, n_clusters = np.sqrt(weight), int(cluster.max()) + 1
    along = q.T @ (root * y)
    residual = root * y - q @ along
    coefficients, bread = back @ along, back @ back.T
    if large:
        influence = on_disk_by_column(n, k, lambda rows: (residual[rows, None] * q[rows]) @ back.T)
        shares = on_disk_by_column(n, k, lambda rows: (q[rows] @ back.T) ** 2 / np.diag(bread))
    else:
        influence, shares = (residual[:, None] * q) @ back.T, (q @ back.T) ** 2 / np.diag(bread)
    if vcov == "HC3":
        if large:
            squares, alone = jackknife_squares(q, residual, root, cluster, n_clusters)
            covariance, reasons = _defined(back, back @ squares @ back.T, alone)
        else:
            totals, alone = _jackknife_totals(q, residual, root, cluster, n_clusters)
            moved = totals @ back.T
            covariance, reasons = _defined(back, moved.T @ moved, alone)
        return LeastSquares(coefficients, covariance, bread, influence, n_clusters, reasons, shares)
    totals = np.column_stack([cluster_totals(residual * column, cluster) for column in q.T])
    factor = n_clusters / (n_clusters - 1) * ((n - 1) / max(n - k, 1) if vcov == "HC1" else 1.0)
    reasons = ("",) * k
    if n == k:
        factor, reasons = np.nan, (f"no interval: {k} coefficients fit {n} rows exactly",) * k
    covariance = factor * back @ (totals.T @ totals) @ back.T
    return LeastSquares(coefficients, covariance, bread, influence, n_clusters, reasons, shares)


def _orthogonal(x: Array, weight: Array) -> tuple[Array, Array]:
    """The map (k, k) from coefficients on an orthonormal basis q (n, k) of the weighted columns to those on ``x``, and q.

    Where ``x`` has a constant column the others are centred first, as the rank of a year and its square must be asked about its mean.
    """
    constant = np.flatnonzero((x == x[:1]).all(axis=0) & (x[:1] != 0).all(axis=0))
    standard = Standard.of(x, weight, centred=len(constant) > 0)
    columns, scale = standard(x), standard.scale
    if len(constant):
        columns[:, constant[0]], scale = 1.0, scale.copy()
        scale[constant[0]] = x[0, constant[0]]
    q, r = np.linalg.qr(columns * np.sqrt(weight / weight.mean())[:, None])
    values = np.linalg.svd(r, compute_uv=False)
    if len(x) < x.shape[1] or (scale == 0).any() or not values.min() > standard.tolerance * values.max():
        raise NotIdentified(
            "The columns of a regression must not repeat each other. The ones given are collinear in the rows used. "
            "Leave one of them out."
        )
    back = np.linalg.inv(r) / scale[:, None] / np.sqrt(weight.mean())
    if len(constant):
        others = np.delete(np.arange(x.shape[1]), constant[0])
        back[constant[0]] -= standard.centre[others] @ back[others] / x[0, constant[0]]
    return back, q


def _defined(back: Array, covariance: Array, alone: Array) -> tuple[Array, tuple[str, ...]]:
    """Covariance (k, k) of the coefficients, and why some have none: directions (a, k) are told by one cluster alone."""
    length = np.linalg.norm(back, axis=1)
    lost = (np.abs(back @ alone.T) > ALONE**0.5 * length[:, None]).any(axis=1)
    covariance[lost], covariance[:, lost] = np.nan, np.nan
    return covariance, tuple(ALONE_SAID if each else "" for each in lost)


def _jackknife_totals(
    q: Array, residual: Array, root: Array, cluster: npt.NDArray[np.int64], n_clusters: int
) -> tuple[Array, Array]:
    """What leaving each cluster out takes from the coefficients on q, (G, k), and the directions (a, k) that one cluster alone tells.

    Where weights differ within a cluster, ``sandwich`` multiplies residuals by them before it takes the leverage out, and so does this, by Woodbury's
    identity; a cluster that alone tells a direction is left out as such.
    """
    if n_clusters == len(residual):
        kept = 1 - np.einsum("ij,ij->i", q, q)
        alone = kept < ALONE
        out = np.empty_like(q)
        out[cluster] = np.where(alone, 0.0, residual / np.where(alone, 1.0, kept))[:, None] * q
        return out, q[alone]
    order = np.argsort(cluster, kind="stable")
    starts = np.searchsorted(cluster[order], np.arange(n_clusters + 1))
    totals, alone = np.empty((n_clusters, q.shape[1])), [np.empty((0, q.shape[1]))]
    for g in range(n_clusters):
        rows = order[starts[g] : starts[g + 1]]
        inner = q[rows].T @ q[rows]
        score = q[rows].T @ residual[rows]
        told = np.zeros(len(score), dtype=bool)
        if np.trace(inner) > 0.999:  # else no eigenvalue is one
            values, vectors = np.linalg.eigh(inner)
            told = 1 - values < ALONE
        if not told.any():
            bare = q[rows] / np.where(root[rows] > 0, root[rows], 1.0)[:, None]
            weighted = q[rows].T @ (root[rows] ** 2 * residual[rows])
            totals[g] = score + bare.T @ bare @ np.linalg.solve(np.eye(len(score)) - inner, weighted)
            continue
        totals[g] = vectors @ (np.where(told, 0.0, vectors.T @ score) / np.where(told, 1.0, 1 - values))
        alone.append(vectors[:, told].T)
    return totals, np.vstack(alone)
