"""How far a likelihood of independent errors is to be trusted where errors move together within clusters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.basis.cluster import cluster_sandwich, cluster_scores, of_effect, within_clusters
from hte_bridge.engines.deep.basis.design import Design
from hte_bridge.engines.deep.basis.normal_equations import System
from hte_bridge.engines.deep.basis.residual import CHUNK_POINTS, residuals
from hte_bridge.engines.deep.basis.variance_components import LastLayer, variance_components
from hte_bridge.engines.deep.store.linear_algebra import eigen


@dataclass(frozen=True)
class CompositeOptions:
    """How the design effect of clusters is found."""

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


COMPOSITE = CompositeOptions()


@dataclass(frozen=True, eq=False)
class Tried:
    """A fit at one temper, the residuals (n,), and what they are to be scaled by for the degrees of freedom spent."""

    layer: LastLayer
    residual: Array
    scale: float


def composite_likelihood(
    made: Design,
    system: System,
    columns: Codes,
    owner: Codes,
    *,
    slopes: bool = False,
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
    made : Design
        Whose rows are those of ``system``.
    system : System
    columns, owner : array
        Of ``Design.columns`` and ``Design.owner``.
    slopes : bool
        Whether slopes are in the model; only without ``cluster``.
    cluster : array (n,), optional
        Codes; without, the temper stays what it is.
    temper : float
        Where it begins.
    max_steps : int, optional
    """

    def at(power: float) -> Tried:
        return one_fit(made, system, columns, owner, slopes, power, max_steps)

    if cluster is None:
        only = at(temper)
        return only.layer, only.scale * only.residual
    best = at(temper)
    for _ in range(COMPOSITE.rounds):
        scale = best.scale * within_clusters(system, best.layer, made.rows.effects, cluster)
        ratio = design_ratio(made, system, best.layer, columns, scale * best.residual, cluster)
        if ratio < COMPOSITE.grown:
            break
        best = at(best.layer.temper * ratio)
    if made.rows.n * len(best.layer.live) ** 2 <= COMPOSITE.most_work:
        best = unhidden(made, system, columns, owner, cluster, best, max_steps)
    return best.layer, best.scale * best.residual


def unhidden(
    made: Design,
    system: System,
    columns: Codes,
    owner: Codes,
    cluster: Codes,
    first: Tried,
    max_steps: int | None,
) -> Tried:
    """The fit found from below if it predicts clusters left out clearly better than lines, and than the fit found from the lines' design effect."""
    weight = made.rows.weight

    def judged(fit: Tried, own: System, its: Codes) -> tuple[float, float]:
        """Squared error in clusters left out, and the design effect that their residuals show."""
        others = leave_cluster_out(made, own, fit.layer, its, fit.residual, cluster)
        ratio = design_ratio(made, own, fit.layer, its, others, cluster)
        return float(weight @ others**2), max(fit.layer.temper * ratio, 1.0)

    lines = simplest(made, columns)
    few, numbered = narrowed(system, lines), np.unique(owner[lines], return_inverse=True)[1].reshape(-1)
    simple = one_fit(made, few, columns[lines], numbered, False, 1.0, max_steps)
    of_lines, temper = judged(simple, few, columns[lines])
    loss = judged(first, system, columns)[0]
    if loss < COMPOSITE.clearly_better * of_lines:
        return first
    for _ in range(COMPOSITE.rounds):
        other = one_fit(made, system, columns, owner, False, temper, max_steps)
        its_loss, found = judged(other, system, columns)
        if max(found / temper, temper / found) < COMPOSITE.grown:
            break
        temper = found
    return first if loss < COMPOSITE.clearly_better * its_loss else other


def one_fit(
    made: Design,
    system: System,
    columns: Codes,
    owner: Codes,
    slopes: bool,
    temper: float,
    max_steps: int | None,
) -> Tried:
    """Variances at one temper."""
    target, second = system.target[:, 0], system.second[0, 0]
    layer = variance_components(
        system.gram, target, second, system.freedom, owner, (0,), max_steps, made.device, temper
    )
    spent = layer.freedom[layer.variance > 0].sum()
    residual = residuals(made, system, layer.mean, columns, slopes)
    return Tried(layer, residual, float(np.sqrt(made.rows.n / max(system.freedom - spent, 1))))


def design_ratio(
    made: Design,
    system: System,
    layer: LastLayer,
    columns: Codes,
    residual: Array,
    cluster: Codes,
) -> float:
    """How much more the scores of tau vary by clusters than the layer, which has no slopes, thinks."""
    scores = cluster_scores(made, system, layer, columns, residual, cluster, slopes=False)
    return cluster_sandwich(system, layer, scores, of_effect(made, layer, columns)).ratio


def leave_cluster_out(
    made: Design, system: System, layer: LastLayer, columns: Codes, residual: Array, cluster: Codes
) -> Array:
    """Residuals (n,) of each cluster from a model of the others: a model that follows a cluster hides what its errors have in common.

    ``(I - H)^-1 r`` with H the cluster's part of the hat matrix (Bell and McCaffrey, 2002, Survey Methodology 28(2), on the jackknife), the
    features net of the effects. A direction that a cluster alone determines counts as if ``COMPOSITE.most_leverage`` of it were its own.
    """
    root = np.sqrt(made.rows.weight)
    net = columns_net_of_effects(made, system, layer, columns) * root[:, None]
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


def columns_net_of_effects(made: Design, system: System, layer: LastLayer, columns: Codes) -> Array:
    """The live columns (n, live), net of the effects."""
    rows, width = made.rows, made.basis.size
    position = columns[layer.live]
    of_tau = position < width
    tau, mu = position[of_tau], np.flatnonzero(made.drift)[position[~of_tau] - width]
    at = np.empty((len(rows.points), len(position)))
    for start in range(0, len(at), CHUNK_POINTS):
        here = slice(start, start + CHUNK_POINTS)
        f = made.basis.features(rows.points[here])
        at[here, of_tau], at[here, ~of_tau] = f[:, tau], f[:, mu]
    net = at[rows.point]
    net[:, of_tau] *= rows.treatment[:, None]
    return np.asarray(net - rows.dummies() @ system.project[:, layer.live])


def simplest(made: Design, columns: Codes) -> Codes:
    """Places of the columns that make the effect and mu lines."""
    kinds = np.array([block.kind for block in made.basis.blocks])[made.basis.owner]
    kinds = np.concatenate([kinds, kinds[made.drift]])[columns]
    return np.flatnonzero((kinds == "constant") | (kinds == "linear"))


def narrowed(system: System, kept: Codes) -> System:
    """The system of some of its columns."""
    return replace(
        system,
        gram=system.gram[np.ix_(kept, kept)],
        target=system.target[kept],
        project=system.project[:, kept],
    )
