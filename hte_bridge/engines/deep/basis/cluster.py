"""Errors that move together within clusters: sums of scores, and the covariance that they give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hte_bridge.arrays import Array, Codes, slices
from hte_bridge.engines.deep.basis.design import CHUNK_POINTS
from hte_bridge.engines.deep.basis.normal_equations import System
from hte_bridge.engines.deep.basis.regression import Regression
from hte_bridge.engines.deep.basis.variance_components import LastLayer
from hte_bridge.lost import nested


@dataclass(frozen=True, eq=False)
class ClusterSandwich:
    """Covariance of the coefficients where errors move together within clusters.

    Parameters
    ----------
    covariance : array (live, live)
    ratio : float
        Mean variance of tau's noise part over that which the posterior gives it.
    """

    covariance: Array
    ratio: float


def cluster_scores(model: Regression, layer: LastLayer, residual: Array, cluster: Codes) -> Array:
    """Sums (C, live) by cluster of the live columns, net of the effects, times the residual."""
    made, system, columns = model.made, model.system, model.columns
    rows, (of_tau, tau, mu) = made.rows, model.places(layer)
    count = int(cluster.max()) + 1
    error = rows.weight * residual
    tau_at, mu_at = np.flatnonzero(of_tau), np.flatnonzero(~of_tau)
    out = np.zeros((count, len(layer.live)))
    shape = (count, len(rows.points))
    by_t = sparse.csc_array(sparse.coo_array((error * rows.treatment, (cluster, rows.point)), shape=shape))
    by_one = sparse.csc_array(sparse.coo_array((error, (cluster, rows.point)), shape=shape))
    for here in slices(len(rows.points), CHUNK_POINTS):
        f = made.basis.features(rows.points[here]).astype(np.float64)
        out[:, tau_at] += by_t[:, here] @ f[:, tau]
        out[:, mu_at] += by_one[:, here] @ f[:, mu]
    pick = sparse.csr_array((error, (cluster, np.arange(rows.n))), shape=(count, rows.n))
    if model.slopes:
        own = pick @ (sparse.diags_array(rows.treatment) @ rows.slopes())
        out[:, len(of_tau) :] = own[:, layer.live[len(of_tau) :] - len(columns)].toarray()
    return np.asarray(out - (pick @ rows.dummies()) @ system.project[:, layer.live])


def design_ratio(model: Regression, layer: LastLayer, scores: Array) -> float:
    """How much more the scores (C, live) of tau vary by clusters than the layer thinks."""
    return cluster_sandwich(model.system, layer, scores, model.of_effect(layer)).ratio


def within_clusters(system: System, layer: LastLayer, effects: Codes, cluster: Codes) -> float:
    """What residuals scaled for all degrees of freedom are multiplied by before they are summed by cluster.

    Columns net of an effect whose levels each lie in one cluster are orthogonal to it within the cluster, so that its
    levels cost the sums nothing (Cameron and Miller, 2015, Journal of Human Resources 50(2), section III.B). With two
    periods and units as clusters a sum of scaled residuals would have twice the variance of the errors' own.
    """
    levels = max((np.unique(codes).size for codes in effects.T if nested(codes, cluster)), default=0)
    left = max(system.freedom - layer.spent, 1.0)
    return float((left / (left + levels)) ** 0.5)


def cluster_sandwich(
    system: System, layer: LastLayer, scores: Array, tau: npt.NDArray[np.bool_]
) -> ClusterSandwich:
    """Replace the noise in the posterior's covariance by cluster sums of scores; the prior's part stays.

    With A the posterior precision and S the scores, the covariance is ``inv(A) (S'S / s^4 + P) inv(A)`` where P is
    the prior's precision. S'S is drawn towards a multiple of its independent counterpart, the more so the fewer
    clusters there are for each degree of freedom, as its directions are then few and noisy (Liang & Zeger, 1986;
    Ledoit & Wolf, 2004, for the shrinkage).

    Parameters
    ----------
    system : System
    layer : LastLayer
    scores : array (C, live)
    tau : array (live,)
        Which live columns belong to tau: the multiple is that of their mean variance.
    """
    live = layer.live
    gram = system.gram[np.ix_(live, live)]
    inverse, noise = layer.covariance, layer.noise
    independent = inverse @ (gram / noise) @ inverse
    count = int((np.abs(scores).sum(axis=1) > 0).sum())
    correction = count / max(count - 1, 1)
    half = (scores / noise) @ inverse
    own = correction * (half.T @ half)
    inside = np.ix_(tau, tau)
    trace = float((own[inside] * gram[inside]).sum()), float((independent[inside] * gram[inside]).sum())
    ratio = trace[0] / max(trace[1], 1e-300)
    drawn = min(1.0, layer.spent / max(count, 1))
    mixed = (1 - drawn) * own + drawn * max(ratio, 1.0) * independent
    prior = inverse - independent
    return ClusterSandwich((mixed + prior + (mixed + prior).T) / 2, ratio)
