"""Pictures of rows: effects over engines, each axis in one unit; group effects; calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hte_bridge.estimand import averages
from hte_bridge.plot.asked import fitted, predicted_groups, rows_about, second
from hte_bridge.plot.ladder import Ladder, ladders, levels, rows_of
from hte_bridge.plot.style import COLUMN, GREY, axes, beside, label, legend, looks, room, wrapped, zero_line
from hte_bridge.plot.ticks import names, numbers, rows_of_names
from hte_bridge.table import Estimate, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUPED = ("gate", "gates")
BELOW, LINE = 0.3, 0.13  # inches under a panel for its numbers, and for each line of its name
ABOVE = 0.3  # inches over the first panel for the legend


def coefficients(
    table: Table | Sequence[Estimate], ax: Axes | None = None, *, estimands: Sequence[str] | None = None
) -> Axes:
    """Estimates and intervals, one line a row, engines side by side; what is in another unit has a panel and scale of its own.

    Parameters
    ----------
    table : Table or sequence of Estimate
        Rows without an estimate are left out; those without an interval are a bare marker.
    ax : Axes, optional
        Drawn into; by default new axes, 3.4 inches wide. Panels stand one under the other in their place.
    estimands : sequence of str, optional
        By default the average effects, or everything where there are none. Slopes of a ``projection`` are those of one standard
        deviation of the covariate where the table knows it.

    Returns
    -------
    Axes
        In units of the outcome; the panels are its ``child_axes`` where there are several.

    Raises
    ------
    InvalidOption
        If no row has an estimate.
    """
    rows = rows_of(table)
    wanted = averages() if estimands is None else tuple(estimands)
    rows = tuple(row for row in rows if row.estimand in wanted) or rows
    spread = table.meta.get("spread") or {} if isinstance(table, Table) else {}
    made = ladders(rows, spread)
    ax = axes(ax, (COLUMN[0], _inches(made)))
    chosen = list(looks(row.engine for row in rows))
    inside = _height(ax)
    if len(made) == 1:
        return _panel(ax, made[0], chosen, inside, first=True)
    ax.set_axis_off()
    below = [BELOW + LINE * len(wrapped(_axis(each), ax)) for each in made]
    heights = [each.inches for each in made]
    while len(made) > 1 and sum(heights) + sum(below[: len(made) - 1]) > 1.25 * inside:
        made, heights = made[:-1], heights[:-1]  # what finds no room is left to the table
    whole, top = sum(heights) + sum(below[: len(made) - 1]), 1.0
    for i, each in enumerate(made):
        share = heights[i] / whole
        child = axes(ax.inset_axes((0.0, top - share, 1.0, share)))
        child.panel_of = ax  # type: ignore[attr-defined]
        _panel(child, each, chosen, inside * share, first=i == 0)
        top -= share + below[i] / whole
    return ax


def _axis(ladder: Ladder) -> str:
    """What the axis of a panel says: its unit, and the intervals where it has any."""
    return ", ".join(filter(None, [ladder.unit, levels([row for row, _ in ladder.places])]))


def _panel(ax: Axes, ladder: Ladder, engines: Sequence[str], inches: float, first: bool) -> Axes:
    """Rows of one unit on one scale."""
    chosen = looks(engines)
    zero_line(ax, vertical=True)
    for row, at in ladder.places:
        _bar(ax, row, at, chosen[row.engine].colour, chosen[row.engine].marker, vertical=False)
    ax.set_ylim(ladder.span - 0.5, -0.8)
    rows_of_names(ax, ladder.names, ladder.ticks, inches, ladder.span + 0.3)
    text = numbers(ax, "x", _axis(ladder), 0.5)
    if first:
        legend(ax, engines)
    return label(ax, x=text)


def height(table: Table | Sequence[Estimate], spread: Mapping[str, float] | None = None) -> float:
    """Inches that a coefficient plot of these rows takes."""
    return _inches(ladders(rows_of(table), spread or {}))


def _inches(made: Sequence[Ladder]) -> float:
    return ABOVE + sum(each.inches + BELOW + 2 * LINE for each in made)


def _height(ax: Axes) -> float:
    """Inches of the axes themselves, as far as they are known before the page is laid out."""
    whole = room(ax, up=True) / 72
    return max(whole - ABOVE - BELOW - 2 * LINE, 0.3) if ax.get_subplotspec() is not None else whole


def gates(
    table: Table | Sequence[Estimate],
    by: str | Axes | None = None,
    ax: Axes | None = None,
    *,
    average: float | None = None,
) -> Axes:
    """Effects of groups in order, engines side by side; ``average`` draws the average effect as a line.

    Contrasts of two groups (``highest - lowest``) are left to the table.

    Parameters
    ----------
    table : Table or sequence of Estimate
        Rows of ``gate`` or ``gates``. Of a comparison without any, its ``gate(by)`` is taken, or without a column its ``gates()``.
    by : str, optional
        Column of the groups; axes may stand here too.
    ax : Axes, optional

    Raises
    ------
    InvalidOption
        If no row has an estimate.
    """
    column, ax = second(by, ax)
    if column is not None and isinstance(table, Table):
        table = fitted(table, "A picture of groups").gate(column)
    table = rows_about(table, GROUPED, lambda asked: asked.gates())
    rows = tuple(row for row in rows_of(table) if " - " not in row.term)
    rows = tuple(row for row in rows if row.estimand in GROUPED) or rows
    terms = list(dict.fromkeys(row.term for row in rows))
    own, ax = ax is None, axes(ax)
    zero_line(ax)
    if average is not None:
        ax.axhline(average, color=GREY, linewidth=0.8, zorder=0)
        beside(ax, "average", average)
    chosen = looks(row.engine for row in rows)
    step = 0.6 / max(len(chosen), 2)
    size = float(np.clip(0.9 * step * 0.7 * room(ax) / max(len(terms), 1), 1.5, 4))
    for i, (engine, look) in enumerate(chosen.items()):
        shift = (i - (len(chosen) - 1) / 2) * step
        for row in (each for each in rows if each.engine == engine):
            _bar(ax, row, terms.index(row.term) + shift, look.colour, look.marker, vertical=True, size=size)
    column, shown = _prefix(terms)
    names(ax, shown, own)
    ax.set_xlim(-0.6, len(terms) - 0.4)
    legend(ax, chosen)
    return label(
        ax, x=column or "group", y=numbers(ax, "y", ", ".join(filter(None, ["effect", levels(rows)])))
    )


def _prefix(terms: Sequence[str]) -> tuple[str, list[str]]:
    """``"age = 20"``, ``"age = 30"`` as the column ``age`` and its values."""
    columns = {term.partition(" = ")[0] for term in terms if " = " in term}
    if len(columns) != 1 or not all(" = " in term for term in terms):
        return "", list(terms)
    return columns.pop(), [term.partition(" = ")[2] for term in terms]


def calibration(frame: pd.DataFrame | Table, ax: Axes | None = None) -> Axes:
    """Group effects by doubly robust scores against the mean CATE predicted for the group.

    Parameters
    ----------
    frame : DataFrame or Comparison
        Columns ``predicted``, ``estimate``, ``conf_low``, ``conf_high``, and ``engine`` where there are several; of a comparison
        fifths of the units by each engine's held-out CATE.
    ax : Axes, optional

    Returns
    -------
    Axes
        Points on the diagonal are well calibrated.
    """
    if isinstance(frame, Table):
        frame = predicted_groups(frame)
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
    legend(ax, chosen)
    x = numbers(ax, "x", "mean predicted CATE of the group")
    return label(ax, x=x, y=numbers(ax, "y", "effect by scores"))


def _bar(
    ax: Axes, row: Estimate, at: float, colour: str, marker: str, *, vertical: bool, size: float = 4
) -> None:
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
    ax.plot(*([each] for each in point), marker=marker, markersize=size, color=colour, markerfacecolor=filled)
