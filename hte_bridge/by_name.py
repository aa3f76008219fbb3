"""Verbs that follow from an estimand's row: averages on some rows, and any name that ``compare(estimands=[...])`` takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hte_bridge.engine import Fit
from hte_bridge.errors import InvalidOption
from hte_bridge.estimand import ESTIMANDS, Estimand, askable
from hte_bridge.estimands.moments import placed
from hte_bridge.estimands.registry import check_names, make_rows
from hte_bridge.fitted_table import FittedTable
from hte_bridge.language.formula import rows_of
from hte_bridge.rows import verbs
from hte_bridge.scores import Scores
from hte_bridge.table import Estimate, Table


@verbs
@dataclass(frozen=True, eq=False, repr=False)
class ByName(FittedTable):
    """A ``FittedTable`` that answers by the names of estimands, each of which is a verb."""

    def average(self, estimand: str = "ate", where: Any = None, *, term: str | None = None) -> Table:
        """``ate``, ``att``, ``atc``, ``ato`` or ``ape`` on some rows; ``term`` names them.

        ``where`` is a condition such as ``"age > 30"`` (docs/estimands.md says what may stand in one) or one yes or no for each unit:
        a Series is matched by its labels, an array by position. Rows of which it is unknown are neither in nor out; a note counts them.
        """
        averages = [name for name, each in ESTIMANDS.items() if each.average]
        if estimand not in averages:
            raise InvalidOption(f"`estimand` must be one of {', '.join(averages)}. {estimand!r} was given.")
        chosen = rows_of(self.study, where)
        own = where if isinstance(where, str) else "" if where is None else "subset"
        said = {"term": own if term is None else term} | ({"note": chosen.note} if chosen.note else {})

        def make(fit: Fit, scores: Scores) -> list[Estimate]:
            inside = np.zeros(scores.n, dtype=bool)
            inside[chosen.rows] = True
            some = scores.where(chosen.rows)
            made = make_rows(estimand, self.study, fit, some, self.folds, self.level)
            return [placed(row, inside).with_(**said) for row in made]

        return self.per_engine(estimand, make)

    def estimand(self, name: str) -> Table:
        """Rows of any name that ``compare(estimands=[...])`` takes, with the options that it has there."""
        check_names([name])
        return self.per_engine(
            name, lambda fit, scores: make_rows(name, self.study, fit, scores, self.folds, self.level)
        )

    def __dir__(self) -> list[str]:
        """Names of its verbs too that are estimands without a method of their own."""
        return sorted({*super().__dir__(), *askable()})

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The verb of an estimand that has no method of its own: ``table.att("age > 30")``."""
            row = ESTIMANDS.get(name)
            if row is None or not row.make:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return verb_of(self, row)


def verb_of(comparison: ByName, row: Estimand) -> Callable[..., Table]:
    """The question that an estimand's row asks of a comparison: of an average on some rows too."""

    def average(where: Any = None, *, term: str | None = None) -> Table:
        return comparison.average(row.name, where, term=term)

    def rows() -> Table:
        return comparison.estimand(row.name)

    verb = average if row.average else rows
    verb.__name__, verb.__doc__ = row.name, row.means
    return verb
