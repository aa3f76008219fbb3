"""Rows of an engine: its own and those made from its scores, with its notes, and without the errors that its study cannot defend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hte_bridge.engine import Fit
from hte_bridge.errors import HteBridgeError, NotIdentified
from hte_bridge.scores import Scores
from hte_bridge.scores import scores as scores_of
from hte_bridge.study import SHORT, UNDEFENDED, Study
from hte_bridge.table import Estimate


def engine_scores(fit: Fit) -> Scores:
    """Scores of a fit, or the engine's reason for having none."""
    if fit.heldout is None:
        raise NotIdentified(fit.reasons.get("*", "This engine has no held-out predictions for this study."))
    return scores_of(fit.study, fit.heldout)


def engine_rows(
    name: str, fit: Fit, estimand: str, make: Callable[[Fit], list[Estimate]], level: float
) -> list[Estimate]:
    """Rows of one estimand under the engine's name and notes; a sentence in place of numbers it cannot give."""
    size = {"n_obs": fit.study.n, "n_clusters": fit.study.n_clusters, "level": level, "engine": name}
    reason = fit.reasons.get(estimand) or (fit.reasons.get("*") if fit.heldout is None else None)
    if reason:
        return [Estimate.missing(estimand, reason, **size)]
    try:
        made = make(fit)
    except (HteBridgeError, ArithmeticError) as error:
        return [Estimate.missing(estimand, str(error), **size)]
    return [under(name, fit, row) for row in made]


def under(name: str, fit: Fit, row: Estimate) -> Estimate:
    """A row under the engine's name, with the engine's notes added to its own; without an error where its study cannot defend one."""
    notes = [note for note in fit.notes if note]
    if fit.study.effective_clusters < UNDEFENDED and "randomisation" not in row.vcov:
        if row.std_error > 0 or row.test is not None or row.interval is not None:
            notes.append(too_few(fit.study))
        row = row.with_(std_error=np.nan, test=None, interval=None, influence=None)
    note = "; ".join(notes)
    return row.with_(engine=name, **({"note": note} if note else {}))


def too_few(study: Study) -> str:
    """Why rows of this study have no error, or that theirs are too small; empty with enough clusters."""
    found = study.effective_clusters
    if found >= SHORT:
        return ""
    what = f"clusters of `{study.names.cluster}`" if study.clustered else "units"
    lies = (
        f"the variation of `{study.names.treatment}` lies in few {what}, as in {found:.1f} of equal size (of {study.n_clusters:,}), and "
        "errors from their residuals are too small"
    )
    if found < UNDEFENDED:
        way = (
            "compare the estimate with placebo treatments of untreated units (Conley and Taber, 2011)"
            if study.fixed_effects.shape[1]
            else "`randomisation()` tests without them"
        )
        return f"no interval: {lies} by far; {way}"
    return f"intervals are too short: {lies}"
