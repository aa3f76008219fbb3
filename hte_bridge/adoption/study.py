"""An adoption: outcome by unit and period, who adopts when, and the cells and the stack that are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.adoption.cells import Cell, Design, make_cells
from hte_bridge.adoption.clock import Clock
from hte_bridge.arrays import Array, Codes
from hte_bridge.encode import Encoder, MeanFill
from hte_bridge.keys import lots, row_keys
from hte_bridge.shown import first_names, visible


@dataclass(frozen=True)
class AdoptionNames:
    """Names of the columns in the frame handed in."""

    outcome: str
    unit: str
    period: str
    first_treated: str
    covariates: tuple[str, ...] = ()
    cluster: str | None = None

    @property
    def treatment(self) -> str:
        """What a table calls the treatment."""
        return self.first_treated


@dataclass(frozen=True, eq=False, repr=False)
class Adoption:
    """A panel of n units and T periods in which units adopt a treatment at different times, for good.

    Parameters
    ----------
    outcome : array (n, T)
        NaN where a unit is not seen.
    rows : array (n, T)
        Row of ``frame``; -1 where a unit is not seen.
    cohort : array (n,)
        First treated period; infinite for never.
    own : array
        Cohorts whose effects are asked for; others serve as comparison alone.
    cluster : array (n,)
        Codes 0..G-1; each unit its own where no coarser one was named.
    unit_levels : array (n,)
        Labels of the units.
    dropped : mapping
        Reason -> rows dropped.
    key : array (r,), optional
        Key of each row of ``frame``, by which folds are dealt; of its label by default.

    See Also
    --------
    Study.from_frame : the way to make one, with ``first_treated``.

    Examples
    --------
    >>> import hte_bridge as hb
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"id": [1, 1, 2, 2, 3, 3], "t": [1, 2] * 3, "first": [2, 2, 0, 0, 0, 0], "y": [1.0, 3, 1, 2, 0, 2]})
    >>> study = hb.Study.from_frame(frame, outcome="y", unit="id", period="t", first_treated="first")
    >>> study.n, len(study.cells), study.cells[0].treated.sum()
    (3, 1, np.int64(1))
    """

    outcome: Array
    rows: Codes
    cohort: Array
    clock: Clock
    own: Array
    design: Design
    cluster: Codes
    cluster_levels: npt.NDArray[Any]
    unit_levels: npt.NDArray[Any]
    names: AdoptionNames
    frame: pd.DataFrame
    dropped: Mapping[str, int]
    said: tuple[str, ...] = field(default=())
    key: npt.NDArray[np.uint64] | None = field(default=None)

    def __repr__(self) -> str:
        return adoption_text(self)

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.cohort)

    @property
    def n_clusters(self) -> int:
        """Number of clusters; n where none was named."""
        return len(self.cluster_levels)

    @property
    def clustered(self) -> bool:
        """Whether a cluster coarser than the unit was named."""
        return self.names.cluster not in (None, self.names.unit)

    @property
    def binary(self) -> bool:
        """Whether units are treated or not: always."""
        return True

    @property
    def index(self) -> pd.Index:
        """Labels of the rows (r,) that are used, in the frame handed in."""
        return self.frame.index

    @property
    def weight(self) -> Array:
        """Ones (n,): units count alike."""
        return np.ones(self.n)

    @property
    def periods(self) -> Array:
        """Periods (T,) as numbers."""
        return self.clock.periods

    @cached_property
    def every_cell(self) -> tuple[Cell, ...]:
        """Cells by cohort and period, those that say nothing too."""
        made = make_cells(self.outcome, self.rows, self.cohort, self.periods, self.design, self.own)
        return tuple(made)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Cells with adopters and units to compare them with."""
        return tuple(cell for cell in self.every_cell if not cell.lost)

    @cached_property
    def lots(self) -> Codes:
        """Codes (n,) of each unit's cluster in the order in which lots are drawn; see ``keys.lots``."""
        keys = row_keys(self.index) if self.key is None else self.key
        own = np.where(self.rows >= 0, keys[self.rows], np.iinfo(np.uint64).max).min(axis=1)
        return lots(self.cluster, own)

    @cached_property
    def starts(self) -> Codes:
        """First row of each cell in the stack, and the number of its rows last."""
        return np.cumsum([0, *(len(cell.units) for cell in self.cells)]).astype(np.int64)

    def part(self, k: int) -> slice:
        """Rows of cell k in the stack."""
        return slice(int(self.starts[k]), int(self.starts[k + 1]))

    @cached_property
    def places(self) -> Codes:
        """Unit (N,) of each row of the stack."""
        return np.concatenate([cell.units for cell in self.cells])

    @cached_property
    def base_rows(self) -> Codes:
        """Row (N,) of ``frame`` at the base period of each row of the stack."""
        return np.concatenate([cell.rows for cell in self.cells])

    @cached_property
    def stacked(self) -> pd.DataFrame:
        """The user's columns at the base period of each row of the stack (N rows), with change, treatment, cohort and event time."""
        cells = self.cells
        frame = self.frame.iloc[self.base_rows]
        sizes = [len(cell.units) for cell in cells]
        own = self.stack_names
        return frame.assign(
            **{
                own.outcome: np.concatenate([cell.change for cell in cells]),
                own.treatment: np.concatenate([cell.treated for cell in cells]).astype(np.float64),
                own.cohort: np.repeat([cell.cohort for cell in cells], sizes),
                own.event_time: np.repeat([cell.event_time for cell in cells], sizes),
                own.unit: self.cluster[self.places],
            }
        )

    @property
    def stack_names(self) -> StackNames:
        """Names of the stack's own columns; none is one of the user's."""
        names = self.names
        wanted = (
            f"change of {names.outcome}",
            f"adopts in {names.first_treated}",
            f"cohort of {names.first_treated}",
            f"{names.period} since {names.first_treated}",
            f"cluster of {names.cluster or names.unit}",
        )
        taken, found = set(map(str, self.frame.columns)), []
        for name in wanted:
            while name in taken:
                name += " (cells)"
            found.append(name)
            taken.add(name)
        return StackNames(*found)

    @cached_property
    def change(self) -> Array:
        """Change of the outcome (N,) of each row of the stack, net of the mean among the cell's comparison units.

        Taking it out moves no effect (scores are differences within cells) and leaves less to be learned.
        """
        return np.concatenate([cell.change - cell.change[~cell.treated].mean() for cell in self.cells])

    @cached_property
    def encoder(self) -> Encoder:
        """How covariates become columns; learned in the rows of the stack."""
        return Encoder.of(self.stacked, self.names.covariates)

    @cached_property
    def filler(self) -> MeanFill:
        """The rule for missing covariates."""
        x = self.encoder.transform(self.stacked)
        return MeanFill.of(x, np.ones(len(x)))

    @cached_property
    def filled(self) -> Array:
        """Covariates (N, q) of the rows of the stack, at the base period, without gaps."""
        if not self.names.covariates:
            return np.empty((int(self.starts[-1]), 0))
        return self.filler.transform(self.encoder.transform(self.stacked))

    @property
    def filled_names(self) -> tuple[str, ...]:
        """Names of the columns of ``filled``."""
        if not self.names.covariates:
            return ()
        owner = [code.name for code in self.encoder.columns for _ in code.names]
        return (*self.encoder.names, *(f"{owner[j]} missing" for j in self.filler.flagged.tolist()))

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of how columns are taken, whatever the engine."""
        return (*self.said, *_moving(self), *_without(self))


@dataclass(frozen=True)
class StackNames:
    """Names of the columns that the stack adds."""

    outcome: str
    treatment: str
    cohort: str
    event_time: str
    unit: str


def _moving(study: Adoption) -> tuple[str, ...]:
    """That covariates which move within units are taken at the base period."""
    unit = study.frame[study.names.unit]
    moving = [
        name
        for name in study.names.covariates
        if study.frame[name].groupby(unit, observed=True).nunique(dropna=False).max() > 1
    ]
    if not moving:
        return ()
    named = ", ".join(f"`{name}`" for name in moving)
    return (
        f"{named} moves within units: its value in the period before treatment (the base of each cell) is used",
    )


def _without(study: Adoption) -> tuple[str, ...]:
    """How many cells say nothing, and how many hold less than all units."""
    lost = [cell for cell in study.every_cell if cell.lost]
    said = []
    if lost:
        said.append(
            f"{len(lost)} of {len(study.every_cell)} pairs of cohort and period have no effect; their rows say why"
        )
    gaps = int(np.isnan(study.outcome).sum())
    if gaps:
        said.append(
            f"{gaps:,} of {study.outcome.size:,} pairs of unit and period are not seen; a cell uses the units that it sees twice"
        )
    return tuple(said)


def adoption_text(study: Adoption) -> str:
    """An ``Adoption`` in some lines."""
    names, never = study.names, int(np.isinf(study.cohort).sum())
    sizes = [f"{study.clock.text(g)} ({int((study.cohort == g).sum()):,})" for g in study.own.tolist()]
    compared = "never treated units" if study.design.controls == "never" else "units not treated yet"
    lines = [
        f"Adoption by {study.n:,} units in {len(study.periods)} periods: effect of {visible(names.first_treated)} on {visible(names.outcome)}",
        f"  cohorts: {first_names(sizes)}; never treated: {never:,}",
        f"  cells: {len(study.cells)}, compared with {compared}",
    ]
    if names.covariates:
        lines.append(f"  covariates: {first_names(names.covariates)}")
    if study.clustered:
        lines.append(f"  {study.n_clusters:,} clusters of {visible(names.cluster)}")
    return "\n".join(
        [*lines, *(f"  dropped, {visible(reason)}: {rows:,} rows" for reason, rows in study.dropped.items())]
    )
