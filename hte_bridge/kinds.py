"""What a column holds: numbers, yes/no or labels; as float64, or as codes."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api import types

from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import HteBridgeError, InvalidData

Kind = Literal["number", "boolean", "category", "ordered"]


def kind_of(column: pd.Series, name: str, error: type[HteBridgeError] = InvalidData) -> Kind:
    """Type of a column: dates, lists and mixtures are refused with a sentence.

    Examples
    --------
    >>> kind_of(pd.Series([True, None]), "x"), kind_of(pd.Series([1, 2.5, None]), "x"), kind_of(pd.Series(["a"]), "x")
    ('boolean', 'number', 'category')
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "ordered" if column.dtype.ordered else "category"
    if types.is_bool_dtype(column):
        return "boolean"
    if types.is_numeric_dtype(column) and not types.is_complex_dtype(column):
        return "number"
    if isinstance(column.dtype, pd.StringDtype):
        return "category"
    found = _types(column)
    if found and all(issubclass(each, bool | np.bool_) for each in found):
        return "boolean"
    if all(issubclass(each, str) for each in found):
        return "category"
    if all(issubclass(each, Real | Decimal | np.bool_) for each in found):
        return "number"
    if all(issubclass(each, date | timedelta | np.datetime64 | np.timedelta64) for each in found):
        raise error(
            f"`{name}` must be a number, a yes/no or a category. It holds dates. Turn it into a number that "
            "means something (an age, a year, days since an event)."
        )
    held = " and ".join(sorted({each.__name__ for each in found}))
    raise error(
        f"`{name}` must hold numbers, yes/no or text. It holds values of type {held}. Turn it into one of these."
    )


def _types(column: pd.Series) -> set[type]:
    if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind in "mM":
        return {pd.Timestamp}
    return set(map(type, column.dropna().tolist()))


def to_float(column: pd.Series) -> Array:
    """Numbers, nullable numbers, decimals or booleans as float64, missing as NaN; beyond its range infinite."""
    with np.errstate(over="ignore"):
        if column.dtype != object:
            return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    out, known = np.full(len(column), np.nan), column.notna().to_numpy()
    out[known] = [_float(each) for each in column[known]]
    return out


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf
    except (ValueError, TypeError):  # a signalling decimal
        return np.nan


def is_blank(label: Any) -> bool:
    """Whether a label is text without a letter: how Stata and CSV files write a missing one.

    Examples
    --------
    >>> is_blank(" "), is_blank("a"), is_blank(0)
    (True, False, False)
    """
    return isinstance(label, str) and not label.strip()


def codes_of(column: pd.Series, role: str, name: str) -> tuple[Codes, npt.NDArray[Any]]:
    """Code (n,) of each label and the labels in sorted order, those of a category in the category's; -1 where missing or blank.

    Examples
    --------
    >>> codes, labels = codes_of(pd.Series(["b", "a", "", "b", None]), "cluster", "town")
    >>> codes.tolist(), labels.tolist()
    ([1, 0, -1, 1, -1], ['a', 'b'])
    """
    try:
        codes, found = pd.factorize(column)
    except TypeError as error:
        first = next(
            (each for each in column if isinstance(each, list | dict | set | np.ndarray)), column.iloc[0]
        )
        raise InvalidData(
            f"`{role}` must hold labels: text, numbers, dates or categories. `{name}` holds values of type "
            f"{type(first).__name__}. Turn them into text."
        ) from error
    labels = found.to_numpy() if isinstance(found, pd.Index) else np.asarray(found)
    order = np.array(
        [place for place in _sorted(found, labels) if not is_blank(labels[place])], dtype=np.int64
    )
    place = np.full(len(labels) + 1, -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    return place[codes], labels[order]


def _sorted(found: Any, labels: npt.NDArray[Any]) -> list[int]:
    """Places of the labels in sorted order; labels that cannot be compared by type, then as text."""
    if isinstance(found, pd.CategoricalIndex):
        return np.argsort(found.codes).tolist()
    if labels.dtype != object:
        return np.argsort(labels, kind="stable").tolist()
    places = range(len(labels))
    try:
        return sorted(places, key=lambda place: labels[place])
    except TypeError:
        return sorted(places, key=lambda place: (type(labels[place]).__name__, str(labels[place])))


def renumbered(codes: Codes, labels: npt.NDArray[Any]) -> tuple[Codes, npt.NDArray[Any]]:
    """Codes from 0 on without gaps, and the labels that are left.

    Examples
    --------
    >>> renumbered(np.array([2, 0, 2]), np.array(["a", "b", "c"]))
    (array([1, 0, 1]), array(['a', 'c'], dtype='<U1'))
    """
    left, codes = np.unique(codes, return_inverse=True)
    return codes.astype(np.int64), labels[left]
