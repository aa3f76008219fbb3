"""Outcome models at their most probable hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from hte_bridge.arrays import Array
from hte_bridge.engines.deep.gp.covariance import Data
from hte_bridge.engines.deep.gp.hyperparameters import Hyperparameters
from hte_bridge.engines.deep.gp.laplace import Mode, find_mode, on_more_rows
from hte_bridge.engines.deep.gp.outcome_models import OutcomeModel
from hte_bridge.engines.deep.gp.posterior import Model, component, gradients
from hte_bridge.engines.deep.gp.sample import even_subset
from hte_bridge.errors import DidNotConverge


@dataclass(frozen=True)
class ModeRule:
    """Which outcome models are followed further."""

    # on which a search begins, where there are more
    first_rows: int = 250
    # log posterior at the mode by which a model may trail before its evidence is no longer asked for
    hopeless: float = 15.0
    # at least, of the part along an index where its search begins
    index_sd: float = 0.2
    # of a search that only begins another, tells two accounts apart or serves a point prediction, in shares of the log posterior
    tolerance: float = 1e-4


MODES = ModeRule()


@dataclass(frozen=True, eq=False)
class Candidate:
    """A form of the model at its most probable scales."""

    model: Model
    mode: Mode

    @property
    def value(self) -> float:
        """Log posterior at the mode, with the form's prior odds."""
        return self.mode.value + self.model.form.log_odds


def search(
    rows_of: Callable[[OutcomeModel], Data],
    choices: Sequence[OutcomeModel],
    tolerance: float,
    begin: Mapping[OutcomeModel, Mode] | None = None,
) -> list[Candidate]:
    """Most probable scales of each form, the best form first; those that trail it hopelessly are left out.

    Each search begins where ``begin`` says, at the mode on fewer rows; else at that of a form before it with the same scales; else at the prior's
    centre, on few rows where there are more.

    Raises
    ------
    DidNotConverge
        If no form has a covariance that is positive definite.
    """
    found: list[Candidate] = []
    for form in choices:
        model = Model.of(form, rows_of(form))
        before = next((each.mode for each in found if each.model.scales == model.scales), None)
        start = before if begin is None else begin.get(form, before)
        found.append(Candidate(model, most_probable_scales(model, start, tolerance)))
    return ranked(found)


def search_kinds(rows_of: Callable[[OutcomeModel], Data], choices: Sequence[OutcomeModel]) -> list[Candidate]:
    """Most probable scales of each outcome model by the kinds of surface that suit it, the best first; for few rows.

    Of the first outcome model, whether the mean has edges, then whether the effect has: the two hardly depend on one another, as the mean decides
    most of the evidence and the effect sees what it leaves. All that were tried are kept. The other outcome models are sought by the best kinds.

    Raises
    ------
    DidNotConverge
        If no form has a covariance that is positive definite.
    """
    first, *others = choices

    def at_mode(form: OutcomeModel, near: Candidate | None = None) -> Candidate:
        model = Model.of(form, rows_of(form))
        if near is not None and near.model.scales == model.scales:
            return Candidate(model, on_more_rows(near.mode, model.rows, model.scales))
        start = None if near is None else borrowed(model.scales, near)
        return Candidate(model, find_mode(model.rows, model.scales, start, tolerance=MODES.tolerance))

    smooth = at_mode(first)
    rough = at_mode(first.of_kinds("edged", "smooth"), smooth)
    plain = max(smooth, rough, key=lambda each: each.mode.value)
    mean = plain.model.form.mean_kind
    jumps = at_mode(first.of_kinds(mean, "edged"), plain)
    best = max(plain, jumps, key=lambda each: each.value)
    found = [smooth, rough, jumps]
    for each in others:
        form = each.of_kinds(mean, best.model.form.effect_kind)
        alike = best.model.scales == Model.of(form, rows_of(form)).scales
        found.append(at_mode(form, best if alike else None))
    return ranked(found)


def borrowed(scales: Hyperparameters, near: Candidate) -> Array:
    """Scales to begin at: those of a candidate whose surfaces have the same loads, but the metric of surfaces of another kind."""
    start, was = scales.start(), near.model.scales
    start[0] = near.mode.theta[0]
    for before, surface in zip(was.surfaces, scales.surfaces, strict=True):
        start[surface.deviations] = near.mode.theta[before.deviations]
        if surface.kind is before.kind:
            start[surface.metric] = near.mode.theta[before.metric]
    start[scales.cluster :] = near.mode.theta[was.cluster :]
    return start


def ranked(found: Sequence[Candidate]) -> list[Candidate]:
    """Those that count, the best first; those that trail it hopelessly are left out.

    Raises
    ------
    DidNotConverge
        If no form has a covariance that is positive definite.
    """
    live = sorted((each for each in found if np.isfinite(each.value)), key=lambda each: -each.value)
    if not live:
        raise DidNotConverge(
            f"The covariance of {found[0].model.rows.n:,} rows must be positive definite. It was not at any scales tried. "
            "Look for a covariate or outcome with extreme values, and rescale or trim it."
        )
    return [each for each in live if each.value > live[0].value - MODES.hopeless]


def most_probable_scales(model: Model, start: Mode | None, tolerance: float) -> Mode:
    """The mode on a model's rows, from that on fewer, which is found first where it is not there."""
    if start is None:
        few = model.rows.take(torch.as_tensor(even_subset(model.rows.n, MODES.first_rows, seed=0)))
        start = find_mode(few, model.scales, tolerance=tolerance)
        if few.n == model.rows.n:
            return start
    return on_more_rows(start, model.rows, model.scales)


def along_an_index(best: Candidate, tolerance: float) -> Candidate:
    """The same form whose effect bends along one index, searched from the main direction of the effect's gradient.

    The direction in which a surface changes most over the rows: the active subspace of Constantine (2015), *Active Subspaces*.
    """
    rows = best.model.rows
    model = Model.of(best.model.form.with_effect("index"), rows)
    scales, start = model.scales, borrowed(model.scales, best)
    at = component(1.0, best.mode.theta, best.model)
    for k, surface in enumerate(scales.surfaces):
        if surface.kind.name == "index":
            slope = gradients(at, rows.x, alone=k).cpu().numpy()
            start[surface.metric] = np.linalg.eigh(slope.T @ slope)[1][:, -1]
            start[surface.bent] = max(start[surface.bent], np.log(MODES.index_sd))
    return Candidate(model, find_mode(rows, scales, start, tolerance=tolerance))


def as_a_sum(best: Candidate, tolerance: float) -> Candidate:
    """The same form whose effect is a sum of functions of one covariate each, searched from the outcome's scales already found."""
    model = Model.of(best.model.form.with_effect("additive"), best.model.rows)
    scales = model.scales
    start = np.where(shared_scales(scales), best.mode.theta, scales.start())
    return Candidate(model, find_mode(model.rows, scales, start, tolerance=tolerance))


def shared_scales(scales: Hyperparameters) -> npt.NDArray[np.bool_]:
    """Whether each place (size,) holds a scale that a form with the same loads has too: it is of no additive surface."""
    same = np.ones(scales.size, dtype=bool)
    for surface in scales.surfaces:
        same[surface.start : surface.metric.stop] = surface.kind.name != "additive"
    return same
