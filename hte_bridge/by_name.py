"""Verbs that follow from an estimand's row, where a comparison has none of that name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hte_bridge.estimand import ESTIMANDS, Estimand, askable
from hte_bridge.fitted_table import FittedTable
from hte_bridge.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class ByName(FittedTable):
    """A ``FittedTable`` of which each estimand is a verb: ``table.att("age > 30")``."""

    def __dir__(self) -> list[str]:
        """Names of its verbs too that are estimands without a method of their own."""
        return sorted({*super().__dir__(), *askable()})

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The verb of an estimand that has no method of its own."""
            row = ESTIMANDS.get(name)
            if row is None or not row.make:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return verb_of(self, row)


def verb_of(comparison: Any, row: Estimand) -> Callable[..., Table]:
    """The question that an estimand's row asks of a comparison: of an average on some rows too."""

    def average(where: Any = None, *, term: str | None = None) -> Table:
        answer: Table = comparison.average(row.name, where, term=term)
        return answer

    def rows() -> Table:
        answer: Table = comparison.estimand(row.name)
        return answer

    verb = average if row.average else rows
    verb.__name__, verb.__doc__ = row.name, row.means
    return verb
