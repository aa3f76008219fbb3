"""Names that `compare(estimands=[...])` takes, each with the function that makes its rows."""

from __future__ import annotations

from collections.abc import Callable

from hte_bridge.engine import Fit
from hte_bridge.errors import InvalidOption, nearest
from hte_bridge.estimands.averages import ape, atc, ate, ato, att
from hte_bridge.estimands.projection import projection
from hte_bridge.scores import Scores
from hte_bridge.study import Folds, Study
from hte_bridge.table import Estimate

Maker = Callable[[Study, Fit, Scores, Folds, float], list[Estimate]]


def _projection(study: Study, fit: Fit, scores: Scores, folds: Folds, level: float) -> list[Estimate]:
    return projection(scores, study.filled, study.filled_names, level=level)


MAKERS: dict[str, Maker] = {
    "ate": lambda study, fit, scores, folds, level: [ate(scores, level=level)],
    "att": lambda study, fit, scores, folds, level: [att(scores, level=level)],
    "atc": lambda study, fit, scores, folds, level: [atc(scores, level=level)],
    "ato": lambda study, fit, scores, folds, level: [ato(scores, level=level)],
    "ape": lambda study, fit, scores, folds, level: [ape(scores, level=level)],
    "projection": _projection,
}


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
        if name not in MAKERS:
            close = nearest(name, MAKERS).replace("The columns are", "The estimands are")
            raise InvalidOption(f"`estimands` must name known estimands. `{name}` is not one. {close}")
    return tuple(names)
