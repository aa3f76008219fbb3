"""Rows of a picture, cut by what they are measured in: each unit has a scale of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np

from hte_bridge.errors import InvalidOption
from hte_bridge.estimand import averages, known
from hte_bridge.plot.style import LONGEST, distinct
from hte_bridge.table import Estimate, Table

ROW_HEIGHT = 0.16  # inches that a row takes
LINE_HEIGHT = 0.125  # inches that a line of a name takes
ACROSS, LINES = 20, 3  # characters of a line, and lines, of a name
INTERCEPT = "(Intercept)"  # the effect at covariates of zero: no slope
GROUPED = ("gate", "gates", "projection", "clan", "nuisance")  # their terms are names of the data's
SHARE = re.compile(r"\bshare (kept|treated)\b|robustness value|partial R2")
OWN = ("clan", "nuisance", "dose")  # every term is measured in something of its own
SHARES = "share of the variation that is left"  # robustness values, strengths of confounders
PER_SD = "change of the effect per standard deviation"


@dataclass(frozen=True)
class Ladder:
    """Rows in one unit, from top to bottom.

    Parameters
    ----------
    unit : str
        What the axis measures.
    places : tuple of (Estimate, float)
        Rows and their heights, in rows.
    names : tuple of str
        One for each estimand and term, wrapped.
    ticks : tuple of float
        Heights of the names.
    span : float
        Height of all.
    """

    unit: str
    places: tuple[tuple[Estimate, float], ...]
    names: tuple[str, ...]
    ticks: tuple[float, ...]
    span: float

    @property
    def inches(self) -> float:
        """Height that these rows take."""
        return ROW_HEIGHT * (self.span + 0.3)


def rows_of(table: Table | Sequence[Estimate]) -> tuple[Estimate, ...]:
    """Rows that have an estimate to draw.

    Raises
    ------
    InvalidOption
        If none has.
    """
    rows = tuple(table.rows if isinstance(table, Table) else table)
    drawn = tuple(row for row in rows if np.isfinite(row.estimate))
    if not drawn:
        raise InvalidOption(
            f"A picture needs at least one row with an estimate. None of the {len(rows)} rows has one; their notes "
            "say why."
        )
    return drawn


def ladders(rows: Sequence[Estimate], spread: Mapping[str, float]) -> list[Ladder]:
    """The rows cut by their units, in order of first appearance; slopes per standard deviation where ``spread`` knows them all."""
    slopes = [row for row in rows if row.estimand == "projection" and row.term != INTERCEPT]
    if slopes:  # the intercept is the effect at covariates of zero, often far outside the data
        rows = [row for row in rows if row.estimand != "projection" or row.term != INTERCEPT]
    known = bool(slopes) and all(spread.get(row.term, 0.0) > 0 for row in slopes)
    if known:
        rows = [_scaled(row, spread[row.term]) if row.estimand == "projection" else row for row in rows]
    parts: dict[str, list[Estimate]] = {}
    for row in rows:
        parts.setdefault(unit(row, known), []).append(row)
    return [_ladder(name, members) for name, members in parts.items()]


def unit(row: Estimate, standardised: bool = False) -> str:
    """What a row is measured in.

    Examples
    --------
    >>> unit(Estimate("ate", 1.0)), unit(Estimate("projection", 1.0, term="age"))
    ('effect', 'effect per unit of age')
    """
    if SHARE.search(row.term) and row.estimand not in GROUPED:
        return SHARES if row.estimand == "sensitivity" else "share of units"
    if row.estimand == "projection":
        per = "effect" if row.term == INTERCEPT else f"effect per unit of {row.term}"
        return PER_SD if standardised and row.term != INTERCEPT else per
    name = known(row.estimand).unit
    return (
        f"{name} of {row.term.rpartition(': ')[0] or row.term}" if row.estimand in OWN and row.term else name
    )


def _scaled(row: Estimate, by: float) -> Estimate:
    """A slope per standard deviation of its covariate; test and level stay."""
    ends = None if row.interval is None else (row.conf_low * by, row.conf_high * by)
    return row.with_(estimate=row.estimate * by, std_error=row.std_error * by, interval=ends, influence=None)


def _ladder(unit: str, rows: Sequence[Estimate]) -> Ladder:
    keys = list(dict.fromkeys((row.estimand, row.term) for row in rows))
    alone = len({estimand for estimand, _ in keys}) == 1 and keys[0][0] not in averages()
    full = [name(*key, alone=alone) for key in keys]
    cut = _in_lines(full)
    places: list[tuple[Estimate, float]] = []
    names, ticks, top = [], [], 0.0
    for key, text in zip(keys, full, strict=True):
        members = [row for row in rows if (row.estimand, row.term) == key]
        names.append(cut[text])
        slot = max(len(members), len(names[-1].split("\n")) * LINE_HEIGHT / ROW_HEIGHT)
        first = top + (slot - len(members)) / 2
        places += [(row, first + i) for i, row in enumerate(members)]
        ticks.append(top + (slot - 1) / 2)
        top += slot + 0.7
    return Ladder(unit, tuple(places), tuple(names), tuple(ticks), top - 0.7)


def _in_lines(names: Sequence[str]) -> dict[str, str]:
    """Names wrapped to a few lines, cut in their middle as far as that needs, no two alike."""
    for longest in range(LONGEST, ACROSS, -4):
        made = {text: fill(each, ACROSS) for text, each in distinct(names, longest).items()}
        if max(each.count("\n") for each in made.values()) < LINES:
            return made
    return distinct(names, ACROSS)


def name(estimand: str, term: str, alone: bool = False) -> str:
    """What a row is called beside its engines' marks."""
    shown = estimand.upper() if known(estimand).average else estimand
    if not term:
        return shown
    return term if alone or estimand == "projection" else f"{shown}: {term}"


def levels(rows: Sequence[Estimate]) -> str:
    """``"95 % interval"``, or those that there are; nothing where no row has one."""
    said = sorted({row.level for row in rows if np.isfinite([row.conf_low, row.conf_high]).all()})
    if not said:
        return ""
    return f"{' and '.join(f'{100 * each:g} %' for each in said)} interval{'s' if len(said) > 1 else ''}"
