"""Pictures of what an engine leans on: overlap, importance of covariates, pairs that act together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hte_bridge.errors import InvalidData
from hte_bridge.plot.asked import KNOWN, leaned_on, paired, propensities_of
from hte_bridge.plot.style import COLUMN, FONT, GREY, LIGHT, axes, distinct, label, legend, looks, room
from hte_bridge.plot.ticks import numbers, rows_of_names
from hte_bridge.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hte_bridge.arrays import Array

EDGES = np.linspace(0, 1, 41)
WIDTH = EDGES[1]
LONGEST_NAME = 22  # characters of a covariate's name
MOST_PAIRED = 12  # names along each side


def overlap(
    propensities: Mapping[str, Array] | Array | Table,
    treatment: Array | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Held-out propensities of the treated (above the line) and the untreated (below), by engine.

    One that is the same for all units, as in an experiment, is a line at its value.

    Parameters
    ----------
    propensities : array (n,), or mapping of engine to array (n,), or Comparison
        Of a comparison, those of its engines, or the known ones of its study.
    treatment : array (n,)
        Zeros and ones; a comparison brings its own.

    Raises
    ------
    InvalidData
        If lengths differ.
    """
    if isinstance(propensities, Table):
        propensities, treatment = propensities_of(propensities)
    named = dict(propensities) if isinstance(propensities, Mapping) else {"": propensities}
    treated = np.asarray(treatment) == 1
    ax = axes(ax)
    chosen = looks(named)
    for engine, values in named.items():
        if len(values) != len(treated):
            raise InvalidData(
                f"Propensities and `treatment` must have the same length. {len(values):,} and {len(treated):,} were "
                "given. Take both from the same study."
            )
        if np.ptp(values) < WIDTH / 1e6:
            ax.axvline(float(np.mean(values)), color=chosen[engine].colour, linewidth=1.4)
            continue
        for arm, sign in ((treated, 1), (~treated, -1)):
            height = sign * 100 * np.histogram(np.asarray(values)[arm], EDGES)[0] / max(arm.sum(), 1)
            ax.stairs(height, EDGES, color=chosen[engine].colour, linewidth=1.2)
            ax.stairs(height, EDGES, color=chosen[engine].colour, alpha=0.15, fill=True)
    ax.axhline(0, color=GREY, linewidth=0.7)
    shapes = [np.asarray(values, dtype=float) for values in named.values()]
    lines = all(np.ptp(values) < WIDTH / 1e6 for values in shapes)
    ax.set_xlim(0, 1)
    if lines:
        ax.set_yticks([])
    else:
        numbers(ax, "y", "")
        ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
        _arms(ax)
    legend(ax, chosen)
    known = " and ".join(f"{np.mean(values):.3g}" for values in shapes) if lines else ""
    what = "known propensity" if set(named) == {KNOWN} else "propensity, held out"
    return label(ax, x=f"{what}: {known} for all units" if lines else what, y="" if lines else "% of the arm")


def _arms(ax: Axes) -> None:
    """Which arm is above the line and which below, beside the axes and clear of what they draw."""
    low, high = ax.get_ylim()
    for text, middle in (("treated", high / 2), ("untreated", low / 2)):
        ax.annotate(
            text,
            (1, middle),
            xycoords=("axes fraction", "data"),
            xytext=(2, 0),
            textcoords="offset points",
            rotation=90,
            va="center",
            fontsize=FONT - 1,
            color=GREY,
        )


def importance(
    values: pd.Series | Table,
    ax: Axes | None = None,
    *,
    engine: str | None = None,
    std_error: pd.Series | None = None,
    top: int = 12,
) -> Axes:
    """Importance of covariates for the CATE, largest first; ``values`` is indexed by covariate, any scale.

    Of a comparison that of ``engine`` is taken, by default the last that knows one. With ``std_error``, of the same index, a line
    shows one standard error each way.
    """
    if isinstance(values, Table):
        values, std_error, engine = leaned_on(values, engine)
    shown = values.sort_values(ascending=False).head(top)
    ax = axes(ax, (COLUMN[0], 0.6 + 0.17 * len(shown)))
    ax.barh(range(len(shown)), shown.to_numpy(float), color="#0072B2", height=0.65)
    if std_error is not None:
        spread = std_error.reindex(shown.index).to_numpy(float)
        ax.errorbar(shown.to_numpy(float), range(len(shown)), xerr=spread, fmt="none", ecolor="black", lw=0.8)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    cut = distinct(map(str, shown.index), LONGEST_NAME)
    inches = max(room(ax, up=True) / 72 - 0.6, 0.3)
    rows_of_names(ax, [cut[str(name)] for name in shown.index], range(len(shown)), inches, len(shown) + 0.2)
    more = f" (first {top} of {len(values)})" if len(values) > top else ""
    by = f" for {engine}" if engine else ""
    return label(ax, x=numbers(ax, "x", f"importance{by}{more}", 0.5))


def pairs(matrix: pd.DataFrame | Table, ax: Axes | None = None) -> Axes:
    """Strength of pairs of covariates in the CATE: a square frame (p, p), one name per row and column, or a comparison with deep."""
    if isinstance(matrix, Table):
        matrix = paired(matrix)
    ax = axes(ax, (COLUMN[0], COLUMN[0] * 0.9))
    values = np.where(np.tri(len(matrix), dtype=bool), matrix.to_numpy(float), np.nan)
    image = ax.imshow(values, cmap="cividis_r", vmin=0)
    cut = distinct(map(str, matrix.columns), LONGEST_NAME)
    shown = [cut[str(name)] for name in matrix.columns]
    every = max(1, -(-len(shown) // MOST_PAIRED))  # one of several where they would touch
    at = range(0, len(shown), every)
    ax.set_xticks(at, shown[::every], rotation=90)
    ax.set_yticks(at, shown[::every])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_facecolor("none")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.7)
    bar.outline.set_edgecolor(LIGHT)
    bar.ax.tick_params(labelsize=FONT - 1, length=2)
    bar.set_label("strength of the pair", fontsize=FONT)
    return ax
