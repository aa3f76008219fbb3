"""The linear mixed model on all rows, from sums to posterior and held-out predictions; shared by panel and large cross-section."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.engine import HeldOut
from hte_bridge.engines.deep.basis.cells import Cells
from hte_bridge.engines.deep.basis.cluster import cluster_sandwich, cluster_scores, of_effect, within_clusters
from hte_bridge.engines.deep.basis.coefficients import posterior
from hte_bridge.engines.deep.basis.data import Rows
from hte_bridge.engines.deep.basis.design import Design
from hte_bridge.engines.deep.basis.heldout import held_out_effects
from hte_bridge.engines.deep.basis.normal_equations import total
from hte_bridge.engines.deep.basis.posterior import EffectPosterior
from hte_bridge.engines.deep.basis.solve import Solved, _spread, at_level, likelier
from hte_bridge.engines.deep.gp.standardise import Standardisation
from hte_bridge.engines.deep.store.checkpoint import NOWHERE, Checkpoint
from hte_bridge.study import Study


@dataclass(frozen=True)
class NoteRule:
    """From where on a note speaks."""

    # ratio of variances from which errors are said to go together within a level of an effect
    together: float = 1.3
    # levels of an effect that is asked, at least
    fewest_levels: int = 30
    # and numbers that its scores may be, at most
    most_numbers: float = 5e7
    # and from this share on a note says so
    large_nugget: float = 0.2


NOTES = NoteRule()


@dataclass(frozen=True, eq=False)
class Fitted:
    """Result of the last layer, before it is dressed as a branch."""

    surface: EffectPosterior
    heldout: HeldOut
    info: dict[str, Any]
    notes: tuple[str, ...]
    converged: bool


def fit_mixed_model(
    study: Study,
    made: Design,
    moving: bool,
    n_jobs: int | None = None,
    checkpoint: Checkpoint = NOWHERE,
    precision: Array | None = None,
    level: Standardisation | None = None,
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
    heldout, loss = held_out_effects(even, others, moving, n_jobs, cluster, part)
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
    if sizes[place] < NOTES.fewest_levels or sizes[place] * len(solved.layer.live) > NOTES.most_numbers:
        return ()
    system, layer, columns, level = solved.system, solved.layer, solved.columns, made.rows.effects[:, place]
    residual = within_clusters(system, layer, made.rows.effects, level) * solved.residual
    scores = cluster_scores(made, system, layer, columns, residual, level, solved.slopes)
    ratio = cluster_sandwich(system, layer, scores, of_effect(made, layer, columns)).ratio
    if ratio < max(NOTES.together, 1.0 + 4.0 * (2.0 / sizes[place]) ** 0.5):
        return ()
    name = study.names.fixed_effects[place]
    return (
        f"Errors go together within `{name}`: what they add to the effect's variance is {ratio:.1f} times that of independent ones, or "
        f'more. Name it: cluster="{name}".',
    )


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
    if share > NOTES.large_nugget:
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
