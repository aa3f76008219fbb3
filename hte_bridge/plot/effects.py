"""Pictures of rows: coefficients over engines, group effects, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from hte_bridge.errors import InvalidOption
from hte_bridge.plot.style import COLUMN, GREY, axes, beside, label, legend, looks, plain, zero_line
from hte_bridge.table import Estimate, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AVERAGES = ("coefficient", "ate", "att", "atc", "ato", "ape")
ROW_HEIGHT = 0.16  # inches that a row of the coefficient plot takes


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


def coefficients(
    table: Table | Sequence[Estimate], ax: Axes | None = None, *, estimands: Sequence[str] | None = None
) -> Axes:
    """Estimates and intervals, one line a row, engines side by side.

    Parameters
    ----------
    table : Table or sequence of Estimate
        Rows without an estimate are left out; those without an interval are a bare marker.
    ax : Axes, optional
        Drawn into; by default new axes, 3.4 inches wide.
    estimands : sequence of str, optional
        By default the average effects, or everything where there are none.

    Returns
    -------
    Axes
        In units of the outcome.

    Raises
    ------
    InvalidOption
        If no row has an estimate.
    """
    rows = rows_of(table)
    wanted = AVERAGES if estimands is None else tuple(estimands)
    rows = tuple(row for row in rows if row.estimand in wanted) or rows
    keys = list(dict.fromkeys((row.estimand, row.term) for row in rows))
    ax = axes(ax, (COLUMN[0], height(rows)))
    zero_line(ax, vertical=True)
    chosen, ticks, y = looks(row.engine for row in rows), [], 0.0
    for key in keys:
        members = [row for row in rows if (row.estimand, row.term) == key]
        for row in members:
            look = chosen[row.engine]
            _bar(ax, row, y, look.colour, look.marker, vertical=False)
            y += 1
        ticks.append(y - 0.5 * (len(members) + 1))
        y += 0.7
    ax.set_yticks(ticks, [fill(plain(_name(*key)), 20) for key in keys])
    ax.set_ylim(y - 0.9, -0.8)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    legend(ax, chosen, where="above")
    return label(ax, x=f"effect, {_levels(rows)}")


def height(rows: Sequence[Estimate]) -> float:
    """Inches that a coefficient plot of these rows takes."""
    return 0.75 + ROW_HEIGHT * (len(rows) + 0.7 * len({(row.estimand, row.term) for row in rows}))


def gates(table: Table | Sequence[Estimate], ax: Axes | None = None, *, average: float | None = None) -> Axes:
    """Effects of groups in order, engines side by side; ``average`` draws the average effect as a line.

    Contrasts of two groups (``highest - lowest``) are left to the table.

    Raises
    ------
    InvalidOption
        If no row has an estimate.
    """
    rows = tuple(row for row in rows_of(table) if " - " not in row.term)
    terms = list(dict.fromkeys(row.term for row in rows))
    ax = axes(ax)
    zero_line(ax)
    if average is not None:
        ax.axhline(average, color=GREY, linewidth=0.8, zorder=0)
        beside(ax, "average", average)
    chosen = looks(row.engine for row in rows)
    step = 0.6 / max(len(chosen), 2)
    for i, (engine, look) in enumerate(chosen.items()):
        shift = (i - (len(chosen) - 1) / 2) * step
        for row in (each for each in rows if each.engine == engine):
            _bar(ax, row, terms.index(row.term) + shift, look.colour, look.marker, vertical=True)
    column, shown = _prefix(terms)
    ax.set_xticks(range(len(terms)), [fill(plain(term), 16) for term in shown])
    ax.set_xlim(-0.6, len(terms) - 0.4)
    if max(map(len, shown)) > 40 / len(shown):
        ax.tick_params(axis="x", labelrotation=30)
        for tick in ax.get_xticklabels():
            tick.set_horizontalalignment("right")
    legend(ax, chosen, where="above")
    return label(ax, x=column or "group", y=f"effect, {_levels(rows)}")


def _prefix(terms: Sequence[str]) -> tuple[str, list[str]]:
    """``"age = 20"``, ``"age = 30"`` as the column ``age`` and its values."""
    columns = {term.partition(" = ")[0] for term in terms if " = " in term}
    if len(columns) != 1 or not all(" = " in term for term in terms):
        return "", list(terms)
    return columns.pop(), [term.partition(" = ")[2] for term in terms]


def calibration(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Group effects by doubly robust scores against the mean CATE predicted for the group.

    Parameters
    ----------
    frame : DataFrame
        Columns ``predicted``, ``estimate``, ``conf_low``, ``conf_high``, and ``engine`` where there are several.
    ax : Axes, optional

    Returns
    -------
    Axes
        Points on the diagonal are well calibrated.
    """
    ax = axes(ax)
    engines = frame["engine"] if "engine" in frame else pd.Series("", index=frame.index)
    chosen = looks(engines)
    values = frame[["predicted", "estimate", "conf_low", "conf_high"]].to_numpy(float)
    low, high = np.nanmin(values[:, 0]), np.nanmax(values[:, 0])
    ax.axline((low, low), slope=1, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    for engine, look in chosen.items():
        x, y, below, above = values[(engines == engine).to_numpy()].T
        ax.errorbar(
            x,
            y,
            yerr=[y - below, above - y],
            fmt=look.marker,
            color=look.colour,
            markersize=3.5,
            elinewidth=1,
        )
    margin = 0.12 * (high - low) or 1.0
    ax.set_xlim(low - margin, high + margin)
    legend(ax, chosen, where="above")
    return label(ax, x="mean predicted CATE of the group", y="effect by scores")


def _bar(ax: Axes, row: Estimate, at: float, colour: str, marker: str, *, vertical: bool) -> None:
    """One estimate with its interval, if it has one."""
    ends, place = [row.conf_low, row.conf_high], [at, at]
    if np.isfinite(ends).all():
        ax.plot(
            *((place, ends) if vertical else (ends, place)),
            color=colour,
            linewidth=1.3,
            solid_capstyle="butt",
        )
    filled = colour if np.isfinite(ends).all() else "white"
    point = (at, row.estimate) if vertical else (row.estimate, at)
    ax.plot(*([each] for each in point), marker=marker, markersize=4, color=colour, markerfacecolor=filled)


def _name(estimand: str, term: str) -> str:
    shown = estimand.upper() if estimand in AVERAGES[1:] else estimand
    return f"{shown}: {term}" if term else shown


def _levels(rows: Sequence[Estimate]) -> str:
    levels = sorted({row.level for row in rows})
    return f"{' and '.join(f'{100 * each:g} %' for each in levels)} interval{'s' if len(levels) > 1 else ''}"
