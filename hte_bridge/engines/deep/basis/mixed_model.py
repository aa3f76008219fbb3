"""The linear mixed model on all rows, from sums to posterior and held-out predictions; shared by panel and large cross-section."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.deep.basis.cells import Cells
from hte_bridge.engines.deep.basis.cluster import cluster_scores, design_ratio, within_clusters
from hte_bridge.engines.deep.basis.coefficients import posterior
from hte_bridge.engines.deep.basis.data import Rows
from hte_bridge.engines.deep.basis.design import Design
from hte_bridge.engines.deep.basis.edges import with_edges
from hte_bridge.engines.deep.basis.heldout import held_out_effects
from hte_bridge.engines.deep.basis.normal_equations import NormalEquations, total
from hte_bridge.engines.deep.basis.solve import Solved, at_level, likelier, spread_of
from hte_bridge.engines.deep.gp.standardise import Standardisation
from hte_bridge.engines.deep.result import Branch, FullFit
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
class Asked:
    """How a linear mixed model is to be fitted.

    Parameters
    ----------
    n_jobs : int, optional
        Folds side by side.
    checkpoint : Checkpoint
        Where each fold's sums are left.
    unit : float
        What a dose was divided by, so that notes and the posterior speak of one unit of it.
    precision : array (n,), optional
        One over each row's error variance, up to scale, for the posterior. Held-out models leave it aside: it was read off all outcomes.
    level : Standardisation, optional
        Where errors vary with the level of the outcome: what says how. The effect is then relative to their standard deviation: of events
        always, else if the evidence is for that.
    unseen : sequence of Rows, optional
        For each fold the rows as its held-out model, which then has sums of its own, is to see them; without, sums are shared.
    part : array (n,), optional
        Of a cross-section: codes of the parts that are left out beside a fold where the shares of a stacked mean are learned.
    seed : int
        Of the landmarks of surfaces with edges.
    edges : bool
        Whether such a surface is weighed beside the blocks.
    """

    n_jobs: int | None = None
    checkpoint: Checkpoint = NOWHERE
    unit: float = 1.0
    precision: Array | None = None
    level: Standardisation | None = None
    unseen: Sequence[Rows] | None = None
    part: Codes | None = None
    seed: int = 0
    edges: bool = True


def fit_mixed_model(study: Study, made: Design, asked: Asked, clock: Clock) -> Branch:
    """One pass of sums by fold, then everything that the Gram matrix can say; held-out predictions in the units of ``study``."""
    cells = Cells.of(made.rows.fold, asked.part, asked.checkpoint, asked.n_jobs)
    whole = made if asked.unseen is None else made.of_all_rows  # folds then have sums of their own
    parts = cells.sums(whole)
    clock.done("sums")
    full, info, notes, last = of_all_rows(study, whole, cells, total(list(parts.values())), asked)
    clock.done("variances")
    if asked.unseen is not None:
        parts.clear()
    cluster = study.cluster if study.clustered else None
    others = cells.each_fold(made, parts, asked.unseen)
    heldout, loss = held_out_effects(made, others, made.at_once, cluster, asked.part)
    clock.done("held out")
    info |= {"losses": loss, "seconds": clock.seconds}
    said = tuple(note for note in (made.note, *notes, *beaten(loss), *last) if note)
    return Branch("panel" if made.rows.sizes else "gram", heldout, full, said, info)


def of_all_rows(
    study: Study, made: Design, cells: Cells, sums: NormalEquations, asked: Asked
) -> tuple[FullFit, dict[str, Any], tuple[str, ...], tuple[str, ...]]:
    """The model of all rows, its diagnostics and notes, and those that come after the folds'; its sums and factors, which fill the memory, are gone."""
    plain = weighed_rows(made, cells, sums, asked.precision)
    del sums
    relative = None if asked.level is None else relative_rows(plain[0], cells, asked.level)
    cluster = study.cluster if study.clustered else None
    chosen, sums, solved = likelier(*plain, relative, cluster)
    surface, inflation = posterior(study, chosen, sums, solved)
    share = 0.0
    if relative is not None and chosen is relative[0]:
        surface = replace(surface, level=asked.level)
    elif asked.edges:
        surface, share = with_edges(study, chosen, cells, solved, surface, asked.seed)
    evidence = solved.layer.log_evidence + 0.5 * float(np.log(chosen.rows.weight).sum())
    info = info_of(chosen, solved, inflation, asked.unit) | {
        "share_of_edges": share,
        "log_evidence": evidence,
    }
    notes = unexplained(solved, max(spread_of(chosen, solved), 1e-300), asked.unit)
    structure, converged = made.structure.arrays(), solved.layer.converged
    full = FullFit(surface.per(asked.unit), converged=converged, structure=structure)
    return full, info, notes, together(study, chosen, solved)


def weighed_rows(
    made: Design, cells: Cells, whole: NormalEquations, precision: Array | None
) -> tuple[Design, NormalEquations]:
    """The design and its sums, rows weighed by their errors' precision (n,) where that is known to vary."""
    if precision is None:
        return made, whole
    weighed = replace(made, rows=replace(made.rows, weight=precision / precision.mean(), precise=True))
    return weighed, cells.whole(weighed)


def relative_rows(made: Design, cells: Cells, level: Standardisation) -> tuple[Design, NormalEquations]:
    """The same with an effect proportional to the errors' standard deviation."""
    scaled = at_level(made, level)
    return scaled, cells.whole(scaled)


class Clock:
    """Seconds of each step, as it is done."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.since = time.perf_counter()

    def done(self, step: str) -> None:
        """A step that ends now."""
        now = time.perf_counter()
        self.seconds[step] = round(now - self.since, 2)
        self.since = now


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
    model, layer, level = solved.model, solved.layer, made.rows.effects[:, place]
    residual = within_clusters(model.system, layer, made.rows.effects, level) * solved.residual
    ratio = design_ratio(model, layer, cluster_scores(model, layer, residual, level))
    if ratio < max(NOTES.together, 1.0 + 4.0 * (2.0 / sizes[place]) ** 0.5):
        return ()
    name = study.names.fixed_effects[place]
    return (
        f"Errors go together within `{name}`: what they add to the effect's variance is {ratio:.1f} times that of independent ones, or "
        f'more. Name it: cluster="{name}".',
    )


def info_of(made: Design, solved: Solved, inflation: float, unit: float) -> dict[str, Any]:
    """Diagnostics of a fit that JSON can hold."""
    layer = solved.layer
    kept = [k for k in range(len(layer.variance)) if layer.variance[k] > 0]
    return {
        "rows": made.rows.n,
        "points": len(made.rows.points),
        "features": made.basis.size,
        "noise": float(layer.error_variance),
        "nugget": float(solved.nugget) / unit**2,
        "inflation": inflation,
        "steps": layer.steps,
        "converged": layer.converged,
        "variances": {
            solved.names[k]: float(layer.variance[k]) for k in kept if np.isfinite(layer.variance[k])
        },
        "degrees_of_freedom": {solved.names[k]: float(layer.freedom[k]) for k in kept},
        "slopes": solved.model.slopes,
    }


def unexplained(solved: Solved, spread: float, unit: float) -> tuple[str, ...]:
    """A sentence where blocks leave much of the effect unexplained."""
    share = solved.nugget**0.5 / spread
    if share <= NOTES.large_nugget:
        return ()
    return (
        f"The effect varies by a standard deviation of {solved.nugget**0.5 / unit:.3g} that no block explains "
        f"({share:.0%} of that of the fitted effect); intervals contain it.",
    )


def beaten(loss: dict[str, float]) -> tuple[str, ...]:
    """Sentences where a simpler model predicts as well."""
    found = []
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
