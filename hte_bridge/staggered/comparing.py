"""Engines on an adoption: one study, one set of folds, one table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from hte_bridge.adoption import Adoption
from hte_bridge.engine import Engine
from hte_bridge.errors import HteBridgeError, InvalidOption, nearest
from hte_bridge.estimate import Estimate, check_level
from hte_bridge.faults import Guard, OnError, silent
from hte_bridge.fitting import NoFit, chosen_engines, fitted, versions_of
from hte_bridge.progress import steps
from hte_bridge.staggered.aggregate import FAMILIES
from hte_bridge.staggered.comparison import AdoptionComparison, guarded
from hte_bridge.staggered.fits import PLAIN, AdoptionFit, Linear, Stacked
from hte_bridge.staggered.saturated import coefficients
from hte_bridge.staggered.stack import stack_of
from hte_bridge.study import Folds, Study

COEFFICIENT = "coefficient"  # feols' own rows


def compare_adoption(
    study: Adoption,
    engines: Sequence[Engine | str],
    *,
    estimands: Sequence[str] | None = None,
    level: float = 0.95,
    seed: int = 0,
    n_folds: int = 5,
    on_error: OnError = "row",
) -> AdoptionComparison:
    """Each engine's effects of an adoption: of cells, by event time, cohort and calendar period, and of all.

    An engine with an attribute ``adoption`` (feols) is linear within each cell, which rebuilds R's did; the others are fitted to the stack of
    cells, a unit's rows in one fold. Without covariates there is nothing to learn and all take differences of means.

    Raises
    ------
    InvalidOption
        For a level outside (0, 1), an unknown engine or estimand, or two engines of one name.
    """
    check_level(level)
    chosen, guard = chosen_engines(engines, seed), Guard(on_error)
    wanted = [COEFFICIENT, *FAMILIES] if estimands is None else _checked(list(estimands))
    learning = bool(study.names.covariates) and any(
        getattr(each, "adoption", None) is None for each in chosen
    )
    learned = Learned.of(study, n_folds, seed) if learning else Learned()
    rows: list[Estimate] = []
    fits: dict[str, AdoptionFit] = {}
    seconds: dict[str, float] = {}
    for engine in steps(chosen, "compare", total=len(chosen)):
        began = time.perf_counter()
        fit = fit_of(study, engine, learned, guard)
        rows += _rows(fit, wanted, level, guard)
        if not fit.why:
            fits[engine.name] = fit
        seconds[engine.name] = round(time.perf_counter() - began, 2)
    with silent():
        meta = guard.noted(_meta(study, fits, learned.folds, level, seed, seconds))
    return AdoptionComparison(tuple(rows), meta, study, fits, level, learned.folds, on_error)


def _checked(names: list[str]) -> list[str]:
    known = (COEFFICIENT, *FAMILIES)
    for name in names:
        if name not in known:
            offer = nearest(name, known, kind="They")
            raise InvalidOption(
                f"`estimands` of an adoption must be among {', '.join(known)}. `{name}` is not. {offer}"
            )
    return names


@dataclass(frozen=True, eq=False)
class Learned:
    """What engines learn from: the stack and its folds, or why there are none; engines that need none go on."""

    stack: Study | None = None
    folds: Folds | None = None
    why: str = ""

    @classmethod
    def of(cls, study: Adoption, n_folds: int, seed: int) -> Learned:
        """Made from an adoption."""
        try:
            stack = stack_of(study)
            return cls(stack, Folds.make(stack, n_folds, seed))
        except InvalidOption:
            raise
        except HteBridgeError as error:
            return cls(why=str(error))


def fit_of(study: Adoption, engine: Engine, learned: Learned, guard: Guard) -> AdoptionFit:
    """One engine's fit; where it cannot run, one that says why."""
    method = getattr(engine, "adoption", None)
    if method is not None or not study.names.covariates:
        notes = () if study.names.covariates else (PLAIN,)
        info = {"within cells": method or "means"}
        return AdoptionFit(
            engine.name, study, Linear(study, method or "dr"), None, "", notes, info, method is not None
        )
    if learned.stack is None or learned.folds is None:
        return AdoptionFit(engine.name, study, None, why=learned.why)
    found = fitted(engine, learned.stack, learned.folds, guard)
    if isinstance(found, NoFit) or found.heldout is None:
        return AdoptionFit(
            engine.name, study, None, why=found.reasons.get("*", "This engine has no held-out predictions.")
        )
    scored = Stacked(study, found.heldout)
    return AdoptionFit(engine.name, study, scored, found, "", tuple(found.notes), dict(found.info))


def _rows(fit: AdoptionFit, wanted: Sequence[str], level: float, guard: Guard) -> list[Estimate]:
    rows: list[Estimate] = []
    for estimand in wanted:
        make = partial(fit.family, estimand, level)
        if estimand == COEFFICIENT:
            if not fit.saturated:
                continue
            make = partial(coefficients, fit.study, level)
        rows += guarded(fit.engine, fit, estimand, make, level, guard)
    return rows


def _meta(
    study: Adoption,
    fits: Mapping[str, AdoptionFit],
    folds: Folds | None,
    level: float,
    seed: int,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """All that a reader needs to rebuild the table, as plain values."""
    names = study.names
    learned = {name: fit.stack_fit for name, fit in fits.items() if fit.stack_fit is not None}
    return {
        "n": study.n,
        "n_clusters": study.n_clusters if study.clustered else None,
        "cluster": names.cluster,
        "treatment": "adoption",
        "treated_share": float(np.isfinite(study.cohort).mean()),
        "folds": folds.n_folds if folds is not None else None,
        "seed": seed,
        "level": level,
        "names": {
            "outcome": names.outcome,
            "treatment": names.treatment,
            "covariates": list(names.covariates),
            "fixed_effects": [],
            "cluster": names.cluster,
            "weight": None,
            "propensity": None,
            "unit": names.unit,
            "period": names.period,
        },
        "adoption": {
            "controls": study.design.controls,
            "anticipation": study.design.anticipation,
            "base_period": study.design.base_period,
            "cells": len(study.cells),
        },
        "dropped": dict(study.dropped),
        "warnings": [f"data: {each}" for each in study.notes],
        "notes": {name: list(fit.notes) for name, fit in fits.items()},
        "seconds": dict(seconds),
        "engines": {name: dict(fit.info) for name, fit in fits.items()},
        "versions": versions_of(learned),
    }
