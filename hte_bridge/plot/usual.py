"""The usual four pictures of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hte_bridge.estimand import averages
from hte_bridge.plot.cates import agreement, cate_sorted
from hte_bridge.plot.diagnostics import overlap
from hte_bridge.plot.effects import coefficients, height
from hte_bridge.plot.ladder import INTERCEPT
from hte_bridge.plot.style import COLUMN, entitle
from hte_bridge.table import Estimate, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EFFECTS = "Effects by engine"  # the picture of the answer
PAGE = 7.0  # inches across: two columns
PANEL = 2.6  # inches that a row of panels is high at least


@dataclass(frozen=True)
class Picture:
    """A title, a function that draws into axes and returns them, and the size it asks for where it stands alone."""

    title: str
    draw: Callable[[Axes], Axes]
    size: tuple[float, float] = (COLUMN[0] * 1.35, COLUMN[1] * 1.1)


def pictures(table: Table) -> list[Picture]:
    """Titles and ways to draw what a table can show; one that was loaded has no units to show.

    Returns
    -------
    list of Picture
    """
    fits = getattr(table, "fits", None) or {}
    held = [name for name, fit in fits.items() if fit.heldout is not None]
    shown = [_effects(table)]
    if held:
        shown.append(Picture("Held-out CATE, sorted", lambda ax: cate_sorted(table, ax)))
    if len(held) > 1:
        shown.append(Picture("Do engines agree?", lambda ax: agreement(table, ax=ax)))
    if held and table.meta.get("propensity"):
        shown.append(Picture("Overlap", lambda ax: overlap(table, ax=ax)))
    if len(list(filter(None, shown))) < 4:
        shown.append(_slopes(table))
    return [each for each in shown if each is not None]


def _effects(table: Table) -> Picture | None:
    rows = [row for row in table.rows if np.isfinite(row.estimate) and row.estimand in averages()]
    return Picture(EFFECTS, lambda ax: coefficients(rows, ax), _size(rows)) if rows else None


def _slopes(table: Table) -> Picture | None:
    rows = tuple(
        row
        for row in table.rows
        if row.estimand == "projection" and row.term != INTERCEPT and np.isfinite(row.estimate)
    )
    if not rows:
        return None
    part = Table(rows, table.meta)
    draw = lambda ax: coefficients(part, ax, estimands=["projection"])
    return Picture("Effect projected on covariates", draw, _size(rows, table.meta.get("spread")))


def usual(table: Table) -> np.ndarray[Any, Any]:
    """Up to four pictures on a page two columns wide: effects, sorted CATE, agreement or projection, overlap.

    Parameters
    ----------
    table : Table or Comparison
        A table that was loaded shows its rows only.

    Returns
    -------
    array of Axes
        One per picture; ``[0].figure.savefig("effects.pdf")`` saves the page.
    """
    from matplotlib import pyplot

    shown = pictures(table)[:4] or [Picture("Rows", lambda ax: coefficients(table, ax), _size(table.rows))]
    across = min(len(shown), 2)
    rows = [shown[at : at + across] for at in range(0, len(shown), across)]
    heights = [max(PANEL, *(picture.size[1] for picture in row)) for row in rows]
    figure, grid = pyplot.subplots(
        len(rows),
        across,
        figsize=(PAGE * across / 2, sum(heights)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
        dpi=200,
    )
    places = grid.ravel()
    for ax in places[len(shown) :]:
        figure.delaxes(ax)
    drawn = [entitle(picture.draw(ax), picture.title) for picture, ax in zip(shown, places, strict=False)]
    return np.array(drawn, dtype=object)


def _size(rows: Sequence[Estimate], spread: Mapping[str, float] | None = None) -> tuple[float, float]:
    live = [row for row in rows if np.isfinite(row.estimate)]
    return COLUMN[0] * 1.35, (height(live, spread) if live else COLUMN[1]) * 1.05
