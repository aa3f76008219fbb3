"""The usual four pictures of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hte_bridge.plot.cates import agreement, cate_sorted
from hte_bridge.plot.diagnostics import overlap
from hte_bridge.plot.effects import AVERAGES, coefficients, height
from hte_bridge.plot.style import COLUMN
from hte_bridge.table import Estimate, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAGE = (7.0, 5.2)  # inches: two columns


@dataclass(frozen=True)
class Picture:
    """A title, a function that draws into axes and returns them, and the size it asks for where it stands alone."""

    title: str
    draw: Callable[[Axes], Axes]
    size: tuple[float, float] = (COLUMN[0] * 1.35, COLUMN[1] * 1.3)


def pictures(table: Table) -> list[Picture]:
    """Titles and ways to draw what a table can show; one that was loaded has no units to show.

    Returns
    -------
    list of Picture
    """
    shown: list[Picture] = []
    averages = [row for row in table.rows if np.isfinite(row.estimate) and row.estimand in AVERAGES]
    if averages:
        shown.append(Picture("Effects by engine", lambda ax: coefficients(table, ax), _size(averages)))
    held: dict[str, Any] = {
        name: fit.heldout for name, fit in getattr(table, "fits", {}).items() if fit.heldout is not None
    }
    if held:
        drawn: Any = table.heldout_cate  # type: ignore[attr-defined]
        frames = {name: pd.DataFrame({"estimate": drawn(name)[0]}) for name in held}
        shown.append(Picture("Held-out CATE, sorted", lambda ax: cate_sorted(frames, ax)))
    if len(held) > 1:
        first, second = list(held)[-2:]
        pair = drawn(first, second)
        shown.append(
            Picture(
                "Do engines agree?",
                lambda ax: agreement(pair[0], pair[1], ax, names=(first, second)),
            )
        )
    if held and table.meta.get("propensity"):
        propensities = {name: held[name].propensity for name in table.meta["propensity"] if name in held}
        treatment = table.study.treatment  # type: ignore[attr-defined]
        shown.append(Picture("Overlap", lambda ax: overlap(propensities, treatment, ax)))
    slopes = [
        row
        for row in table.rows
        if row.estimand == "projection" and row.term != "(Intercept)" and np.isfinite(row.estimate)
    ]
    if slopes and len(shown) < 4:
        shown.append(
            Picture("Effect projected on covariates", lambda ax: coefficients(slopes, ax), _size(slopes))
        )
    return shown


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

    shown = pictures(table)[:4] or [Picture("Rows", lambda ax: coefficients(table, ax))]
    across = min(len(shown), 2)
    down = -(-len(shown) // 2)
    size = (PAGE[0] * across / 2, PAGE[1] * down / 2)
    figure, grid = pyplot.subplots(down, across, figsize=size, squeeze=False, layout="constrained", dpi=200)
    places = grid.ravel()
    for ax in places[len(shown) :]:
        figure.delaxes(ax)
    return np.array([picture.draw(ax) for picture, ax in zip(shown, places, strict=False)], dtype=object)


def _size(rows: Sequence[Estimate]) -> tuple[float, float]:
    return COLUMN[0] * 1.35, height(rows) * 1.1
