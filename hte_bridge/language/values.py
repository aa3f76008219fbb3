"""Values of a condition or formula: numbers, yes and no, text, levels and dates, each of which may be unknown.

Numbers are float64 before anything is done to them, so that no column of small integers overflows; whole numbers that float64 cannot
hold are kept beside it, to be compared exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api import types

from hte_bridge.arrays import Array
from hte_bridge.kinds import to_float

Mask = npt.NDArray[np.bool_]
SHOWN = 100  # characters of the user's text in a sentence
EXACT = 2**53  # whole numbers up to here are float64 without loss


class Unfit(Exception):
    """Why an expression has no value.

    Parameters
    ----------
    clause : str
        What is wrong, as the end of a sentence.
    about : str
        The part of the user's text that it is said of, the sentence's subject.
    """

    def __init__(self, clause: str, about: str = "") -> None:
        self.clause, self.about = clause, about
        super().__init__(clause)

    def sentence(self, text: str) -> str:
        """The sentence, of the whole text where no part of it is to blame."""
        if not text.strip():
            return "The text is empty."
        about = self.about or text
        shown = about if len(about) <= SHOWN else f"{about[:SHOWN]}..."
        return f"`{shown}` {self.clause}."


@dataclass(frozen=True, eq=False)
class Truth:
    """Yes, no, or neither where it is unknown: masks (n,), or of one value."""

    said: ClassVar[str] = "yes and no"
    yes: Mask
    no: Mask

    def __and__(self, other: Truth) -> Truth:
        return Truth(self.yes & other.yes, self.no | other.no)

    def __or__(self, other: Truth) -> Truth:
        return Truth(self.yes | other.yes, self.no & other.no)

    def __invert__(self) -> Truth:
        return Truth(self.no, self.yes)

    @property
    def missing(self) -> Mask:
        """Where it is unknown."""
        return ~(self.yes | self.no)

    @property
    def number(self) -> Number:
        """One for yes, zero for no."""
        return Number(np.where(self.missing, np.nan, self.yes.astype(np.float64)))


@dataclass(frozen=True, eq=False)
class Number:
    """Numbers as float64, NaN where unknown.

    Parameters
    ----------
    values : array (n,) or ()
    exact : array of Python's integers, optional
        Where float64 cannot hold them; None where missing.
    narrow : dtype, optional
        Of a column of float32 or float16: a literal compared with it is first rounded as the column was.
    """

    said: ClassVar[str] = "numbers"
    values: Array
    exact: npt.NDArray[Any] | None = None
    narrow: np.dtype[Any] | None = None

    @property
    def missing(self) -> Mask:
        """Where it is unknown."""
        return np.isnan(self.values)


@dataclass(frozen=True, eq=False)
class Text:
    """Text, None where unknown."""

    said: ClassVar[str] = "text"
    values: npt.NDArray[Any]

    @property
    def missing(self) -> Mask:
        """Where it is unknown."""
        return np.asarray(pd.isna(self.values))


@dataclass(frozen=True, eq=False)
class Levels:
    """A category: the code of each unit's level, -1 where unknown."""

    said: ClassVar[str] = "levels of a category"
    codes: npt.NDArray[np.int64]
    levels: pd.Index
    ordered: bool

    @property
    def missing(self) -> Mask:
        """Where it is unknown."""
        return self.codes < 0

    @property
    def plain(self) -> Value:
        """The levels themselves, as a column that is no category."""
        named: npt.NDArray[Any] = np.array([*self.levels, None], dtype=object)  # code -1 is the last: missing
        return value_of(pd.Series(named[self.codes], dtype=object))


@dataclass(frozen=True, eq=False)
class Dates:
    """Days or moments, NaT where unknown."""

    said: ClassVar[str] = "dates"
    values: pd.Series

    @property
    def missing(self) -> Mask:
        """Where it is unknown."""
        return self.values.isna().to_numpy()


Value = Truth | Number | Text | Levels | Dates


def value_of(column: pd.Series) -> Value:
    """A column by what it holds.

    Raises
    ------
    Unfit
        For lists, durations, complex numbers and mixtures.

    Examples
    --------
    >>> value_of(pd.Series([100, 120], dtype="int8")).values
    array([100., 120.])
    >>> value_of(pd.Series([True, None], dtype="boolean")).missing
    array([False,  True])
    """
    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        return Levels(column.cat.codes.to_numpy().astype(np.int64), kind.categories, bool(kind.ordered))
    if types.is_bool_dtype(column):
        return _truth(to_float(column))
    if types.is_datetime64_any_dtype(column) and not str(kind).startswith("date32"):  # "date32[day][pyarrow]"
        return Dates(column.reset_index(drop=True))
    if types.is_numeric_dtype(column) and not types.is_complex_dtype(column):
        return _number(column)
    return _objects(column.astype(object).reset_index(drop=True))


def _truth(values: Array) -> Truth:
    return Truth(values == 1, values == 0)


def _number(column: pd.Series) -> Number:
    values, exact = to_float(column), None
    if types.is_integer_dtype(column) and (np.abs(values[~np.isnan(values)]) >= EXACT).any():
        exact = column.astype(object).where(column.notna(), None).to_numpy()
    name = str(column.dtype).lower()
    narrow = next((np.dtype(each) for each in ("float32", "float16") if name.startswith(each)), None)
    return Number(values, exact, np.dtype("float32") if name == "float[pyarrow]" else narrow)


def _objects(column: pd.Series) -> Value:
    """A column of Python objects, by what they are."""
    seen = column.dropna()
    kinds = {type(each) for each in seen}
    if not kinds or all(issubclass(each, str) for each in kinds):
        return Text(column.where(column.notna(), None).to_numpy(dtype=object))
    if all(issubclass(each, bool | np.bool_) for each in kinds):
        return _truth(to_float(column.map(float, na_action="ignore")))
    if all(issubclass(each, int | float | np.number) or each.__name__ == "Decimal" for each in kinds):
        whole = all(issubclass(each, int | np.integer) for each in kinds)
        exact = column.where(column.notna(), None).to_numpy(dtype=object) if whole else None
        values = to_float(column)
        return Number(
            values, exact if exact is not None and (np.abs(values[seen.index]) >= EXACT).any() else None
        )
    if all(each.__name__ in ("date", "datetime", "Timestamp", "datetime64") for each in kinds):
        return Dates(pd.to_datetime(column))
    raise Unfit(
        f"holds values of type {seen.map(lambda each: type(each).__name__).iloc[0]}; turn it into numbers or text"
    )


def literal(value: bool | int | float | str) -> Value:
    """A value as the user wrote it."""
    if isinstance(value, bool):
        return Truth(np.asarray(value), np.asarray(not value))
    if isinstance(value, str):
        return Text(np.asarray(value, dtype=object))
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        raise Unfit("holds a number beyond 1e308")
    return Number(np.asarray(number), np.asarray(value, dtype=object) if number != value else None)
