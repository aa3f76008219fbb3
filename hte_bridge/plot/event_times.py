"""Effects by time since treatment began, engines or groups side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from hte_bridge.errors import InvalidOption
from hte_bridge.plot.style import COLUMN, GREY, axes, label, legend, looks, zero_line
from hte_bridge.table import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def event_times(series: Mapping[str, Sequence[Estimate]], ax: Axes | None = None, *, title: str = "") -> Axes:
    """Estimates and intervals by event time; those before treatment began are drawn hollow.

    Parameters
    ----------
    series : mapping of str to sequence of Estimate
        Name of an engine or group -> its rows, whose terms are event times.
    ax : Axes, optional
        Drawn into; by default new axes.

    Raises
    ------
    InvalidOption
        If no row has an estimate.
    """
    drawn = {name: [row for row in rows if np.isfinite(row.estimate)] for name, rows in series.items()}
    drawn = {name: rows for name, rows in drawn.items() if rows}
    if not drawn:
        raise InvalidOption(
            "A picture of event times needs a row with an estimate. None has one; the rows' notes say why."
        )
    ax = axes(ax, (1.4 * COLUMN[0], COLUMN[1]))
    zero_line(ax)
    times = sorted({float(row.term) for rows in drawn.values() for row in rows})
    gap = min(np.diff(times), default=1.0)
    if min(times) < 0 <= max(times):
        ax.axvline(-0.5 * gap, color=GREY, linewidth=0.7, linestyle=(0, (1, 2)), zorder=0)
    chosen = looks(drawn)
    step = 0.5 * gap / max(len(drawn), 2)
    for place, (name, rows) in enumerate(drawn.items()):
        look, shift = chosen[name], (place - (len(drawn) - 1) / 2) * step
        for row in rows:
            at = float(row.term) + shift
            ax.plot([at, at], [row.conf_low, row.conf_high], color=look.colour, linewidth=1.2)
            face = look.colour if float(row.term) >= 0 else "white"
            ax.plot(at, row.estimate, look.marker, color=look.colour, markerfacecolor=face, markersize=4)
    ax.xaxis.set_major_locator(MaxNLocator(integer=all(time.is_integer() for time in times)))
    legend(ax, drawn)
    rows = next(iter(drawn.values()))
    band = "joint " if any("joint" in row.vcov for row in rows) else ""
    return label(
        ax,
        x="periods since treatment began",
        y=f"effect, {band}{100 * rows[0].level:g} % intervals",
        title=title,
    )
