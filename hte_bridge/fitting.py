"""Engines as they are named, their fits, and an engine that could not run."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import pandas as pd

from hte_bridge.engine import Engine, Fit, HeldOut
from hte_bridge.errors import HteBridgeError, InvalidData, InvalidOption, UnusablePrediction, nearest
from hte_bridge.estimate import Estimate
from hte_bridge.faults import Guard
from hte_bridge.shown import Fitted
from hte_bridge.study import Folds, Study

ENGINES = ("feols", "grf", "deep")
Ran = TypeVar("Ran")


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


def fit_of(fits: Mapping[str, Ran], engine: str) -> Ran:
    """The fit of one engine.

    Raises
    ------
    InvalidOption
        If no engine of that name ran.
    """
    if engine not in fits:
        offer = nearest(engine, fits, kind="The engines")
        raise InvalidOption(f"`engine` must name an engine that ran. `{engine}` did not. {offer}")
    return fits[engine]


def chosen_engines(engines: Sequence[Engine | str], seed: int) -> list[Engine]:
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
        offer = nearest(name, ENGINES, kind="The engines")
        raise InvalidOption(f"`engines` must name known engines. `{name}` is not one. {offer}")
    if name == "feols":
        from hte_bridge.engines.feols import Feols

        return Feols(seed=seed)
    if name == "grf":
        from hte_bridge.engines.forest import CausalForest

        return CausalForest(seed=seed)
    from hte_bridge.engines.deep import Deep

    return Deep(seed=seed)


def fitted(engine: Engine, study: Study, folds: Folds, guard: Guard) -> Fit:
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


@cache
def _installed() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("hte-bridge", "numpy", "pandas", "pyfixest", "torch", "rpy2"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def versions_of(fits: Mapping[str, Fit]) -> dict[str, str]:
    """Versions of what made these fits."""
    found = dict(_installed())
    for fit in fits.values():
        found |= {key: str(fit.info[key]) for key in ("grf", "R", "compiler") if key in fit.info}
    return found
