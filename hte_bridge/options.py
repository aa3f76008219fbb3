"""Checks of the numbers that options hold; each returns the value or raises a sentence."""

from __future__ import annotations

from math import isfinite
from numbers import Integral, Real
from typing import Any

from hte_bridge.errors import InvalidOption


def whole(
    name: str, value: Any, least: int = 1, most: int | None = None, advice: str = "Choose another."
) -> int:
    """A whole number from ``least`` to ``most``.

    Raises
    ------
    InvalidOption
        If it is another number, or none; True and False are none.

    Examples
    --------
    >>> whole("draws", 99)
    99
    >>> whole("draws", 2.5)
    Traceback (most recent call last):
    ...
    hte_bridge.errors.InvalidOption: `draws` must be a whole number, 1 or more. 2.5 was given. Choose another.
    """
    fits = isinstance(value, Integral) and not isinstance(value, bool)
    if not fits or value < least or (most is not None and value > most):
        span = f"{least} or more" if most is None else f"{least} to {most:,}"
        raise InvalidOption(f"`{name}` must be a whole number, {span}. {value!r} was given. {advice}")
    return int(value)


def finite(name: str, value: Any) -> float:
    """A number that is neither missing nor infinite.

    Raises
    ------
    InvalidOption
        If it is, or no number.

    Examples
    --------
    >>> finite("T1", 2)
    2.0
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not isfinite(value):
        raise InvalidOption(f"`{name}` must be a finite number. {value!r} was given. Choose another.")
    return float(value)


def between(name: str, value: Any, low: float, high: float, words: str, ends: tuple[bool, bool]) -> float:
    """A number between two others, with or without these; ``words`` say so.

    Raises
    ------
    InvalidOption
        If it is outside, or no number.

    Examples
    --------
    >>> between("alpha", 0.05, 0.0, 0.5, "at least 0 and below 0.5", (True, False))
    0.05
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not (low < value < high or (value == low and ends[0]) or (value == high and ends[1])):
        raise InvalidOption(f"`{name}` must be {words}. {value!r} was given. Choose another.")
    return float(value)
