"""Cells of a staggered adoption: a cohort in a period, against units that are not treated yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array, Codes

Mask = npt.NDArray[np.bool_]
Controls = Literal["not_yet", "never"]
Base = Literal["varying", "universal"]


@dataclass(frozen=True, eq=False)
class Cell:
    """A cohort first treated in ``cohort``, in period ``time``, against the period ``base`` before.

    Parameters
    ----------
    cohort, time, base : float
        Periods.
    units : array (m,)
        Places of the cell's units: adopters of the cohort and comparison units that are seen in both periods.
    treated : array (m,)
        Whether a unit is of the cohort.
    change : array (m,)
        Outcome in ``time`` less that in ``base``.
    rows : array (m,)
        Rows of the study's frame in ``base``, from which covariates are taken.
    lost : str
        Why the cell says nothing, or empty.
    """

    cohort: float
    time: float
    base: float
    units: Codes
    treated: Mask
    change: Array
    rows: Codes
    lost: str = ""

    @property
    def event_time(self) -> float:
        """Periods since treatment began; negative before."""
        return self.time - self.cohort

    @property
    def post(self) -> bool:
        """Whether the cohort is treated."""
        return self.time >= self.cohort


@dataclass(frozen=True)
class Design:
    """Who is compared with whom: comparison units, periods in which treatment is foreseen, base of leads."""

    controls: Controls = "not_yet"
    anticipation: float = 0.0
    base_period: Base = "varying"

    def pairs(self, cohort: float, periods: Array) -> Iterator[tuple[int, int]]:
        """Places of time and base, one pair a cell, by the rules of R's did.

        Treated periods are set against the last one before treatment is foreseen; earlier ones against their predecessor
        (``"varying"``) or against that same period (``"universal"``).
        """
        before = np.flatnonzero(periods + self.anticipation < cohort)
        if not len(before):
            return
        last = int(before[-1])
        for time in range(len(periods)):
            if periods[time] >= cohort or self.base_period == "universal":
                base = last
            else:
                base = time - 1
            if base >= 0 and base != time:
                yield time, base

    def compared(self, cohorts: Array, cohort: float, until: float) -> Mask:
        """Units (n,) that a cohort is compared with in a cell whose later period is ``until``."""
        if self.controls == "never":
            return np.isinf(cohorts)
        return (cohorts > until + self.anticipation) & (cohorts != cohort)


def make_cells(
    outcome: Array, rows: Codes, cohorts: Array, periods: Array, design: Design, own: Array
) -> list[Cell]:
    """Every cell of the cohorts ``own``, also those that say nothing.

    Parameters
    ----------
    outcome : array (n, T)
        By unit and period; NaN where a unit is not seen.
    rows : array (n, T)
        Row of the frame; -1 where a unit is not seen.
    cohorts : array (n,)
        First treated period; infinite for never.
    periods : array (T,)
    design : Design
    own : array
        Cohorts that have cells.
    """
    cells = []
    for cohort in own.tolist():
        adopters = cohorts == cohort
        for time, base in design.pairs(cohort, periods):
            others = design.compared(cohorts, cohort, float(periods[max(time, base)]))
            change = outcome[:, time] - outcome[:, base]
            units = np.flatnonzero((adopters | others) & np.isfinite(change))
            treated = adopters[units]
            when, since = float(periods[time]), float(periods[base])
            cells.append(
                Cell(cohort, when, since, units, treated, change[units], rows[units, base], _lost(treated))
            )
    return cells


def _lost(treated: Mask) -> str:
    """Why a cell of these units says nothing, or an empty string."""
    if not treated.any():
        return "no unit of the cohort is seen in both periods"
    if treated.all():
        return "no unit is left to compare with: all others are treated by then, or not seen in both periods"
    return ""
