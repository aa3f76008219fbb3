"""Small words of tables: coverage, p-values, stars, lists and sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hte_bridge.format.figures import DASH

if TYPE_CHECKING:
    from hte_bridge.estimate import Estimate

STARS = ((0.01, "***"), (0.05, "**"), (0.1, "*"))


def p_value(value: float) -> str:
    """Three decimals, or that it is smaller.

    Examples
    --------
    >>> p_value(0.0312), p_value(1e-9)
    ('0.031', '<0.001')
    """
    if not math.isfinite(value):
        return DASH
    return "<0.001" if value < 0.0005 else f"{value:.3f}"


def stars(value: float) -> str:
    """Stars of a p-value.

    Examples
    --------
    >>> stars(0.03), stars(0.5)
    ('**', '')
    """
    return next((mark for bound, mark in STARS if value < bound), "")


def star_note() -> str:
    """What the stars mean."""
    return ", ".join(f"{mark} p < {bound:g}" for bound, mark in STARS) + "."


def listed(names: Sequence[str]) -> str:
    """Words in a row.

    Examples
    --------
    >>> listed(["age", "sex", "school"])
    'age, sex and school'
    """
    named = list(map(str, names))
    return ", ".join(named[:-1]) + f" and {named[-1]}" if len(named) > 1 else "".join(named)


def coverage(rows: Sequence[Estimate]) -> str:
    """``"95 %"``, or nothing where rows differ in their level."""
    levels = {row.level for row in rows}
    return f"{100 * levels.pop():g} %" if len(levels) == 1 else "conf."


def sentence(text: str) -> str:
    """Text with a capital and a stop; a symbol and an engine's name keep their case.

    Examples
    --------
    >>> sentence("overlap is weak"), sentence("n = 100"), sentence("grf: few trees")
    ('Overlap is weak.', 'n = 100.', 'grf: few trees.')
    """
    text = text.strip()
    kept = text[1:2] == " " or text.split(" ")[0].endswith(":")  # a symbol or an engine's name
    first = text[:1] if kept else text[:1].upper()
    return (first + text[1:]).rstrip(".") + "." if text else ""
