"""What makes the rows of each name that `compare(estimands=[...])` takes; ``estimand.ESTIMANDS`` lists them."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import Any

from hte_bridge.engine import Engine, Fit
from hte_bridge.errors import InvalidOption, NotIdentified, nearest
from hte_bridge.estimand import ESTIMANDS, askable
from hte_bridge.estimands.benchmarks import BESIDE
from hte_bridge.estimands.calibration import calibration
from hte_bridge.estimands.confounding import coefficient_sensitivity
from hte_bridge.estimands.doses import dose_curve
from hte_bridge.estimands.folded import without_interval
from hte_bridge.estimands.group_labels import labels_of
from hte_bridge.estimands.groups import clan, gate, gates
from hte_bridge.estimands.policy import policy
from hte_bridge.estimands.projection import projection
from hte_bridge.estimands.ranking import rate_by_fold
from hte_bridge.estimands.sensitivity import score_sensitivity
from hte_bridge.estimands.sequential import How, engine_of, folds_of, ranking
from hte_bridge.estimands.splits import repeated
from hte_bridge.scores import Scores
from hte_bridge.scores import scores as scores_of
from hte_bridge.study import Folds, Study
from hte_bridge.table import Estimate


def projection_rows(study: Study, scores: Scores, level: float) -> list[Estimate]:
    """Best linear projection on the covariates as they were given."""
    wide = len(study.names.covariates)  # without the indicators of gaps, which are no questions of the user
    return projection(scores, study.filled[:, :wide], study.names.covariates, level=level)


def gates_rows(
    fit: Fit, scores: Scores, folds: Folds, how: How = "sequential", *, level: float, **options: Any
) -> list[Estimate]:
    """``groups.gates`` of a fit under a ranking, with the ranking's note."""
    ranked = ranking(fit, folds, how)
    rows = gates(scores, ranked.priority, ranked.fold, level=level, **options)
    return [without_interval(row.with_(note=ranked.note), ranked) for row in rows]


def clan_rows(
    fit: Fit, scores: Scores, folds: Folds, how: How = "sequential", *, level: float, groups: int = 5
) -> list[Estimate]:
    """``groups.clan`` of a fit's own covariates; who is in a group leaves an interval under any ranking."""
    ranked, study = ranking(fit, folds, how), fit.study
    rows = clan(
        scores,
        study.covariates,
        study.names.covariates,
        ranked.priority,
        ranked.fold,
        groups=groups,
        level=level,
    )
    return rows if ranked.how == "heldout" else [row.with_(note=ranked.note) for row in rows]


def sensitivity_rows(
    study: Study, fit: Fit, scores: Scores, level: float, benchmarks: bool = False
) -> list[Estimate]:
    """Cinelli and Hazlett's rows for an engine with a coefficient of its own, and those of its scores."""
    rows = score_sensitivity(scores, level=level)
    if not any(row.estimand == "coefficient" for row in fit.rows(level)):
        return rows
    made = coefficient_sensitivity(study, level=level)
    own = [row.with_(term=f"coefficient: {row.term}") for row in made if benchmarks or BESIDE not in row.term]
    return [*rows, *own]


def gate_rows(study: Study, scores: Scores, level: float) -> list[Estimate]:
    """Groups of each covariate in turn, its values or quartiles; ``Comparison.gate`` takes any column and bins."""
    if study.frame is None:
        raise NotIdentified(
            "`gate` needs the frame of the study. Use Study.from_frame, or Comparison.gate(by=labels)."
        )
    rows: list[Estimate] = []
    for name in study.encoder.sources:
        made = gate(scores, labels_of(study.frame[name]), name=name, level=level)
        rows += [row.with_(term=f"{name}: equal") if row.term == "equal" else row for row in made]
    return rows


def dose_rows(study: Study, scores: Scores, folds: Folds, level: float) -> list[Estimate]:
    """Curve of the outcome in a dose, given covariates and controls."""
    if study.fixed_effects.shape[1]:
        raise NotIdentified(
            "A dose curve needs a study without fixed effects. Read `ape`, or give effects as covariates."
        )
    return dose_curve(scores, study.adjusted.filled, folds.fold, level=level)


def calibration_rows(fit: Fit, scores: Scores, folds: Folds, level: float) -> list[Estimate]:
    """grf's calibration test within the folds of the fit."""
    return calibration(scores, fold=folds_of(fit, folds), level=level)


def rate_rows(fit: Fit, scores: Scores, folds: Folds, level: float) -> list[Estimate]:
    """Whether units that earlier folds rank first gain more."""
    return rate_by_fold(scores, ranking(fit, folds, "sequential"), level=level)


def policy_rows(fit: Fit, scores: Scores, folds: Folds, level: float) -> list[Estimate]:
    """What treating by a ranking of earlier folds is worth."""
    return policy(scores, ranking(fit, folds, "sequential"), level=level)


def make_rows(
    estimand: str, study: Study, fit: Fit, scores: Scores, folds: Folds, level: float
) -> list[Estimate]:
    """The rows of one name: what makes them is given what it names."""
    make = ESTIMANDS[estimand].make
    if isinstance(make, str):
        module, _, name = make.partition(".")
        make = getattr(import_module(f"hte_bridge.estimands.{module}"), name)
    there = {"study": study, "fit": fit, "scores": scores, "folds": folds, "level": level}
    made = make(**{name: there[name] for name in signature(make).parameters if name in there})
    return [made] if isinstance(made, Estimate) else list(made)


def repeated_rows(
    estimand: str, fit: Fit, *, n_splits: int, n_folds: int, seed: int, level: float
) -> list[Estimate]:
    """Rows of one name refitted on several splits, by their medians; ``splits.repeated``."""

    def make(study: Study, engine: Engine, folds: Folds) -> list[Estimate]:
        again = engine.fit(study, folds)
        if again.heldout is None:
            raise NotIdentified(
                again.reasons.get("*", "This engine has no held-out predictions for this study.")
            )
        return make_rows(estimand, study, again, scores_of(study, again.heldout), folds, level)

    engine = engine_of(fit)
    return repeated(fit.study, engine, make, n_splits=n_splits, n_folds=n_folds, seed=seed, level=level)


def usual(study: Study) -> tuple[str, ...]:
    """Estimands of the table when none are named: those that the treatment identifies."""
    if study.binary and not study.fixed_effects.shape[1]:
        return ("ate", "att", "ato", "projection")
    return ("ape", "projection")


def check_names(names: list[str]) -> tuple[str, ...]:
    """The names themselves, if each is known.

    Raises
    ------
    InvalidOption
        With the nearest names where one is not.
    """
    for name in names:
        if not isinstance(name, str) or name not in askable():
            close = nearest(str(name), askable(), kind="The estimands")
            raise InvalidOption(f"`estimands` must name known estimands. `{name}` is not one. {close}")
    return tuple(names)
