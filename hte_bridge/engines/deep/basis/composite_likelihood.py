"""How far a likelihood of independent errors is to be trusted where errors move together within clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hte_bridge.arrays import Array, Codes, slices
from hte_bridge.engines.deep.basis.cluster import cluster_scores, design_ratio, within_clusters
from hte_bridge.engines.deep.basis.design import CHUNK_POINTS
from hte_bridge.engines.deep.basis.regression import Regression
from hte_bridge.engines.deep.basis.residual import residuals
from hte_bridge.engines.deep.basis.variance_components import LastLayer
from hte_bridge.engines.deep.store.linear_algebra import eigen


@dataclass(frozen=True)
class CompositeOptions:
    """How the design effect of clusters is found and read."""

    # in which the design effect is asked, at most
    rounds: int = 8
    # growth below which it is found
    grown: float = 1.05
    # of the squared error that another model makes in clusters left out
    clearly_better: float = 0.9
    # products, up to which clusters are left out of the model that their residuals are from
    most_work: float = 5e9
    # of a direction that a cluster alone determines, at most
    most_leverage: float = 0.99
    # design effect from which errors are said to go on within a level, whose own effect then has no interval
    lasting: float = 1.25


COMPOSITE = CompositeOptions()


@dataclass(frozen=True, eq=False)
class Tried:
    """A fit at one temper, the residuals (n,), and what they are to be scaled by for the degrees of freedom spent."""

    layer: LastLayer
    residual: Array
    scale: float


def composite_likelihood(
    model: Regression,
    *,
    cluster: Codes | None = None,
    temper: float = 1.0,
    max_steps: int | None = None,
) -> tuple[LastLayer, Array]:
    """Variances from the marginal likelihood, and the residuals (n,), scaled up for the degrees of freedom that were spent.

    Where errors move together within clusters, as those of a unit do from year to year, a likelihood of independent errors takes what a
    unit has in common for an effect of its own, wherever a function of the unit's covariates can follow it; a treatment that comes and stays goes with it
    most. So the likelihood is taken to the power of one over the design effect: how much more the scores of tau's coefficients vary, by clusters, than
    independent errors would let them (a composite likelihood with its magnitude adjusted: Pauli, Racugno and Ventura, 2011, Statistica Sinica 21;
    Ribatet, Cooley and Davison, 2012, Statistica Sinica 22). It is asked again of the model found with it, until it moves no more.

    A model that follows units hides their errors, and one that misses an effect takes it for errors: there may be two such points. The first is sought
    from independent errors upwards. Where the model there does not predict clusters that it has not seen clearly better than lines do, the second is
    sought from the lines' design effect, with the residuals of each cluster from a model of the others; of two that predict alike it is the cautious one.

    Parameters
    ----------
    model : Regression
        Without slopes, where there are clusters.
    cluster : array (n,), optional
        Codes; without, the temper stays what it is.
    temper : float
        Where it begins.
    max_steps : int, optional
    """
    if cluster is None:
        only = one_fit(model, temper, max_steps)
        return only.layer, only.scale * only.residual
    best = one_fit(model, temper, max_steps)
    for _ in range(COMPOSITE.rounds):
        scale = best.scale * within_clusters(model.system, best.layer, model.made.rows.effects, cluster)
        ratio = design_ratio(
            model, best.layer, cluster_scores(model, best.layer, scale * best.residual, cluster)
        )
        if ratio < COMPOSITE.grown:
            break
        best = one_fit(model, best.layer.temper * ratio, max_steps)
    if model.made.rows.n * len(best.layer.live) ** 2 <= COMPOSITE.most_work:
        best = unhidden(model, cluster, best, max_steps)
    return best.layer, best.scale * best.residual


def unhidden(model: Regression, cluster: Codes, first: Tried, max_steps: int | None) -> Tried:
    """The fit found from below if it predicts clusters left out clearly better than lines, and than the fit found from the lines' design effect."""
    lines = model.lines
    of_lines, temper = judged(lines, one_fit(lines, 1.0, max_steps), cluster)
    loss, _ = judged(model, first, cluster)
    if loss < COMPOSITE.clearly_better * of_lines:
        return first
    cautious, its_loss = from_above(model, cluster, temper, max_steps)
    return first if loss < COMPOSITE.clearly_better * its_loss else cautious


def from_above(
    model: Regression, cluster: Codes, temper: float, max_steps: int | None
) -> tuple[Tried, float]:
    """The fit whose design effect is that of clusters left out, sought from a large one; and its squared error in them."""
    for _ in range(COMPOSITE.rounds):
        found = one_fit(model, temper, max_steps)
        loss, shown = judged(model, found, cluster)
        if max(shown / temper, temper / shown) < COMPOSITE.grown:
            break
        temper = shown
    return found, loss


def judged(model: Regression, fit: Tried, cluster: Codes) -> tuple[float, float]:
    """Squared error in clusters left out, and the design effect that their residuals show."""
    others = leave_cluster_out(model, fit.layer, fit.residual, cluster)
    ratio = design_ratio(model, fit.layer, cluster_scores(model, fit.layer, others, cluster))
    return float(model.made.rows.weight @ others**2), max(fit.layer.temper * ratio, 1.0)


def one_fit(model: Regression, temper: float, max_steps: int | None) -> Tried:
    """Variances at one temper."""
    layer = model.fit(max_steps=max_steps, temper=temper)
    # of the rows in the sums, of which those at hand may be a sample
    scale = float(np.sqrt(model.system.n / max(model.system.freedom - layer.spent, 1)))
    return Tried(layer, residuals(model, layer.mean), scale)


def leave_cluster_out(model: Regression, layer: LastLayer, residual: Array, cluster: Codes) -> Array:
    """Residuals (n,) of each cluster from a model of the others: a model that follows a cluster hides what its errors have in common.

    ``(I - H)^-1 r`` with H the cluster's part of the hat matrix (Bell and McCaffrey, 2002, Survey Methodology 28(2), on the jackknife), the
    features net of the effects. A direction that a cluster alone determines counts as if ``COMPOSITE.most_leverage`` of it were its own.
    """
    root = np.sqrt(model.made.rows.weight)
    net = columns_net_of_effects(model, layer) * root[:, None]
    values, vectors = eigen(layer.covariance / layer.noise)
    net = net @ (vectors * np.sqrt(np.maximum(values, 0.0)))  # H = net net'
    out = root * residual
    order = np.argsort(cluster, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(cluster[order])) + 1):
        if len(own) <= net.shape[1]:
            values, left = eigen(net[own] @ net[own].T)
        else:
            left, root_of, _ = np.linalg.svd(net[own], full_matrices=False)
            values = root_of**2
        held = np.clip(values, 0.0, COMPOSITE.most_leverage)
        out[own] += left @ (held / (1.0 - held) * (left.T @ out[own]))
    return np.asarray(out / root)


def columns_net_of_effects(model: Regression, layer: LastLayer) -> Array:
    """The live columns (n, live), net of the effects."""
    made, system = model.made, model.system
    rows, (of_tau, tau, mu) = made.rows, model.places(layer)
    at = np.empty((len(rows.points), len(of_tau)))
    for here in slices(len(at), CHUNK_POINTS):
        f = made.basis.features(rows.points[here])
        at[here, of_tau], at[here, ~of_tau] = f[:, tau], f[:, mu]
    net = at[rows.point]
    net[:, of_tau] *= rows.treatment[:, None]
    return np.asarray(net - rows.dummies() @ system.project[:, layer.live])
