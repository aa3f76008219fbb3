"""A table together with the fits that made it, and the questions it can answer next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pandas as pd

from hte_bridge.engine import Fit
from hte_bridge.errors import HteBridgeError, InvalidOption, NotIdentified, nearest
from hte_bridge.scores import Scores
from hte_bridge.scores import scores as scores_of
from hte_bridge.study import Folds, Study
from hte_bridge.table import Estimate, Table


@dataclass(frozen=True, eq=False)
class Comparison(Table):
    """What ``compare`` returns: a ``Table`` that keeps its study, folds and fits.

    Parameters
    ----------
    study : Study
    folds : Folds
    fits : mapping of str to Fit
        By the name in the column ``engine``; an engine that could not run is absent.
    level : float
        Coverage of the intervals of further rows.
    """

    study: Study = field(default=None)  # type: ignore[assignment]
    folds: Folds = field(default=None)  # type: ignore[assignment]
    fits: Mapping[str, Fit] = field(default_factory=dict)
    level: float = 0.95
    _scores: dict[str, Scores] = field(default_factory=dict, repr=False)

    def fit(self, engine: str) -> Fit:
        """The fit of one engine.

        Raises
        ------
        InvalidOption
            If no engine of that name ran.
        """
        if engine not in self.fits:
            offer = nearest(engine, self.fits).replace("The columns are", "The engines are")
            raise InvalidOption(f"`engine` must name an engine that ran. `{engine}` did not. {offer}")
        return self.fits[engine]

    def scores(self, engine: str) -> Scores:
        """Doubly robust scores of one engine, made once.

        Raises
        ------
        NotIdentified
            If the engine has no held-out predictions for this study, with the engine's own reason.
        """
        if engine not in self._scores:
            self._scores[engine] = engine_scores(self.fit(engine))
        return self._scores[engine]

    def cate(self, new: Any, engine: str, level: float | None = None) -> pd.DataFrame:
        """``estimate std_error conf_low conf_high`` of one engine at the rows of ``new``."""
        return self.fit(engine).cate(new, level=self.level if level is None else level)

    def per_engine(self, estimand: str, make: Callable[[Fit, Scores], list[Estimate]]) -> Table:
        """The rows that ``make`` gives for each engine; one that cannot answer gets a row that says why."""
        rows: list[Estimate] = []
        for name, fit in self.fits.items():
            rows += engine_rows(name, fit, estimand, partial(self._make, make, name), self.level)
        return Table(tuple(rows), self.meta)

    def _make(self, make: Callable[[Fit, Scores], list[Estimate]], name: str, fit: Fit) -> list[Estimate]:
        return make(fit, self.scores(name))


def engine_scores(fit: Fit) -> Scores:
    """Scores of a fit, or the engine's reason for having none."""
    if fit.heldout is None:
        raise NotIdentified(fit.reasons.get("*", "This engine has no held-out predictions for this study."))
    return scores_of(fit.study, fit.heldout)


def engine_rows(
    name: str, fit: Fit, estimand: str, make: Callable[[Fit], list[Estimate]], level: float
) -> list[Estimate]:
    """Rows of one estimand under the engine's name and notes; a sentence in place of numbers it cannot give."""
    study = fit.study
    size = {"n_obs": study.n, "n_clusters": study.n_clusters, "level": level, "engine": name}
    reason = fit.reasons.get(estimand) or (fit.reasons.get("*") if fit.heldout is None else None)
    if reason:
        return [Estimate.missing(estimand, reason, **size)]
    try:
        made = make(fit)
    except (HteBridgeError, ArithmeticError) as error:
        return [Estimate.missing(estimand, str(error), **size)]
    return [under(name, fit, row) for row in made]


def under(name: str, fit: Fit, row: Estimate) -> Estimate:
    """A row under the engine's name, with the engine's notes added to its own."""
    note = "; ".join(fit.notes)
    return row.with_(engine=name, **({"note": note} if note else {}))
