"""Comparison and arithmetic of values that may be unknown.

Logic is Kleene's, with three answers (Kleene 1952, Introduction to Metamathematics, section 64): what is compared with something
unknown is unknown, and so is its opposite.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.language.values import Dates, Levels, Mask, Number, Text, Truth, Unfit, Value, literal

SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "//": np.floor_divide,
    "%": np.mod,
    "**": np.power,
}


def numbers(value: Value) -> Number:
    """Numbers, or yes and no as 1 and 0.

    Raises
    ------
    Unfit
        For text, levels and dates.
    """
    if isinstance(value, Truth):
        return value.number
    if isinstance(value, Number):
        return value
    raise Unfit(f"computes with {value.said}; only numbers can be computed with")


def compare(sign: str, left: Value, right: Value) -> Truth:
    """Kleene's comparison of two values; unknown where either is.

    Raises
    ------
    Unfit
        Where the two kinds cannot be compared, or not in this way.
    """
    known = ~(left.missing | right.missing)
    if isinstance(left, Levels) or isinstance(right, Levels):
        if sign not in ("==", "!="):
            return _answer(known, _by_rank(sign, left, right))
        left = left.plain if isinstance(left, Levels) else left
        right = right.plain if isinstance(right, Levels) else right
        return compare(sign, left, right)
    if isinstance(left, Number | Truth) and isinstance(right, Number | Truth):
        return _answer(known, _by_number(SIGNS[sign], numbers(left), numbers(right)))
    if isinstance(left, Dates) or isinstance(right, Dates):
        return _answer(known, _by_date(SIGNS[sign], left, right))
    if isinstance(left, Text) and isinstance(right, Text):
        if sign not in ("==", "!="):
            _no_numerals(left, right)
        return _answer(known, _where(known, SIGNS[sign], left.values, right.values))
    raise Unfit(f"compares {left.said} with {right.said}")


def _answer(known: Mask, holds: Any) -> Truth:
    held = np.asarray(holds, dtype=bool)
    return Truth(known & held, known & ~held)


def _where(known: Mask, sign: Callable[[Any, Any], Any], left: Any, right: Any) -> Mask:
    """Comparison of objects at the places that are known."""
    one, other = np.broadcast_arrays(left, right)
    out = np.zeros(known.shape, dtype=bool)
    out[known] = np.asarray(sign(one[known], other[known]), dtype=bool)
    return out


def _by_number(sign: Callable[[Any, Any], Any], left: Number, right: Number) -> Mask:
    if left.exact is not None or right.exact is not None:
        one = left.values if left.exact is None else left.exact
        other = right.values if right.exact is None else right.exact
        known = np.asarray(~(left.missing | right.missing))
        return _where(known, sign, np.asarray(one, dtype=object), np.asarray(other, dtype=object))
    one, other = left.values, right.values
    if left.narrow is not None and not other.ndim:
        other = other.astype(left.narrow).astype(np.float64)
    if right.narrow is not None and not one.ndim:
        one = one.astype(right.narrow).astype(np.float64)
    return np.asarray(sign(one, other))


def _by_rank(sign: str, left: Value, right: Value) -> Mask:
    """Order of levels, with a level or with another category of the same levels."""
    given = left if isinstance(left, Levels) else right
    assert isinstance(given, Levels)
    if not given.ordered:
        raise Unfit("asks for the order of a category that has none; ask for equality, or make it ordered")
    ranks = [_rank(given, each) for each in (left, right)]
    return np.asarray(SIGNS[sign](*ranks))


def _rank(given: Levels, value: Value) -> npt.NDArray[np.int64]:
    if isinstance(value, Levels):
        if list(value.levels) != list(given.levels) or not value.ordered:
            raise Unfit("compares categories of different levels")
        return value.codes
    if not isinstance(value, Text | Number) or value.values.ndim:
        raise Unfit("compares levels with something that is no level")
    one = value.values.item()
    found = [rank for rank, level in enumerate(given.levels) if level == one]
    if not found:
        listed = ", ".join(f"'{each}'" for each in given.levels[:8])
        raise Unfit(f"asks for the rank of '{one}', which is none of the levels {listed}")
    return np.asarray(found[0])


def _by_date(sign: Callable[[Any, Any], Any], left: Value, right: Value) -> Any:
    like = left if isinstance(left, Dates) else right
    assert isinstance(like, Dates)
    try:
        answer = sign(*(_moments(each, like.values) for each in (left, right)))
    except TypeError as error:
        raise Unfit("compares dates of a time zone with dates of none") from error
    return np.asarray(pd.Series(answer).to_numpy(dtype=bool, na_value=False))


def _moments(value: Value, like: pd.Series) -> Any:
    """Dates, or one date written as ISO 8601, in the zone of the column where it names none."""
    if isinstance(value, Dates):
        return value.values
    if not isinstance(value, Text) or value.values.ndim:
        raise Unfit(f"compares dates with {value.said}; write a date as '2020-01-31'")
    text = str(value.values.item())
    try:
        written = pd.Timestamp(datetime.fromisoformat(text))
    except ValueError as error:
        raise Unfit(f"compares dates with '{text}'; write a date as '2020-01-31'") from error
    zone = getattr(like.dtype, "tz", None) or getattr(getattr(like.dtype, "pyarrow_dtype", None), "tz", None)
    return written.tz_localize(zone) if zone is not None and written.tzinfo is None else written


def _no_numerals(left: Text, right: Text) -> None:
    """Text is ordered letter by letter: of numbers written as text that is not what is meant."""
    for each in (left, right):
        seen = pd.Series(np.atleast_1d(each.values)).dropna()
        if len(seen) and pd.to_numeric(seen, errors="coerce").notna().all():
            raise Unfit(
                "asks for the order of numbers written as text, in which '10' is before '9'; make them numbers"
            )


def among(value: Value, listed: Sequence[Any]) -> Truth:
    """Whether a value is one of some literals of one kind; unknown where it is unknown.

    Raises
    ------
    Unfit
        For an empty list, for literals of several kinds, or of another kind than the value.
    """
    if not listed:
        raise Unfit("asks for membership in an empty list")
    if isinstance(value, Levels):
        return among(value.plain, listed)
    items = [literal(each) for each in listed]
    if any(type(each) is not type(items[0]) for each in items):
        raise Unfit("has a list of several kinds; give numbers alone, or text alone")
    first = compare("==", value, items[0])  # says what cannot be compared
    if isinstance(value, Text):
        held = (
            pd.Series(np.atleast_1d(value.values)).isin(list(listed)).to_numpy().reshape(value.values.shape)
        )
        return _answer(~value.missing, held)
    if isinstance(value, Number) and value.exact is None and value.narrow is None:
        plain = [each for each in items if isinstance(each, Number) and each.exact is None]
        return _answer(~value.missing, np.isin(value.values, [float(each.values) for each in plain]))
    for each in items[1:]:
        first = first | compare("==", value, each)
    return first


def compute(sign: str, left: Value, right: Value) -> Number:
    """``left sign right`` in float64; unknown where either is.

    Raises
    ------
    Unfit
        For what is no number, and for whole numbers that the answer would round.

    Examples
    --------
    >>> compute("**", literal(9), literal(400)).values
    array(inf)
    """
    one, other = numbers(left), numbers(right)
    rounded = [each.exact is not None for each in (one, other)]
    if any(rounded) and (sign in ("%", "//") or (sign in ("+", "-") and all(rounded))):
        raise Unfit(
            "computes with whole numbers beyond 2^53, which would be rounded; compare them, or take them as text"
        )
    with np.errstate(all="ignore"):
        out = np.asarray(ARITHMETIC[sign](one.values, other.values), dtype=np.float64)
    # IEEE 754 has 1 ** unknown and unknown ** 0 be one: unknown here
    return Number(np.where(one.missing | other.missing, np.nan, out))
