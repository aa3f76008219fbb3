"""An engine on an adoption: linear within each cell, or fitted to the stack of cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.adoption import Adoption
from hte_bridge.arrays import Array
from hte_bridge.engine import Fit, HeldOut
from hte_bridge.errors import InvalidOption
from hte_bridge.estimate import Estimate, check_level
from hte_bridge.staggered.aggregate import FAMILIES
from hte_bridge.staggered.effects import Effect, Scored, cell_effects
from hte_bridge.staggered.lines import lines
from hte_bridge.staggered.nuisance import Method, Nuisance, linear
from hte_bridge.staggered.pointwise import line_cate, stack_cate

Mask = npt.NDArray[np.bool_]
MOST = 0.995  # held-out propensity beyond which a comparison unit weighs no more, as in R's DRDID
PLAIN = "no covariates: within a cell there is nothing to learn, and every engine takes differences of means"


@dataclass(frozen=True, eq=False)
class Linear:
    """Nuisances of each cell by least squares and a logit, fitted to the very units that are asked about."""

    study: Adoption
    method: Method = "dr"

    def nuisance(self, k: int, member: Mask) -> Nuisance:
        """Of the units ``member`` (m,) of cell k, fitted to them alone."""
        cell, x = self.study.cells[k], self.study.filled[self.study.part(k)]
        return linear(cell.change[member], cell.treated[member], x[member], self.method)


@dataclass(frozen=True, eq=False)
class Stacked:
    """Nuisances of each cell from held-out predictions for the rows of the stack."""

    study: Adoption
    heldout: HeldOut

    @cached_property
    def residual(self) -> Array:
        """Change (N,) less that predicted without treatment."""
        held = self.heldout
        return self.study.change - (held.outcome_mean - held.propensity * held.cate)

    @cached_property
    def odds(self) -> Array:
        """e(x) / (1 - e(x)) (N,)."""
        e = np.clip(self.heldout.propensity, 1e-6, MOST)
        return e / (1 - e)

    def nuisance(self, k: int, member: Mask) -> Nuisance:
        """Of the units ``member`` (m,) of cell k."""
        rows = np.arange(self.study.starts[k], self.study.starts[k + 1])[member]
        treated = self.study.cells[k].treated[member]
        if not treated.any() or treated.all():
            return linear(self.residual[rows], treated, np.empty((len(rows), 0)))  # raises the reason
        return Nuisance(treated, self.residual[rows], np.where(treated, 0.0, self.odds[rows]))


@dataclass(frozen=True, eq=False, repr=False)
class AdoptionFit:
    """An engine's answer to an adoption.

    Parameters
    ----------
    engine : str
    study : Adoption
    scored : Scored or None
        ``None``: the engine could not run, ``why`` says why.
    stack_fit : Fit, optional
        The engine's fit of the stack of cells, where it learns from it.
    """

    engine: str
    study: Adoption
    scored: Scored | None
    stack_fit: Fit | None = None
    why: str = ""
    notes: tuple[str, ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)
    saturated: bool = False

    def __repr__(self) -> str:
        what = self.why or (
            "linear within cells" if self.stack_fit is None else "fitted to the stack of cells"
        )
        return f"{self.engine}, {what}: {self.study!r}"

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why the engine has no rows, under ``"*"``."""
        return {"*": self.why} if self.why else {}

    @cached_property
    def effects(self) -> list[Effect]:
        """The effect of each cell."""
        return self.effects_of(None)

    def effects_of(self, member: Mask | None) -> list[Effect]:
        """The effect of each cell among the rows ``member`` (N,) of the stack, or all."""
        if self.scored is None:
            raise InvalidOption(self.why)
        return cell_effects(self.study, self.scored, member)

    def family(self, estimand: str, level: float) -> list[Estimate]:
        """Rows of one aggregation; for ``att_gt`` also those of cells that say nothing."""
        rows = lines(estimand, FAMILIES[estimand](self.study, self.effects), self.study, level)
        return rows if estimand != "att_gt" else [*rows, *lost_rows(self.study, level)]

    def cate(self, new: Any, level: float = 0.95, event_time: float | None = None) -> pd.DataFrame:
        """``estimate std_error conf_low conf_high`` for each row of ``new``: the effect on adopters like it, pointwise.

        ``event_time`` periods after treatment began, averaged over the cohorts seen then by their size; by default over all treated cells.
        An engine linear within cells answers by the line in the covariates that is nearest to the effect; the others by their own interval.

        Raises
        ------
        InvalidOption
            If no cell has this event time, or the engine could not run.
        InvalidNewData
            If ``new`` lacks a covariate.
        """
        check_level(level)
        if self.scored is None:
            raise InvalidOption(self.why)
        cells = chosen_cells(self.study, event_time)
        if self.stack_fit is None:
            return line_cate(self.study, self.scored, cells, new, level)
        return stack_cate(self.study, self.stack_fit, cells, new, level)


def chosen_cells(study: Adoption, event_time: float | None) -> list[int]:
    """Cells of an event time, or all treated ones.

    Raises
    ------
    InvalidOption
        If there is none.
    """
    times = np.array([cell.event_time for cell in study.cells])
    if event_time is None:
        return np.flatnonzero(times >= 0).tolist()
    found = np.flatnonzero(np.isclose(times, event_time))
    if not len(found):
        known = f"{times.min():g} to {times.max():g}"
        raise InvalidOption(
            f"`event_time` must be a number of periods since treatment began that is seen. {event_time!r} is not; they go from {known}. Choose one."
        )
    return found.tolist()


def lost_rows(study: Adoption, level: float) -> list[Estimate]:
    """A row for each cell that says nothing."""
    text = study.clock.text
    return [
        Estimate.missing("att_gt", cell.lost, term=f"{text(cell.cohort)}, {text(cell.time)}", level=level)
        for cell in study.every_cell
        if cell.lost
    ]
