"""Why an engine's average effect differs from the feols coefficient: parts that add up, each with its error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from hte_bridge.between.compared import Reading
from hte_bridge.between.differences import difference
from hte_bridge.engine import Engine, Fit
from hte_bridge.errors import InvalidData, InvalidOption, NotIdentified
from hte_bridge.estimands.averages import ate, ato
from hte_bridge.estimands.moments import row_from_influence
from hte_bridge.format.figures import figures_of
from hte_bridge.scaling import Line, Standard, power
from hte_bridge.scores import Scores, scores, variance_of_treatment
from hte_bridge.study import Folds, Study
from hte_bridge.sweeping import within
from hte_bridge.table import Estimate, check_level

Rows = Literal["all", "complete"]
PARTS = ("sample", "controls", "effects", "weighting")
MEANING = {
    "sample": "rows that the regression drops",
    "controls": "nuisances learned by the engine in the place of linear controls, for one constant effect",
    "effects": "effects that differ between units in the place of one, on the same overlap weights",
    "weighting": "every unit counted alike in the place of weights by the variance of treatment",
}


@dataclass(frozen=True, eq=False)
class Stage:
    """An estimate on the way from the coefficient to the average effect, with its influence values (n,)."""

    name: str
    row: Estimate


def explain_gap(
    study: Study,
    engine: Fit | Engine | None = None,
    *,
    coefficient: Fit | None = None,
    rows: Rows = "all",
    folds: Folds | None = None,
    level: float = 0.95,
) -> Reading:
    """Split the gap between an engine's average effect and the feols coefficient into parts that add up to it.

    On the way from one to the other a single thing changes at each step: the rows (``sample``); linear controls become
    the engine's E[Y | x] and E[T | x], the effect still being one constant (``controls``: Robinson 1988, Econometrica
    56(4)); the constant becomes tau(x), units still weighted by Var(T | x) (``effects``: Li, Morgan and Zaslavsky 2018,
    JASA 113(521)); and all units count alike (``weighting``: OLS weighs by the variance of treatment, Angrist 1998,
    Econometrica 66(2); Sloczynski 2022, REStat 104(3)). Each part is a difference of two estimates from the same units,
    with the error of the difference of their influence values; nuisances are taken as learned.

    Parameters
    ----------
    study : Study
    engine : Fit or Engine, optional
        Whose average effect to explain; a causal forest by default.
    coefficient : Fit, optional
        The feols fit whose first row is the coefficient; fitted here by default.
    rows : {"all", "complete"}, default "all"
        All rows, missing covariates filled as in the table, or those without missing ones, as feols alone would.
    folds : Folds, optional
        For an engine that is still to be fitted.
    level : float, default 0.95

    Returns
    -------
    Reading
        ``coefficient`` of feols, ``gap`` with terms ``sample``, ``controls``, ``effects``, ``weighting`` and ``total``,
        and ``ate`` (``ape`` for a dose or with fixed effects) of the engine. The four parts add up to the total.

    Raises
    ------
    InvalidData
        If a fit is of other rows than the study's.
    NotIdentified
        If the engine has no held-out predictions for this study.
    """
    check_level(level)
    if rows not in get_args(Rows):
        raise InvalidOption(f"`rows` must be 'all' or 'complete'. {rows!r} was given. Choose one.")
    fit = _fitted(study, engine, folds)
    if fit.heldout is None:
        raise NotIdentified(fit.reasons.get("*", f"{fit.engine} has no held-out predictions for this study."))
    own = scores(study, fit.heldout)
    stages = [*_regressions(study, own, coefficient, rows, level), *_averages(study, fit, own, level)]
    label = f"{fit.engine} - {stages[0].row.engine}"
    parts = [_part(after, before, own, level).with_(engine=label) for before, after in pairwise(stages)]
    first, last = stages[0].row, stages[-1].row
    total = difference(last, first, own, level=level).with_(
        estimand="gap", term="total", engine=label, note=""
    )
    made = (first, *parts, total, last)
    return Reading(made, _meta(study, level) | {"reading": paragraph(first, parts, total, last)})


def _fitted(study: Study, engine: Fit | Engine | None, folds: Folds | None) -> Fit:
    if engine is None:
        from hte_bridge.engines.forest import CausalForest

        engine = CausalForest()
    fit = engine if isinstance(engine, Fit) else engine.fit(study, folds)
    if fit.study.n != study.n or not np.array_equal(fit.study.outcome, study.outcome):
        raise InvalidData(
            f"The fit must be of the study's {study.n:,} rows. It is of {fit.study.n:,} rows or another outcome. Fit the "
            "engine to this study."
        )
    return fit


def _meta(study: Study, level: float) -> dict[str, object]:
    clusters = study.n_clusters if study.clustered else None
    return {"n": study.n, "n_clusters": clusters, "cluster": study.names.cluster, "level": level}


def _regressions(study: Study, own: Scores, coefficient: Fit | None, rows: Rows, level: float) -> list[Stage]:
    """The coefficient as feols gives it, and that of the same regression on all of the study's rows."""
    everyone = linear(study, own, np.ones(study.n, dtype=bool), level)
    if rows == "complete":
        complete = np.asarray(np.isfinite(study.adjusted.covariates).all(axis=1))
        return [Stage("start", linear(study, own, complete, level)), Stage("sample", everyone)]
    if coefficient is None:
        from hte_bridge.engines.feols import Feols

        coefficient = Feols(plain=False).fit(study, None)
    start = next((row for row in coefficient.rows(level) if row.estimand == "coefficient"), None)
    if start is None:
        raise InvalidOption(
            f"`coefficient` must be a fit with a coefficient. {coefficient.engine} has none. Hand over hb.Feols().fit(study)."
        )
    return [Stage("start", start.with_(engine=coefficient.engine)), Stage("sample", everyone)]


def linear(study: Study, own: Scores, keep: npt.NDArray[Any], level: float) -> Estimate:
    """Coefficient of the treatment in outcome ~ treatment + covariates + controls (+ effects) on the rows kept.

    By the theorem of Frisch, Waugh and Lovell; influence values (n,) are zero for rows left out.
    """
    covariates = study.adjusted.filled if keep.all() else study.adjusted.covariates
    weight, effects = study.weight[keep], study.fixed_effects[keep]
    columns = np.column_stack([study.outcome[keep], study.treatment[keep], covariates[keep]])
    if effects.shape[1]:
        columns = within(columns, effects, weight)
    standard = Standard.of(columns[:, :2], weight)
    line = Line.fit(columns[:, 2:], columns[:, :2], weight, intercept=not effects.shape[1])
    left = (columns[:, :2] - line.predict(columns[:, 2:])) / power(standard.scale)
    y, t = left.T
    spread = float(weight @ t**2)
    slope = float(weight @ (t * y)) / spread
    unit = float(power(standard.scale[0]) / power(standard.scale[1]))
    influence = np.zeros(study.n)
    influence[keep] = unit * weight * t * (y - slope * t) / spread
    slope *= unit
    return row_from_influence(
        "coefficient", slope, influence, own, level=level, term=study.names.treatment, engine="feols"
    )


def _averages(study: Study, fit: Fit, own: Scores, level: float) -> list[Stage]:
    """The engine's constant effect, its effect on the overlap, and its average effect."""
    assert fit.heldout is not None
    weight = own.weight * variance_of_treatment(fit.heldout)
    share = weight / weight.sum()
    overlap = float(share @ own.gamma)
    middle = row_from_influence("overlap", overlap, share * (own.gamma - overlap), own, level=level)
    binary = study.binary and not study.fixed_effects.shape[1]
    last = ate(own, level=level, estimand="ate" if binary else "ape").with_(engine=fit.engine)
    return [
        Stage("controls", ato(own, level=level)),
        Stage("effects", middle),
        Stage("weighting", last),
    ]


def _part(after: Stage, before: Stage, own: Scores, level: float) -> Estimate:
    row = difference(after.row, before.row, own, level=level)
    same = row.influence is not None and not row.std_error > 0
    note = (
        f"{MEANING[after.name]}: none here"
        if same
        else "; ".join(filter(None, [MEANING[after.name], row.note]))
    )
    return replace(row, estimand="gap", term=after.name, note=note)


def paragraph(first: Estimate, parts: Sequence[Estimate], total: Estimate, last: Estimate) -> str:
    """What the parts say, in words."""
    lines = [
        f"{first.engine} says {_number(first)}, {last.engine} {_number(last)}: a gap of {_number(total)}"
        + (_chance(total) if total.std_error > 0 else "")
        + "."
    ]
    clear = sorted((row for row in parts if row.p_value < 1 - row.level), key=lambda row: -abs(row.estimate))
    noise = [row for row in parts if row.std_error > 0 and row not in clear]
    for row in clear:
        lines.append(f"{_number(row)} of it comes from {row.term}: {SAYS[row.term][row.estimate > 0]}.")
    if noise:
        said = [f"{_number(row)} for {row.term}" for row in noise]
        if clear:
            lines.append(f"The rest ({', '.join(said)}) is within noise.")
        else:
            lines.append(
                f"Every part ({', '.join(said)}) is within noise: these data give no reason to prefer one number to the "
                "other."
            )
    if any(row.term == "sample" and not row.std_error > 0 for row in parts):
        lines.append("Both use the same rows.")
    return " ".join(lines)


SAYS = {
    "sample": (
        "rows that the regression drops have smaller effects, or change what the controls take out",
        "rows that the regression drops have larger effects, or change what the controls take out",
    ),
    "controls": (
        "linear controls leave confounding in that raises the coefficient",
        "linear controls leave confounding in that lowers the coefficient",
    ),
    "effects": (
        "where treatment varied more than its fitted propensity says, effects are larger",
        "where treatment varied less than its fitted propensity says, effects are larger",
    ),
    "weighting": (
        "feols gives most weight to units whose treatment is least certain, and their effects are larger than average",
        "feols gives most weight to units whose treatment is least certain, and their effects are smaller than average",
    ),
}


def _number(row: Estimate) -> str:
    by = figures_of([row], kept=2, least=0)
    return (
        f"{by.text(row.estimate)} ({by.error(row.std_error)})" if row.std_error > 0 else by.text(row.estimate)
    )


def _chance(row: Estimate) -> str:
    return ", more than chance" if row.p_value < 1 - row.level else ", no more than chance"
