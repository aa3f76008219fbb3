"""Labels of groups from the values of a column: each value its own group, or bins of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import InvalidData, InvalidOption

FEW = 12  # a numeric column with at most this many values is taken as groups, without bins
RARE = 0.02  # of the rows: a value held by fewer is no group of its own if most of the values are such


def labels_of(values: Any, bins: int | Sequence[float] | None = None) -> Any:
    """Groups from a column: its own values, or intervals of a number, in order.

    Parameters
    ----------
    values : array (n,)
    bins : int or sequence of float, optional
        A number of equally filled intervals, or their inner borders. Numbers of more than ``FEW`` values get four
        where none is given.

    Raises
    ------
    InvalidOption
        If bins are asked for a column that is not numeric, or are not increasing.

    Examples
    --------
    >>> from hte_bridge.estimands.group_labels import labels_of
    >>> labels_of([1.0, 2.0, 3.0, 10.0], bins=[2.5]).tolist()
    ['below 2.5', 'below 2.5', '2.5 or more', '2.5 or more']
    >>> labels_of([1.0, 0.0, None]).categories.tolist()
    [0, 1]
    """
    series = pd.Series(values)
    numeric = pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series)
    if not numeric and bins is not None:
        raise InvalidOption(
            f"`bins` need a numeric column. This one holds {series.dtype}. Leave `bins` out: its values are the groups."
        )
    if bins is None:
        if not numeric or (series.nunique() <= FEW and not _mostly_rare(series)):
            return _own_values(series)
        bins = 4
    column = series.to_numpy(dtype=np.float64, na_value=np.nan)
    finite = column[np.isfinite(column)]
    if not len(finite):
        raise InvalidData("Groups must be made of values. This column has none. Name another.")
    borders = _borders(finite, bins)
    place = np.where(np.isfinite(column), np.searchsorted(borders, column, side="right"), -1)
    names = _interval_names(borders, finite, place[np.isfinite(column)])
    return pd.Categorical.from_codes(place.astype(np.int64), pd.Index(names), ordered=True)


def _own_values(series: pd.Series) -> pd.Categorical:
    """A column's own values as groups: whole numbers without a point, as a gap elsewhere in the column would give them one."""
    made = series.array if isinstance(series.array, pd.Categorical) else pd.Categorical(series)
    levels = made.categories
    if pd.api.types.is_float_dtype(levels) and all(float(each).is_integer() for each in levels):
        return made.rename_categories(lambda each: int(each))
    return made


def _mostly_rare(series: pd.Series) -> bool:
    """Whether more than half of a number's values are held by few rows each, as the positive ones of a count that is mostly zero."""
    share = series.value_counts(normalize=True)
    return bool((share < RARE).sum() > len(share) / 2)


def _borders(finite: Array, bins: int | Sequence[float]) -> Array:
    """Inner borders; where a share of the values is the least one, that value is a group of its own."""
    if isinstance(bins, int):
        if bins < 2:
            raise InvalidOption(f"`bins` must be 2 or more, or a list of borders. {bins} was given.")
        borders = np.quantile(finite, np.linspace(0, 1, bins + 1)[1:-1])
        above = finite[finite > finite.min()]
        return np.unique(np.where(borders > finite.min(), borders, above.min(initial=np.inf)))
    borders = np.asarray(bins, dtype=np.float64)
    if not len(borders) or (np.diff(borders) <= 0).any():
        raise InvalidOption(f"`bins` must increase. {list(bins)} does not. Sort the borders.")
    return borders


def _interval_names(borders: Array, finite: Array, place: Codes) -> list[str]:
    """Names of the intervals, or of the value that is alone in one, with as many digits as tell the borders apart: four, or more."""
    ends = np.unique([finite.min(), *borders, finite.max()])
    near = float(np.diff(ends).min(initial=np.inf)) / 20
    digits = next(d for d in range(4, 18) if d == 17 or _apart(ends, d, near))
    said = [_number(border, digits) for border in borders.tolist()]
    names = [f"below {said[0]}", *(f"{low} to {high}" for low, high in pairwise(said)), f"{said[-1]} or more"]
    for g in range(len(names)):
        inside = finite[place == g]
        if len(inside) and g < len(borders) and np.ptp(inside) == 0:
            names[g] = _number(float(inside[0]), digits)
    return names


def _apart(ends: Array, digits: int, near: float) -> bool:
    shown = np.array([float(_number(end, digits)) for end in ends.tolist()])
    return bool((np.abs(shown - ends) <= near).all())


def _number(value: float, digits: int) -> str:
    """A number with some significant digits, without an exponent where it can be read.

    Examples
    --------
    >>> _number(1600123456.7, 8), _number(0.25, 4), _number(-1.5e-9, 4)
    ('1600123500', '0.25', '-1.5e-09')
    """
    if value and not 1e-4 <= abs(value) < 1e15:
        return f"{value:.{digits}g}"
    return np.format_float_positional(float(f"{value:.{digits}g}"), trim="-")
