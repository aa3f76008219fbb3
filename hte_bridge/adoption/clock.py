"""Periods of a panel as numbers, and how each reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from hte_bridge.arrays import Array
from hte_bridge.errors import InvalidData
from hte_bridge.kinds import to_float


@dataclass(frozen=True, eq=False)
class Clock:
    """Periods (T,) of a panel in order, as numbers; ``labels`` are how dates read, whose numbers are their places.

    Examples
    --------
    >>> clock = Clock(np.array([2003.0, 2004.0]))
    >>> clock.text(2004.0), clock.text(2003.5)
    ('2004', '2003.5')
    """

    periods: Array
    labels: Mapping[float, str] | None = None

    def text(self, value: float) -> str:
        """A period or cohort as it is printed."""
        if self.labels is not None:
            return self.labels.get(float(value), number(value))
        return number(value)


def number(value: float) -> str:
    """A number without an exponent or a trailing zero.

    Examples
    --------
    >>> number(20040101.0), number(-1.0), number(0.25)
    ('20040101', '-1', '0.25')
    """
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def read_clock(period: pd.Series, adopted: pd.Series, names: tuple[str, str]) -> tuple[Clock, Array, Array]:
    """The clock, period (n,) of each row, and its unit's first treated period (n,), NaN where missing.

    Numbers count as they are. Dates count by their place among the periods seen; a unit that is first treated between two of them is
    treated from the later one on.

    Raises
    ------
    InvalidData
        If one column is text, or one holds dates and the other numbers.
    """
    period, adopted = (_values(column) for column in (period, adopted))
    dated = [_dates(column) for column in (period, adopted)]
    if (dated[0] is None) != (dated[1] is None) and adopted.notna().any():
        kinds = ["numbers" if each is None else "dates" for each in dated]
        raise InvalidData(
            f"`period` and `first_treated` must be on one clock. `{names[0]}` holds {kinds[0]} and `{names[1]}` {kinds[1]}. "
            "Turn both into numbers, or both into dates."
        )
    if dated[0] is None:
        times = [
            _numbers(each, role, name)
            for each, role, name in zip((period, adopted), ROLES, names, strict=True)
        ]
        return Clock(np.unique(times[0][np.isfinite(times[0])])), times[0], times[1]
    moments = pd.DatetimeIndex(np.sort(dated[0].dropna().unique()))
    labels = {float(place): _written(each) for place, each in enumerate(moments)}
    start = pd.Series(pd.NaT, index=adopted.index) if dated[1] is None else dated[1]
    ranks = []
    for column in (dated[0], pd.to_datetime(start)):
        place = moments.searchsorted(column.fillna(moments[0])).astype(np.float64)
        place[place == len(moments)] = np.inf  # after the last period
        ranks.append(np.where(column.isna(), np.nan, place))
    return Clock(np.arange(len(moments), dtype=np.float64), labels), ranks[0], ranks[1]


ROLES = ("period", "first_treated")


def _values(column: pd.Series) -> pd.Series:
    """What a category stands for, of each row; other columns as they are."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return column
    return pd.Series(column.cat.categories).reindex(column.cat.codes).set_axis(column.index)


def _written(moment: Any) -> str:
    return str(moment.date() if moment == moment.normalize() else moment)


def _dates(column: pd.Series) -> pd.Series | None:
    """The column as moments without zone, or None where it holds no dates."""
    if isinstance(column.dtype, pd.PeriodDtype):
        return column.dt.to_timestamp()
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.dt.tz_localize(None)
    if types.is_datetime64_any_dtype(column):
        return column
    seen = column.dropna() if column.dtype == object else column[:0]
    if len(seen) and all(isinstance(each, date) for each in seen):
        return pd.to_datetime(column)
    return None


def _numbers(column: pd.Series, role: str, name: str) -> Array:
    if types.is_bool_dtype(column) or not types.is_numeric_dtype(column):
        seen = column.dropna()
        if column.dtype == object and all(isinstance(each, int | float) for each in seen):
            return to_float(column)
        if not len(seen):
            return np.full(len(column), np.nan)
        raise InvalidData(
            f"`{role}` must hold numbers or dates, such as years. `{name}` holds {type(seen.iloc[0]).__name__} ({str(seen.iloc[0])!r} in "
            f"row {seen.index[0]}). Turn it into numbers that count periods{', missing for never' if role == ROLES[1] else ''}."
        )
    return to_float(column)
