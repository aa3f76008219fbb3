"""The front door: one study, one set of folds, several engines, one table."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd

from hte_bridge.comparison import Comparison
from hte_bridge.engine import Engine, Fit, HeldOut
from hte_bridge.errors import HteBridgeError, InvalidData, InvalidOption, UnusablePrediction, nearest
from hte_bridge.estimands.registry import MAKERS, check_names, usual
from hte_bridge.faults import Guard, OnError, silent
from hte_bridge.progress import steps
from hte_bridge.rows import distinct, engine_rows, engine_scores, too_few, under
from hte_bridge.scores import Scores, overlap_warning
from hte_bridge.shown import Fitted
from hte_bridge.study import UNDEFENDED, Folds, Study
from hte_bridge.table import Estimate, check_level

ENGINES = ("feols", "grf", "deep")


@dataclass(frozen=True, eq=False, repr=False)
class NoFit(Fitted):
    """An engine that could not run: every row of it says why."""

    engine: str
    study: Study
    why: str
    heldout: HeldOut | None = None
    notes: tuple[str, ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reasons(self) -> Mapping[str, str]:
        """The same sentence for every estimand."""
        return {"*": self.why}

    def rows(self, level: float) -> list[Estimate]:
        """None of its own."""
        return []

    def cate(self, new: Any, level: float = 0.95) -> pd.DataFrame:
        """Raise the sentence."""
        raise InvalidOption(self.why)


def compare(
    study: Study,
    engines: Sequence[Engine | str],
    *,
    estimands: Sequence[str] | None = None,
    level: float = 0.95,
    seed: int = 0,
    n_folds: int = 5,
    on_error: OnError = "row",
) -> Comparison:
    """Fit each engine on the same study and folds, and put their effects into one table.

    Parameters
    ----------
    study : Study
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

    Returns
    -------
    Comparison
        A ``Table``; its ``fits`` predict, and its methods answer further questions from the same scores. An engine
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
    check_level(level)
    chosen = _engines(engines, seed)
    wanted = usual(study) if estimands is None else check_names(list(estimands))
    folds, guard = Folds.make(study, n_folds, seed), Guard(on_error)
    rows: list[Estimate] = []
    fits: dict[str, Fit] = {}
    scores: dict[str, Scores] = {}
    seconds: dict[str, float] = {}
    for engine in steps(chosen, "compare", total=len(chosen)):
        began = time.perf_counter()
        fit = _fit(engine, study, folds, guard)
        if not isinstance(fit, NoFit):
            fits[engine.name] = fit
        rows += _rows(engine.name, fit, scores, wanted, folds, level, guard)
        seconds[engine.name] = round(time.perf_counter() - began, 2)
    with silent():
        meta = guard.noted(_meta(study, folds, fits, level, seconds))
    return Comparison(distinct(rows), meta, study, folds, fits, level, scores, on_error)


def _engines(engines: Sequence[Engine | str], seed: int) -> list[Engine]:
    """Engines themselves, names replaced by their defaults; each name once."""
    if isinstance(engines, str) or not len(engines):
        raise InvalidOption(
            "`engines` must be a list with at least one engine. "
            f"{engines!r} was given. Write engines=[hb.Feols(), hb.CausalForest(seed=1), hb.Deep(seed=1)]."
        )
    chosen = [_by_name(each, seed) if isinstance(each, str) else each for each in engines]
    for each in chosen:
        if not isinstance(each, Engine):
            raise InvalidOption(
                f"Each engine must have a name and a way to fit. A {type(each).__name__} was given. Use hb.Feols(), "
                "hb.CausalForest(), hb.Deep(), or another engine of hte_bridge."
            )
    names = [each.name for each in chosen]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidOption(
            f"Each engine must have a name of its own. `{twice}` occurs {names.count(twice)} times. Give one of them "
            "a label, such as label='second'."
        )
    return chosen


def _by_name(name: str, seed: int) -> Engine:
    if name not in ENGINES:
        offer = nearest(name, ENGINES).replace("The columns are", "The engines are")
        raise InvalidOption(f"`engines` must name known engines. `{name}` is not one. {offer}")
    if name == "feols":
        from hte_bridge.engines.feols import Feols

        return Feols(seed=seed)
    if name == "grf":
        from hte_bridge.engines.forest import CausalForest

        return CausalForest(seed=seed)
    from hte_bridge.engines.deep import Deep

    return Deep(seed=seed)


def _fit(engine: Engine, study: Study, folds: Folds, guard: Guard) -> Fit:
    """The engine's fit; where it cannot run, a fit whose rows say why, so that no other engine's work is lost."""
    try:
        with guard(engine.name, f"The fit of `{engine.name}`"):
            fit = engine.fit(study, folds)
            if not isinstance(fit, Fit):
                raise TypeError(f"{type(fit).__name__} is no Fit")
            return fit
    except (InvalidOption, InvalidData) as error:
        if isinstance(error, UnusablePrediction):  # the data passed: the engine did not cope with them
            return NoFit(engine.name, study, str(error))
        raise
    except HteBridgeError as error:
        return NoFit(engine.name, study, str(error))


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
        return MAKERS[estimand](each.study, each, scores[name], folds, level)

    try:
        with guard(name, f"The rows that `{name}` makes itself"):
            out = [under(name, fit, row) for row in fit.rows(level)]
    except HteBridgeError as error:
        out = [Estimate.missing("coefficient", str(error), n_obs=fit.study.n, level=level, engine=name)]
    for estimand in wanted:
        out += engine_rows(name, fit, estimand, partial(make, estimand), level, guard)
    return out


def _meta(
    study: Study, folds: Folds, fits: Mapping[str, Fit], level: float, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """All that a reader needs to rebuild the table, as plain values."""
    names = study.names
    held = {name: fit.heldout for name, fit in fits.items() if fit.heldout is not None}
    discrete = study.binary and not study.fixed_effects.shape[1]
    warnings = {name: overlap_warning(each, discrete) for name, each in held.items()}
    if study.effective_clusters >= UNDEFENDED:
        warnings = {"all engines": too_few(study)} | warnings
    return {
        "n": study.n,
        "n_clusters": study.n_clusters if study.clustered else None,
        "cluster": names.cluster,
        "treated_share": float(np.average(study.treatment, weights=study.weight)) if study.binary else None,
        "treatment": "binary" if study.binary else "continuous",
        "propensity": {
            name: [float(each.propensity.min()), float(each.propensity.max())]
            for name, each in held.items()
            if discrete
        },
        "folds": folds.n_folds,
        "seed": folds.seed,
        "level": level,
        "names": {
            "outcome": names.outcome,
            "treatment": names.treatment,
            "covariates": list(names.covariates),
            "fixed_effects": list(names.fixed_effects),
            "cluster": names.cluster,
            "weight": names.weight,
            "propensity": names.propensity,
        },
        "dropped": dict(study.dropped),
        "warnings": [
            *(f"data: {each}" for each in study.notes),
            *(f"{name}: {sentence}" for name, sentence in warnings.items() if sentence),
        ],
        "notes": {name: list(fit.notes) for name, fit in fits.items()},
        "seconds": dict(seconds),
        "engines": {name: dict(fit.info) for name, fit in fits.items()},
        "versions": _versions(fits),
    }


@cache
def _installed() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("hte-bridge", "numpy", "pandas", "pyfixest", "torch", "rpy2"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _versions(fits: Mapping[str, Fit]) -> dict[str, str]:
    found = dict(_installed())
    for fit in fits.values():
        found |= {key: str(fit.info[key]) for key in ("grf", "R", "compiler") if key in fit.info}
    return found
