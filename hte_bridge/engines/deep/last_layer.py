"""The last layer on all rows: sums, variances, nugget, clusters, recovered effects; shared by panel and Gram form."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hte_bridge.arrays import Array, Codes
from hte_bridge.engine import HeldOut
from hte_bridge.engines.deep.cells import Cells
from hte_bridge.engines.deep.checkpoint import NOWHERE, Checkpoint
from hte_bridge.engines.deep.design import Design
from hte_bridge.engines.deep.devices import product
from hte_bridge.engines.deep.effects import SOLVED_COLUMNS, centred, components_of
from hte_bridge.engines.deep.evidence import LastLayer, scale_uncertainty
from hte_bridge.engines.deep.heldout import crossfit
from hte_bridge.engines.deep.misfit import cluster_scores, clustered, nugget, of_effect, within_clusters
from hte_bridge.engines.deep.points import Rows
from hte_bridge.engines.deep.sums import Sums, System, eliminate, total
from hte_bridge.engines.deep.surface import Surface, surface_of
from hte_bridge.engines.deep.tempering import settled
from hte_bridge.engines.deep.units import Units
from hte_bridge.study import Study

UNEXPLAINED = 0.05  # networks and random slopes enter where the nugget's sd is more than this share of tau's
RESERVE = 0.5  # degrees of freedom that each block of tau that was set aside may still hold
TOGETHER = 1.3  # ratio of variances from which errors are said to go together within a level of an effect
FEWEST_TOGETHER, MOST_TOGETHER = (
    30,
    5e7,
)  # levels of an effect that is asked, and numbers that its scores may be
LASTING = 1.25  # design effect from which errors are said to go on within a level, whose own effect then has no interval
LARGE_NUGGET = 0.2  # and from this share on a note says so


@dataclass(frozen=True, eq=False)
class Fitted:
    """Result of the last layer, before it is dressed as a branch."""

    surface: Surface
    heldout: HeldOut
    info: dict[str, Any]
    notes: tuple[str, ...]
    converged: bool


@dataclass(frozen=True, eq=False)
class Solved:
    """One fit of the variances on all rows.

    ``nugget`` is in the intervals. ``doubt`` is reason to try more columns: in a panel also where arms differ in their noise alone.
    """

    system: System
    layer: LastLayer
    columns: Codes
    owner: Codes
    names: list[str]
    residual: Array
    nugget: float
    doubt: float
    noise: float
    slopes: bool


def fit_last_layer(
    study: Study,
    made: Design,
    moving: bool,
    n_jobs: int | None = None,
    checkpoint: Checkpoint = NOWHERE,
    precision: Array | None = None,
    level: Units | None = None,
    unseen: Sequence[Rows] | None = None,
    part: Codes | None = None,
    unit: float = 1.0,
) -> Fitted:
    """One pass of sums by fold, then everything that the Gram matrix can say.

    Parameters
    ----------
    study : Study
    made : Design
    moving : bool
        Whether the treatment is still to be predicted (a panel).
    n_jobs : int, optional
        Folds side by side.
    checkpoint : Checkpoint
        Where each fold's sums are left.
    precision : array (n,), optional
        One over each row's error variance, up to scale, for the posterior. Held-out models leave it aside: it was read off all outcomes.
    level : Units, optional
        Where errors vary with the level of the outcome: what says how. The effect is then relative to their standard deviation: of events
        always, else if the evidence is for that.
    unseen : sequence of Rows, optional
        For each fold the rows as its held-out model, which then has sums of its own, is to see them; without, sums are shared.
    part : array (n,), optional
        Of a cross-section: codes of the parts that are left out beside a fold where the shares of a stacked mean are learned.
    unit : float
        What a dose was divided by, so that notes speak of one unit of it.
    """
    began = time.perf_counter()
    rows, cells = made.rows, Cells.of(made.rows.fold, part, checkpoint, n_jobs)
    parts = cells.sums(made)
    whole, even = total(list(parts.values())), made
    if precision is not None:
        made = replace(made, rows=replace(rows, weight=precision / precision.mean(), precise=True))
    weighed = whole if precision is None else total(list(cells.sums(made).values()))
    summed = time.perf_counter()
    scaled = None if level is None else at_level(made, level)
    again = None if scaled is None else (scaled, total(list(cells.sums(scaled).values())))
    cluster = study.cluster if study.clustered else None
    made, weighed, solved = likelier(made, weighed, again, cluster)
    spread = max(_spread(made, solved), 1e-300)
    surface, inflation = posterior(study, made, weighed, solved)
    surface = replace(surface, level=level if made is scaled else None)
    settled = time.perf_counter()
    others = cells.each_fold(even, parts, unseen)
    heldout, loss = crossfit(even, others, moving, n_jobs, cluster, part)
    info = _info(made, solved, loss, inflation, unit)
    info["seconds"] = {
        "sums": round(summed - began, 2),
        "variances": round(settled - summed, 2),
        "held out": round(time.perf_counter() - settled, 2),
    }
    notes = (*_notes(solved, loss, spread, unit), *together(study, made, solved))
    return Fitted(surface, heldout, info, notes, solved.layer.converged)


def together(study: Study, made: Design, solved: Solved) -> tuple[str, ...]:
    """A sentence where errors go together within the levels of a fixed effect, and no clusters were named.

    Of the effect with most levels, where its scores fit into memory.
    """
    sizes = made.rows.sizes
    if study.clustered or not sizes:
        return ()
    place = int(np.argmax(sizes))
    if sizes[place] < FEWEST_TOGETHER or sizes[place] * len(solved.layer.live) > MOST_TOGETHER:
        return ()
    system, layer, columns, level = solved.system, solved.layer, solved.columns, made.rows.effects[:, place]
    residual = within_clusters(system, layer, made.rows.effects, level) * solved.residual
    scores = cluster_scores(made, system, layer, columns, residual, level, solved.slopes)
    ratio = clustered(system, layer, scores, of_effect(made, layer, columns)).ratio
    if ratio < max(TOGETHER, 1.0 + 4.0 * (2.0 / sizes[place]) ** 0.5):
        return ()
    name = study.names.fixed_effects[place]
    return (
        f"Errors go together within `{name}`: what they add to the effect's variance is {ratio:.1f} times that of independent ones, or "
        f'more. Name it: cluster="{name}".',
    )


def at_level(made: Design, level: Units) -> Design:
    """The design whose effect is in multiples of the errors' standard deviation (``forms.py``): the treatment is multiplied by it."""
    rows = made.rows
    sd = level.error_sd(level.standardise(rows.points[:, : made.q])).numpy()
    return replace(made, rows=replace(rows, treatment=rows.treatment * sd[rows.point]))


def likelier(
    made: Design, whole: Sums, relative: tuple[Design, Sums] | None, cluster: Codes | None
) -> tuple[Design, Sums, Solved]:
    """The plain or the relative effect with its sums and fit: of events the relative one, else what the evidence is for.

    Beside a relative effect there is no nugget: where the variance goes with the level, what a line misses of it is no effect.
    """
    if relative is None:
        return made, whole, settle(made, whole, cluster)
    other = settle(*relative, cluster)
    if not made.rows.events:
        plain = settle(made, whole, None, other.layer.temper)
        if plain.layer.log_evidence >= other.layer.log_evidence:
            return made, whole, plain
    return *relative, replace(other, nugget=0.0)


def settle(made: Design, whole: Sums, cluster: Codes | None = None, temper: float = 1.0) -> Solved:
    """Fit the blocks alone; where they leave much of tau unexplained, with network columns and random slopes too, if these are likelier.

    A network's column looks like a regressor with one coefficient, though it was fitted to the same outcomes: where
    the blocks suffice the evidence would trade them for it and be too sure (nie_wager B, n = 5,000: squared error of
    tau .012 to .017 without the columns, .015 to .054 with them). The design effect of ``cluster`` is that which the blocks alone find.
    """
    alone = solve(made, whole, cluster=cluster, temper=temper)
    if alone.doubt**0.5 <= UNEXPLAINED * max(_spread(made, alone), 1e-300):
        return alone
    slopes = bool(made.rows.groups)
    wider = solve(made, whole, slopes=slopes, networks=True, temper=alone.layer.temper)
    return wider if wider.layer.log_evidence > alone.layer.log_evidence else alone


def solve(
    made: Design,
    whole: Sums,
    slopes: bool = False,
    networks: bool = False,
    cluster: Codes | None = None,
    temper: float = 1.0,
) -> Solved:
    """Variances from the marginal likelihood of all rows, residuals and nugget."""
    columns = made.columns(networks=networks)
    owner, names = made.owner(columns, slopes)
    system = eliminate(whole, made.rows.sizes, columns, slopes, device=made.device)
    layer, residual = settled(made, system, columns, owner, slopes=slopes, cluster=cluster, temper=temper)
    rows = made.rows
    root = np.sqrt(rows.weight) if rows.precise else np.ones(rows.n)  # to errors of one variance
    given = root * residual, root * rows.treatment, rows.weight / root**2
    found, noise = nugget(*given, rows.arm)
    spare = (
        0.0 if rows.events else found
    )  # the variance of an event follows from its mean: a mixture of coins is a coin
    doubt = spare
    if rows.sizes:
        doubt = found if rows.arm is None else nugget(*given)[0]
    return Solved(system, layer, columns, owner, names, residual, spare, doubt, noise, slopes)


def posterior(study: Study, made: Design, whole: Sums, solved: Solved) -> tuple[Surface, float]:
    """Surface with the nugget, cluster-robust where clusters were named, and the recovered effects."""
    system, layer, columns = solved.system, solved.layer, solved.columns
    covariance, inflation = layer.covariance, 1.0
    live = layer.live
    is_tau = of_effect(made, layer, columns)
    if study.clustered:
        residual = within_clusters(system, layer, made.rows.effects, study.cluster) * solved.residual
        scores = cluster_scores(made, system, layer, columns, residual, study.cluster, solved.slopes)
        robust = clustered(system, layer, scores, is_tau)
        covariance, inflation = robust.covariance, layer.temper * max(robust.ratio, 1.0)
    elif study.weighted:
        inflation = float((made.rows.weight**2).mean())  # Kish (1965): the design effect of unequal weights
        independent = covariance @ (system.gram[np.ix_(live, live)] / layer.noise) @ covariance
        covariance = covariance + (inflation - 1) * independent
    covariance = covariance + scale_uncertainty(layer, solved.owner, (0,), made.device)
    surface = surface_of(made, layer, columns, solved.owner, covariance, solved.slopes)
    cluster = study.cluster if study.clustered else None
    recovered = recover(made, whole, solved, covariance, is_tau, cluster, inflation)
    return replace(surface, nugget=solved.nugget + reserve(made, solved), recovered=recovered), inflation


def reserve(made: Design, solved: Solved) -> float:
    """Variance of tau that the blocks set aside may still hold.

    The likelihood of a small variance is flat: it cannot tell none from half a degree of freedom. A block set aside
    has variance zero at the mode, and this much on average.
    """
    inside = solved.columns < made.basis.size
    size = np.bincount(solved.owner, weights=solved.system.gram.diagonal())
    blocks = np.unique(solved.owner[: len(solved.columns)][inside])
    gone = [
        k
        for k in blocks
        if solved.layer.variance[k] == 0 and size[k] > 0 and "network" not in solved.names[k]
    ]
    return float(sum(RESERVE * solved.layer.noise / size[k] for k in gone))


def recover(
    made: Design,
    whole: Sums,
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
    system, live = solved.system, solved.layer.live[is_tau]
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
    return max(found, inflation) if inflation <= LASTING else float("nan")


def _spread(made: Design, solved: Solved) -> float:
    """Standard deviation of the fitted tau, from the blocks' coefficients and their features' moments."""
    width = made.basis.size
    full = np.zeros(width + int(made.drift.sum()))
    full[solved.columns] = solved.layer.mean[: len(solved.columns)]
    step = max(1, len(made.rows.points) // 4_000)
    return float((made.basis.features(made.rows.points[::step]).astype(np.float64) @ full[:width]).std())


def _info(
    made: Design, solved: Solved, loss: dict[str, float], inflation: float, unit: float
) -> dict[str, Any]:
    layer = solved.layer
    kept = [k for k in range(len(layer.variance)) if layer.variance[k] > 0]
    return {
        "rows": made.rows.n,
        "points": len(made.rows.points),
        "features": made.basis.size,
        "noise": float(layer.error_variance),
        "nugget": float(solved.nugget) / unit**2,
        "losses": loss,
        "inflation": inflation,
        "steps": layer.steps,
        "converged": layer.converged,
        "variances": {
            solved.names[k]: float(layer.variance[k]) for k in kept if np.isfinite(layer.variance[k])
        },
        "degrees_of_freedom": {solved.names[k]: float(layer.freedom[k]) for k in kept},
        "slopes": solved.slopes,
    }


def _notes(solved: Solved, loss: dict[str, float], spread: float, unit: float) -> tuple[str, ...]:
    found = []
    share = solved.nugget**0.5 / spread
    if share > LARGE_NUGGET:
        found.append(
            f"The effect varies by a standard deviation of {solved.nugget**0.5 / unit:.3g} that no block explains "
            f"({share:.0%} of that of the fitted effect); intervals contain it."
        )
    if loss["deep"] > loss["linear"]:
        found.append(
            f"The deep model did not beat the linear one held out (loss {loss['deep']:.5g} against "
            f"{loss['linear']:.5g})."
        )
    if loss["deep"] > loss["constant effect"]:
        found.append(
            "Held out, an effect that varies with the covariates did not beat a constant one (loss "
            f"{loss['deep']:.5g} against {loss['constant effect']:.5g})."
        )
    return tuple(found)
