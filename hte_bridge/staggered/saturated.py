"""feols' own rows: one coefficient for each cohort in each period, by pyfixest, with effects of unit and period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hte_bridge.adoption import Adoption
from hte_bridge.arrays import Array, Codes
from hte_bridge.engines.regressed import on_basis, orthogonal, pyfixest_model
from hte_bridge.errors import NotIdentified
from hte_bridge.estimate import Estimate
from hte_bridge.scaling import EPS, Standard, independent, tolerance
from hte_bridge.staggered.effects import Effect
from hte_bridge.staggered.lines import line
from hte_bridge.sweeping import within

MOST = 1e8  # rows times columns, beyond which the regression would take minutes
SAID = {
    "never": "saturated regression of cohorts and periods on units never treated (Sun and Abraham, 2021)",
    "not_yet": "saturated regression on all untreated units and periods (Wooldridge, 2021)",
}


@dataclass(frozen=True, eq=False)
class Long:
    """The panel as rows (r,): unit, period place, cohort and outcome; ``pairs``: cohort and period place of each coefficient."""

    unit: Codes
    time: Codes
    cohort: Array
    outcome: Array
    pairs: tuple[tuple[float, int], ...]

    @classmethod
    def of(cls, study: Adoption) -> Long:
        """Rows that the design compares, and the pairs that it tells apart from the period before treatment is foreseen."""
        never = study.design.controls == "never"
        used = np.isin(study.cohort, study.own) | (np.isinf(study.cohort) if never else True)
        unit, time = np.nonzero(np.isfinite(study.outcome) & used[:, None])
        cohort, pairs = study.cohort[unit], []
        for each in study.own.tolist():
            before = np.flatnonzero(study.periods + study.design.anticipation < each)
            if not len(before):
                continue
            seen = set(time[cohort == each].tolist())
            wanted = range(len(study.periods)) if never else range(int(before[-1]) + 1, len(study.periods))
            pairs += [(each, t) for t in wanted if t != before[-1] and t in seen]
        return cls(unit, time, cohort, study.outcome[unit, time], tuple(pairs))

    def dummies(self) -> Array:
        """Columns (r, k) of the pairs."""
        return np.column_stack([(self.cohort == g) & (self.time == t) for g, t in self.pairs]).astype(
            np.float64
        )


def coefficients(study: Adoption, level: float) -> list[Estimate]:
    """A row ``coefficient`` for each pair of cohort and period: effects of unit and period, errors by cluster (CRV1).

    With never treated units alone leads are told too, against the last period before treatment is foreseen: Sun and Abraham (2021), Journal of
    Econometrics 225(2). With those not treated yet, all untreated rows are the comparison: Wooldridge (2021), SSRN 3906345. Covariates enter
    at the base period, net of their cohort's mean times each pair, and times each period.

    Raises
    ------
    NotIdentified
        If there are too many columns, or a pair's is a combination of others.
    """
    long = Long.of(study)
    own = long.dummies()
    others = _controls(study, long, own)
    if not own.shape[1] or own.shape[0] * (own.shape[1] + others.shape[1]) > MOST:
        raise NotIdentified(
            f"The saturated regression must be of a size that can be solved. It has {own.shape[0]:,} rows and {own.shape[1] + others.shape[1]:,} "
            "columns; its place is taken by the rows of cells."
        )
    effects: Codes = np.column_stack(
        [np.unique(each, return_inverse=True)[1] for each in (long.unit, long.time)]
    )
    found, influence, df = _solve(study, long, own, others, effects)
    rows = []
    for j, (cohort, time) in enumerate(long.pairs):
        term = f"{study.clock.text(cohort)}, {study.clock.text(float(study.periods[time]))}"
        lever = _lever(study, long, cohort, time)
        members = (study.cohort == cohort).astype(np.float64)
        row = line(
            "coefficient", term, Effect(float(found[0][j]), influence[:, j], lever, members), study, level
        )
        if row.std_error > 0:
            row = row.with_(
                std_error=float(found[1][j] ** 0.5), vcov=row.vcov.replace("CRV0", "CRV1"), df=min(row.df, df)
            )
        rows.append(row.with_(note=SAID[study.design.controls]))
    return rows


def _controls(study: Adoption, long: Long, own: Array) -> Array:
    """Covariates of each unit times each pair, net of the cohort's mean, and times each period but the first."""
    if not study.filled.shape[1]:
        return np.empty((len(long.unit), 0))
    x = _by_unit(study)[long.unit]
    x = x - x.mean(axis=0)
    net = x.copy()
    for each in np.unique(long.cohort[np.isfinite(long.cohort)]):
        inside = x[long.cohort == each]
        net[long.cohort == each] = np.where(np.ptp(inside, axis=0) > 0, inside - inside.mean(axis=0), 0.0)
    periods = [(long.time == t)[:, None] * x for t in range(1, len(study.periods))]
    return np.hstack([*(column[:, None] * net for column in own.T), *periods])


def _by_unit(study: Adoption) -> Array:
    """Covariates (n, q) of each unit: an adopter's at its base period, another's in the first cell that it is in.

    Of a unit that no cell sees twice: in its last period before treatment, or its first.
    """
    out = np.full((study.n, study.filled.shape[1]), np.nan)
    for own in (False, True):
        for k, cell in enumerate(study.cells):
            if own and not cell.post:
                continue
            chosen = cell.treated if own else np.isnan(out[cell.units, 0])
            out[cell.units[chosen]] = study.filled[study.part(k)][chosen]
    alone = np.flatnonzero(np.isnan(out[:, 0]))
    if len(alone):
        seen = study.rows[alone] >= 0
        before = seen & (study.periods + study.design.anticipation < study.cohort[alone, None])
        last = len(study.periods) - 1 - before[:, ::-1].argmax(axis=1)
        place = np.where(before.any(axis=1), last, seen.argmax(axis=1))
        rows = study.frame.iloc[study.rows[alone, place]]
        out[alone] = study.filler.transform(study.encoder.transform(study.encoder.frame(rows)))
    return out


def _solve(
    study: Adoption, long: Long, own: Array, others: Array, effects: Codes
) -> tuple[tuple[Array, Array], Array, float]:
    """Coefficients (k,) of the pairs and their variances (k,), influence (n, k) by unit, and degrees of freedom."""
    ones = np.ones(len(long.unit))
    raw = np.column_stack([long.outcome, others, own])
    swept = within(raw, effects, ones)
    standard = Standard.of(swept, ones)
    columns = standard(swept)
    scale = standard.scale
    live = scale > 0
    rounding = EPS * np.abs(raw).max(axis=0)[live] / scale[live]
    kept = independent(columns[:, 1:], tolerance(rounding))
    place = np.flatnonzero(kept)
    first = others.shape[1]
    if not kept[first:].all() or not live[0]:
        g, t = long.pairs[int(np.flatnonzero(~kept[first:])[0])] if live[0] else long.pairs[0]
        raise NotIdentified(
            f"Each pair of cohort and period must be told apart from the others. {study.clock.text(g)} in "
            f"{study.clock.text(float(study.periods[t]))} is not, given effects and covariates. Name fewer covariates."
        )
    basis, inverse = orthogonal(columns[:, 1:][:, place], ones)
    model: Any = pyfixest_model(columns[:, 0], basis, effects, None, study.cluster[long.unit])
    found, spread, where = on_basis(model, len(inverse))
    back = inverse[-own.shape[1] :] * (scale[0] / scale[1 + first :])[:, None]
    lever = np.asarray(model._bread)[:, where] @ back.T
    by_row = np.asarray(model._scores) @ lever
    influence: Array = np.column_stack(
        [np.bincount(long.unit, weights=column, minlength=study.n) for column in by_row.T]
    ).astype(np.float64)
    return (
        (back @ found, np.einsum("ij,jk,ik->i", back, spread, back)),
        influence,
        float(study.n_clusters - 1),
    )


def _lever(study: Adoption, long: Long, cohort: float, time: int) -> Array:
    """One over the number of units in the arm (n,): the cohort's, and those untreated in the period."""
    seen = np.zeros(study.n, dtype=bool)
    seen[long.unit[long.time == time]] = True
    treated = seen & (study.cohort == cohort)
    others = seen & study.design.compared(study.cohort, cohort, float(study.periods[time]))
    return treated / max(treated.sum(), 1) + others / max(others.sum(), 1)
