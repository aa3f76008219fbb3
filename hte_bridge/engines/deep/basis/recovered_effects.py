"""Fixed effects as they are recovered, with their intervals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.basis.composite_likelihood import COMPOSITE
from hte_bridge.engines.deep.basis.design import Design
from hte_bridge.engines.deep.basis.fixed_effects import SOLVED_COLUMNS, centred, components_of
from hte_bridge.engines.deep.basis.normal_equations import NormalEquations
from hte_bridge.engines.deep.basis.solve import Solved
from hte_bridge.engines.deep.store.linear_algebra import product


def recover(
    made: Design,
    whole: NormalEquations,
    solved: Solved,
    covariance: Array,
    is_tau: npt.NDArray[np.bool_],
    cluster: Codes | None,
    inflation: float,
) -> tuple[tuple[Array, Array, Codes], ...]:
    """Each effect with the additive part of g(X) in it: what Y - T tau(X) has on the dummies.

    Given tau the dummies' coefficients are normal with covariance ``noise * pinv(D'D)``; the uncertainty of tau
    comes on top. Levels are centred within their connected component.
    """
    sizes, edge = made.rows.sizes, whole.n_levels
    if not sizes:
        return ()
    system, live = solved.model.system, solved.layer.live[is_tau]
    gram = sparse.csr_array(whole.levels[:edge][:, :edge])
    project = system.project[:, live]
    values = system.project_target[:, 0] - project @ solved.layer.mean[live]
    inside = covariance[np.ix_(is_tau, is_tau)]
    count, start, out = gram.diagonal(), 0, []
    for f, (size, component) in enumerate(zip(sizes, components_of(gram, sizes), strict=True)):
        noise = solved.layer.error_variance * design_effect(made, solved.residual, f, cluster, inflation)
        span = slice(start, start + size)
        variance = noise * system.elimination.centred_variance(span, component, count[span])
        for k in range(
            0, len(inside), SOLVED_COLUMNS
        ):  # diag(Q C Q') with Q the centred rows, a few columns at a time
            some = slice(k, k + SOLVED_COLUMNS)
            spread = product(project[span], inside[:, some], made.device)
            pair = (centred(each, component, count[span]) for each in (spread, project[span][:, some]))
            variance += np.multiply(*pair).sum(axis=1)
        out.append(
            (centred(values[span], component, count[span]), np.sqrt(np.maximum(variance, 0)), component)
        )
        start += size
    return tuple(out)


def design_effect(
    made: Design, residual: Array, place: int, cluster: Codes | None, inflation: float = 1.0
) -> float:
    """How much more the mean residual of a level varies than with independent errors, at least one; NaN where no residual shows it.

    Sums within each level and cluster, squared, over the sum of squares (Kish, 1965; Liang & Zeger, 1986); without
    clusters, the effect of unequal weights alone. Where each level lies in one cluster these sums are zero whatever the errors, as the level's own effect
    takes them up. What the scores of tau say, ``inflation``, then tells only whether errors go on; how far is not to be seen.
    """
    error, level = made.rows.weight * residual, made.rows.effects[:, place]
    cell = np.arange(len(error)) if cluster is None else cluster
    both = np.unique(level * (int(cell.max()) + 1) + cell, return_inverse=True)[1]
    totals = np.bincount(both.reshape(-1), weights=error)
    found = max(float(totals @ totals) / max(float(made.rows.weight @ residual**2), 1e-300), 1.0)
    if cluster is None or len(totals) > len(np.unique(level)):
        return found
    return max(found, inflation) if inflation <= COMPOSITE.lasting else float("nan")
