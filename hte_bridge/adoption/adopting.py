"""A frame -> an ``Adoption``: rows checked, units put in order, cohorts that can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge import checks
from hte_bridge.adoption import checked
from hte_bridge.adoption.cells import Design
from hte_bridge.adoption.clock import Clock, read_clock
from hte_bridge.adoption.study import Adoption, AdoptionNames
from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import InvalidData
from hte_bridge.frames import names_of, to_pandas
from hte_bridge.kinds import codes_of, kind_of, renumbered, to_float
from hte_bridge.reading import Role


def adopt(
    df: Any,
    *,
    outcome: str,
    unit: str,
    period: str,
    first_treated: str,
    covariates: Sequence[str] | str | None = None,
    cluster: str | Sequence[str] | None = None,
    controls: Any = "not_yet",
    anticipation: float = 0,
    base_period: str = "varying",
    treatment: str | None = None,
) -> Adoption:
    """Check the columns of a panel in which units adopt a treatment; see ``Study.from_frame``.

    Raises
    ------
    InvalidData, InvalidOption, NotIdentified
        With the sentence of the first rule that the data break.
    """
    design = checked.design_of(controls, anticipation, base_period)
    cluster = checked.named_once(cluster)
    of_file: dict[str, Role] = {outcome: "number", unit: "identity"}
    frame = to_pandas(df, of_file if cluster is None else of_file | {cluster: "identity"})
    roles = {"outcome": outcome, "unit": unit, "period": period, "first_treated": first_treated}
    taken = {*roles.values(), cluster, treatment}
    everything = covariates == "all" and "all" not in frame.columns
    chosen = [each for each in frame.columns if each not in taken] if everything else names_of(covariates)
    checked.named_columns(frame, {**roles, "cluster": cluster, "treatment": treatment}, chosen)
    clock, times, adopted = read_clock(frame[period], frame[first_treated], (period, first_treated))
    if kind_of(frame[outcome], outcome) not in ("number", "boolean"):
        raise InvalidData(
            f"`outcome` must be numeric. `{outcome}` holds text or categories. Recode it to numbers."
        )
    codes, levels = codes_of(frame[unit], "unit", unit)
    y = to_float(frame[outcome])
    gaps = {
        f"missing outcome {outcome}": np.isnan(y),
        f"missing unit {unit}": codes < 0,
        f"missing period {period}": ~np.isfinite(times),
    }
    if cluster is not None:
        gaps[f"missing cluster {cluster}"] = codes_of(frame[cluster], "cluster", cluster)[0] < 0
    keep, dropped = _kept(gaps)
    if np.isinf(y[keep]).any():
        raise InvalidData(
            f"`outcome` must be finite. `{outcome}` holds infinite values. Recode them, or drop those rows."
        )
    frame, y, times = frame[keep], y[keep], times[keep]
    checks.in_range([("outcome", outcome, y)], frame.index)
    codes, levels = renumbered(codes[keep], levels)
    checked.once_a_period(codes, times, frame, (unit, period))
    start = checked.never_from_zero(adopted[keep], times, first_treated) if len(times) else adopted[keep]
    cohort = checked.kept_by_unit(start, codes, frame, (first_treated, unit))
    if treatment is not None:
        checked.lasts(frame[treatment], treatment, times, start, frame[unit], clock)
    panel = _Panel(frame, y, times, codes, levels, cohort)
    names = AdoptionNames(outcome, unit, period, first_treated, tuple(chosen), cluster)
    return _study(panel, clock, design, names, dropped)


@dataclass(frozen=True, eq=False)
class _Panel:
    """Checked rows (r,) and units (n,) on the way to a study."""

    frame: pd.DataFrame
    outcome: Array
    period: Array
    unit: Codes
    levels: npt.NDArray[Any]
    cohort: Array

    def of_units(self, mask: npt.NDArray[np.bool_]) -> _Panel:
        """The rows of some units (n,)."""
        rows = mask[self.unit]
        place = np.cumsum(mask) - 1
        return _Panel(
            self.frame[rows],
            self.outcome[rows],
            self.period[rows],
            place[self.unit[rows]],
            self.levels[mask],
            self.cohort[mask],
        )


def _kept(reasons: Mapping[str, npt.NDArray[np.bool_]]) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    keep, dropped = np.ones(len(next(iter(reasons.values()))), dtype=bool), {}
    for reason, bad in reasons.items():
        if count := int((keep & bad).sum()):
            dropped[reason] = count
        keep &= ~bad
    if not keep.any():
        listed = "; ".join(f"{reason}: {count:,}" for reason, count in dropped.items())
        raise InvalidData(
            f"At least one row must have all it needs. All were dropped ({listed}). Check the columns named."
        )
    return keep, dropped


def _study(
    panel: _Panel, clock: Clock, design: Design, names: AdoptionNames, dropped: dict[str, int]
) -> Adoption:
    periods = np.unique(panel.period)
    if len(periods) < 2:
        raise InvalidData(
            f"Effects of an adoption need two periods or more. `{names.period}` has one, {clock.text(float(periods[0]))}. "
            "Use the other rows of the panel."
        )
    said = []
    early = panel.cohort <= periods[0] + design.anticipation
    if early.any():
        said.append(_early(panel, early, clock, design, names))
        panel = _without(panel, early, names, dropped)
        periods = np.unique(panel.period)
    cohort = np.where(panel.cohort > periods[-1] + design.anticipation, np.inf, panel.cohort)
    checked.comparable(cohort, design, names.first_treated)
    own, last = _with_cells(cohort, periods, design)
    if last < len(periods):
        said.append(
            f"no unit is untreated from {clock.text(float(periods[last]))} on: effects are of the periods before, and the last cohort "
            "serves as comparison alone, as in R's did"
        )
        periods = periods[:last]
    outcome, rows = _by_unit_and_period(panel, periods)
    clusters = (np.arange(len(cohort)), panel.levels)
    if names.cluster not in (None, names.unit):
        clusters = checked.one_cluster(
            panel.frame[names.cluster], str(names.cluster), panel.unit, panel.levels
        )
    if clock.labels is None and (to_float(panel.frame[names.first_treated]) == 0).any():
        said.append(f"0 in `{names.first_treated}` is taken as never treated")
    study = Adoption(
        outcome,
        rows,
        cohort,
        Clock(periods, clock.labels),
        own,
        design,
        *clusters,
        panel.levels,
        names,
        panel.frame,
        dropped,
        tuple(said),
    )
    _comparable(study)
    return study


def _without(
    panel: _Panel, early: npt.NDArray[np.bool_], names: AdoptionNames, dropped: dict[str, int]
) -> _Panel:
    """The panel without units that were treated from the first period on, whose rows are counted."""
    dropped["treated in the first period"] = int(early[panel.unit].sum())
    if early.all():
        raise InvalidData(
            f"Some units must be untreated in the first period. In `{names.first_treated}` all are treated. Add earlier periods."
        )
    return panel.of_units(~early)


def _comparable(study: Adoption) -> None:
    """Some cell has units to compare with, and covariates that are numbers."""
    if not study.cells:
        raise InvalidData(
            "Some cohort must be seen before and after a period together with units to compare it with. None is: "
            f"{study.every_cell[0].lost if study.every_cell else 'no cohort has an earlier period'}. Use more periods or units."
        )
    x = study.filled  # covariates that are no covariates are told now
    checks.in_range(
        [("covariate", name, x[:, j]) for j, name in enumerate(study.filled_names)], study.stacked.index
    )


def _by_unit_and_period(panel: _Panel, periods: Array) -> tuple[Array, Codes]:
    """Outcome and number of the row (units, periods); NaN and -1 where a unit was not seen."""
    place = np.searchsorted(periods, panel.period)
    seen = place < len(periods)
    outcome = np.full((len(panel.cohort), len(periods)), np.nan)
    rows = np.full(outcome.shape, -1, dtype=np.int64)
    outcome[panel.unit[seen], place[seen]] = panel.outcome[seen]
    rows[panel.unit[seen], place[seen]] = np.flatnonzero(seen)
    return outcome, rows


def _with_cells(cohort: Array, periods: Array, design: Design) -> tuple[Array, int]:
    """Cohorts that have cells, and how many periods do: without never treated units those before the last cohort's treatment."""
    finite = np.unique(cohort[np.isfinite(cohort)])
    if np.isinf(cohort).any():
        return finite, len(periods)
    return finite[:-1], int(np.searchsorted(periods, finite[-1] - design.anticipation))


def _early(
    panel: _Panel, early: npt.NDArray[np.bool_], clock: Clock, design: Design, names: AdoptionNames
) -> str:
    until = clock.text(float(panel.period.min()))
    foreseen = f", less {design.anticipation:g} of anticipation" if design.anticipation else ""
    return (
        f"{int(early.sum()):,} units of {len(early):,} are treated by {until}, the first period{foreseen}: nothing is known of them untreated, "
        "and they are dropped"
    )
