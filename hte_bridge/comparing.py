"""The front door: one study, one set of folds, several engines, one table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import numpy as np

from hte_bridge.adoption import Adoption
from hte_bridge.arrays import Array
from hte_bridge.comparison import Comparison
from hte_bridge.crossed import crossed
from hte_bridge.engine import Engine, Fit
from hte_bridge.errors import HteBridgeError
from hte_bridge.estimands.large import spilled
from hte_bridge.estimands.registry import check_names, make_rows, usual
from hte_bridge.faults import Guard, OnError, silent
from hte_bridge.fitting import NoFit, chosen_engines, fitted, versions_of
from hte_bridge.folds import folds_by
from hte_bridge.progress import steps
from hte_bridge.recipe import recipe
from hte_bridge.rows import distinct, engine_rows, engine_scores, under
from hte_bridge.scores import Scores
from hte_bridge.several_arms import ArmsStudy
from hte_bridge.stream import employed
from hte_bridge.stream.sample import in_memory
from hte_bridge.study import Folds, Study
from hte_bridge.table import Estimate, check_level
from hte_bridge.warned import warned

CHAIN_ROWS = 1_000  # of a Gaussian process whose posterior takes about as long as its fit


def compare(
    study: Study | Adoption | ArmsStudy,
    engines: Sequence[Engine | str],
    *,
    estimands: Sequence[str] | None = None,
    level: float = 0.95,
    seed: int = 0,
    n_folds: int = 5,
    on_error: OnError = "row",
    client: Any = None,
) -> Comparison:
    """Fit each engine on the same study and folds, and put their effects into one table.

    Parameters
    ----------
    study : Study, Adoption or ArmsStudy
    engines : sequence of Engine or {"feols", "grf", "deep"}
        Names stand for the engine with its defaults and ``seed``.
    estimands : sequence of str, optional
        By default those that the treatment identifies: ``ate``, ``att``, ``ato`` (binary) or ``ape`` (a dose, or
        any treatment with fixed effects), and the ``projection`` of the CATE on the covariates.
    level : float, default 0.95
        Coverage of the intervals.
    seed : int, default 0
        For the folds, and for engines given by name.
    n_folds : int, default 5
    on_error : {"row", "raise"}, default "row"
        What an exception does that nobody foresaw, of one engine or estimand: a row that says so, its traceback in
        ``meta["engines"][name]["traceback"]``; or, for developers, it is raised.
    client : distributed.Client, optional
        Of a study of files: the Dask cluster whose workers make the passes; by default the active one, else the cores of this machine.

    Returns
    -------
    Comparison
        Of an adoption an ``AdoptionComparison`` (docs/howto/adoption.md), of several arms an ``ArmsComparison`` (docs/howto/arms.md). A ``Table``; its ``fits`` predict, and its methods answer further questions from the same scores. An engine
        that cannot run, or an estimand that it cannot defend, has a row without numbers that says why.

    Raises
    ------
    InvalidOption
        For a level outside (0, 1), a negative seed, an unknown engine or estimand, or two engines of one name; and for an
        engine whose own options do not fit the study.
    InvalidData
        If the study is too small for the folds.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import hte_bridge as hb
    >>> rng = np.random.default_rng(1)
    >>> frame = pd.DataFrame({"x": rng.normal(size=200), "d": rng.integers(0, 2, 200)})
    >>> frame["y"] = frame["d"] * (1 + frame["x"]) + rng.normal(size=200)
    >>> study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"])
    >>> table = hb.compare(study, [hb.Feols()], seed=1)
    >>> table.to_frame()["estimand"].tolist()[:4]
    ['coefficient', 'coefficient', 'ate', 'att']
    """
    if isinstance(study, Adoption):
        from hte_bridge.staggered.comparing import compare_adoption

        options: dict[str, Any] = {"estimands": estimands, "level": level, "seed": seed}
        # typed as the usual case, as Study.from_frame is
        return cast(Any, compare_adoption(study, engines, **options, n_folds=n_folds, on_error=on_error))
    check_level(level)
    own: Any = employed(study, client)
    chosen = chosen_engines(engines, seed)
    if isinstance(study, ArmsStudy):
        from hte_bridge.comparing_arms import compare_arms

        folds = study.folds(n_folds, seed)
        each = partial(compared, engines=chosen, estimands=estimands, folds=folds)
        return cast(Any, compare_arms(study, partial(each, level=level, on_error=on_error), folds))
    folds = Folds.make(own, n_folds, seed)
    return compared(own, chosen, estimands=estimands, folds=folds, level=level, on_error=on_error)


def compared(
    study: Study,
    engines: Sequence[Engine],
    *,
    estimands: Sequence[str] | None,
    folds: Folds,
    level: float,
    on_error: OnError,
) -> Comparison:
    """``compare`` on folds that are given."""
    wanted = usual(study) if estimands is None else check_names(list(estimands))
    guard = Guard(on_error)
    rows: list[Estimate] = []
    fits: dict[str, Fit] = {}
    scores: dict[str, Scores] = {}
    seconds: dict[str, float] = {}
    for engine in steps(engines, "compare", total=len(engines)):
        began = time.perf_counter()
        own, said = (study, "") if reads_parts(engine, study) else in_memory(study, folds.seed)
        if said:
            again = partial(compared, own, [engine], estimands=wanted, level=level, on_error=on_error)
            made = again(folds=Folds.make(own, folds.n_folds, folds.seed))
            rows += [row.with_(influence=None, share=None, note=_beside(row.note, said)) for row in made.rows]
        else:
            fit = fitted(engine, own, folds, guard)
            if not isinstance(fit, NoFit):
                fits[engine.name] = fit
            rows += _rows(engine.name, fit, scores, wanted, folds, level, guard)
        seconds[engine.name] = round(time.perf_counter() - began, 2)
    rows = crossed(rows, study)
    with silent():
        meta = guard.noted(_meta(study, folds, fits, level, seconds))
        meta["code"] = recipe(study, engines, level, folds.seed, folds.n_folds)
    return Comparison(distinct(rows), meta, study, folds, fits, level, scores, on_error)


def reads_parts(engine: Engine, study: Study) -> bool:
    """Whether an engine can be given this study as it is: one of files needs an engine that says so by ``streams``."""
    return study.stored is None or bool(getattr(engine, "streams", False))


def _beside(note: str, said: str) -> str:
    return f"{note}; {said}" if note else said


def _rows(
    name: str,
    fit: Fit,
    scores: dict[str, Scores],
    wanted: Sequence[str],
    folds: Folds,
    level: float,
    guard: Guard,
) -> list[Estimate]:
    def make(estimand: str, each: Fit) -> list[Estimate]:
        if name not in scores:
            scores[name] = engine_scores(each)
        return make_rows(estimand, each.study, each, scores[name], folds, level)

    try:
        with guard(name, f"The rows that `{name}` makes itself"):
            out = [spilled(under(name, fit, row), fit.study.outcome) for row in fit.rows(level)]
    except HteBridgeError as error:
        out = [Estimate.missing("coefficient", str(error), n_obs=fit.study.n, level=level, engine=name)]
    for estimand in wanted:
        out += engine_rows(name, fit, estimand, partial(make, estimand), level, guard)
    return out


def later(fits: Mapping[str, Fit], folds: Folds, seconds: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """About how many seconds further questions take at first, from what the fits took.

    ``ranking``: models of the first folds, one fold less each, without errors where the engine can spare them (``point_effects``).
    ``cate``: a posterior from all rows, where it has not been made. Of a Gaussian process those are modes and draws on all rows, which grow a
    little faster than the folds' that were timed: as long as the fit at 1,000 rows, 1.7 times as long at 2,900 (11 and 19 s).
    """
    share = (folds.n_folds - 1) / 2  # of the rows, summed over the models
    ranking, cate = {}, {}
    for name, fit in fits.items():
        engine = getattr(fit, "options", None)
        if not isinstance(engine, Engine) or fit.heldout is None:
            continue
        spared = folds.n_folds if hasattr(engine, "point_effects") else 1
        ranking[name] = round(seconds[name] * share / spared, 2)
        branch = getattr(fit, "branch", None)
        if branch is not None and not branch.at_once:
            steps = max(1.0, (fit.study.n / CHAIN_ROWS) ** 0.5) if branch.kind == "kernel" else 1.0
            cate[name] = round(seconds[name] * steps, 2)
    return {"ranking": ranking, "cate": cate}


def _meta(
    study: Study, folds: Folds, fits: Mapping[str, Fit], level: float, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """All that a reader needs to rebuild the table, as plain values."""
    names = study.names
    held = {name: fit.heldout for name, fit in fits.items() if fit.heldout is not None}
    discrete = study.binary and not study.fixed_effects.shape[1]
    return {
        "n": study.n,
        "n_clusters": study.n_clusters if study.clustered else None,
        "n_second_clusters": None if study.second_cluster is None else int(study.second_cluster.max()) + 1,
        "cluster": names.cluster,
        "treated_share": float(np.average(study.treatment, weights=study.weight)) if study.binary else None,
        "treatment": "binary" if study.binary else "continuous",
        "propensity": {
            name: [float(each.propensity.min()), float(each.propensity.max())]
            for name, each in held.items()
            if discrete
        },
        "folds": folds.n_folds,
        "folds_by": folds_by(study, folds.n_folds),
        "seed": folds.seed,
        "level": level,
        "names": {
            "outcome": names.outcome,
            "treatment": names.treatment,
            "covariates": list(names.covariates),
            "controls": list(names.controls),
            "fixed_effects": list(names.fixed_effects),
            "cluster": names.cluster,
            "second_cluster": names.second_cluster,
            "weight": names.weight,
            "propensity": names.propensity,
        },
        "spread": _spread(study),
        "dropped": dict(study.dropped),
        **warned(study, held),
        "notes": {name: list(fit.notes) for name, fit in fits.items()},
        "seconds": dict(seconds),
        "later": later(fits, folds, seconds),
        "engines": {name: dict(fit.info) for name, fit in fits.items()},
        "versions": versions_of(fits),
    }


def _spread(study: Study) -> dict[str, float]:
    """Standard deviation of each covariate, by the name of its slope in the projection."""

    def of(column: Array) -> float:  # one column at a time in memory
        return float(
            np.average((column - np.average(column, weights=study.weight)) ** 2, weights=study.weight) ** 0.5
        )

    return {str(name): of(column) for name, column in zip(study.filled_names, study.filled.T, strict=True)}
