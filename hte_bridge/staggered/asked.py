"""Verbs of an adoption that follow from its aggregations, and what to ask in place of those that need a treatment at one time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hte_bridge.comparison import Comparison
from hte_bridge.errors import InvalidOption
from hte_bridge.estimand import askable
from hte_bridge.staggered.aggregate import FAMILIES
from hte_bridge.table import Table

ADOPTERS = (
    "What is known is the effect on adopters: ask `att_simple()`, `att_event()`, `att_group()` or `att_calendar()`, each on some units "
    'too, as att_simple("x > 0").'
)
SORTED = (
    '`gates()` has the effect among those predicted to gain least and most, `gate("column")` that of groups, each with `of="att_event"` '
    "by event time too."
)
UNITS = "`cate(new, engine, event_time=1)` has the effect on adopters like each row of `new`."
ERRORS = (
    "Errors of its rows are by unit from influence values, their t allows for few clusters. Name a coarser cluster where the study is made, "
    'cluster="column"; `bands()` has intervals that hold jointly.'
)
TRENDS = "`pretrends()` tests effects before treatment, which must be none, also by group."
ENGINES = "`differences()` has engine less engine for each row, with joint tests."
SCORES = "Each row's `influence` holds every unit's part in it, `fit(engine).effects` those of cells."
INSTEAD = {
    **dict.fromkeys(("ate", "att", "atc", "ato", "ape", "trimmed"), ADOPTERS),
    **dict.fromkeys(("rate", "toc", "policy", "clan", "calibration"), SORTED),
    **dict.fromkeys(("heldout_cate", "what_if", "counterfactual", "roi", "dose"), UNITS),
    **dict.fromkeys(("with_vcov", "wild_bootstrap", "adjusted"), ERRORS),
    **dict.fromkeys(("sensitivity", "placebo", "randomisation"), TRENDS),
    "repeated": "Deal folds anew by compare(..., seed=2) and see how far rows move.",
    **dict.fromkeys(("race", "agreement", "explain_gap"), ENGINES),
    **dict.fromkeys(("scores", "save_scores", "nuisance"), SCORES),
}


class NotAsked(InvalidOption, AttributeError):
    """A question that an adoption does not answer; ``hasattr`` is false."""


def refusal(name: str) -> str:
    """Why a verb of other comparisons is none of an adoption's, and what is; empty for what is no verb.

    Examples
    --------
    >>> refusal("with_vcov")[:88]
    '`with_vcov` must be asked of a treatment at one time. This table is of an adoption. Erro'
    >>> refusal("nonsense")
    ''
    """
    known = name in askable() or (not name.startswith("_") and callable(getattr(Comparison, name, None)))
    if not known:
        return ""
    instead = INSTEAD.get(name, ADOPTERS)
    return f"`{name}` must be asked of a treatment at one time. This table is of an adoption. {instead}"


class ByFamily(Table):
    """A ``Table`` of which each aggregation is a verb: ``table.att_event("size > 0")``."""

    def __dir__(self) -> list[str]:
        """Names of its verbs too that are aggregations."""
        return sorted({*super().__dir__(), *FAMILIES})

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The verb of an aggregation; a sentence for the verbs of other comparisons."""
            if name in FAMILIES:
                return verb_of(self, name)
            said = refusal(name)
            if said:
                raise NotAsked(said)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def verb_of(table: Any, of: str) -> Callable[..., Table]:
    """An aggregation as a verb, of some units too."""

    def family(where: Any = None, *, term: str | None = None) -> Table:
        answer: Table = table.average(of, where, term=term)
        return answer

    family.__name__, family.__doc__ = of, FAMILIES[of].__doc__
    return family
