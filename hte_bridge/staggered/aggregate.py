"""Aggregations of cells, as in Callaway and Sant'Anna (2021), Journal of Econometrics 225(2), section 3."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hte_bridge.adoption import Adoption
from hte_bridge.adoption.cells import Cell
from hte_bridge.adoption.clock import number
from hte_bridge.staggered.effects import Effect, by_size, evenly
from hte_bridge.staggered.lines import OVERALL

Terms = dict[str, Effect]


def att_gt(study: Adoption, effects: Sequence[Effect]) -> Terms:
    """Each cell: ``"2004, 2006"`` is the cohort of 2004 in 2006."""
    return {cell_term(study, cell): each for cell, each in zip(study.cells, effects, strict=True)}


def cell_term(study: Adoption, cell: Cell) -> str:
    """Cohort and period as a row names them."""
    return f"{study.clock.text(cell.cohort)}, {study.clock.text(cell.time)}"


def att_event(study: Adoption, effects: Sequence[Effect]) -> Terms:
    """By periods since treatment began, leads too; overall is the plain average of those from 0 on."""
    made = _by(study, effects, lambda cell: cell.event_time)
    out = {number(time): by_size(made[time]) for time in sorted(made)}
    return out | {OVERALL: evenly([by_size(made[time]) for time in sorted(made) if time >= 0])}


def att_group(study: Adoption, effects: Sequence[Effect]) -> Terms:
    """By cohort, its treated periods counted alike; overall weighs cohorts by their size."""
    made = _by(study, effects, lambda cell: cell.cohort, post=True)
    out = {study.clock.text(cohort): evenly(made[cohort]) for cohort in sorted(made)}
    return out | {OVERALL: by_size(list(out.values()))}


def att_calendar(study: Adoption, effects: Sequence[Effect]) -> Terms:
    """By period, those treated in it weighted by the size of their cohorts; overall is the plain average."""
    made = _by(study, effects, lambda cell: cell.time, post=True)
    out = {study.clock.text(time): by_size(made[time]) for time in sorted(made)}
    return out | {OVERALL: evenly(list(out.values()))}


def att_simple(study: Adoption, effects: Sequence[Effect]) -> Terms:
    """All treated cells, weighted by the size of their cohorts."""
    return {OVERALL: by_size([each for cell, each in zip(study.cells, effects, strict=True) if cell.post])}


FAMILIES: dict[str, Callable[[Adoption, Sequence[Effect]], Terms]] = {
    "att_gt": att_gt,
    "att_event": att_event,
    "att_group": att_group,
    "att_calendar": att_calendar,
    "att_simple": att_simple,
}


def _by(
    study: Adoption, effects: Sequence[Effect], key: Callable[[Cell], float], post: bool = False
) -> dict[float, list[Effect]]:
    """Effects by a number of their cells; rounded, so that periods in tenths meet."""
    made: dict[float, list[Effect]] = {}
    for cell, each in zip(study.cells, effects, strict=True):
        if cell.post or not post:
            made.setdefault(float(np.round(key(cell), 9)), []).append(each)
    return made
