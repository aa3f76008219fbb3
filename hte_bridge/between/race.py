"""Which engine's CATE predicts best held-out, and whether one adds anything to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array, Codes
from hte_bridge.between.compared import Compared, Reading, able, guard_of, read, study_scores
from hte_bridge.between.differences import difference
from hte_bridge.crossfit import out_of_fold
from hte_bridge.engine import HeldOut
from hte_bridge.errors import HteBridgeError
from hte_bridge.estimands.moments import row_from_influence
from hte_bridge.estimands.ranking import rate_by_fold
from hte_bridge.estimands.regression import least_squares
from hte_bridge.estimands.sequential import How
from hte_bridge.estimands.sequential import ranking as ranking_of
from hte_bridge.estimands.ties import FLAT, ROUNDING, within_folds
from hte_bridge.faults import Guard
from hte_bridge.scores import Scores, variance_of_treatment
from hte_bridge.study import Folds, Study
from hte_bridge.table import Estimate, check_level

CONSTANT = "constant"
BEYOND = "adds"
LOSS_NOTE = "mean squared held-out residual; less is better"
RATE_NOTE = "held-out ranks and scores share their folds: a RATE far from zero is no test of heterogeneity here, `rate()` has one"


def race(table: Compared, *, ranking: How = "sequential", level: float | None = None) -> Reading:
    """Held-out losses of each engine's CATE, RATEs with one engine ranking and another scoring, and all differences.

    Nuisances are common to all engines, so that the CATE alone decides: E[Y | x] and E[T | x] from whichever engine
    predicts outcome and treatment best. With fixed effects each model is judged whole, by its residual within the effects.

    Parameters
    ----------
    table : Comparison
    ranking : {"sequential", "heldout", "independent"}, default "sequential"
        Who ranks units for a RATE: models of earlier folds, which are fitted here and leave an interval; or the held-out
        predictions at hand, which leave none; see ``estimands.sequential``.
    level : float, optional
        Coverage of the intervals; the table's by default.

    Returns
    -------
    Reading
        For each engine and ``constant`` (the mean effect of the other folds): ``r_loss``, the mean of
        (Y - m - (T - e) tau)^2 (Nie and Wager 2021, Biometrika 108(2)); ``dr_loss``, the mean of (Gamma - tau)^2
        (Kennedy 2023, EJS 17(2)); and ``rate`` (AUTOC), ranked by the engine and scored by each other one
        (Yadlowsky et al. 2025, JASA 120(549)). For each pair the paired difference of these; and ``adds``: the weight of
        one engine in the best mix with the other, zero if it adds nothing (Harvey, Leybourne and Newbold 1998,
        JBES 16(2)). Errors by cluster, predictions taken as they are; where nothing is to be added, one is said to add in
        some 5 % of data sets (docs/between.md).

    Raises
    ------
    InvalidOption
        If fewer than two engines have held-out predictions.
    """
    level = check_level(table.level if level is None else level)
    held = {name: fit.heldout for name, fit in able(table).items() if fit.heldout is not None}
    judge = Judge.of(table.study, held)
    racing = dict(held)
    if judge.common:
        racing[CONSTANT] = replace(judge.nuisance, cate=_constant(table.study, table.folds, judge))
    weights = study_scores(table.study)
    kinds = ("r_loss", "dr_loss") if judge.common else ("r_loss",)
    rows, by_key = [], {}
    for kind in kinds:
        for name, each in racing.items():
            row = _mean(kind, judge.loss(kind, each), weights, level).with_(engine=name, note=judge.note)
            by_key[kind, name] = row
            rows.append(row)
    rows += [
        difference(by_key[kind, second], by_key[kind, first], weights, level=level).with_(
            engine=f"{second} - {first}"
        )
        for kind in kinds
        for first, second in combinations(racing, 2)
    ]
    guard = guard_of(table)
    rows += _rates(table, held, ranking, level, guard)
    added = _adds(judge, racing, table.folds.fold, weights, level)
    return read([*rows, *added], table.meta, paragraph(rows, added, racing), guard)


@dataclass(frozen=True, eq=False)
class Judge:
    """What the CATEs are judged by: outcome, treatment and nuisances common to all, or each engine's own."""

    study: Study
    nuisance: HeldOut
    common: bool
    note: str

    @classmethod
    def of(cls, study: Study, held: Mapping[str, HeldOut]) -> Judge:
        """Nuisances from whichever engine predicts outcome, and treatment, best; CATE the mean over engines."""
        first = next(iter(held.values()))
        if study.fixed_effects.shape[1]:
            return cls(
                study, first, False, f"{LOSS_NOTE}; with fixed effects each engine by its own nuisances"
            )

        def best(column: str, target: Array) -> str:
            losses = {
                name: np.average((target - getattr(each, column)) ** 2, weights=study.weight)
                for name, each in held.items()
            }
            return min(losses, key=lambda name: losses[name])

        by_mean, by_dose = best("outcome_mean", study.outcome), best("propensity", study.treatment)
        cate = np.mean([each.cate for each in held.values()], axis=0)
        mean, dose = held[by_mean], held[by_dose]
        nuisance = HeldOut(cate, mean.outcome_mean, dose.propensity, dose.treatment_variance, dose.lost)
        return cls(study, nuisance, True, f"{LOSS_NOTE}; E[Y | x] from {by_mean}, E[T | x] from {by_dose}")

    def residual(self, held: HeldOut) -> Array:
        """Y - m - (T - e) tau (n,)."""
        base = self.nuisance if self.common else held
        return self.study.outcome - base.outcome_mean - (self.study.treatment - base.propensity) * held.cate

    def loss(self, kind: str, held: HeldOut) -> Array:
        """Squared residual (n,), or squared distance to doubly robust scores that all engines share."""
        if kind == "r_loss":
            return self.residual(held) ** 2
        lever = (self.study.treatment - self.nuisance.propensity) / variance_of_treatment(self.nuisance)
        gamma = self.nuisance.cate + lever * self.residual(self.nuisance)
        return np.asarray((gamma - held.cate) ** 2)


def _constant(study: Study, folds: Folds, judge: Judge) -> Array:
    """The constant effect that the other folds fit best (n,)."""
    left = study.treatment - judge.nuisance.propensity
    moved = study.outcome - judge.nuisance.outcome_mean
    weight = study.weight

    def fit_predict(train: npt.NDArray[np.int64], test: npt.NDArray[np.int64]) -> Array:
        slope = float((weight * left * moved)[train].sum() / (weight * left**2)[train].sum())
        return np.full(len(test), slope)

    return out_of_fold(fit_predict, folds, study.n)


def _mean(estimand: str, values: Array, scores: Scores, level: float) -> Estimate:
    share = scores.weight / scores.weight.sum()
    estimate = float(share @ values)
    row = row_from_influence(estimand, estimate, share * (values - estimate), scores, level=level)
    return row.with_(test=(np.nan, np.nan))  # that a loss is not zero is no news


def _rates(
    table: Compared, held: Mapping[str, HeldOut], how: How, level: float, guard: Guard
) -> list[Estimate]:
    """AUTOC ranked by one engine and scored by another, and differences of two rankers under one scorer."""
    rows: list[Estimate] = []
    for scorer in held:
        made = {name: _rate(table, name, scorer, how, level, guard) for name in held}
        rows += [made[ranker] for ranker in held if ranker != scorer]
        for first, second in combinations(held, 2):
            row = difference(made[second], made[first], study_scores(table.study), level=level)
            unsure = np.isfinite(row.estimate) and not made[second].std_error > 0
            note = made[second].note if unsure else row.note  # the ranking says why it leaves no interval
            rows.append(replace(row, engine=f"{second} - {first}", note=note))
    return rows


def _rate(table: Compared, ranker: str, scorer: str, how: How, level: float, guard: Guard) -> Estimate:
    term = f"scored by {scorer}"
    try:
        with guard(ranker, f"`rate` of `{ranker}`, {term},"):
            ranked = ranking_of(table.fits[ranker], table.folds, how)
            row = rate_by_fold(table.scores(scorer), ranked, targets=["autoc"], level=level)[0]
    except HteBridgeError as error:
        return Estimate.missing("rate", str(error), term=term, engine=ranker, level=level)
    return replace(row, engine=ranker, term=term)


def _adds(
    judge: Judge, racing: Mapping[str, HeldOut], fold: Codes, scores: Scores, level: float
) -> list[Estimate]:
    """Weight of each engine in the best mix with each other one, both moved to one level in each fold.

    With residuals r of the first and s of the second, the mix's residual is r - w (r - s): w is a regression slope. What
    one fold's models predict over another's is no effect that differs, and takes no part.
    """
    net = {name: within_folds(each.cate, fold, scores.weight) for name, each in racing.items()}
    rows = []
    for first, second in combinations(racing, 2):
        level_of = sum(racing[name].cate - net[name] for name in (first, second)) / 2
        one, two = (judge.residual(replace(racing[k], cate=level_of + net[k])) for k in (first, second))
        gap = one - two
        flat = not (net[first].any() or net[second].any())
        if flat or not np.abs(gap).max() > ROUNDING * np.abs(one).max():
            note = FLAT if flat else f"{first} and {second} predict the same"
            rows += [
                Estimate.missing(
                    BEYOND, note, term=f"beyond {other}", engine=name, level=level, n_obs=scores.n
                )
                for name, other in ((second, first), (first, second))
            ]
            continue
        fit = least_squares(one, gap[:, None], scores.weight, scores.cluster, "HC0")
        row = row_from_influence(
            BEYOND, fit.coefficients[0], fit.influence[:, 0], scores, level=level, term=f"beyond {first}"
        )
        note = "weight in the best mix of the two, by held-out loss"
        row = row.with_(engine=second, note=note)
        turned = replace(row, estimate=1 - row.estimate, engine=first, term=f"beyond {second}")
        rows += [row, replace(turned, influence=-fit.influence[:, 0])]
    return rows


def paragraph(rows: list[Estimate], added: list[Estimate], racing: Mapping[str, HeldOut]) -> str:
    """The winner, and for each pair what one adds to the other, both directions."""
    losses = {row.engine: row for row in rows if row.estimand == "r_loss" and row.engine in racing}
    order = sorted((name for name in losses if name != CONSTANT), key=lambda name: losses[name].estimate)
    lines = [f"By held-out loss the order is {', '.join(order)}."]
    for row in added:
        if row.term == f"beyond {CONSTANT}" and not row.conf_low > 0:
            lines.append(f"{row.engine} adds nothing that these data can show to one constant effect.")
    for row in added:
        other = row.term.removeprefix("beyond ")
        if CONSTANT in (row.engine, other) or not np.isfinite(row.estimate):
            continue
        if row.conf_low > 0:
            ends = f"{row.level:.0%} interval {row.conf_low:.2f} to {row.conf_high:.2f}"
            lines.append(f"{row.engine} adds to {other}: the best mix gives it {row.estimate:.2f} ({ends}).")
        else:
            lines.append(f"{row.engine} adds nothing beyond {other} that these data can show.")
    return " ".join(lines)
